"""One connection to one server of NATS: requests, and their answers. In the loop of `nats.Nats`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import attrs
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from amqp_broker.cluster.log import LogUnavailable, NotConnected

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 2
PING_TIMEOUT_S: Final = 1.0
"""A server that doesn't answer for so long is left for the next one: before this node is taken for dead."""
REQUEST_TIMEOUT_S: Final = 1.5
"""For an answer: where a stream has no leader, or a server dies, none may come at all, and whoever asks tries again."""

NO_RESPONDERS: Final = "503"


class ApiError(LogUnavailable):
    """JetStream refuses a request.

    Attributes:
        code: as in its answer, `err_code`.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"JetStream: {text}")
        self.code = code


@attrs.frozen
class Answer:
    """What came to a request."""

    headers: dict[str, str]
    data: bytes


def without_login(url: str) -> str:
    """A URL as a log may have it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class Session:
    """One connection to one server.

    Attributes:
        url: of the server.
        on_over: called when it is over.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client()
        self.over = asyncio.Event()
        self.on_over: set[Callable[[], None]] = set()
        self._waiting: dict[str, asyncio.Future[Answer] | Future[Answer]] = {}
        self._longest = ""
        self._longest_since = 0.0
        self._numbers = itertools.count()
        self._inbox = ""

    async def open(self, name: str) -> None:
        """Connect. Raises OSError, TimeoutError or nats' errors."""
        await self.client.connect(
            [self.url],
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=1 << 30,  # `Nats` does that
            pending_size=16 << 20,
            error_cb=self._failed,
            closed_cb=self._closed,
        )
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.*", cb=self._answered)

    @property
    def server(self) -> str:
        """The server's name."""
        return str(self.client._server_info.get("server_name", ""))

    @property
    def is_clustered(self) -> bool:
        """The server has others beside it."""
        return bool(self.client._server_info.get("cluster"))

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> asyncio.Future[Answer]:
        """Send a request. What is sent one after the other arrives in that order.

        Returns:
            The answer to come, which fails with `LogUnavailable` when the connection breaks.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            await self.tell(subject, data, headers, self.expect(answer))
        except LogUnavailable:
            answer.cancel()
            raise
        return answer

    def expect(self, answer: asyncio.Future[Answer] | Future[Answer]) -> str:
        """Have what comes to a subject taken for an answer; gives the subject."""
        token = str(next(self._numbers))
        self._waiting[token] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(token, None))
        return f"{self._inbox}.{token}"

    async def echo(self) -> asyncio.Future[Answer]:
        """Hear oneself, by way of the server. Raises LogUnavailable, and so may what it gives."""
        heard: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        await self.tell(self.expect(heard), b"")
        return heard

    def waits_since(self, now: float) -> float:
        """Since when an answer has been waited for, the oldest there is, as far as those know who ask now and then."""
        longest = next(iter(self._waiting), "")
        if not longest or longest != self._longest:
            self._longest, self._longest_since = longest, now
        return self._longest_since

    async def tell(self, subject: str, data: bytes, headers: dict[str, str] | None = None, reply: str = "") -> None:
        """Send something. Raises LogUnavailable."""
        if self.over.is_set():
            raise NotConnected("the connection to NATS is gone")
        try:
            await self.client.publish(subject, data, reply=reply, headers=headers)
        except NatsError as error:
            raise LogUnavailable(f"NATS: {error}") from None

    async def close(self) -> None:
        """Let go of it, and of what waits for answers."""
        self.end()
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(NotConnected("the connection to NATS broke before the answer came"))
                answer.exception()  # nobody may be waiting for it
        with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.client.close(), PING_TIMEOUT_S)

    async def _answered(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is None or answer.done():
            return
        headers = message.headers or {}
        if headers.get("Status") == NO_RESPONDERS:
            answer.set_exception(LogUnavailable("no server of NATS answers for this at present"))
        else:
            answer.set_result(Answer(headers, message.data))

    async def _closed(self) -> None:
        self.end()

    def end(self) -> None:
        """It is of no more use."""
        self.over.set()
        while self.on_over:
            self.on_over.pop()()

    async def _failed(self, error: Exception) -> None:
        log.debug("NATS %s: %s", without_login(self.url), error)


async def within(answer: Awaitable[T], timeout_s: float = REQUEST_TIMEOUT_S) -> T:
    """Wait for an answer. Raises LogUnavailable."""
    try:
        async with asyncio.timeout(timeout_s):  # wait_for takes a turn of the loop more
            return await answer
    except TimeoutError:
        raise LogUnavailable(f"NATS: no answer within {timeout_s:g} s") from None


def checked(answer: Answer) -> dict[str, Any]:
    """Read an answer of JetStream. Raises ApiError."""
    read: dict[str, Any] = json.loads(answer.data)
    error = read.get("error")
    if error is not None:
        raise ApiError(int(error.get("err_code", 0)), str(error.get("description", "refused")))
    return read
