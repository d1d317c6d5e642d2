"""Ready lists: the messages of a queue that nobody has, in the order they will be delivered.

A list knows positions and expiry instants, nothing of consumers or limits. One level is the usual
case; `PriorityReadyList` has several (rule 4.44). A list that has grown beyond its window keeps the
messages near its head and its tail, and leaves those between to storage, in pages.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Final, Protocol

from amqp_broker.queues.entry import NEVER, QueueEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqp_broker.storage.page import Page

ENTRY_OCTETS: Final = 512
"""What an entry with its message takes in memory beside the body, roughly."""

_ENTRY_OCTETS: Final = ENTRY_OCTETS
"""The same for every message; compiled, a C integer."""

PAGE_ENTRIES: Final = 512
"""Entries that go into a page at once, and come out of it."""


LOAN_OCTETS: Final = 1 << 20
"""What a list borrows at once. It gives back when it has two such pieces left, so not with every message."""

PAGE_SPAN: Final = 1 << 32
"""Positions in one page differ by less; between those of two starts of the broker there may be more."""


class ReadyList:
    """What a queue asks of its ready messages.

    Attributes:
        size: how many there are.
    """

    __slots__ = ("size",)

    size: int

    def __len__(self) -> int:
        return self.size

    def append(self, entry: QueueEntry) -> None:
        """Add a new message at the tail."""
        raise NotImplementedError

    def put_back(self, entry: QueueEntry) -> None:
        """Add a returned message at its original place (rule 5.42)."""
        raise NotImplementedError

    def pop(self) -> QueueEntry | None:
        """Take the head, with its message; None when there is none left that can be read."""
        raise NotImplementedError

    def pop_expired(self, now: float) -> QueueEntry | None:
        """Take a head that is due, None when none is (rule 4.25)."""
        raise NotImplementedError

    def next_expiry(self) -> float:
        """The earliest instant at which a head is due, NEVER when no head expires."""
        raise NotImplementedError

    def glance(self, count: int) -> list[QueueEntry]:
        """Look at the first entries, in the order of `pop`; they stay, and some may have no message."""
        raise NotImplementedError

    def take(self, entry: QueueEntry) -> bool:
        """Take out an entry that `glance` gave, with or without its message; False when it is not here any more."""
        raise NotImplementedError

    def drain(self) -> Iterator[QueueEntry]:
        """Take everything out, one after the other, with or without messages."""
        raise NotImplementedError

    def resident(self) -> Iterator[QueueEntry]:
        """Look at what memory has, in the order in which it would be taken; some may have no message."""
        raise NotImplementedError

    def restore(self, pages: Sequence[Page]) -> None:
        """Take over what a restart has left, in the order of positions."""
        raise NotImplementedError


class Pager(Protocol):
    """Where entries of one queue go when they are many.

    Attributes:
        window_octets: what a list may hold in memory.
    """

    window_octets: int

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        """Leave the messages of these entries, which follow each other, to storage."""

    def page_in(self, page: Page) -> list[QueueEntry]:
        """Make entries of a page again, without their messages."""

    def load(self, entries: Sequence[QueueEntry]) -> int:
        """Give the first of these entries their messages; see `Storage.load`."""

    def borrow(self, octets: int) -> bool:
        """Take room beyond the window; see `Spare`."""

    def give_back(self, octets: int) -> None:
        """Give back what was borrowed."""


class FifoReadyList(ReadyList):
    """One level. New messages come in the order of their positions, returned ones lie in a heap.

    In the order of positions: `_fresh`, then `_pages`, then `_tail`. Entries of `_fresh` that came out of a
    page have no message until they come to the head.

    What is stored already is left to storage as soon as the window is full. What would have to be written for that
    stays in memory as long as there is some to borrow.
    """

    __slots__ = ("_fresh", "_pager", "_pages", "_resident", "_returned", "_room", "_spare_room", "_tail")

    def __init__(self, pager: Pager | None = None) -> None:
        self._pager = pager
        self._fresh: deque[QueueEntry] = deque()
        self._pages: deque[Page] = deque()
        self._tail: deque[QueueEntry] = deque()
        self._returned: list[tuple[int, QueueEntry]] = []
        self.size = 0
        self._resident = 0
        """Octets of the messages in `_fresh` and `_tail`, about."""
        self._room = 0 if pager is None else pager.window_octets
        """What these may be: the window, and what was borrowed."""
        self._spare_room = 0
        """What is to be given back when they are fewer than this; 0 while nothing is borrowed."""

    def append(self, entry: QueueEntry) -> None:
        if self._pages:
            self._tail.append(entry)
        else:
            self._fresh.append(entry)
        self.size += 1
        if self._pager is not None:
            self._resident += entry.octets + _ENTRY_OCTETS
            if self._resident > self._room:
                self._make_room(self._pager)

    def put_back(self, entry: QueueEntry) -> None:
        heapq.heappush(self._returned, (entry.position, entry))
        self.size += 1

    def peek(self) -> QueueEntry | None:
        """Look at the head; it may have no message."""
        if self._pages and not self._fresh:
            self._page_in()
        fresh = self._fresh
        if self._returned:
            position, entry = self._returned[0]
            if not fresh or position < fresh[0].position:
                return entry
        return fresh[0] if fresh else None

    def pop(self) -> QueueEntry | None:
        while (head := self.peek()) is not None:
            if self._take(head):
                return head
        return None

    def pop_expired(self, now: float) -> QueueEntry | None:
        while (head := self.peek()) is not None and NEVER != head.expires_at <= now:
            if self._take(head):
                return head
        return None

    def next_expiry(self) -> float:
        head = self.peek()
        return NEVER if head is None else head.expires_at

    def glance(self, count: int) -> list[QueueEntry]:
        while self._pages and len(self._fresh) < count:
            self._page_in()
        returned = [entry for _, entry in heapq.nsmallest(count, self._returned)]
        return list(islice(heapq.merge(returned, self._fresh, key=attrgetter("position")), count))

    def take(self, entry: QueueEntry) -> bool:
        kept = [item for item in self._returned if item[1] is not entry]
        if len(kept) < len(self._returned):
            heapq.heapify(kept)
            self._returned = kept
        elif entry in self._fresh:
            self._fresh.remove(entry)
            if self._pager is not None and entry.message is not None:
                self._resident -= entry.octets + _ENTRY_OCTETS
                if self._resident < self._spare_room:
                    self._give_back()
        else:
            return False
        self.size -= 1
        return True

    def drain(self) -> Iterator[QueueEntry]:
        while self.peek() is not None:
            while self._returned:
                self.size -= 1
                yield self._returned.pop()[1]
            while self._fresh:
                self.size -= 1
                yield self._fresh.popleft()
        self._resident = 0
        if self._spare_room:
            self._give_back()

    def resident(self) -> Iterator[QueueEntry]:
        returned = [entry for _, entry in sorted(self._returned)]
        yield from heapq.merge(returned, self._fresh, self._tail, key=_position)

    def restore(self, pages: Sequence[Page]) -> None:
        self._pages.extend(pages)
        self.size += sum(map(len, pages))

    def _take(self, head: QueueEntry) -> bool:
        """Take the head off; False when its message can't be read any more."""
        if head.message is None:
            self._load(head)
        self.size -= 1
        if self._returned and self._returned[0][1] is head:
            heapq.heappop(self._returned)
        else:
            self._fresh.popleft()
            if self._pager is not None and head.message is not None:
                self._resident -= head.octets + _ENTRY_OCTETS
                if self._resident < self._spare_room:
                    self._give_back()
        return head.message is not None

    def _make_room(self, pager: Pager) -> None:
        """Borrow some, or leave what lies behind the head's window to storage, oldest first, a page at least."""
        oldest = self._tail[0] if self._pages else self._fresh[0]
        if oldest.location is None and pager.borrow(LOAN_OCTETS):
            self._room += LOAN_OCTETS
            self._spare_room = max(1, self._room - 2 * LOAN_OCTETS)
            return
        if not self._pages:
            self._split_off_tail(pager.window_octets // 4)
        tail = self._tail
        while tail and self._resident > self._room:
            entries = [tail.popleft()]
            last_position = entries[0].position + PAGE_SPAN
            while tail and len(entries) < PAGE_ENTRIES and tail[0].position < last_position:
                entries.append(tail.popleft())
            self._resident -= sum(entry.octets + ENTRY_OCTETS for entry in entries if entry.message is not None)
            self._pages.append(pager.page_out(entries))

    def _give_back(self) -> None:
        """Give back what is not needed of what was borrowed."""
        assert self._pager is not None
        window = self._pager.window_octets
        while self._room > window and self._room - LOAN_OCTETS >= self._resident:
            self._pager.give_back(LOAN_OCTETS)
            self._room -= LOAN_OCTETS
        self._spare_room = max(1, self._room - 2 * LOAN_OCTETS) if self._room > window else 0

    def _split_off_tail(self, head_octets: int) -> None:
        """Keep as much as this at the head, the rest is the tail."""
        kept: deque[QueueEntry] = deque()
        fresh = self._fresh
        octets = 0
        while fresh and octets <= head_octets:
            octets += fresh[0].octets + ENTRY_OCTETS
            kept.append(fresh.popleft())
        self._fresh, self._tail = kept, fresh

    def _page_in(self) -> None:
        assert self._pager is not None
        page = self._pages.popleft()
        self._fresh.extend(self._pager.page_in(page))
        if not self._pages:
            self._fresh.extend(self._tail)
            self._tail.clear()

    def _load(self, head: QueueEntry) -> None:
        """Give the head its message, and those behind it that are as far as cheap to read along."""
        assert self._pager is not None
        if self._returned and self._returned[0][1] is head:
            self._pager.load([head])
            return
        run: list[QueueEntry] = []
        for entry in self._fresh:
            if entry.message is not None or len(run) == PAGE_ENTRIES:
                break
            run.append(entry)
        self._pager.load(run)
        self._resident += sum(entry.octets + ENTRY_OCTETS for entry in run if entry.message is not None)


def _position(entry: QueueEntry) -> int:
    return entry.position


class PriorityReadyList(ReadyList):
    """A level per priority, 0 to `max_priority`; the highest that has something is the head.

    Args:
        max_priority: what is published with a higher one has this.
        default_priority: of what is published with none.
        pager: where entries go when they are many.
        sorts_out: asked, after a restart, whether an entry goes elsewhere; then it does.
    """

    __slots__ = ("_default", "_levels", "_pager", "_sorts_out", "max_priority")

    def __init__(
        self,
        max_priority: int,
        default_priority: int = 0,
        pager: Pager | None = None,
        sorts_out: Callable[[QueueEntry], bool] | None = None,
    ) -> None:
        self.max_priority = max_priority
        self._sorts_out = sorts_out
        self._pager = pager
        self._default = default_priority
        self._levels: dict[int, FifoReadyList] = {}
        """Highest first; made when a message first comes, for most priorities are never used."""
        self.size = 0

    def append(self, entry: QueueEntry) -> None:
        self._level_of(entry).append(entry)
        self.size += 1

    def put_back(self, entry: QueueEntry) -> None:
        self._level_of(entry).put_back(entry)
        self.size += 1

    def pop(self) -> QueueEntry | None:
        for level in self._levels.values():
            if level.size:
                before = level.size
                entry = level.pop()
                self.size -= before - level.size
                if entry is not None:
                    return entry
        return None

    def pop_expired(self, now: float) -> QueueEntry | None:
        for level in self._levels.values():
            before = level.size
            entry = level.pop_expired(now)
            self.size -= before - level.size
            if entry is not None:
                return entry
        return None

    def next_expiry(self) -> float:
        dues = (level.next_expiry() for level in self._levels.values())
        return min((due for due in dues if due != NEVER), default=NEVER)

    def glance(self, count: int) -> list[QueueEntry]:
        entries: list[QueueEntry] = []
        for level in self._levels.values():
            entries += level.glance(count - len(entries))
        return entries

    def take(self, entry: QueueEntry) -> bool:
        is_taken = self._level_of(entry).take(entry)
        if is_taken:
            self.size -= 1
        return is_taken

    def drain(self) -> Iterator[QueueEntry]:
        for level in self._levels.values():
            yield from level.drain()
        self.size = 0

    def resident(self) -> Iterator[QueueEntry]:
        for level in self._levels.values():
            yield from level.resident()

    def restore(self, pages: Sequence[Page]) -> None:
        """Find each message's level; for that all of them have to be read once."""
        pager = self._pager
        assert pager is not None
        for page in pages:
            entries = pager.page_in(page)
            while entries:
                done = pager.load(entries)
                for entry in entries[:done]:
                    if entry.message is not None and not (self._sorts_out and self._sorts_out(entry)):
                        self.append(entry)
                entries = entries[done:]

    def _level_of(self, entry: QueueEntry) -> FifoReadyList:
        priority = self._default if entry.priority < 0 else min(entry.priority, self.max_priority)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = FifoReadyList(self._pager)
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        return level


class ReturnsReadyList(ReadyList):
    """A quorum queue's order: what was returned comes first, as it was returned (rule 4.48)."""

    __slots__ = ("_fresh", "_pager", "_returns")

    def __init__(self, fresh: PriorityReadyList, pager: Pager | None = None) -> None:
        self.size = fresh.size
        self._fresh = fresh
        self._pager = pager
        self._returns: deque[QueueEntry] = deque()

    def append(self, entry: QueueEntry) -> None:
        self._fresh.append(entry)
        self.size += 1

    def put_back(self, entry: QueueEntry) -> None:
        self._returns.append(entry)
        self.size += 1

    def pop(self) -> QueueEntry | None:
        while self._returns:
            entry = self._returns.popleft()
            self.size -= 1
            if entry.message is None:
                assert self._pager is not None
                self._pager.load([entry])
            if entry.message is not None:
                return entry
        fresh = self._fresh.pop()
        self.size = self._fresh.size
        return fresh

    def pop_expired(self, now: float) -> QueueEntry | None:
        if self._returns:
            return self.pop() if NEVER != self._returns[0].expires_at <= now else None
        expired = self._fresh.pop_expired(now)
        self.size = self._fresh.size
        return expired

    def next_expiry(self) -> float:
        return self._returns[0].expires_at if self._returns else self._fresh.next_expiry()

    def glance(self, count: int) -> list[QueueEntry]:
        returned = list(islice(self._returns, count))
        return returned + self._fresh.glance(count - len(returned))

    def take(self, entry: QueueEntry) -> bool:
        if entry in self._returns:
            self._returns.remove(entry)
        elif not self._fresh.take(entry):
            return False
        self.size -= 1
        return True

    def drain(self) -> Iterator[QueueEntry]:
        while self._returns:
            yield self._returns.popleft()
        yield from self._fresh.drain()
        self.size = 0

    def resident(self) -> Iterator[QueueEntry]:
        yield from self._returns
        yield from self._fresh.resident()

    def restore(self, pages: Sequence[Page]) -> None:
        self._fresh.restore(pages)
        self.size += self._fresh.size
