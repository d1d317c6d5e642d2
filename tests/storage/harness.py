"""A broker's half of the journal, as small as it gets: it stores, remembers, and knows what it was promised."""

from __future__ import annotations

from amqp_broker.storage.batch import Batch
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.records import Location, StoredMessage
from amqp_broker.storage.recovery import RecoveredReference, Recovery, recover
from amqp_broker.storage.settings import JournalSettings

DIRECTORY = "data"
SMALL = JournalSettings(
    segment_octets=2048, reserve_octets=0, room_octets=700, lazy_delay_s=0.05, checkpoint_interval_s=0.1
)


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Harness:
    """A journal on a disk, with the recovery it came from.

    Attributes:
        live: (queue id, position) → location, of what was published and not removed.
        found: what recovery yielded.
    """

    def __init__(self, disk: Disk, settings: JournalSettings = SMALL, directory: str = DIRECTORY) -> None:
        self.disk = disk
        self.clock = Clock()
        self.recovery: Recovery = recover(disk, directory)
        self.found: list[RecoveredReference] = list(self.recovery.messages(with_content=True))
        self.live = {(item.queue_id, item.position): item.location for item in self.found}
        self.snapshot = self.recovery.snapshot or b""
        self.topology = [self.snapshot] if self.snapshot else []
        self.topology += [payload for _, payload in self.recovery.topology]
        self.journal = Journal(disk, directory, self.recovery.journal_state, self._take_snapshot, settings, self.clock)
        self.journal.on_moved = self._moved

    def _take_snapshot(self) -> bytes:
        return b"".join(self.topology)

    def _moved(self, queue_id: int, position: int, location: Location) -> None:
        if (queue_id, position) in self.live:
            self.live[queue_id, position] = location
        else:
            self.journal.remove(location)

    def publish(self, position: int, body: bytes = b"body", queues: tuple[int, ...] = (1,), flags: int = 0) -> Location:
        location = self.journal.append_publish(
            b"address", b"header", body, [(queue, position, 0, flags) for queue in queues]
        )
        for index, queue in enumerate(queues):
            self.live[queue, position] = location.reference(index)
        return location

    def declare(self, name: bytes) -> None:
        self.topology.append(name)
        self.journal.append_topology(1, name)

    def remove(self, position: int, queue: int = 1) -> None:
        self.journal.remove(self.live.pop((queue, position)))

    def read(self, position: int, queue: int = 1) -> StoredMessage:
        return self.journal.reader.read(self.live[queue, position])

    def run_one(self) -> OSError | None:
        """Run one batch, if there is one."""
        if (batch := self.journal.take_batch()) is None:
            return None
        return self.execute(batch)

    def execute(self, batch: Batch) -> OSError | None:
        failure = None
        try:
            batch.execute(self.disk)
        except OSError as error:
            failure = error
        self.journal.batch_done(batch, failure)
        return failure

    def drain(self, seconds: float = 1.0) -> None:
        """Let time pass and write all there is."""
        self.clock.now += seconds
        while (batch := self.journal.take_batch()) is not None:
            if self.execute(batch) is not None and self.journal.stalled:
                break

    def finish(self) -> None:
        self.journal.finish()
        self.drain()
        assert self.journal.is_finished
