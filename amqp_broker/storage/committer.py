"""The committer: has groups of records written and fsynced, one at a time. The room's only trio.

The writer's thread does the work. A group is what was appended while the one before was written, or in one turn of
serving clients. Such turns are where it begins and where its end is seen (`Turns`), so confirms need no task that
has to be woken first; a task is left for what is due at some instant, and for systems without such turns.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from amqp_broker.storage.gathering import Gathering
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.rewriting import LoadedSegment, Rewriter
from amqp_broker.storage.writer import Job, Writer

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 5.0
REWRITE_STEP_OCTETS = 256 << 10
REWRITE_OCTETS_PER_S = 8 << 20
REWRITE_LOOK_S = 1.0
"""How often to look for a sparse segment."""


class Turns(Protocol):
    """Whoever serves clients in turns, and waits for files between them.

    Attributes:
        is_serving: a turn has begun.
        at_end: called at the end of each.
    """

    is_serving: bool
    at_end: Callable[[], None]

    def watch(self, file: int, readable: Callable[[], None]) -> None:
        """Call `readable`, which must not raise, whenever there is something to read, until `forget`."""

    def forget(self, file: int) -> None: ...


def _call(work: Callable[..., None], *arguments: object) -> None:
    work(*arguments)


class Committer:
    """Runs a journal's batches.

    Attributes:
        finished: set when `run` has written the clean checkpoint.
        turns: in which batches begin and end; to be set before `run`.

    Args:
        journal: whose `on_work` this takes.
        rewrite_octets_per_s: pace of rewriting sparse segments.
        longest_retry_s: how long to wait at the most until a disk is tried again that has refused.
        in_round: calls what it is given, all that follows from the end of a batch; so whoever makes output of that can
            write it in one go.
        gathering: decides when groups go; without it they go at once.
    """

    def __init__(
        self,
        journal: Journal,
        rewrite_octets_per_s: int = REWRITE_OCTETS_PER_S,
        in_round: Callable[..., None] = _call,
        longest_retry_s: float = LAST_RETRY_S,
        gathering: Gathering | None = None,
    ) -> None:
        self._journal = journal
        self._writer = Writer(journal.disk, _nothing)
        self._rewriter = Rewriter(journal)
        self._rewrite_octets_per_s = rewrite_octets_per_s
        self._rewrite_at = -math.inf
        self._retry_s = FIRST_RETRY_S
        self._retry_at = math.inf
        self._in_round = in_round
        self._longest_retry_s = longest_retry_s
        self._gathering = gathering
        self._job: Job | None = None
        """The batch under way."""
        self._loading: Job | None = None
        """The sparse segment that is being read."""
        self._is_wanted = False
        self._failure: BaseException | None = None
        self._alarm = trio.CancelScope()
        self._work = trio.Event()
        self.finished = trio.Event()
        self.turns: Turns | None = None
        journal.on_work = self._wake

    def stop(self) -> None:
        """Nothing more will be appended: `run` writes what there is and a clean checkpoint, then returns.

        While the disk refuses it goes on trying; cancel it to give up, which is as safe as a crash.
        """
        self._journal.finish()

    async def run(self) -> None:
        """Write until stopped."""
        turns, file = self.turns, -1
        if turns is not None and sys.platform == "linux":
            file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._writer.on_end = partial(os.eventfd_write, file, 1)
            self._writer.end_file = file
            turns.watch(file, partial(self._look_after, file))
            turns.at_end = self._at_end
        else:
            soon = trio.lowlevel.current_trio_token().run_sync_soon
            self._writer.on_end = partial(soon, self._look, idempotent=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ring)
                await self._run()
                nursery.cancel_scope.cancel()
        finally:
            self._writer.close()
            if turns is not None and file >= 0:
                turns.at_end = _nothing
                turns.forget(file)
                os.close(file)

    async def _run(self) -> None:
        while not self._journal.is_finished:
            if self._failure is not None:
                raise self._failure
            self._work = trio.Event()
            if trio.current_time() >= self._retry_at:
                self._retry_at = math.inf
                self._journal.retry()
            self._rewrite()
            if self._job is None:
                self._begin_in_time()
            else:
                self._plan()
            await self._work.wait()
        self.finished.set()

    def _wake(self) -> None:
        self._is_wanted = True
        if self.turns is None or not self.turns.is_serving:
            self._work.set()

    def _at_end(self) -> None:
        if self._is_wanted and self._job is None:
            self._guarded(self._begin_in_time)

    def _begin_in_time(self) -> None:
        """Hand over what is to be written, now or when more of it has come."""
        if self._is_wanted and self._gathering is not None:
            now = trio.current_time()
            left_s = self._gathering.left_s(now)
            if left_s:
                self._alarm.deadline = min(self._alarm.deadline, now + left_s)
                return
        self._begin()

    def _begin(self) -> None:
        """Hand over what is to be written now."""
        self._is_wanted = False
        batch = self._journal.take_batch()
        if batch is not None:
            self._job = self._writer.start(batch)
            if self._gathering is not None:
                self._gathering.began(trio.current_time())
                self._alarm.deadline = min(self._retry_at, self._rewrite_at)
        else:
            self._plan()

    def _look_after(self, file: int) -> None:
        with contextlib.suppress(BlockingIOError):  # the end has been seen already, in another's turn
            os.eventfd_read(file)
        self._look()

    def _look(self) -> None:
        """Something that the writer had may be done."""
        self._guarded(self._take_note)

    def _take_note(self) -> None:
        if self._job is not None and self._job.is_done:
            self._ended(self._job)
        if self._loading is not None and self._loading.is_done:
            self._loaded(self._loading)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do something outside of the task, which is to raise what this raises."""
        try:
            step()
        except Exception as error:
            self._failure = error
            self._work.set()

    def _ended(self, job: Job) -> None:
        self._job = None
        error = job.error
        if error is not None and not isinstance(error, OSError):
            raise error
        self._in_round(self._journal.batch_done, job.work, error)
        if self._journal.stalled is None:
            self._retry_s = FIRST_RETRY_S
        elif error is not None and self._retry_at == math.inf:
            self._retry_at = trio.current_time() + self._retry_s
            self._retry_s = min(2 * self._retry_s, self._longest_retry_s)
        if self._gathering is not None:
            self._gathering.ended(trio.current_time())
        self._begin_in_time()
        if self._journal.is_finished:
            self._work.set()

    def _rewrite(self) -> None:
        """Do a step of rewriting if it is time."""
        now = trio.current_time()
        if now < self._rewrite_at or self._loading is not None or self._journal.stalled:
            return
        if self._rewriter.is_loaded:
            moved = self._rewriter.step(REWRITE_STEP_OCTETS)
            self._rewrite_at = now + moved / self._rewrite_octets_per_s
            return
        self._rewrite_at = now + REWRITE_LOOK_S
        sparse = self._rewriter.choose()
        if sparse is not None:
            self._loading = self._writer.start(sparse)

    def _loaded(self, job: Job) -> None:
        self._loading = None
        if job.error is None:
            assert isinstance(job.work, LoadedSegment)
            self._rewriter.begin(job.work)
            self._rewrite_at = -math.inf
            self._work.set()
        elif not isinstance(job.error, OSError):
            raise job.error

    def _plan(self) -> None:
        """Have the task woken when something is due."""
        due = min(self._retry_at, self._rewrite_at)
        idle_s = None if self._job is not None else self._journal.idle_s()  # its end is looked at in any case
        if idle_s is not None:
            due = min(due, trio.current_time() + idle_s)
        if due < self._alarm.deadline:
            self._alarm.deadline = due

    async def _ring(self) -> None:
        """Wake the task at such instants; to move a deadline now and then is cheaper than one for each wait."""
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            self._work.set()


def _nothing() -> None:
    """Nobody wants to know."""


async def run_committer(journal: Journal) -> None:
    """Run a journal's batches until it is finished, see `Journal.finish`."""
    await Committer(journal).run()
