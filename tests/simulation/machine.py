"""A broker on a simulated disk: its writer is stepped by hand, the power can go, and it starts again.

What `server` and the committer do with trio and threads is done here by plain calls, one at a time, so that
anything may happen between a batch taken, a batch written and a batch reported.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.storage.batch import Batch
from amqp_broker.storage.interface import Storage
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.opening import open_journal
from amqp_broker.storage.rewriting import LoadedSegment, Rewriter
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.store import JournalStorage
from amqp_broker.storage.stream_write import StreamBatch
from amqp_broker.storage.streams import Streams
from tests.storage.simulated_disk import SimulatedDisk
from tests.support.client import Client, World

DIRECTORY = "data"

SMALL = JournalSettings(
    segment_octets=4096,
    lazy_delay_s=0.05,
    behind_octets=32 * 1024,
    unsynced_octets=4000,
    checkpoint_interval_s=0.2,
    spread=1.2,
    reserve_octets=0,
    stream_cache_octets=4000,
    room_octets=1500,
)
"""Everything happens often."""

BEGINNING = 1_000_000.0


class Writer:
    """The committer's work in steps, as its thread and its task would do it.

    Attributes:
        journal: whose batches these are.
    """

    def __init__(self, journal: Journal, streams: Streams) -> None:
        self.journal = journal
        self._streams = StreamWriter(streams)
        self._rewriter = Rewriter(journal)
        self._batch: Batch | None = None
        self._is_executed = False
        self._error: OSError | None = None

    def step(self) -> bool:
        """Take a batch, or write it, or report it; tells whether there was anything to do."""
        did = self._streams.step()
        return self._step_journal() or did

    def _step_journal(self) -> bool:
        if self._batch is None:
            self._batch = self.journal.take_batch()
            self._is_executed = False
            return self._batch is not None
        if not self._is_executed:
            self._error = None
            try:
                self._batch.execute(self.journal.disk)
            except OSError as error:
                self._error = error
            self._is_executed = True
            return True
        batch, self._batch = self._batch, None
        self.journal.batch_done(batch, self._error)
        return True

    def run(self) -> None:
        """Write until nothing is due, or the disk refuses."""
        while self.step():
            pass

    def run_journal(self) -> None:
        """Write the journal only; streams stay as they are."""
        while self._step_journal():
            pass

    def run_streams(self) -> None:
        """Write streams only."""
        while self._streams.step():
            pass

    def rewrite(self, max_octets: int) -> None:
        """Do a step of rewriting, as the committer does between batches."""
        if self._batch is not None or self.journal.stalled is not None:
            return
        rewriter = self._rewriter
        if not rewriter.is_loaded:
            loaded = rewriter.choose()
            if loaded is None or not self._load(loaded):
                return
            rewriter.begin(loaded)
        rewriter.step(max_octets)

    def _load(self, loaded: LoadedSegment) -> bool:
        try:
            loaded.execute(self.journal.disk)
        except OSError:
            return False
        return True


class StreamWriter:
    """The same for streams, which have threads and tasks of their own, one of them for reading."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._batch: StreamBatch | None = None
        self._is_executed = False
        self._error: OSError | None = None

    def step(self) -> bool:
        did = self._read()
        return self._write() or did

    def _read(self) -> bool:
        reads = self._streams.take_reads()
        if reads is None:
            return False
        reads.execute(self._streams.disk)
        self._streams.reads_done(reads)
        return True

    def _write(self) -> bool:
        if self._batch is None:
            self._batch = self._streams.take_batch()
            self._is_executed = False
            return self._batch is not None
        if not self._is_executed:
            self._error = None
            try:
                self._batch.execute(self._streams.disk)
            except OSError as error:
                self._error = error
            self._is_executed = True
            return True
        batch, self._batch = self._batch, None
        self._streams.batch_done(batch, self._error)
        return True


class Machine(World):
    """A broker, its data directory and a clock; what the power leaves goes to the next one.

    Attributes:
        disk: all that outlives the broker.
        is_eager: clients that look for an answer have the writer run first.
        was_clean: the directory says that the broker before stopped in peace.
        storage: the broker's, as the journal's room made it.
    """

    def __init__(
        self,
        disk: SimulatedDisk | None = None,
        *,
        config: Config | None = None,
        settings: JournalSettings = SMALL,
        time: float = BEGINNING,
        is_eager: bool = True,
        wrap: Callable[[JournalStorage], Storage] = lambda storage: storage,
    ) -> None:
        self.time = time
        self.config = config or Config()
        self.settings = settings
        self.is_eager = is_eager
        self.disk = disk or SimulatedDisk(Random(0))
        opened = open_journal(DIRECTORY, settings, self.disk, lambda: self.time)
        self.storage = opened.storage
        self.journal = opened.storage.journal
        self.streams = opened.storage.streams
        self.writer = Writer(self.journal, self.streams)
        self.broker = Broker(self.config, now=lambda: self.time, storage=wrap(opened.storage))
        opened.storage.definitions = self.broker.definitions
        opened.storage.on_stalled(lambda error: self.broker.set_alarm("disk", error is not None))
        there = self.broker.restore(opened.definitions, opened.queues)
        for queue_id in opened.queues.keys() - there:
            opened.forget_queue(queue_id)

    def connect(self) -> Client:
        return MachineClient(self)

    def stop(self) -> None:
        """Stop in peace: clients are told and leave, all is written (as `Server.run` and `_DataDirectory.close`)."""
        self.broker.shut_down()
        for client in list(self.broker.clients):
            client.edge.abort()  # type: ignore[attr-defined]
        self.broker.timers.finish_work()
        self.storage.prepare_stop()
        self.streams.finish()
        while not self.streams.is_finished:
            self.writer.run()
            self.streams.retry()
            self.time += 0.1
        self.journal.finish()
        while not self.journal.is_finished:
            self.writer.run()
            self.journal.retry()
            self.time += 0.1

    def restarted(self) -> Machine:
        """Stop in peace, and start again."""
        self.stop()
        return self.on(self.disk.crash())

    def crashed(self) -> Machine:
        """Lose power now, and start again with what the disk has kept."""
        return self.on(self.disk.crash())

    def killed(self) -> Machine:
        """End the process now, and start again: the disk has all that was written."""
        return self.on(self.disk.copy())

    def on(self, disk: SimulatedDisk) -> Machine:
        """Start a broker of the same kind on another disk."""
        return Machine(disk, config=self.config, settings=self.settings, time=self.time, is_eager=self.is_eager)


class MachineClient(Client):
    """A client whose answers may have to wait for the disk."""

    def pump(self) -> None:
        world = self.world
        assert isinstance(world, Machine)
        if world.is_eager:
            world.writer.run()
        super().pump()
