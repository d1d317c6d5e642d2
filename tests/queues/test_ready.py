"""The ready lists against lists that are sorted by hand, in memory and with pages left to a pretended storage."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.message import Message, new_message
from amqp_broker.queues.entry import NEVER, QueueEntry, new_entry
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.ready import (
    ENTRY_OCTETS,
    LOAN_OCTETS,
    FifoReadyList,
    Pager,
    PriorityReadyList,
    ReadyList,
    ReturnsReadyList,
)
from amqp_broker.storage.page import Page
from amqp_broker.storage.records import new_location
from amqp_broker.storage.spare import Spare
from amqp_codec import Properties, encode_address, encode_content_header
from amqp_codec.properties import parse_content_header

NOBODYS_QUEUE = cast("Queue", None)
RETURNS = -1000
"""The line of returned messages, which is served before all others."""


def entry_at(position: int, priority: int | None = None, expires_at: float = NEVER) -> QueueEntry:
    header = parse_content_header(encode_content_header(Properties(priority=priority), 0))
    entry = new_entry(new_message(encode_address("", "q"), header, b""), NOBODYS_QUEUE, position)
    entry.expires_at = expires_at
    return entry


class PretendedPager:
    """Takes the messages off entries, and gives them back when asked, one or all; entries stay the same."""

    def __init__(self, window_entries: int, loads_at_once: int, loans: int = 0) -> None:
        self.window_octets = window_entries * ENTRY_OCTETS
        self.spare = Spare(loans * LOAN_OCTETS)
        self._loads_at_once = loads_at_once
        self._messages: dict[int, Message] = {}

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)
        for entry in entries:
            if entry.message is not None:  # one that came out of a page and has not been the head has none
                self._messages[entry.position] = entry.message
                entry.message = None
        return cast("Page", list(entries))

    def page_in(self, page: Page) -> list[QueueEntry]:
        return list(cast("list[QueueEntry]", page))

    def borrow(self, octets: int) -> bool:
        return self.spare.borrow(octets)

    def give_back(self, octets: int) -> None:
        self.spare.give_back(octets)

    def load(self, entries: Sequence[QueueEntry]) -> int:
        loaded = entries[: self._loads_at_once]
        for entry in loaded:
            entry.message = self._messages[entry.position]
        return len(loaded)


@dataclass
class NaiveList:
    """Lines of entries; the head of the first that has any is the head of all."""

    line_of: Callable[[QueueEntry], int]
    returned_to: int | None = None
    """The line for what comes back; None for its own line, at its position."""
    lines: dict[int, list[QueueEntry]] = field(default_factory=dict)

    @property
    def heads(self) -> list[QueueEntry]:
        return [line[0] for _, line in sorted(self.lines.items()) if line]

    def append(self, entry: QueueEntry) -> None:
        self.lines.setdefault(self.line_of(entry), []).append(entry)

    def put_back(self, entry: QueueEntry) -> None:
        if self.returned_to is not None:
            self.lines.setdefault(self.returned_to, []).append(entry)
        else:
            insort(self.lines.setdefault(self.line_of(entry), []), entry, key=lambda each: each.position)

    def take(self, entry: QueueEntry) -> None:
        for line in self.lines.values():
            if entry in line:
                line.remove(entry)

    def head(self) -> QueueEntry | None:
        return self.heads[0] if self.heads else None

    @property
    def watched(self) -> list[QueueEntry]:
        """The heads that expire: where there are returned messages, theirs is the only one."""
        return self.heads[:1] if self.returned_to is not None and self.lines.get(self.returned_to) else self.heads

    def expired(self, now: float) -> QueueEntry | None:
        return next((head for head in self.watched if head.expires_at != NEVER and head.expires_at <= now), None)

    def next_expiry(self) -> float:
        return min((head.expires_at for head in self.watched if head.expires_at != NEVER), default=NEVER)


def level(highest: int, default: int) -> Callable[[QueueEntry], int]:
    """Lines by falling priority."""
    return lambda entry: -(default if entry.priority < 0 else min(entry.priority, highest))


Pair = tuple[ReadyList, NaiveList]
PAIRS: dict[str, Callable[[Pager | None], Pair]] = {
    "fifo": lambda pager: (FifoReadyList(pager), NaiveList(lambda _: 0)),
    "priorities": lambda pager: (PriorityReadyList(3, pager=pager), NaiveList(level(3, 0))),
    "returns": lambda pager: (
        ReturnsReadyList(PriorityReadyList(31, 4, pager), pager),
        NaiveList(level(31, 4), RETURNS),
    ),
}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from([None, 0, 1, 3, 4, 5, 200]), st.sampled_from([0, 0, 1, 5, 20])),
        st.tuples(st.just("pop")),
        st.tuples(st.just("put back"), st.integers(0, 5)),
        st.tuples(st.just("time"), st.integers(1, 4)),
        st.tuples(st.just("drain")),
    ),
    max_size=60,
)


@pytest.mark.rule("4.24", "4.25", "4.44", "4.48", "5.42")
@pytest.mark.parametrize("kind", PAIRS)
@given(STEPS, st.sampled_from([None, (2, 1), (4, 100), (8, 3), (1, 2, 3), (2, 100, 1)]))
def test_order_is_that_of_a_list_sorted_by_hand(
    kind: str, steps: list[tuple[object, ...]], window: tuple[int, ...] | None
) -> None:
    pager = None if window is None else PretendedPager(*window)
    octets = LOAN_OCTETS // 3 if pager is not None and pager.spare.limit_octets else 0
    ready, naive = PAIRS[kind](pager)
    out: list[QueueEntry] = []
    now = 100.0
    position = 0
    for step in steps:
        match step:
            case ("append", priority, lifetime):
                assert priority is None or isinstance(priority, int)
                assert isinstance(lifetime, int)
                entry = entry_at(position, priority, now + lifetime if lifetime else NEVER)
                entry.octets = octets
                position += 1
                naive.append(entry)
                ready.append(entry)
            case ("pop",):
                popped = ready.pop()
                assert popped is naive.head()
                if popped is not None:
                    assert popped.message is not None
                    naive.take(popped)
                    out.append(popped)
            case ("put back", int(index)) if index < len(out):
                entry = out.pop(index)
                naive.put_back(entry)
                ready.put_back(entry)
            case ("time", int(seconds)):
                now += seconds
                while (expected := naive.expired(now)) is not None:
                    assert ready.pop_expired(now) is expected
                    assert expected.message is not None
                    naive.take(expected)
                assert ready.pop_expired(now) is None
            case ("drain",):
                drained = {entry.position for entry in ready.drain()}
                assert drained == {entry.position for line in naive.lines.values() for entry in line}
                naive.lines.clear()
        assert len(ready) == sum(len(line) for line in naive.lines.values())
        assert bool(ready) == bool(naive.heads)
        assert ready.next_expiry() == naive.next_expiry()
    while (head := naive.head()) is not None:
        assert ready.pop() is head
        naive.take(head)
    assert len(ready) == 0
    assert ready.pop() is None
    assert pager is None or pager.spare.lent_octets == 0


@pytest.mark.rule("5.42")
def test_returned_entries_merge_into_the_fresh_ones() -> None:
    ready = FifoReadyList()
    entries = [entry_at(position) for position in range(6)]
    for entry in entries:
        ready.append(entry)
    for _ in range(4):
        ready.pop()
    ready.put_back(entries[2])
    ready.put_back(entries[0])
    assert [ready.pop() for _ in range(4)] == [entries[0], entries[2], entries[4], entries[5]]


def test_a_long_list_keeps_few_messages() -> None:
    """The window is what bounds memory, however many messages wait."""
    ready = FifoReadyList(PretendedPager(window_entries=10, loads_at_once=4))
    entries = [entry_at(position) for position in range(5000)]
    for entry in entries:
        ready.append(entry)
    assert sum(entry.message is not None for entry in entries) <= 11
    assert [ready.pop() for _ in entries] == entries


def test_what_is_not_stored_stays_in_memory_while_there_is_some_to_borrow() -> None:
    pager = PretendedPager(window_entries=10, loads_at_once=4, loans=2)
    first, second = FifoReadyList(pager), FifoReadyList(pager)
    room = 10 + 2 * LOAN_OCTETS // ENTRY_OCTETS
    entries = [entry_at(position) for position in range(2 * room)]
    for entry in entries:
        first.append(entry)
    assert room - 600 <= sum(entry.message is not None for entry in entries) <= room
    others = [entry_at(position) for position in range(100)]
    for entry in others:
        second.append(entry)
    assert sum(entry.message is not None for entry in others) <= 11  # nothing is left for this one
    assert [first.pop() for _ in entries] == entries
    assert pager.spare.lent_octets == 0


def test_what_is_stored_already_does_not_borrow() -> None:
    pager = PretendedPager(window_entries=10, loads_at_once=4, loans=2)
    ready = FifoReadyList(pager)
    for position in range(100):
        entry = entry_at(position)
        entry.location = new_location(1, position, 0, 100)
        ready.append(entry)
    assert pager.spare.lent_octets == 0


def test_what_a_list_has_borrowed_comes_back_when_it_is_emptied() -> None:
    pager = PretendedPager(window_entries=10, loads_at_once=4, loans=2)
    ready = FifoReadyList(pager)
    for position in range(100):
        ready.append(entry_at(position))
    assert pager.spare.lent_octets == LOAN_OCTETS
    assert len(list(ready.drain())) == 100
    assert pager.spare.lent_octets == 0
