"""The writer: the threads that batches run in. Knows no trio; the disk is never called by the event loop.

What comes most, to append to an open file, is done in C where there is a compiled form for that (`_appender.pyx`): by
a thread that need not wait for the interpreter, nor the event loop for that thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from amqp_broker.forms import is_compiled
from amqp_broker.storage.batch import Append, DataBatch
from amqp_broker.storage.disk import Disk, OsFile


class Work(Protocol):
    """What can be handed to the writer."""

    def execute(self, disk: Disk) -> None:
        """Do it, in the writer's thread."""


class Job:
    """Work that was handed over.

    Attributes:
        work: as given.
        error: what stopped it; to be read once it is done.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.error: BaseException | None = None
        self._is_done = False

    @property
    def is_done(self) -> bool:
        """It has come to its end, whatever that was."""
        return self._is_done

    def run(self, disk: Disk) -> None:
        """Do the work; for the writer's thread."""
        try:
            self.work.execute(disk)
        except BaseException as error:
            self.error = error
        self._is_done = True


if sys.platform == "linux" and is_compiled():
    from amqp_broker.storage._appender import Appender
else:
    Appender = None  # type: ignore[assignment, misc]


class _Appending(Job):
    """The same for what is done in C."""

    def __init__(self, work: Work, append: Append, appender: Appender) -> None:
        super().__init__(work)
        self._append = append  # keeps the file open
        self._appender = appender

    @property
    def is_done(self) -> bool:
        if not self._is_done and self._appender.is_done:
            self._is_done = True
            number = self._appender.finish()
            if number:
                self.error = OSError(number, os.strerror(number))
        return self._is_done


class Writer:
    """Threads that work off jobs, one to append, and one for all else, one by one.

    They are daemons: a disk that hangs does not keep the process from ending, which is as safe as a crash.

    Attributes:
        on_end: called in the thread after each job.
        end_file: an eventfd that does the same where Python has no part in it; -1 where there is none.
    """

    def __init__(self, disk: Disk, on_end: Callable[[], None]) -> None:
        self.on_end = on_end
        self.end_file = -1
        self._disk = disk
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._appender: Appender | None = None
        self._appender_thread: Thread | None = None
        self._zeros = memoryview(b"")

    def start(self, work: Work) -> Job:
        """Hand work over; of what only appends, the next one when the one before is done."""
        if Appender is not None and self.end_file >= 0 and isinstance(work, DataBatch):
            file = work.part.file
            if isinstance(file, OsFile) and (append := work.as_append()) is not None:
                return self._start_appending(work, append, file)
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
        if self._appender is not None and self._appender_thread is not None:
            self._appender.end()
            self._appender_thread.join()
            self._appender = self._appender_thread = None

    def _start_appending(self, work: DataBatch, append: Append, file: OsFile) -> Job:
        if self._appender is None:
            self._appender = Appender(self.end_file)
            self._appender_thread = Thread(target=self._appender.run, name="journal appends", daemon=True)
            self._appender_thread.start()
        if len(self._zeros) < append.room_octets:
            self._zeros = memoryview(bytes(append.room_octets))
        zeros = self._zeros[: append.room_octets]
        self._appender.start(file.fileno(), append.data, append.offset, zeros, append.is_synced)
        return _Appending(work, append, self._appender)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run(self._disk)
            self.on_end()
