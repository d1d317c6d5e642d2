"""Rates: how fast counters have grown lately.

The counters are the objects' own. Samples of them are taken every few seconds, of an object that is gone none
are kept; a rate is what has come since the oldest sample that is at least a period old, or the oldest there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

import attrs

PERIOD_S: Final = 5.0
"""How far apart samples are: RabbitMQ's interval."""

KEPT: Final = 121
"""Samples of one object: ten minutes."""

WEIGHT: Final = 0.25
"""Of the last look at a share, in its average."""

Counts = Mapping[str, int]


@attrs.frozen
class Sample:
    """The counters of one object at one moment; the clock is the broker's."""

    at: float
    counts: Counts


class Statistics:
    """Samples of whatever has been asked for.

    Attributes:
        now: the clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._changed_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        self._samples: WeakKeyDictionary[object, deque[Sample]] = WeakKeyDictionary()
        self._shares: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    def __len__(self) -> int:
        """How many objects there are samples of."""
        return len(self._samples)

    def clear(self) -> None:
        """Forget all samples."""
        self._samples.clear()
        self._changed_at.clear()
        self._shares.clear()

    def take(self, subject: object, counts: Counts) -> None:
        """Keep a sample, unless the last one is young: all counters of an object that rates are wanted of."""
        samples = self._samples.get(subject)
        if samples is None:
            samples = self._samples[subject] = deque(maxlen=KEPT)
        now = self.now()
        if not samples or samples[-1].counts != counts:
            self._changed_at[subject] = now
        if not samples or now - samples[-1].at >= PERIOD_S * 0.9:
            if len(samples) > 1 and samples[-2].counts == samples[-1].counts == counts:
                samples.pop()  # of what is idle, the first and the last sample say all
            is_idle = samples and samples[-1].counts == counts
            samples.append(Sample(now, samples[-1].counts if is_idle else dict(counts)))

    def take_share(self, subject: object, share: float) -> None:
        """Take a figure between 0 and 1 into the average of its subject."""
        self._shares[subject] = self.share(subject, share)

    def share(self, subject: object, current: float) -> float:
        """The average of what a figure was at the last looks, and is now."""
        before = self._shares.get(subject, current)
        return round(before + WEIGHT * (current - before), 3)

    def samples(self, subject: object) -> list[Sample]:
        """What is kept of an object, oldest first."""
        return list(self._samples.get(subject, ()))

    def idle_since(self, subject: object, counts: Counts) -> float | None:
        """When counters were last seen to change; None for an object that is busy, or new here."""
        samples = self._samples.get(subject)
        if not samples or not counts.items() <= samples[-1].counts.items():
            return None
        return self._changed_at[subject]

    def rates(self, subject: object, counts: Counts) -> dict[str, float]:
        """How many a second each counter has grown over the last period; 0 for an object that is new here."""
        base = self._base(subject)
        elapsed_s = 0.0 if base is None else self.now() - base.at
        if base is None or elapsed_s <= 0:
            return dict.fromkeys(counts, 0.0)
        before = base.counts
        if counts.items() <= before.items():  # nothing has grown, as with most of many queues
            return dict.fromkeys(counts, 0.0)
        return {name: round((count - before.get(name, count)) / elapsed_s, 1) for name, count in counts.items()}

    def _base(self, subject: object) -> Sample | None:
        samples = self._samples.get(subject)
        if not samples:
            return None
        limit = self.now() - PERIOD_S
        newer = None
        for sample in reversed(samples):
            if sample.at <= limit:
                was_idle = newer is not None and newer.counts is sample.counts
                return Sample(limit, sample.counts) if was_idle else sample
            newer = sample
        return samples[0]
