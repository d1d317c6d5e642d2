"""A page: consecutive messages of a queue of which memory keeps only where they are."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from amqp_broker.storage.records import Location


class Row(NamedTuple):
    """What is kept of one message.

    Attributes:
        position: its place in the queue.
        location: where it is stored.
        octets: of its body.
        expires_at: seconds since 1970, 0 for never.
        redelivered: it was handed out before.
    """

    position: int
    location: Location
    octets: int
    expires_at: float
    redelivered: bool


class Page:
    """Rows in columns: 24 octets a message, and 9 more in a page where something expires or was delivered.

    Positions rise from the first row to the last.
    """

    __slots__ = ("_expires_at", "_first", "_lengths", "_octets", "_offsets", "_ordinals", "_positions", "_redelivered",
                 "_segments")  # fmt: skip

    def __init__(self, rows: Sequence[Row]) -> None:
        self._first = rows[0].position
        self._positions = array("I", (row.position - self._first for row in rows))
        self._segments = array("I", (row.location.segment for row in rows))
        self._ordinals = array("I", (row.location.ordinal for row in rows))
        self._offsets = array("I", (row.location.offset for row in rows))
        self._lengths = array("I", (row.location.length for row in rows))
        self._octets = array("I", (row.octets for row in rows))
        has_more = any(row.expires_at or row.redelivered for row in rows)
        self._expires_at = array("d", (row.expires_at for row in rows)) if has_more else None
        self._redelivered = bytearray(row.redelivered for row in rows) if has_more else None

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Row]:
        for index in range(len(self)):
            yield Row(
                self._first + self._positions[index],
                self._location(index),
                self._octets[index],
                self._expires_at[index] if self._expires_at is not None else 0.0,
                bool(self._redelivered[index]) if self._redelivered is not None else False,
            )

    @property
    def locations(self) -> list[Location]:
        return [self._location(index) for index in range(len(self))]

    def location_of(self, position: int) -> Location | None:
        """Where the message at a position is; None when it is not in this page."""
        index = self._find(position)
        return None if index is None else self._location(index)

    def relocate(self, position: int, location: Location) -> None:
        """The message at a position, which is in this page, has been moved."""
        index = self._find(position)
        assert index is not None
        self._segments[index] = location.segment
        self._ordinals[index] = location.ordinal
        self._offsets[index] = location.offset
        self._lengths[index] = location.length

    def _location(self, index: int) -> Location:
        return Location(self._segments[index], self._ordinals[index], self._offsets[index], self._lengths[index])

    def _find(self, position: int) -> int | None:
        delta = position - self._first
        if delta < 0:
            return None
        index = bisect_left(self._positions, delta)
        return index if index < len(self) and self._positions[index] == delta else None
