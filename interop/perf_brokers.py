"""The brokers that `interop.perf` measures: ours, compiled or not, RabbitMQ, and whatever a URL leads to."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import psutil

from amqp_broker.perf.wire import Client
from interop import own_cluster
from interop.own_broker import started_broker
from interop.processes import ProcessError
from interop.rabbitmq import running_cluster, running_rabbitmq

OWN, OWN_PLAIN, RABBITMQ = "own", "own-plain", "rabbitmq"
OWN_CLUSTER, RABBITMQ_CLUSTER = "own-cluster", "rabbitmq-cluster"
"""Three nodes on this machine; clients talk to the first. Ours come with three servers of NATS."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broker:
    """One that is running, and what it says it is: ours takes RabbitMQ's name where clients look at it.

    Attributes:
        pid: of the process whose memory is its memory; None for a broker that we have not started.
        started_s: until it had accepted a connection.
    """

    name: str
    url: str
    product: str
    version: str
    pid: int | None
    started_s: float


@contextlib.contextmanager
def running_broker(choice: str) -> Iterator[Broker]:
    """The broker at a URL, or fresh: `own`, `own-plain`, `own-cluster`, `rabbitmq` or `rabbitmq-cluster`."""
    with contextlib.ExitStack() as stack:
        begins_at = time.monotonic()
        pid: int | None = None
        if choice in (OWN, OWN_PLAIN):
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="amqp-broker-perf-"))
            variables = _installed(choice == OWN_PLAIN)
            begins_at = time.monotonic()
            with _environment(**variables):
                own = stack.enter_context(started_broker("--data-dir", directory))
            stack.callback(own.stop)
            url, pid = own.url, own.pid
        elif choice == RABBITMQ:
            earlier = _erlang_pids()
            url = stack.enter_context(running_rabbitmq())
            (pid,) = _erlang_pids() - earlier
        elif choice == OWN_CLUSTER:
            url = stack.enter_context(own_cluster.running_cluster()).urls[0]
        elif choice == RABBITMQ_CLUSTER:
            url = stack.enter_context(running_cluster())[0].url
        else:
            url = choice
            choice = url.rpartition("@")[2]  # no password in a table
        with Client(url) as client:
            started_s = time.monotonic() - begins_at
            server = client.server
        yield Broker(
            name=choice,
            url=url,
            product=server.get("product", "?"),
            version=server.get("version", "?"),
            pid=pid,
            started_s=started_s,
        )


@functools.cache
def _installed(is_plain: bool) -> dict[str, str]:
    """The environment of our broker: with its bytecode, which a package has from its installation on."""
    directory = tempfile.TemporaryDirectory(prefix="amqp-broker-bytecode-")
    atexit.register(directory.cleanup)
    variables = {
        "AMQP_PURE_PYTHON": "1" if is_plain else "",
        "PYTHONPYCACHEPREFIX": directory.name,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with _environment(**variables), started_broker("--memory") as warm:
        warm.stop()
    return variables


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _erlang_pids() -> set[int]:
    """Of the Erlang machines among our descendants."""
    return {child.pid for child in psutil.Process().children(recursive=True) if child.name().startswith("beam")}


class Brokers:
    """Those under measurement. They run all the time, one at a time under load: the machine's moods hit all alike."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Broker, contextlib.ExitStack]] = {}

    def get(self, choice: str) -> Broker:
        if choice not in self._running:
            stack = contextlib.ExitStack()
            self._running[choice] = (stack.enter_context(running_broker(choice)), stack)
        return self._running[choice][0]

    def drop(self, choice: str) -> None:
        """After a failure the next scenario gets a fresh one."""
        if choice in self._running:
            with contextlib.suppress(ProcessError, AssertionError):
                self._running.pop(choice)[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            for _, running in self._running.values():
                stack.enter_context(running)
