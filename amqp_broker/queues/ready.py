"""Ready lists: the messages of a queue that nobody has, in the order they will be delivered.

A list knows positions and expiry instants, nothing of consumers or limits. One level is the usual
case; `PriorityReadyList` has several (rule 4.44).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from amqp_broker.queues.entry import NEVER, QueueEntry


class ReadyList(Protocol):
    """What a queue asks of its ready messages."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[QueueEntry]:
        """Go through all entries in the order of delivery."""

    def append(self, entry: QueueEntry) -> None:
        """Add a new message at the tail."""

    def put_back(self, entry: QueueEntry) -> None:
        """Add a returned message at its original place (rule 5.42)."""

    def pop(self) -> QueueEntry:
        """Take the head. Raises IndexError when empty."""

    def pop_expired(self, now: float) -> QueueEntry | None:
        """Take a head that is due, None when none is (rule 4.25)."""

    def next_expiry(self) -> float:
        """The earliest instant at which a head is due, NEVER when no head expires."""


class FifoReadyList:
    """One level. New messages come in the order of their positions, returned ones lie in a heap."""

    __slots__ = ("_fresh", "_returned")

    def __init__(self) -> None:
        self._fresh: deque[QueueEntry] = deque()
        self._returned: list[tuple[int, QueueEntry]] = []

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returned)

    def __iter__(self) -> Iterator[QueueEntry]:
        returned = (entry for _, entry in sorted(self._returned))
        return heapq.merge(self._fresh, returned, key=lambda entry: entry.position)

    def append(self, entry: QueueEntry) -> None:
        self._fresh.append(entry)

    def put_back(self, entry: QueueEntry) -> None:
        heapq.heappush(self._returned, (entry.position, entry))

    def peek(self) -> QueueEntry | None:
        """Look at the head."""
        fresh = self._fresh
        if self._returned:
            position, entry = self._returned[0]
            if not fresh or position < fresh[0].position:
                return entry
        return fresh[0] if fresh else None

    def pop(self) -> QueueEntry:
        fresh = self._fresh
        if self._returned and (not fresh or self._returned[0][0] < fresh[0].position):
            return heapq.heappop(self._returned)[1]
        return fresh.popleft()

    def pop_expired(self, now: float) -> QueueEntry | None:
        head = self.peek()
        if head is None or head.expires_at == NEVER or head.expires_at > now:
            return None
        return self.pop()

    def next_expiry(self) -> float:
        head = self.peek()
        return NEVER if head is None else head.expires_at


class PriorityReadyList:
    """A level per priority, 0 to `max_priority`; the highest that has something is the head."""

    __slots__ = ("_default", "_levels", "_size", "max_priority")

    def __init__(self, max_priority: int, default_priority: int = 0) -> None:
        self.max_priority = max_priority
        self._default = default_priority
        self._levels: dict[int, FifoReadyList] = {}
        """Highest first; made when a message first comes, for most priorities are never used."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[QueueEntry]:
        for level in self._levels.values():
            yield from level

    def append(self, entry: QueueEntry) -> None:
        self._level_of(entry).append(entry)
        self._size += 1

    def put_back(self, entry: QueueEntry) -> None:
        self._level_of(entry).put_back(entry)
        self._size += 1

    def pop(self) -> QueueEntry:
        for level in self._levels.values():
            if level:
                self._size -= 1
                return level.pop()
        raise IndexError("pop from an empty ready list")

    def pop_expired(self, now: float) -> QueueEntry | None:
        for level in self._levels.values():
            entry = level.pop_expired(now)
            if entry is not None:
                self._size -= 1
                return entry
        return None

    def next_expiry(self) -> float:
        dues = (level.next_expiry() for level in self._levels.values())
        return min((due for due in dues if due != NEVER), default=NEVER)

    def _level_of(self, entry: QueueEntry) -> FifoReadyList:
        priority = entry.message.header.priority
        if priority < 0:
            priority = self._default
        priority = min(priority, self.max_priority)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = FifoReadyList()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        return level


class ReturnsReadyList:
    """A quorum queue's order: what was returned comes first, as it was returned (rule 4.48)."""

    __slots__ = ("_fresh", "_returns")

    def __init__(self, fresh: PriorityReadyList) -> None:
        self._fresh = fresh
        self._returns: deque[QueueEntry] = deque()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returns)

    def __iter__(self) -> Iterator[QueueEntry]:
        yield from self._returns
        yield from self._fresh

    def append(self, entry: QueueEntry) -> None:
        self._fresh.append(entry)

    def put_back(self, entry: QueueEntry) -> None:
        self._returns.append(entry)

    def pop(self) -> QueueEntry:
        return self._returns.popleft() if self._returns else self._fresh.pop()

    def pop_expired(self, now: float) -> QueueEntry | None:
        returns = self._returns
        if returns and NEVER != returns[0].expires_at <= now:
            return returns.popleft()
        return self._fresh.pop_expired(now)

    def next_expiry(self) -> float:
        dues = (self._returns[0].expires_at if self._returns else NEVER, self._fresh.next_expiry())
        return min((due for due in dues if due != NEVER), default=NEVER)
