"""Thousands of seeded lives; `python -m tests.crash.simulation FROM TO` runs as many as wanted."""

from __future__ import annotations

from functools import partial

import pytest

from amqp_broker.storage.settings import SyncMode
from tests.crash.lives import run_seeds
from tests.crash.simulation import run


@pytest.mark.rule("7.4")
@pytest.mark.rule("7.5")
@pytest.mark.rule("7.6")
@pytest.mark.rule("7.7")
@pytest.mark.rule("7.9")
@pytest.mark.parametrize("block", range(8))
def test_what_was_confirmed_survives_power_cuts_and_failing_disks(block: int) -> None:
    run_seeds(range(block * 250, block * 250 + 250), run)


@pytest.mark.rule("7.6")
@pytest.mark.parametrize("sync", ["interval", "never"])
def test_other_sync_modes_survive_a_kill(sync: SyncMode) -> None:
    run_seeds(range(150), partial(run, sync=sync))
