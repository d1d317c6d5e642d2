"""The writer: the thread that batches run in, and how long the event loop may stand still for it. Knows no trio.

A batch on a fast disk is written sooner than the loop could be told of it through its selector. So whoever hands
work over may block until it is done, for a millisecond at most; `Patience` says when that pays. The disk itself is
never called by the loop: were it to hang, the loop would go on after that millisecond (docs/decisions/0004).
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final, Protocol

from amqp_broker.storage.disk import Disk

LONGEST_WAIT_S: Final = 0.001
"""The loop never stands still longer for one batch."""

WORTH_S: Final = 0.0005
"""Where waits take longer on average, the loop has better things to do."""

IN_VAIN_S: Final = 0.0015
"""What a wait in vain counts for: what it took, and what it takes to be told of the end after all."""

SMALL_OCTETS: Final = 128 << 10
"""Larger batches are not waited for: who publishes so much at once is served better by a loop that goes on."""

LONGEST_PAUSE: Final = 64
"""While the average is too high, one small batch of at most so many is waited for, to see whether it still is."""

_WEIGHT: Final = 1 / 8


class Work(Protocol):
    """What can be handed to the writer."""

    def execute(self, disk: Disk) -> None:
        """Do it, in the writer's thread."""


class Job:
    """Work that was handed over.

    Attributes:
        error: what stopped it; to be read once it is done.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.error: BaseException | None = None
        self._done = Lock()
        self._done.acquire()
        self._notify: Callable[[], None] | None = None

    def wait(self, seconds: float) -> bool:
        """Block until it is done, at most so long; gives whether it is."""
        return self._done.acquire(timeout=seconds)

    def notify(self, callback: Callable[[], None]) -> bool:
        """After a wait in vain: have `callback` called in the writer's thread when it is done.

        Returns:
            Whether it is done by now; then nobody may ever call back.
        """
        self._notify = callback
        return self._done.acquire(blocking=False)

    def run(self, disk: Disk) -> None:
        """Do the work; for the writer's thread."""
        try:
            self.work.execute(disk)
        except BaseException as error:
            self.error = error
        # In this order, and the other way round in `notify`: one of the two always sees what the other did.
        self._done.release()
        if self._notify is not None:
            self._notify()


class Writer:
    """A thread that works off jobs one by one.

    It is a daemon: a disk that hangs does not keep the process from ending, which is as safe as a crash.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self, work: Work) -> Job:
        """Hand work over."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()
        job = Job(work)
        self._jobs.put(job)
        return job

    def close(self) -> None:
        """End the thread after the jobs that it has, and wait for that."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run(self._disk)


class Patience:
    """Decides which batches the loop waits for, from how long that took lately.

    Only waits are measured: while the loop runs, the thread competes with it for the interpreter, and what it takes
    says little about the disk. After too many slow ones there is a pause, which grows with every further slow one and
    shrinks with every fast one: a disk that was held up for a moment is waited for again soon.

    Attributes:
        usual_s: moving average of the waits.
    """

    def __init__(self) -> None:
        self.usual_s = 0.0
        self._pause = 1
        self._passed = 0

    def allows(self, octets: int) -> bool:
        """Whether to wait for the end of a batch of so many octets; if so, `waited` is to be called after."""
        if octets > SMALL_OCTETS:
            return False
        if self.usual_s <= WORTH_S:
            return True
        self._passed += 1
        if self._passed < self._pause:
            return False
        self._passed = 0
        return True

    def waited(self, seconds: float, *, in_time: bool) -> None:
        """Learn from a wait."""
        sample = seconds if in_time else IN_VAIN_S
        self.usual_s += (sample - self.usual_s) * _WEIGHT
        if sample <= WORTH_S:
            self._pause = max(1, self._pause // 4)
        elif self.usual_s > WORTH_S:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
