"""Whoever waits for all clients on plain sockets, and serves each that has sent something or takes more.

A task for each client would cost a turn of trio's loop for each read: some 25 µs, more than the broker's own work
where messages come one at a time. So the sockets are watched by an epoll object of their own, trio waits for that
one, and whoever is ready meanwhile is served in the same turn. Linux only; elsewhere each client has tasks.

Compiled, for it is called for every read; the task, which is not, is `serving.serve`.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from time import perf_counter
from typing import Final

import trio

LINGER_S: Final = 0.001
"""How long to wait for more input before the loop does, where no other task wants a turn: who has got a reply, or a
request, mostly sends again at once. The shortest that epoll knows."""

WATCH_S: Final = 0.000_06
"""How long before that to look again and again: to be woken from a sleep takes as long as some 50 messages. Longer than
a client takes for a reply of a few octets."""

MAX_SKIPPED: Final = 256
"""How often at most it is left undone after it was in vain: it then takes less than 1% of a processor that has nothing
to do."""


# What is compared with for each client that is ready; compiled, these are C integers.
_IN: Final[int] = getattr(select, "EPOLLIN", 0)
_OUT: Final[int] = getattr(select, "EPOLLOUT", 0)


class Hub:
    """Watches sockets for input, and for room for output.

    Attributes:
        is_serving: whoever was ready is being served.
        at_end: called when all who were ready at one time have been served.
        epoll: readable when somebody is ready.
    """

    def __init__(self) -> None:
        self.is_serving = False
        self.at_end: Callable[[], None] = _nothing
        self.epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._watched: dict[int, int] = {}
        """For what epoll watches each file."""
        self._left: list[tuple[int, int]] = []
        """Those who were ready when the time was over."""
        self._may_watch = _processors() > 1
        self._to_skip = self._skipped = 0

    def watch(self, file: int, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is input, or the other side has gone, until `forget`.

        It may find nothing to read, and must not raise.
        """
        self._readers[file] = readable
        self._have_watched(file)

    def forget(self, file: int) -> None:
        """Watch a file for input no longer; it must still be open. Harmless where it isn't watched."""
        if self._readers.pop(file, None) is not None:
            self._have_watched(file)

    def watch_room(self, file: int, writable: Callable[[], None]) -> None:
        """Call `writable` whenever there is room for output, or the other side has gone, until `forget_room`.

        It may find no room, and must not raise.
        """
        if file not in self._writers:
            self._writers[file] = writable
            self._have_watched(file)

    def forget_room(self, file: int) -> None:
        """Watch a file for room no longer; it must still be open. Harmless where it isn't watched."""
        if self._writers.pop(file, None) is not None:
            self._have_watched(file)

    def _have_watched(self, file: int) -> None:
        before = self._watched.get(file, 0)
        events = (_IN if file in self._readers else 0) | (_OUT if file in self._writers else 0)
        if events == before or self.epoll.closed:
            return
        self._watched[file] = events
        if not before:
            self.epoll.register(file, events)
        elif events:
            self.epoll.modify(file, events)
        else:
            del self._watched[file]
            self.epoll.unregister(file)

    def serve_for(self, seconds: float) -> bool:
        """Serve clients until nobody is ready.

        Returns:
            True when so much time is over before: others are to have a turn, then this is to be called again.
        """
        poll = self.epoll.poll
        ends_at = perf_counter() + seconds
        events = self._left or poll(0)
        self._left = []
        while events:
            self.is_serving = True
            for number, (file, what) in enumerate(events):
                self._serve_one(file, what)
                if perf_counter() >= ends_at:
                    self._left = events[number + 1 :]
                    self._end_serving()
                    return True
            self._end_serving()
            events = poll(0) or self._events_soon()
        return False

    def serve_now(self) -> None:
        """Serve clients that are ready, once: for a task that works long, between two steps of its work.

        It costs a microsecond where nobody is, and what comes meanwhile needn't wait until trio has run its tasks.
        """
        if self.is_serving or self.epoll.closed:
            return
        events = self.epoll.poll(0)
        if events:
            self.is_serving = True
            for file, what in events:
                self._serve_one(file, what)
            self._end_serving()

    def _serve_one(self, file: int, what: int) -> None:
        # Of an error, or the end of both sides, either may be told.
        if what != _OUT and (readable := self._readers.get(file)) is not None:
            readable()
        if what != _IN and (writable := self._writers.get(file)) is not None:
            writable()

    def _events_soon(self) -> list[tuple[int, int]]:
        """Who is ready in a moment, if that can be waited for: first awake, as often as that helps, then asleep."""
        poll = self.epoll.poll
        if self._to_skip:
            self._to_skip -= 1
        elif self._may_watch:
            ends_at = perf_counter() + WATCH_S
            while True:
                os.sched_yield()  # whoever is waited for may be waiting for this processor
                events = poll(0)
                is_late = perf_counter() >= ends_at
                if is_late:  # or others want the processor: then it goes faster asleep
                    self._to_skip = self._skipped = min(2 * self._skipped + 1, MAX_SKIPPED)
                elif events:
                    self._skipped = 0
                if events:
                    return events
                if is_late:
                    break
        return poll(LINGER_S) if _may_linger() else []

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


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def new_hub() -> Hub | None:
    """A hub, where the system has what it takes."""
    return Hub() if hasattr(select, "epoll") else None


_HUBS: Final[trio.lowlevel.RunVar[list[Hub]]] = trio.lowlevel.RunVar("amqp-broker-hubs")


def running_hubs() -> list[Hub]:
    """Those of this event loop, one for each broker in it."""
    try:
        return _HUBS.get()
    except LookupError:
        hubs: list[Hub] = []
        _HUBS.set(hubs)
        return hubs


def _nothing() -> None:
    """Nobody wants to know."""
