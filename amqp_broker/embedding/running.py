"""Brokers that start and end with a block of the program that embeds them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import trio

from amqp_broker.administration.importing import import_definitions
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.embedding.broker import EmbeddedBroker, Loop
from amqp_broker.embedding.clock import MovableClock
from amqp_broker.embedding.definitions import Definitions, read
from amqp_broker.embedding.errors import BrokerCrashedError, BrokerStoppedError
from amqp_broker.server import Server
from amqp_broker.timers import steady_wall_clock

DEFAULTS: Final[dict[str, Any]] = {
    "port": 0,
    "management_port": 0,
    "metrics_port": None,
    "login_failure_delay_s": 0.0,
    "shutdown_timeout_s": 0.25,
}
"""Where an embedded broker differs from `Config`: free ports, and nobody who has to be waited for."""

# A program that has set up no logging gets no log.
logging.getLogger("amqp_broker").addHandler(logging.NullHandler())


@contextlib.asynccontextmanager
async def open(definitions: Definitions | None = None, **settings: Any) -> AsyncIterator[EmbeddedBroker]:  # noqa: A001
    """Run a broker in the caller's own trio loop while the block lasts.

    Args:
        definitions: imported first; user and vhost of the settings are there as well.
        settings: the fields of `Config`. Ports are free ones and nothing is kept on disk unless they say otherwise.

    Raises:
        BrokerCrashedError: the broker has failed; the block was cancelled then.
        ListenError: something can't be listened on; besides, what `Server` raises.
    """
    server, clock = _server(definitions, settings)
    loop: Loop | None = None
    crash: Exception | None = None
    body_error: BaseException | None = None
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            nonlocal crash
            try:
                await server.run(task_status=_Started(is_started))
            except Exception as error:
                crash = error
                if loop is not None:
                    loop.crash = error
                nursery.cancel_scope.cancel()
            finally:
                ended.set()

        is_started, ended = trio.Event(), trio.Event()
        nursery.start_soon(run)
        await is_started.wait()
        loop = Loop(server, clock)
        try:
            yield EmbeddedBroker(loop, server.config.default_vhost)
        except trio.Cancelled:
            raise
        except BaseException as error:
            body_error = error  # raised outside of the nursery, which would wrap it
        finally:
            loop.is_running = False
            server.stop()
            with trio.CancelScope(shield=True), trio.move_on_after(server.config.shutdown_timeout_s * 3 + 5):
                await ended.wait()
            nursery.cancel_scope.cancel()
    if crash is not None and loop is None:
        raise _first(crash)
    if crash is not None:
        raise BrokerCrashedError("the embedded broker has crashed") from crash
    if body_error is not None:
        raise body_error


class _Started(trio.TaskStatus[None]):
    """Sets an event when a server is started: errors before that are for the caller, not for a nursery to wrap."""

    def __init__(self, event: trio.Event) -> None:
        self._event = event

    def started(self, value: None = None) -> None:  # noqa: ARG002 - trio's signature
        self._event.set()


class BrokerThread:
    """A broker in a thread of its own with an event loop of its own: for programs of any kind.

    Used in `with`, or with `start` and `stop`. No signal is taken, and the thread does not keep a program alive.
    """

    def __init__(self, definitions: Definitions | None, settings: dict[str, Any]) -> None:
        self._definitions = definitions
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._loop: Loop | None = None
        self._error: BaseException | None = None

    def start(self) -> EmbeddedBroker:
        """Start it; clients may connect when this returns. Raises what `Server` raises, and ListenError."""
        assert self._thread is None, "it has been started"
        self._thread = threading.Thread(target=self._run, name="amqp-broker", daemon=True)
        self._thread.start()
        try:
            self._started.wait()
        except BaseException:
            self._end()
            raise
        if self._loop is None:
            self._thread.join()
            assert self._error is not None
            raise self._error
        return EmbeddedBroker(self._loop, self._loop.server.config.default_vhost)

    def stop(self) -> None:
        """Close all connections and end; a second time there is nothing to do.

        Raises:
            BrokerCrashedError: it has ended by an error before.
        """
        self._end()
        if self._loop is not None and self._loop.crash is not None:
            crash, self._loop.crash = self._loop.crash, None
            raise BrokerCrashedError("the embedded broker has crashed") from crash

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self) -> None:
        thread = self._thread
        if thread is None:
            return
        self._started.wait()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(BrokerStoppedError, BrokerCrashedError):
                loop.call(loop.server.stop)
        thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._error = _first(error)
            if self._loop is not None:
                self._loop.crash = error
        finally:
            if self._loop is not None:
                self._loop.is_running = False
            self._started.set()

    async def _serve(self) -> None:
        server, clock = _server(self._definitions, self._settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            self._loop = Loop(server, clock)
            self._started.set()


def run_in_thread(definitions: Definitions | None = None, **settings: Any) -> BrokerThread:
    """Make a broker that runs in a thread of its own while a `with` block lasts.

    Args:
        definitions: imported first; user and vhost of the settings are there as well.
        settings: the fields of `Config`. Ports are free ones and nothing is kept on disk unless they say otherwise;
            `management_port=None` opens no HTTP port.
    """
    return BrokerThread(definitions, settings)


def _server(definitions: Definitions | None, settings: dict[str, Any]) -> tuple[Server, MovableClock]:
    """Make a server whose clock can be moved. Raises what `Server` raises."""
    settings = DEFAULTS | settings
    if isinstance(settings.get("data_dir"), str):
        settings["data_dir"] = Path(settings["data_dir"])
    clock = MovableClock()
    make_broker = partial(Broker, now=clock, connection_now=steady_wall_clock())
    server = Server(Config(**settings), make_broker=make_broker, environment={})
    clock.timers = server.broker.timers
    if definitions is not None:
        import_definitions(server.broker, read(definitions))
    return server, clock


def _first(error: BaseException) -> BaseException:
    """What is in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
