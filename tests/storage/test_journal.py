from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import attrs
import pytest

from amqp_broker.storage.batch import CheckpointBatch, DataBatch
from amqp_broker.storage.check import dump
from amqp_broker.storage.disk import OsDisk
from amqp_broker.storage.records import REDELIVERED, TRANSIENT
from amqp_broker.storage.rewriting import Rewriter
from amqp_broker.storage.segment import HEADER_OCTETS, segment_name
from amqp_broker.storage.settings import SyncMode
from tests.storage.harness import DIRECTORY, SMALL, Harness
from tests.storage.simulated_disk import SimulatedDisk


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(Random(1))


@pytest.fixture
def harness(disk: SimulatedDisk) -> Harness:
    harness = Harness(disk)
    harness.drain()
    return harness


def refuse(disk: SimulatedDisk, *calls: str, code: int = errno.EIO) -> None:
    disk.fault = lambda call, _path: OSError(code, "refused") if call in calls else None


def allow(disk: SimulatedDisk) -> None:
    disk.fault = lambda _call, _path: None


def note_fsyncs(disk: SimulatedDisk, paths: list[str]) -> None:
    def note(call: str, path: str) -> None:
        if call == "fsync":
            paths.append(path)

    disk.fault = note


def error_of(harness: Harness) -> OSError | None:
    """As `harness.journal.stalled`, of which mypy would believe that it stays what it was."""
    return harness.journal.stalled


def test_what_is_stored_is_read_before_and_after_it_is_written(harness: Harness) -> None:
    harness.publish(1, b"one", queues=(1, 2))
    assert harness.read(1, queue=2).body == b"one"
    harness.drain()
    assert harness.journal._active.safe_end == harness.journal._active.end
    stored = harness.read(1)
    assert (stored.address, stored.header, stored.body) == (b"address", b"header", b"one")


def test_callback_at_once_when_nothing_is_pending(harness: Harness) -> None:
    calls: list[int] = []
    harness.journal.when_durable(lambda: calls.append(1))
    assert calls == [1]


@pytest.mark.rule("7.4")
def test_callbacks_come_in_order_and_only_after_the_fsync(harness: Harness, disk: SimulatedDisk) -> None:
    calls: list[int] = []
    for position in range(3):
        harness.publish(position)
        harness.journal.when_durable(lambda position=position: calls.append(position))  # type: ignore[misc]
    synced: list[str] = []
    note_fsyncs(disk, synced)
    batch = harness.journal.take_batch()
    assert isinstance(batch, DataBatch)
    assert calls == []
    batch.execute(disk)
    assert synced
    assert calls == []
    harness.journal.batch_done(batch, None)
    assert calls == [0, 1, 2]


def test_one_batch_gathers_while_another_is_under_way(harness: Harness) -> None:
    calls: list[int] = []
    harness.publish(1)
    batch = harness.journal.take_batch()
    assert batch
    harness.publish(2)
    harness.journal.when_durable(lambda: calls.append(2))
    assert harness.journal.take_batch() is None
    harness.execute(batch)
    assert calls == []
    harness.run_one()
    assert calls == [2]


@pytest.mark.rule("7.6")
def test_removals_wait_and_cost_no_fsync(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(1)
    harness.publish(2)
    harness.run_one()
    harness.remove(1)
    assert harness.journal.take_batch() is None
    assert harness.journal.idle_s() == pytest.approx(SMALL.lazy_delay_s)
    harness.clock.now += SMALL.lazy_delay_s
    batch = harness.journal.take_batch()
    assert isinstance(batch, DataBatch)
    assert not batch.is_synced
    harness.execute(batch)
    assert {item.position for item in Harness(disk.copy()).found} == {2}


@pytest.mark.rule("7.6")
@pytest.mark.rule("7.9")
def test_clean_stop_keeps_removals_and_marks(harness: Harness, disk: SimulatedDisk) -> None:
    for position in (1, 2, 3):
        harness.publish(position)
    harness.remove(1)
    harness.journal.mark(harness.live[1, 2], 3)
    harness.finish()
    again = Harness(disk.crash())
    assert again.recovery.was_clean
    assert [(item.position, item.delivery_count, item.flags) for item in again.found] == [
        (2, 3, REDELIVERED),
        (3, 0, 0),
    ]


@pytest.mark.rule("7.5")
def test_topology_is_there_after_a_crash_and_after_a_checkpoint(harness: Harness, disk: SimulatedDisk) -> None:
    calls: list[int] = []
    harness.declare(b"a")
    harness.journal.when_durable(lambda: calls.append(1))
    harness.run_one()
    assert calls == [1]
    again = Harness(disk.crash())
    assert again.topology == [b"", b"a"][1:]
    again.declare(b"b")
    again.finish()
    assert b"".join(Harness(again.disk).topology) == b"ab"


@pytest.mark.rule("7.3")
def test_transient_messages_are_gone_after_a_restart(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(1, flags=TRANSIENT)
    harness.publish(2)
    harness.drain()
    assert harness.read(1).body == b"body"
    harness.finish()
    assert [item.position for item in Harness(disk).found] == [2]


@pytest.mark.rule("7.7")
def test_order_and_expiry_survive(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(50):
        harness.journal.append_publish(b"", b"", bytes(100), [(1, position, 1_800_000_000_000 + position, 0)])
    harness.drain()
    found = Harness(disk.crash()).found
    assert [item.position for item in found] == list(range(50))
    assert [item.expires_at_ms - item.position for item in found] == [1_800_000_000_000] * 50
    assert {item.body_octets for item in found} == {100}


def test_empty_segments_are_deleted(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(200):
        harness.publish(position, bytes(200))
        harness.drain(0.2)
        harness.remove(position)
    harness.drain()
    assert len(disk.names(f"{DIRECTORY}/segments")) <= 3


def test_an_old_message_does_not_keep_the_segments_after_it(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(0)
    for position in range(1, 100):
        harness.publish(position, bytes(200))
        harness.drain(0.2)
        harness.remove(position)
    harness.drain()
    names = disk.names(f"{DIRECTORY}/segments")
    assert names[0] == "0000000000000001.seg"
    assert len(names) <= 4


def test_sparse_segments_are_rewritten(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(200):
        harness.publish(position, bytes(200))
    harness.drain()
    harness.journal.mark(harness.live[1, 0], 2)
    for position in range(200):
        if position % 10:
            harness.remove(position)
    harness.drain()
    before = harness.journal.disk_octets
    rewriter = Rewriter(harness.journal)
    while loaded := rewriter.choose():
        loaded.execute(disk)
        rewriter.begin(loaded)
        while rewriter.is_loaded:
            rewriter.step(300)
            harness.drain()
    assert harness.journal.disk_octets < before / 3
    kept = list(range(0, 200, 10))
    assert all(harness.read(position).body == bytes(200) for position in kept)
    again = Harness(disk.crash())
    assert sorted(item.position for item in again.found) == kept
    assert {item.position: item.delivery_count for item in again.found}[0] == 2


def test_read_many_reads_in_order_and_stops_at_the_limit(harness: Harness) -> None:
    for position in range(40):
        harness.publish(position, bytes((position,)) * 100)
        if position == 30:
            harness.drain()
    locations = [harness.live[1, position] for position in range(40)]
    assert [message.body[0] for message in harness.journal.reader.read_many(locations)] == list(range(40))
    few = harness.journal.reader.read_many(locations[5:], max_octets=1000)
    assert 1 < len(few) < 10
    assert few[0].body[0] == 5
    assert len(harness.journal.reader.read_many(locations[:1], max_octets=1)) == 1


@pytest.mark.rule("7.4")
@pytest.mark.parametrize("call", ["pwrite", "fsync", "create", "fsync_directory"])
def test_refused_batch_stalls_and_goes_on_in_another_file(harness: Harness, disk: SimulatedDisk, call: str) -> None:
    harness.publish(1)
    harness.run_one()
    calls: list[int] = []
    stalls: list[OSError | None] = []
    harness.journal.on_stalled = stalls.append
    while harness.journal._active.number < 2:  # so that a file has to be made
        harness.publish(2, bytes(300))
    harness.journal.when_durable(lambda: calls.append(2))
    refuse(disk, call)
    harness.drain()
    assert error_of(harness)
    assert calls == []
    assert harness.journal.take_batch() is None
    assert harness.read(1).body == b"body"
    assert harness.read(2).body == bytes(300)
    allow(disk)
    synced: list[str] = []
    note_fsyncs(disk, synced)
    harness.journal.retry()
    harness.drain()
    assert error_of(harness) is None
    assert len(stalls) == 2
    assert stalls[1] is None
    assert calls == [2]
    failed = {part.path for segment in harness.journal.segments.values() for part in segment.parts if part.has_failed}
    assert failed
    assert not failed & set(synced)
    again = Harness(disk.crash())
    assert {item.position for item in again.found} == {1, 2}
    assert not again.recovery.damage


@pytest.mark.rule("7.4")
def test_failed_fsync_is_never_believed_later(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(1, bytes(1000))
    refuse(disk, "fsync")
    harness.drain()
    allow(disk)
    harness.journal.retry()
    calls: list[int] = []
    harness.journal.when_durable(lambda: calls.append(1))
    harness.drain()
    assert calls == [1]
    assert [item.content.body for item in Harness(disk.crash()).found if item.content] == [bytes(1000)]


def test_full_disk_frees_itself_when_messages_go(disk: SimulatedDisk) -> None:
    harness = Harness(disk, attrs.evolve(SMALL, reserve_octets=4000))
    harness.drain()
    disk.capacity = 30_000
    position = 0
    while not error_of(harness):
        position += 1
        harness.publish(position, bytes(500))
        harness.drain(0.01)
    disk.capacity -= disk.free_octets("")  # somebody else took the rest
    for key in sorted(harness.live)[:-3]:
        harness.journal.remove(harness.live.pop(key))
    for _ in range(3):
        harness.journal.retry()
        harness.drain(5)
    assert error_of(harness) is None
    assert {(item.queue_id, item.position) for item in Harness(disk.crash()).found} == set(harness.live)


def test_checkpoint_that_fails_deletes_nothing(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(30):
        harness.publish(position, bytes(200))
    harness.drain()
    for position in range(30):
        harness.remove(position)
    before = disk.names(f"{DIRECTORY}/segments")
    refuse(disk, "rename")
    harness.drain()
    assert set(before) <= set(disk.names(f"{DIRECTORY}/segments"))
    assert error_of(harness) is None
    allow(disk)
    harness.drain()
    assert len(disk.names(f"{DIRECTORY}/segments")) < 3


def test_is_behind_while_much_is_unwritten(disk: SimulatedDisk) -> None:
    harness = Harness(disk, attrs.evolve(SMALL, behind_octets=1000))
    harness.publish(1, bytes(2000))
    assert harness.journal.is_behind
    harness.drain()
    assert not harness.journal.is_behind


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_other_modes_call_back_after_the_write(disk: SimulatedDisk, sync: SyncMode) -> None:
    harness = Harness(disk, attrs.evolve(SMALL, sync=sync))
    harness.publish(0)
    harness.drain(0)
    calls: list[int] = []
    harness.publish(1)
    harness.journal.when_durable(lambda: calls.append(1))
    batch = harness.journal.take_batch()
    while isinstance(batch, CheckpointBatch):
        harness.execute(batch)
        batch = harness.journal.take_batch()
    assert isinstance(batch, DataBatch)
    assert not batch.is_synced
    harness.execute(batch)
    assert calls == [1]
    harness.clock.now += 2
    later = harness.journal.take_batch()
    assert (isinstance(later, DataBatch) and later.is_synced) == (sync == "interval")


def test_replaced_message_stays_until_its_successor_is_safe(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(1)
    harness.drain()
    old = harness.live.pop((1, 1))
    harness.publish(2, queues=(9,))
    harness.journal.remove(old, is_replaced=True)
    assert harness.journal.segments[old.segment].is_live(old.ordinal)
    harness.drain()
    assert not harness.journal.segments[old.segment].is_live(old.ordinal)


def test_removing_twice_does_nothing(harness: Harness) -> None:
    location = harness.publish(1)
    harness.journal.remove(location)
    harness.journal.remove(location)
    assert harness.journal.live_octets == 0


def test_on_a_real_disk(tmp_path: Path) -> None:
    harness = Harness(OsDisk(), directory=str(tmp_path))
    for position in range(100):
        harness.publish(position, bytes(300))
    harness.drain()
    for position in range(60):
        harness.remove(position)
    harness.drain()
    assert harness.read(99).body == bytes(300)
    harness.finish()
    again = Harness(OsDisk(), directory=str(tmp_path))
    assert again.recovery.was_clean
    assert [item.position for item in again.found] == list(range(60, 100))


# Room ahead


def path_of(number: int) -> str:
    return f"{DIRECTORY}/segments/{segment_name(number, 0)}"


def test_small_batches_overwrite_zeros(harness: Harness, disk: SimulatedDisk) -> None:
    for position in (1, 2):
        harness.publish(position)
        harness.run_one()
    end = harness.journal._active.end
    octets = disk.get(path_of(1))
    assert octets[end:] == bytes(SMALL.room_octets)
    harness.publish(3)
    harness.run_one()
    assert len(disk.get(path_of(1))) == len(octets)
    lines = list(dump(DIRECTORY, disk))
    end = harness.journal._active.end
    assert lines[-1] == f"{segment_name(1, 0)}:{end}: room: {len(octets) - end} zeros"
    assert not any("UNREADABLE" in line for line in lines)
    again = Harness(disk.crash())
    assert not again.recovery.torn
    assert [item.position for item in again.found] == [1, 2, 3]


def test_a_sealed_segment_has_no_room(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(60):
        harness.publish(position)
        harness.run_one()
    sealed = [segment for segment in harness.journal.segments.values() if segment.is_sealed]
    assert sealed
    for segment in sealed:
        assert len(disk.get(path_of(segment.number))) == segment.end


def test_a_disk_without_room_for_zeros_takes_messages(harness: Harness, disk: SimulatedDisk) -> None:
    harness.publish(1)
    harness.run_one()
    disk.capacity = SMALL.room_octets + 100
    harness.publish(2)
    assert harness.run_one() is None
    assert error_of(harness) is None
    assert [item.position for item in Harness(disk.crash()).found] == [1, 2]


def test_room_does_not_hide_what_was_on_disk(harness: Harness, disk: SimulatedDisk) -> None:
    for position in range(40):
        harness.publish(position)
        harness.run_one()
    for position in range(20):
        harness.remove(position)
    harness.drain()  # with a checkpoint, which says how much is on disk
    path = path_of(harness.journal._active.number)
    octets = disk.get(path)
    disk.put(path, octets[:HEADER_OCTETS].ljust(len(octets), b"\0"))
    assert [damage.path for damage in Harness(disk).recovery.damage] == [path]
