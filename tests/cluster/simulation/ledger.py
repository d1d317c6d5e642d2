"""What publishers and consumers of a simulated cluster know, and what must hold of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple


class Number(NamedTuple):
    """A message: the how-manieth of which publisher."""

    publisher: int
    place: int

    @property
    def body(self) -> bytes:
        return b"%d %d" % self


def number_of(body: bytes) -> Number:
    publisher, count = body.split()
    return Number(int(publisher), int(count))


class Ledger:
    """Of one queue.

    Attributes:
        published: all that were sent, confirmed or not.
        confirmed: those that the broker has vouched for.
        acked: those that consumers have said to be done with.
        received: how often each was delivered.
    """

    def __init__(self) -> None:
        self.published: set[Number] = set()
        self.confirmed: set[Number] = set()
        self.acked: set[Number] = set()
        self.received: Counter[Number] = Counter()

    def check_lost(self, left: set[Number]) -> None:
        """All that was confirmed has been acked, or is there."""
        lost = self.confirmed - self.acked - left
        assert not lost, f"lost: {sorted(lost)[:10]} and others, {len(lost)} of {len(self.confirmed)}"

    @property
    def repeated(self) -> int:
        return sum(count - 1 for count in self.received.values())


class Session:
    """What one consumer is given: nothing invented, and of each publisher in order, but for what comes again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._last: dict[int, int] = defaultdict(int)

    def receive(self, body: bytes, *, is_redelivered: bool) -> Number:
        number = number_of(body)
        assert number in self._ledger.published, f"invented: {number}"
        self._ledger.received[number] += 1
        if not is_redelivered:
            last = self._last[number.publisher]
            assert number.place > last, f"{number} came after {last}"
            self._last[number.publisher] = number.place
        return number
