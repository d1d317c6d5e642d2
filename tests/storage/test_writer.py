"""The loop goes on while the disk works, and learns of its end in either way."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from amqp_broker.forms import is_compiled
from amqp_broker.net.hub import Hub
from amqp_broker.net.serving import serve
from amqp_broker.storage.batch import SMALL_OCTETS, DataBatch, Stretch
from amqp_broker.storage.committer import Committer
from amqp_broker.storage.disk import Disk, OsDisk, OsFile
from amqp_broker.storage.segment import HEADER_OCTETS, Part, Segment
from amqp_broker.storage.writer import Job, Work, Writer
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.test_committer import append, open_journal

FOREVER_S = 60.0


class Refused:
    def execute(self, disk: Disk) -> None:
        raise OSError("no")


def test_a_job_tells_of_its_end_and_keeps_its_error() -> None:
    ended = threading.Event()
    writer = Writer(SimulatedDisk(Random(1)), ended.set)
    job = writer.start(Refused())
    assert ended.wait(FOREVER_S)
    assert job.is_done
    assert str(job.error) == "no"
    writer.close()


def test_close_waits_for_what_was_started() -> None:
    writer = Writer(SimulatedDisk(Random(1)), lambda: None)
    jobs = [writer.start(Refused()) for _ in range(10)]
    writer.close()
    assert all(job.is_done for job in jobs)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs epoll")


@pytest.fixture(params=["task", pytest.param("turns", marks=on_linux)])
def has_turns(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "turns")


async def test_the_loop_goes_on_while_the_disk_hangs(has_turns: bool) -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    committer = Committer(journal)
    hangs, released = threading.Event(), threading.Event()

    def hang(call: str, _path: str) -> None:
        if call == "fsync" and hangs.is_set():
            assert released.wait(FOREVER_S)

    disk.fault = hang
    async with trio.open_nursery() as nursery:
        if has_turns:
            committer.turns = hub = Hub()
            nursery.start_soon(serve, hub)
        nursery.start_soon(committer.run)
        with trio.fail_after(FOREVER_S):
            await append(journal, 1)
            hangs.set()
            is_confirmed: list[bool] = []
            journal.append_publish(b"", b"", bytes(300), [(1, 2, 0, 0)])
            journal.when_durable(lambda: is_confirmed.append(True))
            for _ in range(100):  # turns of the loop: were it to wait for the disk, the test would not end
                await trio.lowlevel.checkpoint()
            assert not is_confirmed
            released.set()
            await append(journal, 3)
            assert is_confirmed
            committer.stop()
            await committer.finished.wait()
        nursery.cancel_scope.cancel()


def count_starts(committer: Committer) -> list[Work]:
    """All that is handed to the writer from now on."""
    begun: list[Work] = []
    start = committer._writer.start

    def counted(work: Work) -> Job:
        begun.append(work)
        return start(work)

    committer._writer.start = counted  # type: ignore[method-assign]
    return begun


@on_linux
async def test_what_is_stored_in_a_turn_is_written_at_its_end() -> None:
    journal = open_journal(SimulatedDisk(Random(1)))
    committer = Committer(journal)
    committer.turns = hub = Hub()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        nursery.start_soon(serve, hub)
        await append(journal, 1)
        await trio.testing.wait_all_tasks_blocked()  # the turn in which its end was seen is over as well
        begun = count_starts(committer)
        hub.is_serving = True
        for position in (2, 3):
            journal.append_publish(b"", b"", b"", [(1, position, 0, 0)])
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        assert not begun
        hub.is_serving = False
        hub.at_end()
        assert len(begun) == 1
        committer.stop()
        await committer.finished.wait()
        nursery.cancel_scope.cancel()


class _Twice:
    """Tells of everything twice, as turns do when somebody was served in the middle of one."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.is_serving = False
        self.at_end: Callable[[], None] = lambda: None
        self.forget = hub.forget

    def watch(self, file: int, readable: Callable[[], None]) -> None:
        def twice() -> None:
            readable()
            readable()

        self._hub.watch(file, twice)


@on_linux
async def test_the_end_of_a_batch_may_be_told_of_twice() -> None:
    journal = open_journal(SimulatedDisk(Random(1)))
    committer = Committer(journal)
    hub = Hub()
    committer.turns = _Twice(hub)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        nursery.start_soon(serve, hub)
        await append(journal, 1)
        committer.stop()
        await committer.finished.wait()
        nursery.cancel_scope.cancel()


def batch_for(file: OsFile, data: bytes, *, room_octets: int = 0) -> DataBatch:
    """One that only appends to a file."""
    segment = Segment(1, 1, 0)
    stretch = Stretch(segment, 1)
    stretch.data += data
    part = Part(0, "unused", stretch.offset - HEADER_OCTETS)
    part.file = file
    return DataBatch("unused", stretch, part, None, None, is_synced=True, room_octets=room_octets)


@pytest.fixture
def real_writer() -> Iterator[Writer]:
    """One whose end of a job can be waited for as the committer does."""
    if sys.platform != "linux":
        pytest.skip("needs eventfd")
    file = os.eventfd(0)
    writer = Writer(OsDisk(), partial(os.eventfd_write, file, 1))
    writer.end_file = file
    yield writer
    writer.close()
    os.close(file)


def done(writer: Writer, job: Job) -> Job:
    """The job, once the writer has told of its end."""
    os.eventfd_read(writer.end_file)
    assert job.is_done
    return job


def test_what_is_appended_is_in_the_file_with_its_room(real_writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    file = OsDisk().create(str(path))
    for data, room_octets in ((b"first", 0), (b"second", 100), (bytes(range(256)) * 4096, 100)):
        batch = batch_for(file, data, room_octets=room_octets)
        offset = batch.part.position(batch.stretch.offset)
        job = done(real_writer, real_writer.start(batch))
        assert job.error is None
        assert job.work is batch
        found = path.read_bytes()
        room = bytes(room_octets) if len(data) <= SMALL_OCTETS else b""
        assert found[offset : offset + len(data) + len(room)] == data + room
        assert batch.part.room == (offset + len(data) + len(room) if room else 0)
        batch.stretch.data += b"it may change again"


@pytest.mark.parametrize(
    ("path", "flags", "number"), [("/dev/full", os.O_RDWR, errno.ENOSPC), ("/dev/zero", os.O_RDONLY, errno.EBADF)]
)
def test_what_the_system_refuses_is_told(real_writer: Writer, path: str, flags: int, number: int) -> None:
    for _ in range(2):
        job = done(real_writer, real_writer.start(batch_for(OsFile(path, flags), b"octets", room_octets=10)))
        assert isinstance(job.error, OSError)
        assert job.error.errno == number
        assert job.error.strerror == os.strerror(number)


def test_appending_needs_no_thread_of_python_where_it_is_compiled(real_writer: Writer, tmp_path: Path) -> None:
    done(real_writer, real_writer.start(batch_for(OsDisk().create(str(tmp_path / "segment")), b"octets")))
    assert (real_writer._thread is None) == is_compiled()
    sealing = batch_for(OsDisk().create(str(tmp_path / "other")), b"octets")
    sealing.stretch.seals = True
    done(real_writer, real_writer.start(sealing))
    assert real_writer._thread is not None


def test_close_waits_for_what_is_appended(real_writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    job = real_writer.start(batch_for(OsDisk().create(str(path)), bytes(1 << 20)))
    real_writer.close()
    assert job.is_done
    assert path.stat().st_size >= 1 << 20


async def test_what_is_no_refusal_of_the_disk_ends_the_committer() -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    disk.fault = lambda call, _path: LookupError("a bug") if call == "pwrite" else None
    journal.append_publish(b"", b"", b"", [(1, 1, 0, 0)])
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="a bug")):
        await Committer(journal).run()
