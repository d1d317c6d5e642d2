"""Live figures: what some GET requests would answer, sent again each second when it has changed.

Nothing is kept for it: a stream asks the endpoints as its reader would, with the reader's rights, and while nobody
reads nothing is computed. A stream is over after a minute; whoever still looks opens the next, and logs in for it.
Source: server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio
from starlette.responses import StreamingResponse

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

MAX_STREAMS_OF_USER: Final = 20
MAX_STREAMS: Final = 200

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

    def __init__(self) -> None:
        self._open: Final = Counter[str]()

    def __len__(self) -> int:
        return self._open.total()

    def answer(self, live: Live, user: str, ask: Ask) -> StreamingResponse:
        """Stream to a user. Raises ApiError 400 or 429."""
        if not 1 <= len(live.views) <= MAX_VIEWS:
            raise bad_request(f"1 to {MAX_VIEWS} views can be watched")
        if self._open[user] >= MAX_STREAMS_OF_USER or len(self) >= MAX_STREAMS:
            raise ApiError(429, "too_many_streams", "Too many live streams are open")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(live.views, user, ask), 200, headers, "text/event-stream")

    async def _events(self, views: Sequence[str], user: str, ask: Ask) -> AsyncIterator[bytes]:
        with self._counted(user):
            sent: dict[int, bytes] = {}
            ends = trio.current_time() + LIFE_S
            yield b": live\n\n"
            while trio.current_time() < ends:
                begun = trio.current_time()
                for number, view in enumerate(views):
                    event = await _event(ask, number, view)
                    if event != sent.get(number):
                        sent[number] = event
                        yield event
                yield b"event: tick\ndata: %d\n\n" % (time.time() * 1000)
                spent = trio.current_time() - begun
                await trio.sleep(max(INTERVAL_S - spent, spent * (1 / LOAD - 1)))

    @contextmanager
    def _counted(self, user: str) -> Iterator[None]:
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]


async def _event(ask: Ask, number: int, view: str) -> bytes:
    """An answer, or the status of an error: what is watched may come and go."""
    try:
        return b"event: view\nid: %d\ndata: %b\n\n" % (number, await ask(view))
    except ApiError as error:
        return b"event: error\nid: %d\ndata: %d\n\n" % (number, error.status)
