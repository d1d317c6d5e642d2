"""What works for streams in threads: one task has them written and fsynced, a group at a time, one has them read.

Beside those of the journal, for they are different files: nobody waits for the other's disk.
"""

from __future__ import annotations

import math

import trio

from amqp_broker.storage.committer import FIRST_RETRY_S, LAST_RETRY_S
from amqp_broker.storage.streams import Streams


class StreamCommitter:
    """Runs the batches of streams.

    Attributes:
        finished: set when `run` has written all there is after `stop`.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._retry_s = FIRST_RETRY_S
        self.finished = trio.Event()
        self._work = trio.Event()
        self._reads = trio.Event()
        streams.on_work = self._wake
        streams.on_reads = self._wake_reader

    def _wake(self) -> None:
        self._work.set()

    def _wake_reader(self) -> None:
        self._reads.set()

    def stop(self) -> None:
        """Nothing more will be appended: `run` writes what there is, then returns."""
        self._streams.finish()

    async def run(self) -> None:
        """Write and read until stopped; while the disk refuses, try again and again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            await self._write()
            nursery.cancel_scope.cancel()
        self.finished.set()

    async def _write(self) -> None:
        streams = self._streams
        while not streams.is_finished:
            self._work = trio.Event()
            batch = streams.take_batch()
            if batch is None:
                if not streams.is_finished:
                    await self._wait(streams.idle_s())
                continue
            error = None
            try:
                await trio.to_thread.run_sync(batch.execute, streams.disk)
            except OSError as refusal:
                error = refusal
            streams.batch_done(batch, error)
            if error is None:
                self._retry_s = FIRST_RETRY_S
            else:
                await trio.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
                streams.retry()

    async def _read(self) -> None:
        streams = self._streams
        while True:
            self._reads = trio.Event()
            if (reads := streams.take_reads()) is not None:
                await trio.to_thread.run_sync(reads.execute, streams.disk)
                streams.reads_done(reads)
            else:
                await self._reads.wait()

    async def _wait(self, idle_s: float | None) -> None:
        """Sleep until something is due."""
        with trio.move_on_after(math.inf if idle_s is None else idle_s):
            await self._work.wait()
