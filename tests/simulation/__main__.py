"""`python -m tests.simulation`: more seeds than a test run has time for, or one again.

python -m tests.simulation --seed 4711
python -m tests.simulation --seeds 1000000 --jobs 8
python -m tests.simulation --cluster --seeds 1000
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from tests.cluster.simulation.run import run as run_cluster
from tests.simulation.run import run

REPORT_S = 2.0


class Summary(Protocol):
    """What a run says of itself."""

    @property
    def summary(self) -> Counter[str]: ...


def main(arguments: list[str] | None = None) -> int:
    """Run seeds; the status is 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The broker on a simulated disk.")
    parser.add_argument("--seed", type=int, help="run this one, with the broker's log")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument("--cluster", action="store_true", help="several nodes, on a simulated log")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    options = parser.parse_args(arguments)
    simulate: Callable[[int], Summary] = run_cluster if options.cluster else run
    if options.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        print(_shown(1, simulate(options.seed).summary))
        return 0
    logging.disable(logging.CRITICAL - 1)
    again = "python -m tests.simulation --cluster" if options.cluster else "python -m tests.simulation"
    return _run_many(simulate, range(options.first, options.first + options.seeds), options.jobs, again)


def _run_many(simulate: Callable[[int], Summary], seeds: range, jobs: int, again: str) -> int:
    began = reported = time.monotonic()
    totals: Counter[str] = Counter()
    failed: list[int] = []
    for count, (seed, summary, failure) in enumerate(_outcomes(simulate, seeds, jobs), 1):
        totals += summary
        if failure:
            failed.append(seed)
            print(f"\nseed {seed} failed; again: {again} --seed {seed}\n{failure}", flush=True)
        now = time.monotonic()
        if now - reported > REPORT_S or count == len(seeds):
            reported = now
            line = f"{_shown(count, totals)}, {count / (now - began):.0f} seeds/s, {len(failed)} failed"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if failed:
        print("failed seeds:", *sorted(failed))
    return 1 if failed else 0


def _outcomes(simulate: Callable[[int], Summary], seeds: range, jobs: int) -> Iterator[tuple[int, Counter[str], str]]:
    if jobs == 1:
        yield from map(partial(_outcome, simulate), seeds)
        return
    with multiprocessing.Pool(min(jobs, os.cpu_count() or 1)) as pool:
        yield from pool.imap_unordered(partial(_outcome, simulate), seeds, chunksize=8)


def _outcome(simulate: Callable[[int], Summary], seed: int) -> tuple[int, Counter[str], str]:
    try:
        return seed, simulate(seed).summary, ""
    except Exception:
        return seed, Counter(), traceback.format_exc()


def _shown(count: int, totals: Counter[str]) -> str:
    return f"{count} seeds: {', '.join(f'{number} {what}' for what, number in totals.items())}"


if __name__ == "__main__":
    sys.exit(main())
