"""What clients saw, and what a broker therefore still owes them. Knows neither clients nor brokers.

A message is known by its publisher's name and a number that publisher uses once. The ledger notes the instants
that count: published (and to which queues), confirmed, delivered, acked. What must hold:

- a confirmed message is delivered from every queue it went to, until its ack has been sent: what is left of that
  in the end is *lost*;
- what is delivered was published, to that queue, with this body: anything else is *invented*;
- of one publisher and queue, messages come in the order they were published in, as long as the broker lives and
  one consumer has the queue; and those that come for the first time do so over restarts too;
- what comes again says so: a second delivery without the redelivered flag is *unmarked*.

An acked message that comes again after a crash is no fault, only counted (rule 7.6 of docs/conformance.md).
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from typing import NamedTuple

MAX_EXAMPLES = 10


class Name(NamedTuple):
    """What a message is known by."""

    publisher: str
    number: int


def make_body(name: Name, padding: int) -> bytes:
    """A body from which the message can be told, and whether it arrived whole."""
    text = f"{name.publisher} {name.number} ".encode() + bytes(padding)
    return text + zlib.crc32(text).to_bytes(4, "big")


def read_body(body: bytes) -> Name | None:
    """Whose body this is, None for one that nobody made."""
    text, crc = body[:-4], body[-4:]
    if zlib.crc32(text).to_bytes(4, "big") != crc:
        return None
    publisher, number, _ = text.split(b" ", 2)
    return Name(publisher.decode(), int(number))


class Ledger:
    """All that happened to all messages.

    Attributes:
        faults: what must not be, in words: kind → how many, and some of them in `examples`.
        counts: how many were published, confirmed, delivered, redelivered (with the flag), delivered again after
            their ack, and acked; counted since the beginning.
    """

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.examples: list[str] = []
        self.counts: Counter[str] = Counter()
        self._queues: dict[Name, tuple[str, ...]] = {}
        self._confirmed: set[Name] = set()
        self._delivered: dict[str, set[Name]] = defaultdict(set)
        self._acked: dict[str, set[Name]] = defaultdict(set)
        self._last_fresh: dict[tuple[str, str], int] = {}
        self._last_in_life: dict[tuple[str, str], int] = {}

    def published(self, name: Name, queues: tuple[str, ...]) -> None:
        self._queues[name] = queues
        self.counts["published"] += 1

    def confirmed(self, name: Name) -> None:
        self._confirmed.add(name)
        self.counts["confirmed"] += 1

    def delivered(self, queue: str, body: bytes, *, redelivered: bool) -> Name | None:
        """A consumer got this; gives whose it is."""
        self.counts["delivered"] += 1
        name = read_body(body)
        if name is None or queue not in self._queues.get(name, ()):
            self._fault("invented", f"{name or body[:40]!r} from {queue}")
            return None
        lane = queue, name.publisher
        if name.number <= self._last_in_life.get(lane, -1):
            self._fault("out of order", f"{name} from {queue} after number {self._last_in_life[lane]}")
        self._last_in_life[lane] = name.number
        if redelivered:
            self.counts["redelivered"] += 1
        else:
            if name.number <= self._last_fresh.get(lane, -1):
                self._fault("out of order", f"{name} from {queue}, not redelivered, long after its successors")
            self._last_fresh[lane] = name.number
        if name in self._delivered[queue]:
            if not redelivered:
                self._fault("unmarked", f"{name} from {queue} again, without the redelivered flag")
            if name in self._acked[queue]:
                self.counts["again after ack"] += 1
        self._delivered[queue].add(name)
        return name

    def acked(self, queue: str, name: Name) -> None:
        """A consumer's ack has been sent, whether or not it arrived."""
        if name not in self._acked[queue]:
            self._acked[queue].add(name)
            self.counts["acked"] += 1

    def broker_died(self) -> None:
        """What is delivered from now on comes from another life: all that was not acked comes again, from the start."""
        self._last_in_life.clear()

    def owed(self) -> list[tuple[str, Name]]:
        """The confirmed messages that must still be in these queues."""
        return [
            (queue, name)
            for name in sorted(self._confirmed)
            for queue in self._queues[name]
            if name not in self._acked[queue]
        ]

    def close(self) -> None:
        """All queues are empty: what is still owed is lost."""
        for queue, name in self.owed():
            self._fault("lost", f"{name} of {queue}, confirmed")

    def unconfirmed(self) -> tuple[int, int]:
        """Of the messages nobody confirmed: how many were kept all the same, in some queue, and how many not."""
        names = self._queues.keys() - self._confirmed
        kept = sum(any(name in self._delivered[queue] for queue in self._queues[name]) for name in names)
        return kept, len(names) - kept

    def _fault(self, kind: str, what: str) -> None:
        self.faults[kind] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{kind}: {what}")
