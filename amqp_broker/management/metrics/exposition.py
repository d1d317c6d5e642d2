"""Prometheus' text format, 0.0.4: families of samples, written in lines.

Not by prometheus-client: per object there are tens of samples for each of thousands of queues, which have to be
written in slices while messages go on, and that library writes a registry in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

import attrs

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]

NO_LABELS: Final[Labels] = {}


class Sample(NamedTuple):
    """One figure; `suffix` makes the parts of a histogram."""

    value: float
    labels: Labels = NO_LABELS
    suffix: str = ""


@attrs.frozen
class Family:
    """Samples of one name.

    Attributes:
        name: as it stands in the text, `_total` of counters included.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Iterable[Sample]


def lines(family: Family) -> Iterator[str]:
    """Write a family, a line at a time; one without samples is left out."""
    head = f"# TYPE {family.name} {family.kind}\n# HELP {family.name} {family.help}\n"
    for sample in family.samples:
        yield f"{head}{family.name}{sample.suffix}{_labels(sample.labels)} {_number(sample.value)}\n"
        head = ""


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
