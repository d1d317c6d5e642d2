"""Live figures: what some GET requests would answer, sent again each second when it has changed.

Nothing is kept for it: a stream asks the endpoints as its reader would, with the reader's rights, and while nobody
reads nothing is computed. A stream is over after a minute; whoever still looks opens the next, and logs in for it.
Source: server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from amqp_broker.config import Config
from amqp_broker.management.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_S: Final = 1.0

LOAD: Final = 0.1
"""The part of its time that a stream may compute; it waits longer for what takes long."""

LIFE_S: Final = 60.0
"""How long a reader who may no longer log in sees anything."""

MAX_VIEWS: Final = 8
"""Requests in one stream."""

Ask = Callable[[str], Awaitable[bytes]]
"""Gives the JSON that a GET of this path below `/api/` answers; raises ApiError."""


@attrs.frozen
class Live:
    """What an endpoint answers that wants these requests answered again and again.

    Attributes:
        views: paths below `/api/`, with their queries.
    """

    views: Sequence[str]


class Streams:
    """The open streams, so that they are bounded."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._open: Final = Counter[str]()

    def __len__(self) -> int:
        return self._open.total()

    def answer(self, live: Live, user: str, ask: Ask) -> Response:
        """Stream to a user. Raises ApiError 400 or 429."""
        if not 1 <= len(live.views) <= MAX_VIEWS:
            raise bad_request(f"1 to {MAX_VIEWS} views can be watched")
        config = self._config
        if self._open[user] >= config.max_live_streams_per_user or len(self) >= config.max_live_streams:
            raise ApiError(429, "too_many_streams", "Too many live streams are open")
        return _Stream(live.views, ask, self._counted(user))

    @contextmanager
    def _counted(self, user: str) -> Iterator[None]:
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]


class _Stream(Response):
    """One stream, until its time is over or its reader has gone."""

    media_type = "text/event-stream"

    def __init__(self, views: Sequence[str], ask: Ask, counted: AbstractContextManager[None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._views = views
        self._ask = ask
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        with self._counted:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._send_events(send)
                await send({"type": "http.response.body", "body": b""})
                nursery.cancel_scope.cancel()

    async def _send_events(self, send: Send) -> None:
        sent: dict[int, bytes] = {}
        ends = trio.current_time() + LIFE_S
        while trio.current_time() < ends:
            begun = trio.current_time()
            news = bytearray()
            for number, view in enumerate(self._views):
                event = await _event(self._ask, number, view)
                if event != sent.get(number):
                    sent[number] = event
                    news += event
            news += b"event: tick\ndata: %d\n\n" % (time.time() * 1000)
            spent = trio.current_time() - begun
            await send({"type": "http.response.body", "body": bytes(news), "more_body": True})
            await trio.sleep(max(INTERVAL_S - spent, spent * (1 / LOAD - 1)))


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _event(ask: Ask, number: int, view: str) -> bytes:
    """An answer, or the status of an error: what is watched may come and go."""
    try:
        return b"event: view\nid: %d\ndata: %b\n\n" % (number, await ask(view))
    except ApiError as error:
        return b"event: error\nid: %d\ndata: %d\n\n" % (number, error.status)
