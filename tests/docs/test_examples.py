"""The programs of `docs/examples`, as they stand there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from amqp_broker import run_in_thread

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

PRINTED = {
    "ask": ["twice 21 is 42"],
    "replay": [
        "audit: 0 opened",
        "audit: 1 deposited 10",
        "audit: 2 withdrew 3",
        "audit: 3 deposited 5",
        "audit: 4 closed",
        "balance, from 3 on: 3 deposited 5",
        "balance, from 3 on: 4 closed",
    ],
    "retries": [
        *(f"attempt {attempt}: the shop is closed, no book today" for attempt in (1, 2, 3)),
        "parked: book",
    ],
}


def test_none_is_left_out() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == PRINTED.keys()


@pytest.mark.parametrize("name", PRINTED)
def test_an_example(name: str) -> None:
    with run_in_thread() as broker:
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), broker.url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == PRINTED[name]
