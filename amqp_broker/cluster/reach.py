"""Which servers of NATS reach one another: what is sent by way of one has to be heard from each of the others.

A server that has lost the others answers pings, and requests about what it leads, and nothing gets through it. Nor does
a request without an answer say that it is so: a stream may have lost its leader, which is no fault of this server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import permutations
from typing import Any, Final, Protocol

AGAIN_S: Final = 0.05
"""Between attempts: that somebody listens has to get around first."""


class Connection(Protocol):
    """To one server: `session.Session`."""

    def expect(self, answer: asyncio.Future[Any]) -> str:
        """Have what comes to a subject taken for an answer; gives the subject."""

    async def tell(self, subject: str, data: bytes) -> None:
        """Send something. Raises LogUnavailable."""


async def links(connections: Sequence[Connection], timeout_s: float) -> list[int]:
    """How many of the other servers each of them reaches, and is reached by, within so long."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    heard: dict[tuple[int, int], asyncio.Future[Any]] = {
        way: loop.create_future() for way in permutations(range(len(connections)), 2)
    }
    subjects = {(source, target): connections[target].expect(heard[source, target]) for source, target in heard}
    try:
        while (missing := [way for way in heard if not heard[way].done()]) and (left_s := ends_at - loop.time()) > 0:
            for way in missing:
                with suppress(OSError):  # such as LogUnavailable
                    await connections[way[0]].tell(subjects[way], b"")
            await asyncio.wait([heard[way] for way in missing], timeout=min(left_s, AGAIN_S))
        good = {way for way, answer in heard.items() if answer.done() and answer.exception() is None}
    finally:
        for answer in heard.values():
            answer.cancel()
    return [
        sum((one, other) in good and (other, one) in good for other in range(len(connections)))
        for one in range(len(connections))
    ]
