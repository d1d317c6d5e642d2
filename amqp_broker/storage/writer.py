"""The writer: the thread that batches run in. Knows no trio; the disk is never called by the event loop."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from amqp_broker.storage.disk import Disk


class Work(Protocol):
    """What can be handed to the writer."""

    def execute(self, disk: Disk) -> None:
        """Do it, in the writer's thread."""


class Job:
    """Work that was handed over.

    Attributes:
        work: as given.
        is_done: it has come to its end, whatever that was.
        error: what stopped it; to be read once it is done.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.is_done = False
        self.error: BaseException | None = None

    def run(self, disk: Disk) -> None:
        """Do the work; for the writer's thread."""
        try:
            self.work.execute(disk)
        except BaseException as error:
            self.error = error
        self.is_done = True


class Writer:
    """A thread that works off jobs one by one.

    It is a daemon: a disk that hangs does not keep the process from ending, which is as safe as a crash.

    Attributes:
        on_end: called in the thread after each job.
    """

    def __init__(self, disk: Disk, on_end: Callable[[], None]) -> None:
        self.on_end = on_end
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
            self.on_end()
