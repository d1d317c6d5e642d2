"""What a quorum queue has that is neither ready nor out: returns that wait for their time, dead letters for a place.

Both stay stored until they leave; what they hold in memory is bounded like what is unacked. Source: rules 4.43
and 4.45.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from amqp_broker.deaths import DeathReason
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.timers import Timer, Timers

RETRY_S: Final = 10.0
"""How long after an attempt a dead letter that found no place is sent on again."""

_MARKS: Final = {
    DeathReason.REJECTED: 0xFFFF_FFFF,
    DeathReason.EXPIRED: 0xFFFF_FFFE,
    DeathReason.DELIVERY_LIMIT: 0xFFFF_FFFD,
    DeathReason.MAXLEN: 0xFFFF_FFFC,
}
"""Delivery counts that no message lives to see: they tell after a restart that one is dead, and of what."""

_REASONS: Final = {mark: reason for reason, mark in _MARKS.items()}


def death_of(entry: QueueEntry) -> DeathReason | None:
    """What a restored message had died of, None for one that lives."""
    return _REASONS.get(entry.delivery_count)


class DelayedReturns:
    """Returned messages in the order in which they are due; one timer for all."""

    def __init__(self, timers: Timers, release: Callable[[list[QueueEntry]], None]) -> None:
        self.octets = 0
        self._timers = timers
        self._release = release
        self._heap: list[tuple[float, int, QueueEntry]] = []
        self._count = 0
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[QueueEntry]:
        return (entry for _, _, entry in self._heap)

    def add(self, entry: QueueEntry, delay_s: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._timers.now() + delay_s, self._count, entry))
        self.octets += entry.octets
        self._plan()

    def drain(self) -> Iterator[QueueEntry]:
        """Take everything out at once, due or not."""
        heap, self._heap, self.octets = self._heap, [], 0
        if self._timer is not None:
            self._timer.cancel()
        return (heap.pop()[2] for _ in range(len(heap)))

    def _plan(self) -> None:
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer.is_planned and self._timer.when <= due:
                return
            self._timer.cancel()
        self._timer = self._timers.at(due, self._run)

    def _run(self) -> None:
        now = self._timers.now()
        due = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)[2]
            self.octets -= entry.octets
            due.append(entry)
        if self._heap:
            self._plan()
        self._release(due)


@attrs.define(eq=False)
class Undelivered:
    """A dead letter that has not reached all it is to reach.

    Attributes:
        entry: the message, still in its queue.
        reason: what it died of.
        reached: the names of the queues that have it already.
    """

    entry: QueueEntry
    reason: DeathReason
    reached: set[str] = attrs.field(factory=set[str])


class UndeliveredLetters:
    """Dead letters in the order of their deaths, sent on again until each has arrived.

    Args:
        timers: for the next attempt.
        send: sends one on; gives False when it has not arrived, and then nor would those behind it.
    """

    def __init__(self, timers: Timers, send: Callable[[Undelivered], bool]) -> None:
        self.octets = 0
        self._timers = timers
        self._send = send
        self._letters: deque[Undelivered] = deque()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[Undelivered]:
        return iter(self._letters)

    def add(self, letter: Undelivered) -> None:
        """Keep one that has not arrived, and mark it so that it is still dead after a restart."""
        letter.entry.delivery_count = _MARKS[letter.reason]
        letter.entry.redelivered = True  # as storage will have it
        self._letters.append(letter)
        self.octets += letter.entry.octets
        if self._timer is None or not self._timer.is_planned:
            self._timer = self._timers.after(RETRY_S, self.send_on)

    def send_on(self) -> None:
        """Try again, in order, as far as they arrive."""
        while self._letters and self._send(self._letters[0]):
            self.octets -= self._letters.popleft().entry.octets
        if self._letters:
            self._timer = self._timers.after(RETRY_S, self.send_on)

    def drain(self) -> Iterator[QueueEntry]:
        """Give all of them up at once."""
        letters, self._letters, self.octets = self._letters, deque(), 0
        if self._timer is not None:
            self._timer.cancel()
        return (letters.popleft().entry for _ in range(len(letters)))
