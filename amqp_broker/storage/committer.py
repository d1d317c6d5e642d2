"""The committer: the one task that has groups of records written and fsynced, one at a time. The room's only trio.

It wakes in the turn of the loop after the one in which something was appended, so all that was read in that turn
is one group. The writer's thread does the work; small groups are waited for (see `writer`), so that confirms leave
in the same turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from time import perf_counter

import trio

from amqp_broker.storage.batch import Batch, DataBatch
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.rewriting import LoadedSegment, Rewriter
from amqp_broker.storage.writer import LONGEST_WAIT_S, Job, Patience, Writer

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 5.0
REWRITE_STEP_OCTETS = 256 << 10
REWRITE_OCTETS_PER_S = 8 << 20
REWRITE_LOOK_S = 1.0
"""How often to look for a sparse segment."""


def _call(work: Callable[..., None], *arguments: object) -> None:
    work(*arguments)


class Committer:
    """Runs a journal's batches.

    Attributes:
        finished: set when `run` has written the clean checkpoint.

    Args:
        journal: whose `on_work` this takes.
        rewrite_octets_per_s: pace of rewriting sparse segments.
        in_round: calls what it is given, all that follows from the end of a batch; so whoever makes output of that can
            write it in one go.
    """

    def __init__(
        self,
        journal: Journal,
        rewrite_octets_per_s: int = REWRITE_OCTETS_PER_S,
        in_round: Callable[..., None] = _call,
    ) -> None:
        self._journal = journal
        self._writer = Writer(journal.disk)
        self._patience = Patience()
        self._rewriter = Rewriter(journal)
        self._rewrite_octets_per_s = rewrite_octets_per_s
        self._rewrite_at = -math.inf
        self._retry_s = FIRST_RETRY_S
        self._retry_at = math.inf
        self._in_round = in_round
        self._alarm = trio.CancelScope()
        self.finished = trio.Event()
        self._work = trio.Event()
        journal.on_work = self._wake

    def _wake(self) -> None:
        self._work.set()

    def stop(self) -> None:
        """Nothing more will be appended: `run` writes what there is and a clean checkpoint, then returns.

        While the disk refuses it goes on trying; cancel it to give up, which is as safe as a crash.
        """
        self._journal.finish()

    async def run(self) -> None:
        """Write until stopped."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ring)
                await self._run()
                nursery.cancel_scope.cancel()
        finally:
            self._writer.close()

    async def _run(self) -> None:
        journal = self._journal
        while not journal.is_finished:
            self._work = trio.Event()
            batch = journal.take_batch()
            if batch is not None:
                await self._execute(batch)
            elif not await self._rewrite():
                await self._wait()
            if trio.current_time() >= self._retry_at:
                self._retry_at = math.inf
                journal.retry()
        self.finished.set()

    async def _execute(self, batch: Batch | LoadedSegment) -> OSError | None:
        job = self._writer.start(batch)
        if not await self._see_end(job, batch):
            await _end_of(job)
        error = job.error
        if error is not None and not isinstance(error, OSError):
            raise error
        if isinstance(batch, LoadedSegment):
            return error
        self._in_round(self._journal.batch_done, batch, error)
        if self._journal.stalled is None:
            self._retry_s = FIRST_RETRY_S
        elif error is not None and self._retry_at == math.inf:
            self._retry_at = trio.current_time() + self._retry_s
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
        return error

    async def _see_end(self, job: Job, batch: Batch | LoadedSegment) -> bool:
        """Stay with a batch for a moment; tells whether it is done.

        While others have something to store, they have their turns; when nobody has, the loop stands still.
        """
        if not isinstance(batch, DataBatch) or not batch.is_appending:
            return False
        give_up_at = perf_counter() + LONGEST_WAIT_S
        while True:
            before = self._journal.next_record
            await trio.lowlevel.cancel_shielded_checkpoint()
            if job.wait(0):
                return True
            since = perf_counter()
            if since >= give_up_at:
                return False
            if self._journal.next_record == before:
                break
        if not self._patience.allows(batch.stretch.octets):
            return False
        in_time = job.wait(give_up_at - since)
        self._patience.waited(perf_counter() - since, in_time=in_time)
        return in_time

    async def _rewrite(self) -> bool:
        """Do a step of rewriting if it is time; tell whether there was one."""
        now = trio.current_time()
        if now < self._rewrite_at or self._journal.stalled:
            return False
        if not self._rewriter.is_loaded:
            self._rewrite_at = now + REWRITE_LOOK_S
            loaded = self._rewriter.choose()
            if loaded is None or await self._execute(loaded) is not None:
                return False
            self._rewriter.begin(loaded)
        moved = self._rewriter.step(REWRITE_STEP_OCTETS)
        self._rewrite_at = trio.current_time() + moved / self._rewrite_octets_per_s
        return True

    async def _wait(self) -> None:
        """Sleep until there is work or something is due."""
        due = min(self._retry_at, self._rewrite_at)
        idle_s = self._journal.idle_s()
        if idle_s is not None:
            due = min(due, trio.current_time() + idle_s)
        if due < self._alarm.deadline:
            self._alarm.deadline = due
        await self._work.wait()

    async def _ring(self) -> None:
        """Call whatever is due work as well: moving a deadline now and then is cheaper than one for each wait."""
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            self._wake()


async def _end_of(job: Job) -> None:
    """Let the loop go on until a job is done; not to be cancelled, for the journal must learn of its end."""
    done = trio.Event()
    if not job.notify(partial(trio.lowlevel.current_trio_token().run_sync_soon, done.set)):
        with trio.CancelScope(shield=True):
            await done.wait()


async def run_committer(journal: Journal) -> None:
    """Run a journal's batches until it is finished, see `Journal.finish`."""
    await Committer(journal).run()
