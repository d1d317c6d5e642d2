"""Counts that all processes of a run see while they grow: in shared memory, each written by one process only.

So progress costs the load processes nothing, and a run that is cut off has its result so far. A count is one aligned
64-bit word, which is read whole or not at all.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from typing import Any, Final

from amqp_broker.perf.histogram import BUCKETS

SPAWN: Final = multiprocessing.get_context("spawn")

_BEGINS_AT, _PUBLISH_UNTIL, _STOPPED, _HEAD = range(4)
_PUBLISHED, _CONFIRMED, _REFUSED, _DONE_AT, _PUBLISHER = range(5)
_CONSUMED, _MIN_NS, _MAX_NS, _HISTOGRAM = range(4)
_CONSUMER: Final = _HISTOGRAM + BUCKETS


class Board:
    """The counts, and the three numbers by which the parent governs a run. Times are `time.perf_counter_ns`."""

    def __init__(self, publishers: int, consumers: int) -> None:
        octets = 8 * (_HEAD + publishers * _PUBLISHER + consumers * _CONSUMER)
        self.__setstate__((publishers, consumers, SPAWN.RawArray(ctypes.c_char, octets)))

    def __getstate__(self) -> tuple[int, int, Any]:
        return self.publishers, self.consumers, self._memory

    def __setstate__(self, state: tuple[int, int, Any]) -> None:
        self.publishers, self.consumers, self._memory = state
        self._words = memoryview(self._memory).cast("B").cast("Q")
        self._published_at = range(_HEAD, _HEAD + self.publishers * _PUBLISHER, _PUBLISHER)
        first = self._published_at.stop
        self._consumed_at = range(first, first + self.consumers * _CONSUMER, _CONSUMER)

    @property
    def begins_at(self) -> int:
        """0 until the parent has decided."""
        return self._words[_BEGINS_AT]

    @begins_at.setter
    def begins_at(self, at: int) -> None:
        self._words[_BEGINS_AT] = at

    @property
    def publish_until(self) -> int:
        """0 until the parent has decided."""
        return self._words[_PUBLISH_UNTIL]

    @publish_until.setter
    def publish_until(self, at: int) -> None:
        self._words[_PUBLISH_UNTIL] = at

    @property
    def is_stopped(self) -> bool:
        """Whether consumers are to end."""
        return bool(self._words[_STOPPED])

    def stop(self) -> None:
        self._words[_STOPPED] = 1

    def publisher_words(self, number: int) -> memoryview[int]:
        """Of one publisher: published, confirmed, refused (by basic.nack), and when it was done."""
        at = self._published_at[number]
        return self._words[at : at + _PUBLISHER]

    def consumer_words(self, number: int) -> memoryview[int]:
        """Of one consumer: consumed, shortest and longest latency."""
        at = self._consumed_at[number]
        return self._words[at : at + _HISTOGRAM]

    def histogram(self, number: int) -> memoryview[int]:
        """Latencies of one consumer."""
        at = self._consumed_at[number] + _HISTOGRAM
        return self._words[at : at + BUCKETS]

    @property
    def published(self) -> int:
        words = self._words
        return sum([words[at] for at in self._published_at])

    @property
    def confirmed(self) -> int:
        return sum(self._words[at + _CONFIRMED] for at in self._published_at)

    @property
    def refused(self) -> int:
        return sum(self._words[at + _REFUSED] for at in self._published_at)

    @property
    def consumed(self) -> int:
        words = self._words
        return sum([words[at] for at in self._consumed_at])

    @property
    def done_at(self) -> int:
        """When the last publisher was done; 0 while one is not."""
        times = [self._words[at + _DONE_AT] for at in self._published_at]
        return max(times, default=0) if all(times) else 0

    @property
    def latencies(self) -> list[int]:
        """Of all consumers, per bucket."""
        return [sum(counts) for counts in zip(*map(self.histogram, range(self.consumers)), strict=True)]

    @property
    def shortest_ns(self) -> int:
        return min(filter(None, (self._words[at + _MIN_NS] for at in self._consumed_at)), default=0)

    @property
    def longest_ns(self) -> int:
        return max((self._words[at + _MAX_NS] for at in self._consumed_at), default=0)


PUBLISHED, CONFIRMED, REFUSED, DONE_AT = _PUBLISHED, _CONFIRMED, _REFUSED, _DONE_AT
CONSUMED, MIN_NS, MAX_NS = _CONSUMED, _MIN_NS, _MAX_NS
