"""A bounded number of seeded clusters; `python -m tests.simulation --cluster --seeds N` runs as many as wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.cluster.simulation.run import run

SEEDS = 12


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The brokers have much to say."""
    logger = logging.getLogger("amqp_broker")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_cluster_keeps_what_it_has_confirmed_whatever_happens_to_its_nodes(seed: int) -> None:
    assert run(seed).confirmed


def test_a_seed_replays_exactly() -> None:
    first, second = run(3), run(3)
    assert first.trail == second.trail
    assert first.summary == second.summary
