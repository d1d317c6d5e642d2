"""`python -m interop.durability --rounds 30`: kill -9 under load, again and again, on one data directory."""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from interop.durability.clients import LoadError
from interop.durability.kills import run_kills
from interop.processes import ProcessError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m interop.durability",
        description="Kill a broker under load and count what was lost; the status is 0 when nothing was.",
    )
    parser.add_argument("--rounds", type=int, default=30, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of sizes, targets and instants (default: a random one)")
    parser.add_argument("--keep", action="store_true", help="leave the data directory where something was wrong")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if arguments.seed is None else arguments.seed
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # that connections break is what this is about
    print(f"seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="amqp-broker-durability-"))
    good = False
    try:
        ledger, rounds, torn = run_kills(directory, arguments.rounds, seed, lambda line: print(line, flush=True))
        good = not ledger.faults
        kept, unkept = ledger.unconfirmed()
        print(
            f"\n{rounds} kills: lost {ledger.faults['lost']}, invented {ledger.faults['invented']}, "
            f"out of order {ledger.faults['out of order']}, unmarked {ledger.faults['unmarked']}; "
            f"duplicates {ledger.counts['again after ack']} (acked, and delivered again after a kill)\n"
            f"never confirmed: {kept} kept, {unkept} not; torn tails cut off: {torn}"
        )
        for kind, count in ledger.faults.items():
            if count:
                print(f"FAULT {kind}: {count}")
        print(*ledger.examples, sep="\n", end="\n" if ledger.examples else "")
    except (LoadError, ProcessError, AssertionError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        if good or not arguments.keep:
            shutil.rmtree(directory)
        else:
            print(f"the data directory is {directory}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
