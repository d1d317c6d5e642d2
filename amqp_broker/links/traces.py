"""Traces: what the firehose tells of a vhost, written into files (RabbitMQ's plugin `rabbitmq_tracing`).

Which there are to be stands here; they last as long as the process, as in RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import attrs

from amqp_broker.links.board import LinkKey

TRACE: Final = "trace"
"""The kind of link that a trace is."""


class TraceFormat(StrEnum):
    """How a message is written down."""

    JSON = "json"
    """An object a line, with the payload in base64."""
    TEXT = "text"
    """For people."""


@attrs.frozen
class Trace:
    """What is to be traced.

    Attributes:
        pattern: of routing keys: `publish.<exchange>` and `deliver.<queue>`.
        max_payload_octets: of each payload, what is written; None for all of it.
    """

    vhost: str
    name: str
    format: TraceFormat
    pattern: str
    max_payload_octets: int | None = None

    @property
    def key(self) -> LinkKey:
        return (TRACE, self.vhost, self.name)

    @property
    def file_name(self) -> str:
        return f"{self.name}.log"


class Traces:
    """The traces of a broker.

    Attributes:
        on_changed: called when there are others than before.
        switched_on: vhosts whose firehose runs for the sake of their traces.
        resting: those that write no more, such as one whose file is full, until somebody begins them anew.
    """

    def __init__(self) -> None:
        self.on_changed: Callable[[], None] = _nothing
        self.switched_on: set[str] = set()
        self.resting: set[LinkKey] = set()
        self._traces: dict[LinkKey, Trace] = {}

    def __iter__(self) -> Iterator[Trace]:
        """By vhost and name."""
        return (trace for _, trace in sorted(self._traces.items()))

    @property
    def wanted(self) -> Mapping[LinkKey, Trace]:
        return self._traces

    def put(self, trace: Trace) -> bool:
        """Have a trace, in place of one of that name; gives whether there was none."""
        is_new = trace.key not in self._traces
        self._traces[trace.key] = trace
        self.on_changed()
        return is_new

    def remove(self, trace: Trace) -> None:
        del self._traces[trace.key]
        self.resting.discard(trace.key)
        self.on_changed()

    def of_vhost(self, vhost: str) -> list[Trace]:
        return [trace for trace in self if trace.vhost == vhost]

    def are_written(self, vhost: str) -> bool:
        """Whether any trace of a vhost writes."""
        return any(trace.key not in self.resting for trace in self.of_vhost(vhost))

    def forget_vhost(self, vhost: str) -> None:
        """A vhost is gone."""
        self.switched_on.discard(vhost)
        for trace in self.of_vhost(vhost):
            self.remove(trace)


def _nothing() -> None:
    """Nobody wants to know."""
