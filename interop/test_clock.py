"""A program's wall clock jumps, and nothing else of it does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from interop.clock import Clock, ClockError, build
from interop.processes import LineProcess, python_environment

HOUR_S = 3600
TELL = """
import datetime, sys, time
print("ready", flush=True)
for _ in sys.stdin:
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_a_wall_clock_jumps_and_a_steady_one_does_not(tmp_path: Path) -> None:
    try:
        clock = Clock(build(tmp_path), tmp_path / "off", 7 * HOUR_S)
    except ClockError as error:
        pytest.skip(f"no clock can be set here: {error}")
    program = LineProcess([sys.executable, "-c", TELL], env={**python_environment(), **clock.environment})
    try:
        program.wait_line("ready")
        found = []
        for off_s in (7 * HOUR_S, -HOUR_S, 0):
            clock.set(off_s)
            program.write_line()
            found.append([float(each) for each in program.wait_line().split()])
    finally:
        program.kill()
    (first, _, began), (second, again, _), (third, _, ended) = found
    assert second - first == pytest.approx(-8 * HOUR_S, abs=60)
    assert again == pytest.approx(second, abs=60)
    assert third - second == pytest.approx(HOUR_S, abs=60)
    assert 0 <= ended - began < 60
