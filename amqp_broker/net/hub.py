"""One task that waits for the input of all clients on plain sockets, and serves each that has sent something.

A task for each client would cost a turn of trio's loop for each read: some 25 µs, more than the broker's own work
where messages come one at a time. So the sockets are watched by an epoll object of their own, trio waits for that
one, and whoever has input meanwhile is served in the same turn. Linux only; elsewhere each client's task reads.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import perf_counter
from typing import Final

import trio

TURN_S: Final = 0.001
"""How long clients are served before all other tasks have a turn."""

LINGER_S: Final = 0.001
"""How long to wait for more input before the loop does, where no other task wants a turn: who has got a reply, or a
request, mostly sends again at once. The shortest that epoll knows."""


class Hub:
    """Watches sockets for input.

    Attributes:
        is_serving: whoever had input is being served.
        at_end: called when all who had input at one time have been served.
    """

    def __init__(self) -> None:
        self.is_serving = False
        self.at_end: Callable[[], None] = _nothing
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}

    def watch(self, file: int, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is input, or the other side has gone, until `forget`.

        It may find nothing to read, and must not raise.
        """
        if file not in self._readers:
            self._epoll.register(file, select.EPOLLIN)
        self._readers[file] = readable

    def forget(self, file: int) -> None:
        """Watch a file no longer; it must still be open. Harmless where it isn't watched."""
        if self._readers.pop(file, None) is not None:
            self._epoll.unregister(file)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll)
                await self._serve()
        finally:
            self._readers.clear()
            self._epoll.close()

    async def _serve(self) -> None:
        """Serve clients until there is no more input."""
        poll = self._epoll.poll
        readers = self._readers
        turn_ends_at = perf_counter() + TURN_S
        events = poll(0)
        while events:
            self.is_serving = True
            for file, _ in events:
                readable = readers.get(file)
                if readable is not None:
                    readable()
                if perf_counter() >= turn_ends_at:
                    self._end_serving()
                    await trio.lowlevel.checkpoint()
                    self.is_serving = True
                    turn_ends_at = perf_counter() + TURN_S
            self._end_serving()
            events = poll(0) or (poll(LINGER_S) if _may_linger() else [])

    def _end_serving(self) -> None:
        self.is_serving = False
        self.at_end()


def _may_linger() -> bool:
    """Whether the loop has nothing to do but to wait for input."""
    statistics = trio.lowlevel.current_statistics()
    return (
        not statistics.tasks_runnable
        and not statistics.run_sync_soon_queue_size
        and statistics.seconds_to_next_deadline > LINGER_S
    )


def new_hub() -> Hub | None:
    """A hub, where the system has what it takes."""
    return Hub() if hasattr(select, "epoll") else None


def _nothing() -> None:
    """Nobody wants to know."""
