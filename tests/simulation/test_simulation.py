"""A bounded number of seeded lives; `python -m tests.simulation --seeds N` runs as many as wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.run import run

SEEDS = 80
BLOCKS = 8


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The broker has much to say about its disk."""
    logger = logging.getLogger("amqp_broker")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.rule("7.2")
@pytest.mark.rule("7.3")
@pytest.mark.rule("7.4")
@pytest.mark.rule("7.5")
@pytest.mark.rule("7.6")
@pytest.mark.rule("7.7")
@pytest.mark.rule("7.8")
@pytest.mark.rule("7.9")
@pytest.mark.rule("7.10")
@pytest.mark.rule("7.11")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_broker_keeps_its_promises_whatever_its_disk_does(block: int) -> None:
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        run(seed)


def test_a_seed_replays_exactly() -> None:
    first, second = run(3), run(3)
    assert first.trail == second.trail
    assert (first.steps, first.crashes, first.checked) == (second.steps, second.crashes, second.checked)
