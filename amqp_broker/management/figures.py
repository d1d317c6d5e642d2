"""Counters as a caller wants them: with rates, and with what they were in a stretch of time (reference, 1.2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from amqp_broker.inspection.values import Json, Record
from amqp_broker.management.errors import bad_request
from amqp_broker.management.statistics import Counts, Sample, Statistics

MAX_SAMPLES: Final = 500

LENGTHS: Final = frozenset({"messages", "messages_ready", "messages_unacknowledged"})
DATA_RATES: Final = frozenset({"recv_oct", "send_oct"})
NODE_STATS: Final = frozenset({"mem_used", "fd_used", "sockets_used", "proc_used", "disk_free"})


@attrs.frozen
class Range:
    """A stretch of time that ends now.

    Attributes:
        age_s: how long it is.
        step_s: how far apart samples are to be.
    """

    age_s: int
    step_s: int


@attrs.frozen
class Figures:
    """What is known of counters, for one call.

    Attributes:
        ranges: by the word that parameters begin with: "lengths", "msg_rates", "data_rates", "node_stats".
    """

    statistics: Statistics
    ranges: Mapping[str, Range] = attrs.field(factory=dict)

    def with_rates(self, subject: object, counts: Counts) -> Record:
        """Counters, each with its `_details`, as the API shows them."""
        record: Record = {}
        for name, rate in self.statistics.rates(subject, counts).items():
            record[name] = counts[name]
            details: dict[str, Json] = {"rate": rate}
            if self.ranges and (wanted := self.ranges.get(_kind_of(name))) is not None:
                details |= _series(self.statistics, subject, name, counts[name], wanted)
            record[f"{name}_details"] = details
        return record


def figures_of(statistics: Statistics, query: Mapping[str, str]) -> Figures:
    """Read which stretches of time a caller wants. Raises ApiError 400."""
    return Figures(statistics, dict(_ranges(query)))


def _ranges(query: Mapping[str, str]) -> Sequence[tuple[str, Range]]:
    found = []
    for kind in ("lengths", "msg_rates", "data_rates", "node_stats"):
        if f"{kind}_age" in query and f"{kind}_incr" in query:
            try:
                age_s, step_s = int(query[f"{kind}_age"]), int(query[f"{kind}_incr"])
            except ValueError:
                raise bad_request(f"{kind}_age and {kind}_incr have to be whole numbers of seconds") from None
            if age_s < 1 or step_s < 1 or age_s // step_s > MAX_SAMPLES:
                raise bad_request(f"{kind}_age and {kind}_incr have to be positive, with at most {MAX_SAMPLES} samples")
            found.append((kind, Range(age_s, step_s)))
    return found


def _kind_of(name: str) -> str:
    if name in LENGTHS:
        return "lengths"
    if name in DATA_RATES:
        return "data_rates"
    return "node_stats" if name in NODE_STATS else "msg_rates"


def _series(statistics: Statistics, subject: object, name: str, current: int, wanted: Range) -> dict[str, Json]:
    """Samples of one counter, the newest first; where none is as old as that, the series ends."""
    now = statistics.now()
    newest_first = [Sample(now, {name: current}), *reversed(statistics.samples(subject))]
    samples: list[Sample] = []
    position = 0
    for step in range(wanted.age_s // wanted.step_s + 1):
        at = now - step * wanted.step_s
        while position < len(newest_first) and newest_first[position].at > at:
            position += 1
        if position == len(newest_first):
            break
        samples.append(Sample(at, {name: newest_first[position].counts.get(name, 0)}))
    values = [sample.counts[name] for sample in samples]
    elapsed_s = samples[0].at - samples[-1].at
    return {
        "samples": [{"sample": sample.counts[name], "timestamp": int(sample.at * 1000)} for sample in samples],
        "avg": sum(values) / len(values),
        "avg_rate": (values[0] - values[-1]) / elapsed_s if elapsed_s else 0.0,
    }
