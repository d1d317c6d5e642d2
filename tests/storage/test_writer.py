"""The loop waits for a fast disk and not for a slow one; durations are made up, no test measures time."""

from __future__ import annotations

import threading
from random import Random

import pytest
import trio

from amqp_broker.storage.committer import Committer
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.writer import LONGEST_PAUSE, LONGEST_WAIT_S, SMALL_OCTETS, WORTH_S, Patience, Writer
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.test_committer import append, open_journal

FOREVER_S = 60.0


class Held:
    """Work that takes until it is released."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def execute(self, disk: Disk) -> None:
        self.begun.set()
        assert self.released.wait(FOREVER_S)


class InOrder(Random):
    """In each turn of the loop tasks run in the order in which they were made."""

    def shuffle(self, x: object) -> None:
        """Leave it as it is."""


class Refused:
    def execute(self, disk: Disk) -> None:
        raise OSError("no")


@pytest.fixture
def writer() -> Writer:
    return Writer(SimulatedDisk(Random(1)))


def test_a_job_can_be_waited_for_and_keeps_its_error(writer: Writer) -> None:
    job = writer.start(Refused())
    assert job.wait(FOREVER_S)
    assert str(job.error) == "no"
    writer.close()


def test_who_gave_up_waiting_is_called_back(writer: Writer) -> None:
    work, called = Held(), threading.Event()
    job = writer.start(work)
    assert not job.wait(0.0)
    assert not job.notify(called.set)
    work.released.set()
    assert called.wait(FOREVER_S)
    writer.close()


def test_a_job_that_ends_between_wait_and_notify_is_not_missed(writer: Writer) -> None:
    job = writer.start(Refused())
    writer.close()  # after which it is done
    assert job.notify(lambda: None)


def lost_s(disk_s: list[float]) -> tuple[float, int]:
    """How long the loop stands still for small batches that take so long, and for how many of them it waits."""
    patience = Patience()
    total, waits = 0.0, 0
    for seconds in disk_s:
        if patience.allows(1000):
            waits += 1
            in_time = seconds <= LONGEST_WAIT_S
            total += min(seconds, LONGEST_WAIT_S)
            patience.waited(min(seconds, LONGEST_WAIT_S), in_time=in_time)
    return total, waits


def test_a_fast_disk_is_always_waited_for() -> None:
    assert lost_s([0.0001] * 1000)[1] == 1000


def test_large_batches_are_not_waited_for() -> None:
    assert not Patience().allows(SMALL_OCTETS + 1)


@pytest.mark.parametrize("disk_s", [0.0006, 0.005, 5.0])
def test_a_slow_disk_holds_up_the_loop_once_in_a_while_only(disk_s: float) -> None:
    count = 64 * LONGEST_PAUSE
    total, waits = lost_s([disk_s] * count)
    assert waits <= count / LONGEST_PAUSE + 20
    assert total < count * WORTH_S / 10


@pytest.mark.parametrize("slow_share", [0.01, 0.1, 0.3, 0.7])
def test_a_moody_disk_costs_the_loop_no_more_than_it_is_worth(slow_share: float) -> None:
    random = Random(1)
    disk_s = [0.02 if random.random() < slow_share else 0.0002 for _ in range(100_000)]
    assert lost_s(disk_s)[0] / len(disk_s) < WORTH_S


def test_a_disk_that_is_fast_again_is_waited_for_again() -> None:
    slow, fast = [0.02] * 1000, [0.0001] * 3000
    before, after = lost_s(slow)[1], lost_s(slow + fast)[1]
    assert after - before > 1500


def test_a_moment_of_slowness_is_soon_forgotten() -> None:
    fast, slow = [0.0001] * 100, [0.02] * 20
    before, after = lost_s(fast + slow)[1], lost_s(fast + slow + fast)[1]
    assert after - before > 60


async def test_while_the_disk_works_others_have_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqp_broker.storage.committer.LONGEST_WAIT_S", FOREVER_S)
    monkeypatch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr("trio._core._run._r", InOrder())
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    committer = Committer(journal)
    is_slow, released = threading.Event(), threading.Event()

    def work(call: str, _path: str) -> None:
        if call == "fsync" and is_slow.is_set():
            assert released.wait(FOREVER_S / 2)

    disk.fault = work
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        await append(journal, 1)
        is_slow.set()
        for position in range(2, 12):  # the loop would stand still in a turn in which nothing is stored
            journal.append_publish(b"", b"", bytes(30), [(1, position, 0, 0)])
            await trio.lowlevel.checkpoint()
        released.set()
        await append(journal, 12)
        committer.stop()


async def test_the_loop_goes_on_while_the_disk_hangs() -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    committer = Committer(journal)
    hangs, released = threading.Event(), threading.Event()

    def hang(call: str, _path: str) -> None:
        if call == "fsync" and hangs.is_set():
            assert released.wait(FOREVER_S)

    disk.fault = hang
    async with trio.open_nursery() as nursery:
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
