"""Torn tails at every octet and bits flipped anywhere: what can't be recovered is named, and nothing ever raises."""

from __future__ import annotations

from random import Random

import pytest

from amqp_broker.storage.check import check, dump
from amqp_broker.storage.recovery import recover
from amqp_broker.storage.rewriting import Rewriter
from amqp_broker.storage.segment import HEADER_OCTETS
from tests.storage.harness import DIRECTORY, Harness
from tests.storage.simulated_disk import SimulatedDisk

SEGMENT_1 = f"{DIRECTORY}/segments/0000000000000001.seg"


class Filled(Harness):
    """A harness on a simulated disk."""

    disk: SimulatedDisk


def filled(seed: int, *, is_clean: bool) -> Filled:
    """Make a journal of some segments, with holes where messages are gone."""
    random = Random(seed)
    harness = Filled(SimulatedDisk(random))
    harness.declare(b"queue")
    for position in range(60):
        harness.publish(position, random.randbytes(random.choice((5, 50, 500))), queues=(1, 2)[: random.randint(1, 2)])
        if random.random() < 0.3:
            harness.drain(0.2)
        if position % 3 == 2:
            queue, gone = random.choice(sorted(harness.live))
            harness.remove(gone, queue)
    harness.drain()
    if is_clean:
        harness.finish()
    return harness


@pytest.mark.rule("7.4")
def test_a_tail_torn_at_any_octet_costs_only_what_lies_behind_it() -> None:
    disk = SimulatedDisk(Random(1))
    harness = Harness(disk)
    harness.drain()
    ends = []
    for position in range(6):
        harness.publish(position, bytes(50 * position))
        ends.append(harness.journal._active.end)
    harness.run_one()
    whole = disk.get(SEGMENT_1)
    for cut in range(len(whole)):
        torn = disk.copy()
        torn.put(SEGMENT_1, whole[:cut])
        recovery = recover(torn, DIRECTORY)
        assert not recovery.damage
        assert [item.position for item in recovery.messages()] == [
            position for position, end in enumerate(ends) if end <= cut
        ]
        begun = whole[max(end for end in (0, HEADER_OCTETS, *ends) if end <= cut) : cut]
        # Zeros are room for records to come: nothing is torn where the first octets of one happen to be zero.
        assert bool(recovery.torn) == (cut > HEADER_OCTETS and any(begun))
        again = recover(torn, DIRECTORY)
        assert not again.torn
        assert not again.damage


@pytest.mark.parametrize("is_clean", [True, False])
@pytest.mark.parametrize("block", range(4))
def test_flipped_bits_lose_nothing_silently(is_clean: bool, block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        original = filled(seed % 10, is_clean=is_clean)
        random = Random(seed)
        for _ in range(6):
            disk = original.disk.copy()
            path = random.choice([path for path in disk.paths() if "reserve" not in path])
            data = bytearray(disk.get(path))
            for _ in range(random.choice((1, 1, 1, 5))):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            disk.put(path, bytes(data))
            try:
                judge(original, disk, path)
            except BaseException as error:
                error.add_note(f"seed {seed}, {path}")
                raise


def judge(original: Filled, disk: SimulatedDisk, path: str) -> None:
    assert check(DIRECTORY, disk)
    assert list(dump(DIRECTORY, disk))
    harness = Harness(disk)
    found = {(item.queue_id, item.position): item.content for item in harness.found}
    assert len(found) == len(harness.found)
    named: set[tuple[int, int]] = set()
    from_record = min((torn.first_record for torn in harness.recovery.torn), default=1 << 62)
    for damage in harness.recovery.damage:
        assert str(damage)
        assert damage.path == path
        for first, count in damage.lost:
            named |= {(damage.segment, first + index) for index in range(count)}
    for key, location in original.live.items():
        if key in found:
            assert found[key] == original.journal.reader.read(location)
            continue
        is_torn = any(torn.path == path and location.offset >= torn.offset for torn in harness.recovery.torn)
        assert (location.segment, location.ordinal) in named or is_torn, (key, location, harness.recovery.damage)
    back = set(found) - set(original.live)
    assert not back or harness.recovery.damage or from_record < 1 << 62
    # What was recovered stays, the damaged file is set aside, and the next start has nothing to say of it.
    is_damaged = bool(harness.recovery.damage)
    rewriter = Rewriter(harness.journal)
    while loaded := rewriter.choose():
        loaded.execute(disk)
        rewriter.begin(loaded)
        while rewriter.is_loaded:
            rewriter.step(1000)
            harness.drain()
    harness.drain(5)
    harness.finish()
    again = Harness(disk.crash())
    assert not again.recovery.damage
    assert {(item.queue_id, item.position): item.content for item in again.found} == found
    if is_damaged:
        assert disk.names(f"{DIRECTORY}/damaged")


def test_a_damaged_record_is_named_with_its_queue_and_the_rest_recovered() -> None:
    disk = SimulatedDisk(Random(1))
    harness = Harness(disk)
    harness.drain()
    for position in range(5):
        location = harness.publish(position, bytes(40), queues=(7, 8))
        harness.run_one()
    location = harness.live[7, 2]
    data = bytearray(disk.get(SEGMENT_1))
    data[location.offset + location.length - 1] ^= 1
    disk.put(SEGMENT_1, bytes(data))
    recovery = recover(disk, DIRECTORY)
    assert [item.position for item in recovery.messages()] == [0, 0, 1, 1, 3, 3, 4, 4]
    (damage,) = recovery.damage
    assert (damage.path, damage.offset, damage.octets) == (SEGMENT_1, location.offset, location.length)
    assert damage.records == 1
    assert damage.lost == [(location.ordinal, 2)]
    assert damage.suspects == [(7, 2), (8, 2)]
    assert str(damage).endswith(
        "1 damaged record from number "
        f"{damage.first_record} on; 2 message references lost, probably position 2 of queue 7, 2 of queue 8"
    )


def test_damage_at_the_end_is_not_taken_for_a_torn_tail_once_the_journal_was_idle() -> None:
    disk = SimulatedDisk(Random(1))
    harness = Harness(disk)
    harness.drain()
    location = harness.publish(1, bytes(40))
    harness.drain()
    harness.drain()
    calls = disk.calls
    harness.drain()
    assert disk.calls == calls  # said once, not over and over
    data = bytearray(disk.get(SEGMENT_1))
    data[location.offset + location.length - 1] ^= 1
    disk.put(SEGMENT_1, bytes(data))
    recovery = recover(disk, DIRECTORY)
    (damage,) = recovery.damage
    assert damage.lost == [(location.ordinal, 1)]
    assert not recovery.torn


def test_a_missing_segment_is_reported() -> None:
    original = filled(1, is_clean=True)
    disk = original.disk.copy()
    number = min(location.segment for location in original.live.values())
    disk.unlink(f"{DIRECTORY}/segments/{number:016d}.seg")
    harness = Harness(disk)
    lost = {key for key, location in original.live.items() if location.segment == number}
    assert set(harness.live) == set(original.live) - lost
    assert sum(count for damage in harness.recovery.damage for _, count in damage.lost) == len(lost)


def test_a_segment_without_a_header_is_read_all_the_same() -> None:
    original = filled(1, is_clean=True)
    disk = original.disk.copy()
    number = min(location.segment for location in original.live.values())
    path = f"{DIRECTORY}/segments/{number:016d}.seg"
    disk.put(path, bytes(128) + disk.get(path)[128:])
    harness = Harness(disk)
    assert set(harness.live) == set(original.live)
    assert [damage.path for damage in harness.recovery.damage] == [path]


def test_a_message_that_contains_a_journal_is_not_taken_for_one() -> None:
    disk = SimulatedDisk(Random(1))
    harness = Harness(disk)
    harness.publish(1, b"secret" * 10)
    harness.drain()
    image = disk.get(SEGMENT_1)
    other = Filled(SimulatedDisk(Random(2)))
    other.drain()
    location = other.publish(2, image)
    other.publish(3)
    other.drain()
    data = bytearray(other.disk.get(SEGMENT_1))
    data[location.offset + 20] ^= 1
    other.disk.put(SEGMENT_1, bytes(data))
    assert {item.position for item in Harness(other.disk).found} <= {3}
