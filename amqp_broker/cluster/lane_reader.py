"""Lanes read as one log: by their indices, from whichever lane has what is next, and each index once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from amqp_broker.cluster.lane import Head, Lane, bare, head_of
from amqp_broker.cluster.log import Entry, LogUnavailable

_GLANCE_S: Final = 0.02
"""To see whether something has come on the lane that is not waited for."""
_OWED_S: Final = 1.0
"""To wait for what is known to be in a lane."""


class _Cursor:
    """How far a lane has been read.

    Attributes:
        came: what was read and is not taken yet.
    """

    def __init__(self, number: int, lane: Lane) -> None:
        self.number = number
        self.lane = lane
        self.came: deque[tuple[int, Head, Entry]] = deque()
        self._position = 0

    @property
    def position(self) -> int:
        """Nothing up to here is still to be taken."""
        return self.came[0][0] - 1 if self.came else self._position

    def move(self, position: int) -> None:
        self.came.clear()
        self._position = position

    def fill(self, wait_s: float, *, is_owed: bool) -> bool:
        """Read more, and give whether there was any; what is owed and purged is passed. Raises LogUnavailable."""
        read = self.lane.read(self.came[-1][0] if self.came else self._position, wait_s)
        self.came.extend((sequence, head_of(entry), entry) for sequence, entry in read)
        if is_owed and not read:
            last, entry = self.lane.tail()
            if entry is None:
                self._position = last
                return True
        return bool(read)

    def pop(self) -> Entry:
        """Take the next."""
        self._position, _, entry = self.came.popleft()
        return bare(entry)

    def find(self, index: int) -> None:
        """Go to where indices up to one end. Raises LogUnavailable."""
        low, high = 0, self.lane.tail()[0] if index else 0
        while low < high:
            middle = (low + high) // 2
            found = self.lane.peek(middle)
            if found is not None and head_of(found[1]).index <= index:
                low = found[0]
            else:
                high = middle
        self.move(low)


class LaneReader:
    """Reads the log; for one thread.

    Args:
        lanes: all there are.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._cursors = [_Cursor(number, lane) for number, lane in enumerate(lanes)]
        """The one that had something last is the first."""
        self._read_to: int | None = None

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        """See `Log.read`."""
        if after != self._read_to:
            self._read_to = None
            for cursor in self._cursors:
                cursor.find(after)
            self._read_to = after
        found: list[tuple[int, Entry]] = []
        has_come = True
        while has_come and not self._take(found):
            has_come = False
            owing = self._owing()
            errors = []
            for number, cursor in enumerate(owing or self._cursors):
                most_s = _OWED_S if owing else _GLANCE_S if number else wait_s
                try:
                    has_come |= cursor.fill(min(wait_s, most_s), is_owed=bool(owing))
                except LogUnavailable as error:
                    errors.append(error)
                if self._take(found):
                    return found
            if errors and not has_come and len(errors) == len(owing or self._cursors):
                raise errors[0]
        return found

    def _owing(self) -> list[_Cursor]:
        """Lanes that have what comes before something that was read already."""
        waiting = [cursor.came[0][1].ends for cursor in self._cursors if cursor.came]
        return [
            cursor
            for cursor in self._cursors
            if not cursor.came and any(cursor.position < ends[cursor.number] for ends in waiting)
        ]

    def _take(self, found: list[tuple[int, Entry]]) -> bool:
        """Take what is next, as far as it has come; whether there is any."""
        assert self._read_to is not None
        is_stuck = False
        while not is_stuck:
            is_stuck = True
            for cursor in list(self._cursors):
                others = [other for other in self._cursors if other is not cursor]
                while cursor.came:
                    _, head, _ = cursor.came[0]
                    if head.is_mark or head.index <= self._read_to:
                        cursor.pop()
                    elif all(head.ends[other.number] <= other.position for other in others):
                        self._read_to = head.index
                        found.append((head.index, cursor.pop()))
                        self._cursors = [cursor, *others]
                    else:
                        break
                    is_stuck = False
        return bool(found)
