"""Streams on a disk that makes them wait, or refuses."""

from __future__ import annotations

import errno
from random import Random

import attrs
import pytest
import trio

from amqp_broker.storage.disk import OsDisk
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.stream_committer import StreamCommitter
from amqp_broker.storage.stream_log import Cursor, StreamLimits, StreamLog
from amqp_broker.storage.streams import Streams
from tests.crash.plain_message import body_of, plain_message
from tests.storage.harness import DIRECTORY, Clock
from tests.storage.simulated_disk import SimulatedDisk

SETTINGS = JournalSettings(checkpoint_interval_s=1.0)
LIMITS = StreamLimits(segment_octets=600, max_octets=2000)


@attrs.define(eq=False)
class Bench:
    """Two streams on a simulated disk."""

    disk: SimulatedDisk
    clock: Clock
    streams: Streams
    logs: list[StreamLog]

    def write(self) -> int:
        """Write all that is due; gives how many batches that took."""
        batches = 0
        while (batch := self.streams.take_batch()) is not None:
            batches += 1
            assert batches < 100, "it writes for ever"
            batch.execute(self.disk)
            self.streams.batch_done(batch, None)
        return batches

    def fill(self, log: StreamLog, messages: int = 30) -> None:
        """A segment for every few messages."""
        for number in range(messages):
            log.append(b"\0\0", b"h", b"%03d" % number + bytes(200))
            self.write()

    def segments_of(self, stream_id: int) -> list[str]:
        return [path for path in self.disk.paths() if f"/{stream_id:016d}." in path and path.endswith(".seg")]

    def read(self) -> bool:
        """Read what readers wait for, as the task does; tells whether there was anything."""
        reads = self.streams.take_reads()
        if reads is None:
            return False
        reads.execute(self.disk)
        self.streams.reads_done(reads)
        return True


class Reader:
    """Takes what there is, whenever it is told that there is something.

    Attributes:
        found: numbers of messages.
        said: errors.
        has_all: there was nothing more.
    """

    def __init__(self, log: StreamLog) -> None:
        self.cursor = Cursor(log, 0, None)
        self.found: list[int] = []
        self.said: list[OSError] = []
        self.has_all = trio.Event()
        log.on_readable = self.take

    def take(self) -> None:
        try:
            while (message := self.cursor.next()) is not None:
                self.found.append(int(body_of(message)[:3]))
            self.has_all.set()
        except BlockingIOError:
            return
        except OSError as error:
            self.said.append(error)


@pytest.fixture
def bench() -> Bench:
    disk, clock = SimulatedDisk(Random(0)), Clock()
    disk.make_directory(f"{DIRECTORY}/streams")
    streams = Streams(disk, DIRECTORY, bytes(16), SETTINGS, clock=clock)
    logs = [streams.open(number, LIMITS, plain_message, clock) for number in (1, 2)]
    return Bench(disk, clock, streams, logs)


def refuse_to_unlink(stream_id: int) -> object:
    """A fault: the files of one stream stay."""

    def fault(call: str, path: str) -> OSError | None:
        return OSError(errno.EPERM, "no") if call == "unlink" and f"/{stream_id:016d}." in path else None

    return fault


def test_file_that_can_not_be_removed_is_tried_again_in_time(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.disk.fault = refuse_to_unlink(1)  # type: ignore[assignment]
    bench.fill(bench.logs[0])
    stuck = len(bench.segments_of(1))
    assert stuck > bench.logs[0].segment_count + 1
    assert bench.write() == 0
    idle_s = bench.streams.idle_s()
    assert idle_s is not None
    assert 0 < idle_s <= 1.0
    bench.clock.now += 1.0
    assert bench.write() == 1
    assert len(bench.segments_of(1)) == stuck
    assert caplog.text.count("can't be removed") == 1
    bench.disk.fault = lambda _call, _path: None
    bench.clock.now += 1.0
    assert bench.write() == 1
    assert len(bench.segments_of(1)) == bench.logs[0].segment_count
    assert bench.streams.idle_s() is None


def test_stream_whose_files_stay_holds_up_no_other(bench: Bench) -> None:
    bench.disk.fault = refuse_to_unlink(1)  # type: ignore[assignment]
    for log in bench.logs:
        bench.fill(log)
    bench.clock.now += 1.0
    bench.write()
    assert len(bench.segments_of(1)) > bench.logs[0].segment_count
    assert len(bench.segments_of(2)) == bench.logs[1].segment_count


def test_stop_does_not_wait_for_files_that_stay(bench: Bench) -> None:
    bench.disk.fault = refuse_to_unlink(1)  # type: ignore[assignment]
    bench.fill(bench.logs[0])
    bench.streams.finish()
    bench.write()
    assert bench.streams.is_finished


def test_reader_waits_for_the_disk_without_the_loop(bench: Bench) -> None:
    log = bench.logs[0]
    log.limits = StreamLimits(segment_octets=600)
    bench.fill(log)
    bench.disk.cold = 0.7
    reader = Reader(log)
    reader.take()
    reads = 0
    while bench.read():
        reads += 1
    assert reads > 0
    assert reader.found == list(range(30))


def test_two_who_wait_for_the_same_chunk_have_it_read_once(bench: Bench) -> None:
    log = bench.logs[0]
    bench.fill(log, 2)
    restarted = Cursor(log, 0, None), Cursor(log, 0, None)
    restarted[0].next()  # what finds the place reads at once
    restarted[1].next()
    bench.streams._cache.clear()
    bench.disk.cold = 1.0
    for cursor in restarted:
        with pytest.raises(BlockingIOError):
            cursor.next()
    reads = bench.streams.take_reads()
    assert reads is not None
    assert len(reads.reads) == 1
    with pytest.raises(BlockingIOError):
        restarted[0].next()
    assert bench.streams.take_reads() is None, "it is being read"
    reads.execute(bench.disk)
    given: list[bytes] = []
    log.on_readable = lambda: given.extend(body_of(each)[:3] for cursor in restarted if (each := cursor.next()))
    bench.streams.reads_done(reads)
    assert given == [b"001", b"001"]


def test_reader_is_told_what_the_disk_said(bench: Bench) -> None:
    log = bench.logs[0]
    bench.fill(log, 6)
    bench.disk.cold = 1.0
    reader = Reader(log)
    reader.take()
    before = list(reader.found)
    bench.disk.fault = lambda call, _path: OSError(errno.EIO, "broken") if call == "pread" else None
    assert bench.read()
    assert [error.errno for error in reader.said] == [errno.EIO]
    assert not bench.read(), "it goes on reading"
    bench.disk.fault = lambda _call, _path: None
    reader.take()
    while bench.read():
        pass
    assert before == [0, 1]
    assert reader.found == list(range(6))


def test_chunk_that_is_read_and_damaged_is_passed_over(bench: Bench) -> None:
    log = bench.logs[0]
    log.limits = StreamLimits(segment_octets=600)
    bench.fill(log, 6)
    path = bench.segments_of(1)[0]
    octets = bytearray(bench.disk.get(path))
    octets[octets.index(b"001")] ^= 1
    bench.disk.put(path, bytes(octets))
    bench.disk.cold = 1.0
    reader = Reader(log)
    reader.take()
    while bench.read():
        pass
    assert reader.found == [0, 2, 3, 4, 5]


async def test_task_reads_what_is_waited_for() -> None:
    disk = SimulatedDisk(Random(1))
    disk.make_directory(f"{DIRECTORY}/streams")
    disk.cold = 0.5
    settings = attrs.evolve(SETTINGS, stream_cache_octets=0)
    streams = Streams(disk, DIRECTORY, bytes(16), settings, clock=trio.current_time)
    log = streams.open(1, StreamLimits(), plain_message, Clock())
    committer = StreamCommitter(streams)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        with trio.fail_after(10):
            for number in range(20):
                durable = trio.Event()
                log.append(b"\0\0", b"h", b"%03d" % number)
                streams.when_durable(durable.set)
                await durable.wait()
            reader = Reader(log)
            reader.take()
            await reader.has_all.wait()
            committer.stop()
            await committer.finished.wait()
    assert reader.found == list(range(20))


def test_os_reads_at_once_what_it_has_written(tmp_path: object) -> None:
    disk = OsDisk()
    file = disk.create(f"{tmp_path}/file")
    file.pwrite(b"0123456789", 0)
    file.prefetch(10, 0)
    assert file.pread_now(4, 3) == b"3456"
    assert file.pread_now(100, 8) == b"89"
