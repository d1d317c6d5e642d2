"""Whatever comes over a socket, other clients do not notice and the log stays short."""

from __future__ import annotations

import logging
import os

import pytest

from tests.fuzz.attacks import ATTACKS, attack
from tests.fuzz.siege import besiege

SEEDS = int(os.environ.get("AMQP_FUZZ_SEEDS", "210"))
FIRST = int(os.environ.get("AMQP_FUZZ_FIRST", "0"))


@pytest.mark.rule("1.12", "1.44", "1.45", "1.46", "1.51", "1.52")
async def test_hostile_clients_harm_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    report = await besiege(range(FIRST, FIRST + SEEDS))
    print(report)
    assert report.faults == []
    assert report.round_trips > 10
    assert not [record for record in caplog.records if record.exc_info]


def test_an_attack_can_be_made_again_from_its_number() -> None:
    for seed in range(len(ATTACKS)):
        assert attack(seed) == attack(seed)
