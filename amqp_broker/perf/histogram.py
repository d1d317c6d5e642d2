"""Latencies in buckets whose width grows with the value, after HdrHistogram: each is exact to one in 128.

Only arithmetic on a sequence of counts: where the counts live is the caller's business, and for a run that is memory
shared by its processes. (The package `hdrhistogram` counts in memory of its own, is not typed and needs setuptools.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

_PRECISION_BITS: Final = 8
_HALF: Final = 1 << (_PRECISION_BITS - 1)

MAX_NS: Final = (1 << 37) - 1
"""137 s; what took longer counts as that long."""


def bucket(value_ns: int) -> int:
    """The bucket a value belongs to; one of its own below 256 ns."""
    value_ns = min(max(value_ns, 0), MAX_NS)
    shift = max(0, value_ns.bit_length() - _PRECISION_BITS)
    return shift * _HALF + (value_ns >> shift)


def bucket_end_ns(number: int) -> int:
    """The largest value in a bucket."""
    shift = max(0, number // _HALF - 1)
    return ((number - shift * _HALF + 1) << shift) - 1


BUCKETS: Final = bucket(MAX_NS) + 1


def percentiles_ns(counts: Sequence[int], shares: Sequence[float]) -> list[int]:
    """For each share (0.99: the 99th percentile) a value so many of the values don't exceed; zeros if there is none.

    Args:
        counts: per bucket.
        shares: above 0, up to 1.
    """
    totals = list(itertools.accumulate(counts))
    if not totals or not totals[-1]:
        return [0] * len(shares)
    wanted = {share: max(1, math.ceil(share * totals[-1] - 1e-9)) for share in shares}
    values = {}
    for number, total in enumerate(totals):
        for share in [share for share, count in wanted.items() if total >= count]:
            values[share] = bucket_end_ns(number)
            del wanted[share]
        if not wanted:
            break
    return [values[share] for share in shares]
