from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from amqp_broker.storage.page import PAGE_ROWS, Page, Pages, Row
from amqp_broker.storage.records import new_location


def row(position: int, *, expires_at: float = 0.0, redelivered: bool = False, count: int = 0) -> Row:
    return Row(
        position, new_location(1, position % 10_000, 1000 + position % 10_000, 900), 5, expires_at, redelivered, count
    )


def pages_of(rows: list[Row]) -> list[Page]:
    pages = Pages()
    for position, location, octets, expires_at, redelivered, delivery_count in rows:
        pages.append(position, *location.cells, octets, expires_at, redelivered, delivery_count)
    return pages.finish()


def test_rows_come_back_as_they_were() -> None:
    rows = [row(3), row(4, redelivered=True), row(9, expires_at=12.5), row(10, count=2), row(1 << 33)]
    pages = pages_of(rows)
    assert [found for page in pages for found in page] == rows
    assert [page.octets for page in pages] == [20, 5]
    assert [page.may_expire for page in pages] == [True, False]
    assert pages[0].locations == [found.location for found in rows[:4]]


def test_a_message_is_found_and_moved_by_its_position() -> None:
    (page,) = pages_of([row(3), row(5, redelivered=True), row(9)])
    assert page.location_of(5) == row(5).location
    assert [page.location_of(position) for position in (2, 4, 8, 10)] == [None] * 4
    page.relocate(5, new_location(8, 1, 2, 3))
    assert page.location_of(5) == new_location(8, 1, 2, 3)
    assert [found.redelivered for found in page] == [False, True, False]
    assert page.location_of(9) == row(9).location


@pytest.mark.parametrize("seed", range(20))
def test_pages_are_in_order_whatever_was_moved(seed: int) -> None:
    random = Random(seed)
    moved = sorted(random.sample(range(4 * PAGE_ROWS), random.choice((0, 1, 100, 2 * PAGE_ROWS))))
    fresh = [position for position in range(4 * PAGE_ROWS) if position not in set(moved)]
    journal: list[Row] = []
    while fresh or moved:  # each kind in order, the two mixed
        source = random.choice([rows for rows in (fresh, moved) if rows])
        count = random.choice((1, 10, 300))
        journal += [row(position) for position in source[:count]]
        del source[:count]
    pages = pages_of(journal)
    assert [found.position for page in pages for found in page] == list(range(4 * PAGE_ROWS))
    assert all(page.first <= page.last for page in pages)
    assert all(earlier.last < later.first for earlier, later in pairwise(pages))
    assert all(len(page) <= PAGE_ROWS for page in pages)


def test_no_messages_make_no_pages() -> None:
    assert Pages().finish() == []
