"""Recovery in its two forms; what it makes of damage and of crashes stands in tests/crash."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

import amqp_broker
from amqp_broker.storage import recovery, scan
from amqp_broker.storage.page import Page
from amqp_broker.storage.records import REDELIVERED, TRANSIENT
from amqp_broker.storage.recovery import recover
from tests.storage.harness import DIRECTORY, Harness
from tests.storage.simulated_disk import SimulatedDisk


def some_disk(seed: int) -> SimulatedDisk:
    """A journal in which everything there is happens now and then."""
    random = Random(seed)
    disk = SimulatedDisk(random)
    harness = Harness(disk)
    queues = random.choice(((1,), (1, 2), (1, 2, 3)))
    unusual = random.choice((0.0, 0.05, 0.5))
    for position in range(1, random.randint(2, 700)):
        to = (random.choice(queues),) if random.random() >= unusual else queues
        flags = random.choice((0, REDELIVERED, TRANSIENT)) if random.random() < unusual else 0
        expires_at_ms = 5_000_000 if random.random() < unusual else 0
        location = harness.journal.append_publish(
            b"a", b"h" * 14, bytes(random.choice((0, 1, 300))), [(each, position, expires_at_ms, flags) for each in to]
        )
        harness.live.update({(each, position): location.reference(index) for index, each in enumerate(to)})
        if random.random() < 0.2:
            queue, gone = random.choice(list(harness.live))
            harness.remove(gone, queue)
        if harness.live and random.random() < unusual:
            harness.journal.mark(random.choice(list(harness.live.values())), random.choice((0, 3)))
        if random.random() < 0.02:
            harness.declare(b"x")
        if random.random() < 0.1:
            harness.drain()
    harness.drain()
    after = disk.crash() if random.random() < 0.5 else disk.copy()
    if random.random() < 0.3:
        path = random.choice([path for path in after.paths() if path.endswith(".seg")])
        data = bytearray(after.get(path))
        data[random.randrange(len(data))] ^= 1
        after.put(path, bytes(data))
    return after


def all_found(disk: SimulatedDisk, crashed_before: int) -> tuple[object, ...]:
    found = recover(disk.copy(), DIRECTORY)
    pages: dict[int, list[Page]] = found.queues(crashed_before)
    rows = {queue_id: [row for page in of_queue for row in page] for queue_id, of_queue in pages.items()}
    for of_queue in rows.values():
        assert all(row.position < following.position for row, following in pairwise(of_queue))
    state = found.journal_state
    segments = [
        (each.number, each.live, each.live_octets, each.all_octets, each.references, bytes(each.gone), each.end)
        for each in state.segments.values()
    ]
    ends = (state.next_segment, state.next_record, state.last_record)
    return rows, segments, ends, found.damage, found.torn, found.topology


@pytest.mark.parametrize("seed", range(5))
def test_pages_have_what_messages_tell(seed: int) -> None:
    disk = some_disk(seed)
    rows = all_found(disk, 0)[0]
    assert isinstance(rows, dict)
    told = {(item.queue_id, item.position, item.location.cells) for item in recover(disk.copy(), DIRECTORY).messages()}
    assert {(queue_id, row.position, row.location.cells) for queue_id in rows for row in rows[queue_id]} == told


@pytest.mark.skipif(not amqp_broker.COMPILED, reason="there is only the plain form")
@pytest.mark.parametrize("seed", range(24))
def test_both_forms_find_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, crashed_before = some_disk(seed), Random(seed).choice((0, 3, 1 << 63))
    compiled = all_found(disk, crashed_before)
    monkeypatch.setattr(recovery, "COMPILED", False)
    monkeypatch.setattr(scan, "COMPILED", False)
    assert all_found(disk, crashed_before) == compiled
