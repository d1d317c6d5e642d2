"""Pages: consecutive messages of a queue of which memory keeps only where they are."""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from amqp_broker.storage.records import Location, new_location

PAGE_ROWS: Final = 512
"""Messages in a page that `Pages` makes."""

_CELLS: Final = 6
_SEGMENT: Final = 1
_LENGTH: Final = 4
_OCTETS: Final = 5
_FULL: Final = PAGE_ROWS * _CELLS


class Row(NamedTuple):
    """What is kept of one message.

    Attributes:
        position: its place in the queue.
        location: where it is stored.
        octets: of its body.
        expires_at: seconds since 1970, 0 for never.
        redelivered: it was handed out before.
        delivery_count: its failed deliveries, for those who count.
    """

    position: int
    location: Location
    octets: int
    expires_at: float
    redelivered: bool
    delivery_count: int


class Page:
    """Rows, positions rising: 24 octets a message, 8 more where something expires, 4 more where failures are counted.

    A row is six cells: position from the first on, segment, ordinal, offset, length with the redelivered flag as
    its lowest bit (a record is never that long), octets of the body.

    Attributes:
        cells: of all rows.
        first: position that others count from.
        last: position of the last row.
    """

    __slots__ = ("_delivery_counts", "_expires_at", "cells", "first", "last")

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self.cells = array("I")
        self._expires_at: array[float] | None = None
        self._delivery_counts: array[int] | None = None

    def append(
        self,
        position: int,
        segment: int,
        ordinal: int,
        offset: int,
        length: int,
        octets: int,
        expires_at: float,
        redelivered: bool,
        delivery_count: int = 0,
    ) -> None:
        """Add a row behind the last one; see `Row` and `Location`."""
        self.cells.extend((position - self.first, segment, ordinal, offset, length << 1 | redelivered, octets))
        self.last = position
        if expires_at or self._expires_at is not None:
            if self._expires_at is None:
                self._expires_at = array("d", bytes(8 * (len(self) - 1)))
            self._expires_at.append(expires_at)
        if delivery_count or self._delivery_counts is not None:
            if self._delivery_counts is None:
                self._delivery_counts = array("I", bytes(4 * (len(self) - 1)))
            self._delivery_counts.append(delivery_count)

    def __len__(self) -> int:
        return len(self.cells) // _CELLS

    def __iter__(self) -> Iterator[Row]:
        expiries, counts = self._expires_at, self._delivery_counts
        cells = iter(self.cells)
        for index, (delta, segment, ordinal, offset, length, octets) in enumerate(
            zip(cells, cells, cells, cells, cells, cells, strict=True)
        ):
            yield Row(
                self.first + delta,
                new_location(segment, ordinal, offset, length >> 1),
                octets,
                0.0 if expiries is None else expiries[index],
                bool(length & 1),
                0 if counts is None else counts[index],
            )

    @property
    def octets(self) -> int:
        """The sum of the bodies."""
        return sum(self.cells[_OCTETS::_CELLS])

    @property
    def may_expire(self) -> bool:
        """Whether some of it expires."""
        return self._expires_at is not None

    @property
    def counts_deliveries(self) -> bool:
        """Whether failures of some of it are counted."""
        return self._delivery_counts is not None

    @property
    def instants(self) -> Iterator[tuple[int, float]]:
        """Position and `expires_at` of each row."""
        expiries = self._expires_at
        for index, delta in enumerate(self.cells[::_CELLS]):
            yield self.first + delta, 0.0 if expiries is None else expiries[index]

    @property
    def locations(self) -> list[Location]:
        return [row.location for row in self]

    def location_of(self, position: int) -> Location | None:
        """Where the message at a position is; None when it is not in this page."""
        start = self._find(position)
        if start < 0:
            return None
        segment, ordinal, offset, length = self.cells[start + _SEGMENT : start + _LENGTH + 1]
        return new_location(segment, ordinal, offset, length >> 1)

    def delivery_count_of(self, position: int) -> int:
        """How often the message at a position, which is in this page, has failed."""
        start = self._find(position)
        assert start >= 0
        return 0 if self._delivery_counts is None else self._delivery_counts[start // _CELLS]

    def relocate(self, position: int, location: Location) -> None:
        """The message at a position, which is in this page, has been moved."""
        start = self._find(position)
        assert start >= 0
        segment, ordinal, offset, length = location.cells
        flag = self.cells[start + _LENGTH] & 1
        self.cells[start + _SEGMENT : start + _LENGTH + 1] = array("I", (segment, ordinal, offset, length << 1 | flag))

    def take(self, position: int) -> Row:
        """Remove the row of a position, which is in this page."""
        start = self._find(position)
        assert start >= 0
        index = start // _CELLS
        delta, segment, ordinal, offset, length, octets = self.cells[start : start + _CELLS]
        del self.cells[start : start + _CELLS]
        return Row(
            self.first + delta,
            new_location(segment, ordinal, offset, length >> 1),
            octets,
            0.0 if self._expires_at is None else self._expires_at.pop(index),
            bool(length & 1),
            0 if self._delivery_counts is None else self._delivery_counts.pop(index),
        )

    def _find(self, position: int) -> int:
        """Where in the cells a message's row begins, -1 when it is not in this page."""
        if not self.first <= position <= self.last:
            return -1
        delta, cells = position - self.first, self.cells
        index = bisect_left(range(len(self)), delta, key=lambda row: cells[row * _CELLS])
        return index * _CELLS if index < len(self) and cells[index * _CELLS] == delta else -1


class Pages:
    """Makes pages of rows that come nearly in order.

    As it is with a journal: new messages in order, and among them moved ones, for themselves in order as well.
    So each row goes to the first of a few rising runs whose end it can follow; the runs are merged in the end.
    """

    __slots__ = ("_page", "_runs")

    def __init__(self) -> None:
        self._runs: list[list[Page]] = []
        self._page: Page | None = None
        """The end of the first run, where nearly all rows belong."""

    def append(
        self,
        position: int,
        segment: int,
        ordinal: int,
        offset: int,
        length: int,
        octets: int,
        expires_at: float,
        redelivered: bool,
        delivery_count: int = 0,
    ) -> None:
        """Take a row; see `Row` and `Location`. Each position comes once."""
        page = self._page
        if page is None or position <= page.last or len(page.cells) >= _FULL or position - page.first > FURTHEST:
            page = self.page_for(position)
        page.append(position, segment, ordinal, offset, length, octets, expires_at, redelivered, delivery_count)

    def finish(self) -> list[Page]:
        """Give the pages in order; nothing may be appended afterwards."""
        if len(self._runs) == 1:
            return self._runs[0]
        pages = sorted((page for run in self._runs for page in run), key=lambda page: page.first)
        merged: list[Page] = []
        overlapping: list[Page] = []
        last = -1
        for page in pages:
            if page.first > last:
                merged += _merge(overlapping)
                overlapping = []
            overlapping.append(page)
            last = max(last, page.last)
        merged += _merge(overlapping)
        return merged

    def page_for(self, position: int) -> Page:
        """The page for a row of this position, in the first run that it can follow; begun where there is none."""
        run = next((run for run in self._runs if run[-1].last < position), None)
        if run is None:
            run = []
            self._runs.append(run)
        if not run or len(run[-1].cells) >= _FULL or position - run[-1].first > FURTHEST:
            run.append(Page(position))
        self._page = self._runs[0][-1]
        return run[-1]


FURTHEST: Final = (1 << 32) - 1
"""Positions in one page differ by no more."""


def _merge(pages: list[Page]) -> Iterable[Page]:
    """Put rows of pages that overlap into pages that don't."""
    if len(pages) < 2:
        return pages
    merged = Pages()
    for row in heapq.merge(*pages):
        merged.append(
            row.position, *row.location.cells, row.octets, row.expires_at, row.redelivered, row.delivery_count
        )
    return merged.finish()
