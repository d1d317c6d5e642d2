"""`python -m tests.simulation`: more seeds than a test run has time for, or one again.

python -m tests.simulation --seed 4711
python -m tests.simulation --seeds 1000000 --jobs 8
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator

from tests.simulation.run import Run, run

REPORT_S = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Run seeds; the status is 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The broker on a simulated disk.")
    parser.add_argument("--seed", type=int, help="run this one, with the broker's log")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        done = run(options.seed)
        print(_summary(1, done.steps, done.crashes, done.stops, done.checked))
        return 0
    logging.disable(logging.CRITICAL - 1)
    return _run_many(range(options.first, options.first + options.seeds), options.jobs)


def _run_many(seeds: range, jobs: int) -> int:
    began = reported = time.monotonic()
    totals = [0, 0, 0, 0]
    failed: list[int] = []
    for count, (seed, numbers, failure) in enumerate(_outcomes(seeds, jobs), 1):
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        if failure:
            failed.append(seed)
            print(f"\nseed {seed} failed; again: python -m tests.simulation --seed {seed}\n{failure}", flush=True)
        now = time.monotonic()
        if now - reported > REPORT_S or count == len(seeds):
            reported = now
            line = f"{_summary(count, *totals)}, {count / (now - began):.0f} seeds/s, {len(failed)} failed"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if failed:
        print("failed seeds:", *sorted(failed))
    return 1 if failed else 0


def _outcomes(seeds: range, jobs: int) -> Iterator[tuple[int, tuple[int, int, int, int], str]]:
    if jobs == 1:
        yield from map(_outcome, seeds)
        return
    with multiprocessing.Pool(min(jobs, os.cpu_count() or 1)) as pool:
        yield from pool.imap_unordered(_outcome, seeds, chunksize=8)


def _outcome(seed: int) -> tuple[int, tuple[int, int, int, int], str]:
    try:
        return seed, _numbers(run(seed)), ""
    except Exception:
        return seed, (0, 0, 0, 0), traceback.format_exc()


def _numbers(done: Run) -> tuple[int, int, int, int]:
    return done.steps, done.crashes, done.stops, done.checked


def _summary(count: int, steps: int, crashes: int, stops: int, checked: int) -> str:
    return f"{count} seeds: {steps} steps, {crashes} crashes, {stops} clean stops, {checked} messages checked"


if __name__ == "__main__":
    sys.exit(main())
