"""What a consumer of a stream asks for: where to begin, and which messages (rules 4.52 and 4.55)."""

from __future__ import annotations

import re
from typing import Final, Protocol

from amqp_broker.errors import AMQPError, precondition_failed
from amqp_broker.storage.stream_format import Wanted
from amqp_codec import ByteArray, Table, Timestamp, Value, field_type_name

FILTER_VALUE: Final = "x-stream-filter-value"

DAY_S: Final = 86_400
_SECONDS: Final = {"Y": 365 * DAY_S, "M": 30 * DAY_S, "D": DAY_S, "h": 3600, "m": 60, "s": 1}
_AGE = re.compile(r"([0-9]+)([YMDhms])")


class Offsets(Protocol):
    """What a log knows of its offsets."""

    @property
    def first_offset(self) -> int: ...

    @property
    def last_chunk_offset(self) -> int: ...

    next_offset: int

    def offset_at(self, timestamp_ms: int) -> int: ...


def seconds_of(age: str) -> int | None:
    """Read "7D", "2h" and the like, in seconds; a year has 365 days, a month 30. None for anything else."""
    match = _AGE.fullmatch(age)
    return None if match is None else int(match[1]) * _SECONDS[match[2]]


def offset_of(arguments: Table, log: Offsets, now: float, where: str) -> int:
    """Find the offset that a consumer begins with.

    Args:
        arguments: of the consumer.
        log: what it consumes.
        now: seconds since 1970.
        where: the stream, for the error.

    Raises:
        AMQPError: 406.
    """
    value = arguments.get("x-stream-offset", b"next")
    if isinstance(value, Timestamp):
        return log.offset_at(int(value) * 1000)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, log.first_offset), log.next_offset)
    text = _text(value)
    if text is None:
        raise _bad_offset(where, f"{{unacceptable_type,{field_type_name(value)}}}")
    if text == "first":
        return log.first_offset
    if text == "last":
        return log.last_chunk_offset
    if text == "next":
        return log.next_offset
    age_s = seconds_of(text)
    if age_s is None:
        raise _bad_offset(where, "invalid_max_age")
    return log.offset_at(max(0, int((now - age_s) * 1000)))


def filter_of(arguments: Table) -> Wanted | None:
    """Read which messages a consumer wants; None for all."""
    value = arguments.get("x-stream-filter")
    values = value if isinstance(value, list) else [value]
    texts = [each for each in values if isinstance(each, bytes) and not isinstance(each, ByteArray)]
    if not texts and not isinstance(value, list):
        return None
    return Wanted(texts, unfiltered=arguments.get("x-stream-match-unfiltered") is True)


def _text(value: Value) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes) and not isinstance(value, ByteArray):
        return value.decode("utf-8", "replace")
    return None


def _bad_offset(where: str, detail: str) -> AMQPError:
    return precondition_failed(f"invalid arg 'x-stream-offset' for {where}: {detail}")
