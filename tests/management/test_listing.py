"""Lists: pages, columns, order, and slices."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from amqp_broker.inspection.values import Record
from amqp_broker.management import listing
from amqp_broker.management.errors import ApiError
from amqp_broker.management.listing import SLICE_S, Listing, Page, collect, in_turns, only

QUEUES: list[Record] = [
    {"name": "b", "messages": 10, "stats": {"publish": 1, "ack": 2}},
    {"name": "a", "messages": 9},
    {"name": "C", "messages": None, "stats": {"publish": 5}},
]


def contains(page: Page) -> Callable[[str], bool]:
    return lambda name: page.name in name


class Pauses:
    """Counts the turns that others had."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


async def listed(items: list[Record], **query: str) -> object:
    return await collect(Listing(items, is_paged=True), query, Pauses(), contains)


def names(items: object) -> list[object]:
    assert isinstance(items, list)
    return [item["name"] for item in items]


async def test_without_a_page_all_come_in_their_order() -> None:
    assert await listed(QUEUES, name="b") == QUEUES


async def test_absent_values_come_first_and_nothing_is_compared_with_text() -> None:
    assert names(await listed(QUEUES, sort="messages")) == ["C", "a", "b"]
    assert names(await listed(QUEUES, sort="messages", sort_reverse="true")) == ["b", "a", "C"]
    assert names(await listed(QUEUES, sort="stats.publish")) == ["a", "b", "C"]


async def test_columns_lead_into_records() -> None:
    assert await listed(QUEUES, columns="name,stats.publish") == [
        {"name": "b", "stats": {"publish": 1}},
        {"name": "a"},
        {"name": "C", "stats": {"publish": 5}},
    ]


def test_a_column_and_something_inside_it() -> None:
    assert only({"a": {"b": 1, "c": 2}}, ["a.b", "a.c"]) == {"a": {"b": 1, "c": 2}}
    assert only({"a": 1}, ["a", "a.b"]) == {"a": 1}


async def test_a_page() -> None:
    assert await listed(QUEUES, page="2", page_size="2", columns="name") == {
        "total_count": 3,
        "item_count": 1,
        "filtered_count": 3,
        "page": 2,
        "page_size": 2,
        "page_count": 2,
        "items": [{"name": "C"}],
    }


async def test_an_empty_page() -> None:
    page = await listed(QUEUES, page="1", name="nothing")
    assert isinstance(page, dict)
    assert (page["items"], page["page_count"], page["total_count"], page["filtered_count"]) == ([], 1, 3, 0)


@pytest.mark.parametrize("query", [{"page": "x"}, {"page": "0"}, {"page": "1", "page_size": "501"}, {"page": ""}])
async def test_numbers_that_are_none(query: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        await listed(QUEUES, **query)
    assert (caught.value.status, caught.value.reason) == (400, "Pagination parameters are invalid")


async def test_a_page_past_the_end() -> None:
    with pytest.raises(ApiError) as caught:
        await listed(QUEUES, page="99", page_size="10")
    assert caught.value.error == "page_out_of_range"
    assert caught.value.reason == "Page out of range, page: 99 page size: 10, len: 3"


async def test_what_knows_no_pages_ignores_them() -> None:
    assert await collect(Listing(QUEUES), {"page": "99"}, Pauses(), contains) == QUEUES


async def test_others_have_their_turn_while_a_long_list_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record takes a quarter of a turn here."""
    times = count()
    monkeypatch.setattr(listing, "perf_counter", lambda: next(times) * SLICE_S / 4)
    pauses = Pauses()
    parts: list[list[object]] = []
    async for part in in_turns(({"n": n, "other": 0} for n in range(11)), ["n"], pauses):
        assert pauses.count == len(parts)
        parts.append([record["n"] for record in part])
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
