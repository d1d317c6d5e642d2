"""Long answers: filtered, sorted, cut into pages and columns, and made in slices so that messages go on meanwhile.

Source: management reference, 1.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from math import ceil
from time import perf_counter
from typing import Any, Final, TypeVar, cast

import attrs

from amqp_broker.inspection.values import Json, Record
from amqp_broker.management.errors import ApiError, bad_request

T = TypeVar("T")

SLICE_S: Final = 0.00025
"""How long an answer is worked on before the loop has its turn: what it may add to the time a message takes."""

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500
MAX_PATTERN: Final = 1024

Pause = Callable[[], Awaitable[None]]
"""Lets everybody else go on for a moment."""


def _name_of(item: Record) -> str:
    return str(item["name"])


@attrs.frozen
class Rows:
    """The same list before records are made of it, so that a page of a long one costs what is on the page.

    Attributes:
        subjects: what the records are about, in the order of the list.
        keys: what sorting by these columns compares; `name` has to be there.
    """

    subjects: Iterable[Any]
    make: Callable[[Any], Record]
    keys: Mapping[str, Callable[[Any], Json]]


@attrs.frozen
class Listing:
    """A list that an endpoint answers with.

    Attributes:
        items: records that are yet to be made; making the next one is what costs time.
        is_paged: `page` and its kin are understood.
        rows: a shorter way to a page.
        name_of: what `name` is compared with.
    """

    items: Iterable[Record]
    is_paged: bool = False
    rows: Rows | None = None
    name_of: Callable[[Record], str] = _name_of


@attrs.frozen
class Page:
    """The part of a listing that was asked for."""

    number: int
    size: int
    name: str
    use_regex: bool


def page_of(query: Mapping[str, str]) -> Page | None:
    """The page that was asked for; None for all.

    Raises:
        ApiError: 400, a number is none.
    """
    if "page" not in query:
        return None
    try:
        number, size = _whole(query["page"]), _whole(query.get("page_size", str(DEFAULT_PAGE_SIZE)))
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        raise bad_request("Pagination parameters are invalid")
    name = query.get("name", "")
    if len(name) > MAX_PATTERN:
        raise bad_request("name is longer than 1024 characters")
    return Page(number, size, name, query.get("use_regex") == "true")


def _whole(text: str) -> int:
    """A number in plain digits. Raises ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def columns_of(query: Mapping[str, str]) -> list[str]:
    """The columns that were asked for; none for all."""
    return [column for column in query.get("columns", "").split(",") if column]


async def collect(
    listing: Listing, query: Mapping[str, str], pause: Pause, matcher: Callable[[Page], Callable[[str], bool]]
) -> list[Record] | Record:
    """Make what was asked for.

    Args:
        listing: what there is.
        query: `columns`, `sort`, `sort_reverse`, and for pages `page`, `page_size`, `name` and `use_regex`.
        pause: called between slices.
        matcher: makes the test of a name for a page.

    Raises:
        ApiError: 400.
    """
    page = page_of(query) if listing.is_paged else None
    columns = columns_of(query)
    if page is not None and listing.rows is not None and query.get("sort", "name") in listing.rows.keys:
        return await _page_of_rows(listing.rows, page, query, columns, pause, matcher)
    made, total = listing.items, 0
    if page is not None and page.name and listing.rows is not None:
        subjects = list(listing.rows.subjects)
        total = len(subjects)
        made = map(listing.rows.make, await _fitting_rows(listing.rows, subjects, page, pause, matcher))
    items = [item async for part in in_turns(made, (), pause) for item in part]
    total = total or len(items)
    if page is not None and page.name and listing.rows is None:
        fits = matcher(page)
        items = await _fitting(items, lambda item: fits(listing.name_of(item)), pause)
    if sort := query.get("sort"):
        _sort(items, sort, query)
    if page is None:
        return await _columns_of(items, columns, pause)
    return _paged(await _columns_of(_cut(items, page), columns, pause), page, total, len(items))


async def _page_of_rows(
    rows: Rows,
    page: Page,
    query: Mapping[str, str],
    columns: list[str],
    pause: Pause,
    matcher: Callable[[Page], Callable[[str], bool]],
) -> Record:
    subjects = list(rows.subjects)
    total = len(subjects)
    if page.name:
        subjects = await _fitting_rows(rows, subjects, page, pause, matcher)
    if sort := query.get("sort"):
        keys = await _sort_keys(subjects, rows.keys[sort], pause)
        order = sorted(range(len(subjects)), key=keys.__getitem__, reverse=query.get("sort_reverse") == "true")
        subjects = [subjects[place] for place in order]
        await pause()
    made = map(rows.make, _cut(subjects, page))
    items = [item async for part in in_turns(made, (), pause) for item in part]
    return _paged(await _columns_of(items, columns, pause), page, total, len(subjects))


def join_pages(pages: Sequence[Record], page: Page, query: Mapping[str, str]) -> Record:
    """A page of several lists, of each of which there is the beginning, at least as far as the end of that page.

    Args:
        pages: first pages, sorted as is asked for.
        page: which is wanted.
        query: as for `collect`.

    Raises:
        ApiError: 400, there is no such page.
    """
    items: list[Record] = [item for each in pages for item in cast("list[Record]", each["items"])]
    if sort := query.get("sort"):
        _sort(items, sort, query)
    total, filtered = (sum(cast("int", each[name]) for each in pages) for name in ("total_count", "filtered_count"))
    items = _cut(items, page)
    columns = columns_of(query)
    return _paged([only(item, columns) for item in items] if columns else items, page, total, filtered)


def _sort(items: list[Record], column: str, query: Mapping[str, str]) -> None:
    items.sort(key=lambda item: _sort_key(_at(item, column)), reverse=query.get("sort_reverse") == "true")


async def _sort_keys(subjects: Iterable[Any], key: Callable[[Any], Json], pause: Pause) -> list[tuple[int, float, str]]:
    keys = []
    ends = perf_counter() + SLICE_S
    for subject in subjects:
        keys.append(_sort_key(key(subject)))
        if perf_counter() >= ends:
            await pause()
            ends = perf_counter() + SLICE_S
    return keys


async def _fitting_rows(
    rows: Rows, subjects: list[Any], page: Page, pause: Pause, matcher: Callable[[Page], Callable[[str], bool]]
) -> list[Any]:
    fits, name_of = matcher(page), rows.keys["name"]
    return await _fitting(subjects, lambda subject: fits(str(name_of(subject))), pause)


async def _fitting(items: Iterable[T], fits: Callable[[T], bool], pause: Pause) -> list[T]:
    found = []
    ends = perf_counter() + SLICE_S
    for item in items:
        if fits(item):
            found.append(item)
        if perf_counter() >= ends:
            await pause()
            ends = perf_counter() + SLICE_S
    return found


def _cut(items: list[T], page: Page) -> list[T]:
    start = (page.number - 1) * page.size
    if start and start >= len(items):
        raise ApiError(
            400,
            "page_out_of_range",
            f"Page out of range, page: {page.number} page size: {page.size}, len: {len(items)}",
        )
    return items[start : start + page.size]


def _paged(items: list[Record], page: Page, total: int, filtered: int) -> Record:
    return {
        "total_count": total,
        "item_count": len(items),
        "filtered_count": filtered,
        "page": page.number,
        "page_size": page.size,
        "page_count": max(1, ceil(filtered / page.size)),
        "items": items,
    }


async def _columns_of(items: list[Record], columns: list[str], pause: Pause) -> list[Record]:
    if not columns:
        return items
    return [item async for part in in_turns(items, columns, pause) for item in part]


async def in_turns(items: Iterable[Record], columns: Sequence[str], pause: Pause) -> AsyncIterator[list[Record]]:
    """Make a long list, with nothing but some columns, or all without any; pauses after each part that is taken.

    Who writes a part down and forgets it keeps the collector of garbage from walking over all of them.
    """
    part: list[Record] = []
    ends = perf_counter() + SLICE_S
    for item in items:
        part.append(only(item, columns) if columns else item)
        if perf_counter() >= ends:
            yield part
            part = []
            await pause()
            ends = perf_counter() + SLICE_S
    if part:
        yield part


def only(item: Record, columns: Iterable[str]) -> Record:
    """A record with nothing but some columns; a dot leads into a record within."""
    kept: dict[str, Any] = {}
    for column in columns:
        path = column.split(".")
        value: Any = item
        for key in path:
            value = value.get(key, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is not _MISSING:
            place = kept
            for key in path[:-1]:
                place = place.setdefault(key, {})
                if not isinstance(place, dict):
                    break
            else:
                place[path[-1]] = value
    return kept


_MISSING: Final = object()


def _at(item: Record, path: str) -> Json:
    value: Json = item
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _sort_key(value: Json) -> tuple[int, float, str]:
    """Order numbers before text, and what is absent before both; nothing is ever compared with something else."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, bool | int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))
