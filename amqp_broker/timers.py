"""One schedule for everything that happens later: expiry, heartbeats, time-outs.

Knows no clock but the one it is given and starts nothing by itself: the edge sleeps until
`next_deadline` and calls `run`, tests set the clock forward and do the same. A change costs O(log n).
Work that is too long for one go is done here too, a slice each time.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

SLICE: Final = 1000
"""Steps of long work in one go: a millisecond or two where a step forgets a message."""


class Timer:
    """One callback to come; `cancel` may be called at any time and any number of times."""

    __slots__ = ("callback", "is_planned", "schedule", "when")

    def __init__(self, when: float, callback: Callable[[], None], schedule: "Timers") -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback
        self.schedule = schedule
        self.is_planned = True

    def cancel(self) -> None:
        self.callback = None
        if self.is_planned:
            self.is_planned = False
            self.schedule.forget_one()


class Timers:
    """A heap of timers, in seconds of the clock it was given.

    Attributes:
        now: the clock; seconds since 1970, never going back while the process lives.
        on_earlier: called when the next deadline has come nearer, so that a sleeper can be woken.
        on_error: called with what a callback raised, so that the others have their turn; None lets it through.
    """

    _CLUTTER = 64

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.on_earlier: Callable[[], None] = _nobody_waits
        self.on_error: Callable[[Exception], None] | None = None
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._cancelled = 0
        self._work: deque[Iterator[object]] = deque()

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback, self)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, timer))
        if self._heap[0][2] is timer:
            self.on_earlier()
        return timer

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self.at(self.now() + delay_s, callback)

    def next_deadline(self) -> float | None:
        """When `run` has something to do next, None when nothing is planned."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self) -> None:
        """Call what is due, in the order of its time; what it plans for now has its turn next time."""
        now = self.now()
        due: list[Timer] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            timer = heapq.heappop(self._heap)[2]
            timer.is_planned = False
            due.append(timer)
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is None:
                continue
            try:
                callback()
            except Exception as error:
                if self.on_error is None:
                    raise
                self.on_error(error)

    def spread(self, work: Iterator[object]) -> None:
        """Do long work in slices: the first now, the others one each time `run` is called.

        What comes later begins when all before it is done, so that it finds nothing half done.

        Args:
            work: does a step each time it is asked for the next, and may find anything changed in between.
        """
        if self._work or _has_rest(work):
            self._work.append(work)
            if len(self._work) == 1:
                self.at(self.now(), self._go_on)

    def finish_work(self) -> None:
        """Do all that is left of long work now: the end is near."""
        while self._work:
            deque(self._work.popleft(), maxlen=0)

    def _go_on(self) -> None:
        if self._work and not _has_rest(self._work[0]):
            self._work.popleft()
        if self._work:
            self.at(self.now(), self._go_on)

    def forget_one(self) -> None:
        """A timer was cancelled; its place is taken back when such places are the majority."""
        self._cancelled += 1
        if self._cancelled > self._CLUTTER and self._cancelled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0


class Branch(Timers):
    """A schedule within another, for what may have to end as a whole."""

    def __init__(self, trunk: Timers) -> None:
        super().__init__(trunk.now)
        self.on_earlier = self._plan
        self._trunk = trunk
        self._next: Timer | None = None

    def end(self) -> None:
        """Nothing of it happens any more."""
        self.on_earlier = _nobody_waits
        if self._next is not None:
            self._next.cancel()

    def _plan(self) -> None:
        if self._next is not None:
            self._next.cancel()
        due = self.next_deadline()
        self._next = None if due is None else self._trunk.at(due, self._turn)

    def _turn(self) -> None:
        self.on_error = self._trunk.on_error
        self.run()
        self.on_earlier()


def _has_rest(work: Iterator[object]) -> bool:
    """Do a slice of some work; tells whether there may be more."""
    return sum(1 for _ in islice(work, SLICE)) == SLICE


def steady_wall_clock() -> Callable[[], float]:
    """Make a clock that tells seconds since 1970 but does not jump when the machine's time is set."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def _nobody_waits() -> None:
    """Nobody sleeps until the next deadline: the schedule is driven by hand."""
