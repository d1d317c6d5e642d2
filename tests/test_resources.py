"""Alarms: memory and disk, with a machine that says what the test wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.resources import Resources

MIB = 1 << 20


@attrs.define
class Machine:
    used: int = 0
    free: int = 10**12

    def make(self, **settings: Any) -> tuple[Broker, Resources]:
        config = attrs.evolve(Config(data_dir=Path("/nowhere")), **settings)
        broker = Broker(config)
        return broker, Resources(
            broker, memory_used=lambda: self.used, memory_total=1000 * MIB, disk_free=lambda _: self.free
        )


@pytest.mark.rule("1.34")
@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, 600 * MIB),
        ({"memory_high_watermark": 0.4}, 400 * MIB),
        ({"memory_high_watermark_octets": 5 * MIB}, 5 * MIB),
        ({"total_memory_octets": 100 * MIB}, 60 * MIB),
    ],
)
def test_memory_alarm_above_its_limit(settings: dict[str, object], limit: int) -> None:
    machine = Machine()
    broker, resources = machine.make(**settings)
    for used, alarms in ((limit, []), (limit + 1, ["memory"]), (limit, [])):
        machine.used = used
        resources.look()
        assert list(broker.alarms) == alarms


@pytest.mark.rule("1.34")
@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, 50_000_000),
        ({"disk_free_limit_octets": 7}, 7),
        ({"disk_free_limit_relative": 2.0}, 2000 * MIB),
    ],
)
def test_disk_alarm_below_its_limit(settings: dict[str, object], limit: int) -> None:
    machine = Machine()
    broker, resources = machine.make(**settings)
    for free, alarms in ((limit, []), (limit - 1, ["disk"]), (limit, [])):
        machine.free = free
        resources.look()
        assert list(broker.alarms) == alarms


@pytest.mark.parametrize(
    ("settings", "limit"),
    [({}, 300 * MIB), ({"memory_high_watermark": 0.4, "memory_paging_ratio": 0.25}, 100 * MIB)],
)
def test_queues_may_borrow_a_share_of_the_memory_limit(settings: dict[str, object], limit: int) -> None:
    broker, resources = Machine().make(**settings)
    resources.look()
    assert broker.storage.spare.limit_octets == limit


def test_a_journal_that_cannot_be_written_keeps_the_alarm_whatever_room_there_is() -> None:
    broker, resources = Machine().make()
    resources.journal_changed(OSError(5, "Input/output error"))
    resources.look()
    assert list(broker.alarms) == ["disk"]
    resources.journal_changed(None)
    assert list(broker.alarms) == []


def test_no_disk_is_asked_for_without_a_data_directory() -> None:
    broker, resources = Machine(free=0).make(data_dir=None)
    resources.look()
    assert not broker.alarms
    assert resources.disk_free_octets is None


def test_limits_can_be_changed_while_it_runs() -> None:
    machine = Machine(used=10 * MIB)
    broker, resources = machine.make()
    resources.look()
    assert not broker.alarms
    resources.memory_limit_octets = 5 * MIB
    resources.look()
    assert list(broker.alarms) == ["memory"]
