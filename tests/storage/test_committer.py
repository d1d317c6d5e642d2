from __future__ import annotations

import errno
from random import Random

import attrs
import trio
import trio.testing

from amqp_broker.storage.committer import Committer, run_committer
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.recovery import recover
from tests.storage.harness import DIRECTORY, SMALL
from tests.storage.simulated_disk import SimulatedDisk


def open_journal(disk: SimulatedDisk) -> Journal:
    recovery = recover(disk, DIRECTORY)
    assert not recovery.damage
    list(recovery.messages())
    return Journal(disk, DIRECTORY, recovery.journal_state, lambda: b"", attrs.evolve(SMALL), trio.current_time)


async def append(journal: Journal, position: int) -> None:
    """Publish, and wait for the confirm."""
    durable = trio.Event()
    journal.append_publish(b"", b"", bytes(300), [(1, position, 0, 0)])
    journal.when_durable(durable.set)
    await durable.wait()


async def test_confirms_come_and_a_stop_is_clean() -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    committer = Committer(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        with trio.fail_after(10):
            async with trio.open_nursery() as publishers:
                for position in range(50):
                    publishers.start_soon(append, journal, position)
            committer.stop()
    recovery = recover(disk.crash(), DIRECTORY)
    assert recovery.was_clean
    assert sorted(item.position for item in recovery.messages()) == list(range(50))


async def test_goes_on_by_itself_when_the_disk_does() -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    stalled, well_again = trio.Event(), trio.Event()
    journal.on_stalled = lambda error: stalled.set() if error else well_again.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_committer, journal)
        with trio.fail_after(20):
            disk.fault = lambda call, _path: OSError(errno.ENOSPC, "full") if call == "pwrite" else None
            nursery.start_soon(append, journal, 1)
            await stalled.wait()
            disk.fault = lambda _call, _path: None
            await well_again.wait()
            await append(journal, 2)
            journal.finish()
    assert sorted(item.position for item in recover(disk, DIRECTORY).messages()) == [1, 2]


async def test_cancelled_is_as_safe_as_a_crash() -> None:
    disk = SimulatedDisk(Random(1))
    journal = open_journal(disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_committer, journal)
        await append(journal, 1)
        nursery.cancel_scope.cancel()
    assert [item.position for item in recover(disk.crash(), DIRECTORY).messages()] == [1]
