"""`python -m tests.fuzz --seeds N`: a long siege; `--first M` begins with the attack of number M."""

from __future__ import annotations

import argparse
import sys

import trio

from tests.fuzz.siege import besiege

AT_A_TIME = 1000
"""Attacks on one broker; then comes a new one."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many attacks (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (default: %(default)s)")
    options = parser.parse_args(arguments)
    end = options.first + options.seeds
    faults = 0
    for first in range(options.first, end, AT_A_TIME):
        report = trio.run(besiege, range(first, min(first + AT_A_TIME, end)))
        print(f"from {first}: {report}", flush=True)
        for fault in report.faults:
            print(f"  {fault}", flush=True)
        faults += len(report.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
