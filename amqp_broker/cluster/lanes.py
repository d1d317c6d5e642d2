"""A vhost's log on several lanes, logs led by different servers: when one of them has no leader, the next one goes on.

What is appended has an *index*, by which the log counts; it goes to the active lane, and where that does not answer, to
another one, once more with whatever was in doubt. What has an index keeps it for good: whoever was not answered sends
the same octets under the same index until one lane has them. So each lane's indices grow, what stands twice is the
same, and readers take from whichever lane has what is next.

To own the log is to have claimed it, by a *fence* in each lane: an entry that says who claims. It is appended only
where the lane ended when it was looked at, and so is everything else: nobody who was succeeded appends behind it, and
all that comes before it is final. Of two who claim at once the higher *ballot* wins.

A lane that is lost need not be fenced if the last entries of all that are say that it is *closed*: their author appends
nothing to it before every lane that is open ends with an entry that says otherwise, as does the lane itself.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Sequence
from itertools import combinations
from threading import RLock
from typing import Final

from amqp_broker.cluster.lane import MARK_SUBJECT, NO_HEAD, Head, Lane, head_of
from amqp_broker.cluster.lane_reader import LaneReader
from amqp_broker.cluster.log import Deposed, Entry, LogUnavailable, NotConnected, OutOfTurn

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 20
"""How often to try to be the next to append."""
_RUNS: Final = 64


class _Side:
    """A lane, as its owner knows it.

    Attributes:
        last: the last sequence.
        filled: the last sequence that has an index of its own.
        index: the last index, or what a mark behind it says.
        closed: which lanes the last entry says are.
        sent: the last index of which something was ever sent there.
        in_doubt: it may be further than that.
        is_open: it is fenced, and no other one that is open says that it is closed.
        runs: indices and sequences from which on both grew together.
        has_marks: there may be marks before the last sequence.
    """

    def __init__(self, number: int, lane: Lane) -> None:
        self.number = number
        self.lane = lane
        self.last = 0
        self.filled = 0
        self.index = 0
        self.closed = 0
        self.sent = 0
        self.in_doubt = True
        self.is_open = False
        self.runs: deque[tuple[int, int]] = deque(maxlen=_RUNS)
        self.has_marks = True

    @property
    def bit(self) -> int:
        return 1 << self.number

    def survey(self) -> Head:
        """Look where it ends, and what it says there. Raises LogUnavailable."""
        last, entry = self.lane.tail()
        head = NO_HEAD if entry is None else head_of(entry)
        self.last, self.index, self.closed = last, head.index, head.closed
        self.filled = head.ends[self.number] if head.is_mark else last
        self.in_doubt = False
        return head

    def sequence_before(self, index: int) -> int:
        """A sequence before which all entries have indices below; never behind the last."""
        most = self.last
        for its_index, its_sequence in reversed(self.runs):
            if its_index <= index:
                return min(its_sequence + index - its_index, most)
            most = min(most, its_sequence)
        return 0

    def begin_run(self, index: int) -> None:
        """What comes next has this index."""
        if self.runs:
            its_index, its_sequence = self.runs[-1]
            if index - its_index == self.last + 1 - its_sequence:
                return
        self.runs.append((index, self.last + 1))


class LanedLog:
    """`cluster.log.Log` on lanes. Safe in several threads, one of which reads, and one looks after the lanes.

    Args:
        lanes: `LANES` at most.
    """

    def __init__(self, *lanes: Lane) -> None:
        self._lanes = lanes
        self._lock = RLock()
        self._ballot: tuple[int, int] | None = None
        """With which the log is ours."""
        self._sides = [_Side(number, lane) for number, lane in enumerate(lanes)]
        self._active = self._sides[0]
        self._opening: _Side | None = None
        self._end = 0
        self._doubtful: Sequence[Entry] = ()
        """What was appended without an answer, from `_end` on."""
        self._recent: Sequence[Entry] = ()
        """What was appended last, up to `_end` unless it is doubtful."""
        self._reader = LaneReader(lanes)

    @property
    def identity(self) -> str:
        return " ".join(lane.identity for lane in self._lanes)

    # Owning

    def claim(self, applied: int) -> None:
        """See `Log.claim`."""
        with self._lock:
            self._ballot = None
            self._doubtful = self._recent = ()
            for _ in range(_ATTEMPTS):
                try:
                    return self._claim(applied)
                except OutOfTurn:
                    continue
            raise LogUnavailable("another owner goes on appending")

    def _claim(self, applied: int) -> None:
        heads: dict[_Side, Head] = {}
        error = LogUnavailable("the log has no lanes")
        for side in self._sides:
            try:
                heads[side] = side.survey()
            except LogUnavailable as refusal:
                error = refusal
        wanted = self._enough(heads)
        if wanted is None:
            raise error
        end = max(side.index for side in wanted)
        if any(heads[side] is NO_HEAD for side in wanted):  # it is new, or somebody has purged it
            end = max(end, applied)
        ballot = (max(head.ballot for head in heads.values())[0] + 1, secrets.randbits(64))
        active = max(wanted, key=lambda side: side.index)
        closed = 0
        for side in self._sides:
            if side not in wanted:
                closed |= side.bit
                side.filled = max(heads[other].ends[side.number] for other in wanted)
                side.sent = end
        for side in wanted:
            self._fence(side, ballot, end, closed)
        for side in self._sides:
            side.is_open = side in wanted
            side.runs.clear()
            side.begin_run(end + 1)
        self._ballot, self._end, self._active, self._opening = ballot, end, active, None

    def _enough(self, heads: dict[_Side, Head]) -> Sequence[_Side] | None:
        """Lanes to be fenced, as many as possible; None where those that answer are not enough."""
        for count in range(len(heads), 0, -1):
            for wanted in combinations(heads, count):
                others = sum(side.bit for side in self._sides if side not in wanted)
                if all(heads[side].closed & others == others for side in wanted):
                    return wanted
        return None

    def _fence(self, side: _Side, ballot: tuple[int, int], end: int, closed: int) -> None:
        """Put a mark on a lane that ends where it was seen to. Raises OutOfTurn, LogUnavailable."""
        head = Head(ballot, end, self._ends(), closed, is_mark=True)
        side.in_doubt = True
        side.last = side.lane.append([Entry(MARK_SUBJECT, head.encode())], side.last)
        side.index, side.closed, side.in_doubt, side.has_marks = end, closed, False, True

    def _ends(self) -> tuple[int, ...]:
        return tuple(side.filled for side in self._sides)

    def _own(self) -> tuple[int, int]:
        if self._ballot is None:
            raise Deposed
        return self._ballot

    def _deposed(self) -> Deposed:
        self._ballot = None
        return Deposed()

    def _open_sides(self) -> list[_Side]:
        """Those that can be appended to, the active one first."""
        return sorted((side for side in self._sides if side.is_open), key=lambda side: side is not self._active)

    # Appending

    def append(self, entries: Sequence[Entry], expected: int) -> int:
        """See `Log.append`."""
        with self._lock:
            self._own()
            self._settle()
            if expected != self._end:
                raise OutOfTurn(f"the log ends at {self._end}, not {expected}")
            self._doubtful = self._recent = entries
            self._settle()
            return self._end

    def _settle(self) -> None:
        """Have a lane that has what is in doubt. Raises LogUnavailable, Deposed."""
        entries = self._doubtful
        if not entries:
            return
        error = LogUnavailable("no lane is open")
        failed: list[_Side] = []
        silent: list[_Side] = []
        for side in self._open_sides():
            try:
                self._push(side, entries, self._end + 1)
            except LogUnavailable as refusal:
                error = refusal
                failed.append(side)
                if not isinstance(refusal, NotConnected):
                    silent.append(side)
                continue
            self._end += len(entries)
            self._doubtful = ()
            if failed:
                log.info("another lane of the log goes on: %s", error)
                self._active = side
                for each in silent:
                    each.is_open = False
            return
        if len(failed) > 1:  # the next time another one is asked first
            self._active = failed[1]
        raise error

    def _push(self, side: _Side, entries: Sequence[Entry], first: int) -> None:
        """Have a lane hold all of them. Raises LogUnavailable, Deposed."""
        last = first + len(entries) - 1
        for _ in range(_ATTEMPTS):
            if side.in_doubt:
                self._look_again(side)
            there = max(0, side.index + 1 - first)
            if there >= len(entries):
                return
            index = first + there
            side.in_doubt = True
            side.sent = last
            ballot, ends = self._own(), self._ends()
            heads = [
                Head(ballot, number, ends, self._closed(number), is_mark=False) for number in range(index, last + 1)
            ]
            those = [
                Entry(entry.subject, head.encode() + entry.data)
                for head, entry in zip(heads, entries[there:], strict=True)
            ]
            try:
                end = side.lane.append(those, side.last)
            except OutOfTurn:
                continue
            side.begin_run(index)
            side.last = side.filled = end
            side.index, side.closed, side.in_doubt = last, heads[-1].closed, False
            return
        raise LogUnavailable("somebody else goes on appending")

    def _closed(self, index: int) -> int:
        """Which lanes an entry with this index may say are closed."""
        return sum(
            side.bit for side in self._sides if not side.is_open and side is not self._opening and index >= side.sent
        )

    def _look_again(self, side: _Side) -> None:
        """See what has become of what was in doubt. Raises LogUnavailable, Deposed."""
        if side.survey().ballot != self._own():
            raise self._deposed()

    def _mark(self, side: _Side) -> None:
        """Say on a lane what is closed, unless it does; what is in doubt comes before that or never.

        Raises:
            Deposed: somebody else has claimed the log.
            LogUnavailable: perhaps it says so.
        """
        is_sure = not side.in_doubt
        for _ in range(_ATTEMPTS):
            if side.in_doubt:
                self._look_again(side)
            closed = self._closed(self._end)
            if is_sure and side.closed == closed:
                return
            try:
                self._fence(side, self._own(), max(self._end, side.index), closed)
            except OutOfTurn:
                continue
            return
        raise LogUnavailable("somebody else goes on appending")

    # Lanes that come and go

    def look_after(self) -> bool:
        """See `Log.look_after`: keep all lanes ready, each led by another server, and append where that is near."""
        with self._lock:
            self._own()
            sides = self._open_sides()
            lost = [side for side in self._sides if not side.is_open]
        leaders = self._leaders(sides)
        for side in lost:
            try:
                self._bring_back(side)
            except LogUnavailable:
                continue
        with self._lock:
            self._own()
            self._settle()
            for side in self._open_sides():
                self._mark(side)
            self._active = next((side for side in self._open_sides() if side.lane.is_near()), self._active)
        return len(leaders) == len(self._sides)

    def _leaders(self, sides: Sequence[_Side]) -> set[str]:
        """Who leads open lanes: those that do not answer are closed, and two with the same leader get two."""
        leaders: dict[str, _Side] = {}
        for side in sides:
            try:
                leader = side.lane.leader()
            except LogUnavailable:
                if side is self._active or not leaders:
                    raise  # which says nothing of this lane
                with self._lock:
                    side.is_open = side is self._active
                continue
            if leader and leader in leaders:
                side.lane.move_leader(set(leaders))
            else:
                leaders[leader or str(side.number)] = side
        return set(leaders)

    def _bring_back(self, side: _Side) -> None:
        """Fence a lane, and say that it is there again. Nobody else touches one that is not open.

        Raises:
            Deposed: somebody else has claimed the log.
            LogUnavailable: it is not there yet.
        """
        ballot = self._own()
        if (found := side.survey().ballot) > ballot:
            raise self._deposed()
        with self._lock:
            if self._ballot != ballot:
                return
            closed, end = self._closed(self._end) & ~side.bit, max(self._end, side.index)
        try:
            self._fence(side, ballot, end, closed)
        except OutOfTurn:
            return
        with self._lock:
            if self._ballot != ballot:
                return
            self._opening = side
            try:
                self._settle()
                others = self._open_sides()
                for other in others:
                    self._mark(other)
            finally:
                self._opening = None
            side.is_open = True
            side.begin_run(self._end + 1)
            if found != ballot or len(others) < len(self._sides):
                log.info("another lane of the log is ready")

    # Reading

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        """See `Log.read`."""
        with self._lock:
            first = self._end - len(self._recent) + 1
            if self._ballot is not None and not self._doubtful and first <= after + 1 <= self._end:
                return list(enumerate(self._recent[after + 1 - first :], after + 1))
        return self._reader.read(after, wait_s)

    def interrupt(self) -> None:
        """See `Log.interrupt`."""
        for lane in self._lanes:
            lane.interrupt()

    def last(self) -> int:
        """See `Log.last`."""
        with self._lock:
            if self._ballot is not None:  # it is ours, so nobody else knows better
                self._settle()
                return self._end
        tails = [lane.tail()[1] for lane in self._lanes]
        return max(0 if entry is None else head_of(entry).index for entry in tails)

    # Space

    def subjects(self) -> dict[str, int]:
        """See `Log.subjects`."""
        counts: dict[str, int] = {}
        for lane in self._lanes:
            for subject, count in lane.subjects().items():
                if subject != MARK_SUBJECT:
                    counts[subject] = counts.get(subject, 0) + count
        return counts

    def purge(self, subject: str, before: int) -> None:
        """See `Log.purge`; for the owner."""
        with self._lock:
            self._own()
            bounds = [(side, side.sequence_before(before), side.last) for side in self._sides]
            if any(bound and not side.is_open for side, bound, _ in bounds):
                raise LogUnavailable("a lane can't be purged at present")
        for side, bound, last in bounds:
            if bound:
                side.lane.purge(subject, bound)
            if side.is_open and side.has_marks:
                side.lane.purge(MARK_SUBJECT, last)
                side.has_marks = False
