"""Thousands of seeded lives of streams; `python -m tests.crash.stream_simulation FROM TO` runs as many as wanted."""

from __future__ import annotations

from functools import partial

import pytest

from amqp_broker.storage.settings import SyncMode
from tests.crash.lives import run_seeds
from tests.crash.stream_simulation import run


@pytest.mark.rule("7.2")
@pytest.mark.rule("7.4")
@pytest.mark.rule("4.54")
@pytest.mark.parametrize("block", range(8))
def test_what_was_confirmed_or_read_survives_power_cuts_and_failing_disks(block: int) -> None:
    run_seeds(range(block * 100, block * 100 + 100), run)


@pytest.mark.rule("7.2")
@pytest.mark.parametrize("sync", ["interval", "never"])
def test_other_sync_modes_survive_a_kill(sync: SyncMode) -> None:
    run_seeds(range(100), partial(run, sync=sync))
