"""A connection to NATS: nats-py in a thread with its own loop, and calls into it that block.

To be called from threads that are not trio's, for a call may last as long as its deadline. A connection that breaks is
thrown away and another one is made, to the next server of the list, without end; what waited for an answer on it fails
at once, and whether it has happened nobody knows. Nothing is kept to be sent later: old by then, it could do harm.

When an answer takes long, servers are asked whether they reach one another (`reach`), and if there is one that reaches
more of the others, it has us from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import secrets
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from nats.errors import Error as NatsError

from amqp_broker.cluster.log import LogUnavailable, NotConnected
from amqp_broker.cluster.reach import links
from amqp_broker.cluster.session import (
    CONNECT_TIMEOUT_S,
    PING_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    Answer,
    ApiError,
    Session,
    checked,
    within,
    without_login,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S: Final = 0.2
"""Between two servers that were tried."""
PING_S: Final = 0.25
DOUBT_S: Final = 0.5
"""Whoever waits for an answer for so long wants to know whether it is the server's fault."""
LOOK_EVERY_S: Final = 1.0
LOOK_S: Final = 0.4
"""For what is sent by way of one server to be heard from another one."""
USELESS_S: Final = 3.0
"""A server by way of which nothing gets through for so long is left for another one: one that was just started, or has
lost its routes, answers pings, and no requests."""
MAKE_TIMEOUT_S: Final = 5.0
"""For what takes the consent of all servers."""
COMPLAINT_EVERY: Final = 50
"""One line in the log for so many attempts that failed."""


def server_urls(text: str) -> tuple[str, ...]:
    """Take `nats://user:password@host1,host2:4223` apart; what the first says of scheme and user goes for all.

    Raises:
        ValueError: there is no server in it, or a scheme that is neither `nats` nor `tls`.
    """
    scheme, _, rest = text.partition("://") if "://" in text else ("nats", "", text)
    login = ""
    urls = []
    for part in rest.split(","):
        own_scheme, _, address = part.strip().rpartition("://")
        own_login, _, host = address.rpartition("@")
        login = own_login or login
        url = f"{own_scheme or scheme}://{login + '@' if login else ''}{host}"
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ValueError(f"no server of NATS: {without_login(url)}")
        urls.append(url if parts.port else f"{url}:4222")
    return tuple(urls)


class Nats:
    """Whoever keeps the cluster's log and leases.

    Args:
        urls: servers, see `server_urls`.
        name: what they are told who this is.

    Attributes:
        on_changed: called in the loop's thread when the connection has come or gone, with whether it is there.
    """

    def __init__(self, urls: Sequence[str], name: str) -> None:
        self.on_changed: Callable[[bool], None] = _nobody
        # As each vhost's log goes by way of its owner's server, owners had better not all have the same one.
        self._urls = tuple(secrets.SystemRandom().sample(urls, len(urls)))
        self._name = name
        self._session: Session | None = None
        self._failing_since: float | None = None
        self._loop = asyncio.new_event_loop()
        self._connected = threading.Event()
        self._stopping = asyncio.Event()
        self._why = "not connected yet"
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)

    # From any thread

    def open(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def wait_connected(self, timeout_s: float) -> None:
        """Return when there is a connection. Raises LogUnavailable."""
        if not self._connected.wait(timeout_s):
            raise LogUnavailable(f"NATS can't be reached: {self._why}")

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def own_host(self) -> str:
        """The address from which this machine reaches NATS."""
        session = self._session
        server = urlsplit(self._urls[0] if session is None else session.url)
        try:
            found = socket.getaddrinfo(server.hostname, server.port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(found[0], socket.SOCK_DGRAM) as probe:
                probe.connect(found[4])  # sends nothing
                return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop and wait for what comes of it. Raises LogUnavailable, and what it raises."""
        try:
            future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise LogUnavailable("the connection to NATS has been closed") from None
        try:
            return future.result()
        except CancelledError:
            raise LogUnavailable("the connection to NATS has been closed") from None
        except NatsError as error:
            raise LogUnavailable(f"NATS: {error}") from None

    def ask(self, send: Callable[[Future[Answer]], Coroutine[Any, Any, None]], timeout_s: float) -> Answer:
        """Have something sent in the loop, and wait here for its answer: takes fewer turns of the loop than `call`.

        Args:
            send: sends it, for an answer that it has the session `expect`.
            timeout_s: how long to wait.

        Raises:
            LogUnavailable: no answer came.
        """
        answer: Future[Answer] = Future()

        def begin() -> None:
            task = self._loop.create_task(self._send(send, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        try:
            self._loop.call_soon_threadsafe(begin)
            found = answer.result(timeout_s)
        except TimeoutError:
            self.call_soon(answer.cancel)
            error = LogUnavailable(f"NATS: no answer within {timeout_s:g} s")
        except LogUnavailable as refusal:
            error = refusal
        except (RuntimeError, CancelledError):
            error = LogUnavailable("the connection to NATS has been closed")
        else:
            self._failing_since = None
            return found
        self.call_soon(partial(self.note, error))
        raise error

    def call_soon(self, work: Callable[[], object]) -> None:
        """Have something done in the loop, if that still runs."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something run in the loop until it ends or the loop does."""

        def start() -> None:
            task = self._loop.create_task(work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(start)

    def close(self) -> None:
        """Break the connection and end the thread; what was being called fails."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    # In the loop

    @property
    def session(self) -> Session:
        """The connection there is. Raises LogUnavailable."""
        if self._session is None:
            raise NotConnected(f"NATS can't be reached: {self._why}")
        return self._session

    def leave_server(self) -> None:
        """The server is there, and of no use: go to another one."""
        if self._session is not None:
            log.warning("NATS: %s does not lead to what we need; on to the next", without_login(self._session.url))
            self._session.end()

    async def _send(self, send: Callable[[Future[Answer]], Coroutine[Any, Any, None]], answer: Future[Answer]) -> None:
        try:
            await send(answer)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)

    def note(self, error: BaseException | None) -> None:
        """Something has got through, or not; in the second case look whether anything does by way of this server."""
        now = self._loop.time()
        if not isinstance(error, LogUnavailable) or isinstance(error, ApiError):
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > USELESS_S:
            self._failing_since = None
            self.leave_server()

    async def api(
        self, subject: str, request: dict[str, Any] | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Ask JetStream's API, and wait for so long.

        Raises:
            ApiError: it refuses.
            LogUnavailable: no answer came; it may have been done.
        """
        data = b"" if request is None else json.dumps(request).encode()
        if timeout_s is None:
            timeout_s = MAKE_TIMEOUT_S if "STREAM.CREATE." in subject else REQUEST_TIMEOUT_S
        answer = await within(await self.session.ask(f"$JS.API.{subject}", data), timeout_s)
        return checked(answer)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            self._loop.run_until_complete(self._stay_connected())
        finally:
            while left := asyncio.all_tasks(self._loop):
                for task in left:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    async def _stay_connected(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        failed = number = 0
        while not stopping.done():
            session = Session(self._urls[number % len(self._urls)])
            number += 1
            try:
                await asyncio.wait_for(session.open(self._name), 2 * CONNECT_TIMEOUT_S + 1)
            except (TimeoutError, OSError, NatsError) as error:
                self._why = f"{without_login(session.url)}: {error or type(error).__name__}"
                if failed % COMPLAINT_EVERY == 0:
                    log.warning("NATS: %s; going on trying", self._why)
                failed += 1
                await session.close()
            else:
                failed = 0
                number = await self._use(session, stopping)
            await asyncio.wait([stopping], timeout=RETRY_S if failed else 0)

    async def _use(self, session: Session, stopping: asyncio.Task[bool]) -> int:
        """Go by way of a server until that is good no more; gives the number of the one to try next."""
        log.info("NATS: connected to %s", without_login(session.url))
        better: Session | None = session
        while better is not None:
            before, session = session, better
            self._session = session
            self._failing_since = None
            if before is session:
                self._connected.set()
                self.on_changed(True)
            else:
                urls = without_login(before.url), without_login(session.url)
                log.warning("NATS: %s is apart from other servers; on to %s", *urls)
                self.start_soon(before.close)
            better = await self._watch(session, stopping)
        self._session = None
        self._connected.clear()
        self._why = f"the connection to {without_login(session.url)} broke"
        if not stopping.done():
            log.warning("NATS: %s", self._why)
            self.on_changed(False)
        await session.close()
        return self._urls.index(session.url) + 1

    async def _watch(self, session: Session, stopping: asyncio.Task[bool]) -> Session | None:
        """Return when a connection is good no more, with one that is better if there is any."""
        loop = asyncio.get_running_loop()
        over = asyncio.create_task(session.over.wait())
        looking: asyncio.Task[Session | None] | None = None
        looked_at = echoed_at = -math.inf
        echo = None
        try:
            while True:
                waited_for = [over, stopping] if looking is None else [over, stopping, looking]
                await asyncio.wait(waited_for, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
                now = loop.time()
                if looking is not None and looking.done():
                    if (better := looking.result()) is not None:
                        return better
                    looking, looked_at = None, now
                if over.done() or stopping.done():
                    return None
                if looking is not None:
                    continue
                if echo is None or echo.done():
                    try:
                        echo, echoed_at = await session.echo(), now
                    except LogUnavailable:
                        return None
                elif now - echoed_at > PING_TIMEOUT_S:
                    return None
                if now - session.waits_since(now) >= DOUBT_S and now - looked_at >= LOOK_EVERY_S:
                    looking = asyncio.create_task(self._better(session))
        finally:
            over.cancel()
            if looking is not None:
                looking.cancel()

    async def _better(self, session: Session) -> Session | None:
        """A connection to a server that reaches more of the others than this one; None if there is none."""
        others = [Session(url) for url in self._urls if url != session.url]
        best: Session | None = None
        try:
            openings = (asyncio.wait_for(each.open(self._name), PING_TIMEOUT_S) for each in others)
            results = await asyncio.gather(*openings, return_exceptions=True)
            there = [session, *(each for each, error in zip(others, results, strict=True) if error is None)]
            reached = await links(there, LOOK_S)
            number = max(range(len(there)), key=reached.__getitem__)  # of equal ones the first
            best = there[number] if number else None
        finally:
            for each in others:
                if each is not best:
                    self.start_soon(each.close)
        return best


def _nobody(_is_there: bool) -> None:
    """Nobody wants to know."""
