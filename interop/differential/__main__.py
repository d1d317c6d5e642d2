"""`python -m interop.differential --sequences 2000 --seed 1`: this broker beside Debian's RabbitMQ 3.10."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from interop.differential.run import Finding, Run, run
from interop.own_broker import running_own_broker
from interop.rabbitmq import RabbitMQUnavailableError, running_rabbitmq

REPORT_EVERY = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.differential", description=__doc__)
    parser.add_argument("--sequences", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what all that is random comes from (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first sequence, to repeat one (default: 0)")
    parser.add_argument("--expected", action="store_true", help="show the differences that are expected, too")
    parser.add_argument("--ours", metavar="URL", help="a broker that runs already, instead of a new one of ours")
    parser.add_argument("--theirs", metavar="URL", help="a RabbitMQ that runs already, instead of a private one")
    arguments = parser.parse_args()
    started_at = time.monotonic()

    def report(runner: Run, finding: Finding | None) -> None:
        outcome = runner.outcome
        if finding is not None and (finding.rule is None or arguments.expected):
            print(f"\n{finding}", flush=True)
        if outcome.sequences % REPORT_EVERY == 0:
            rate = outcome.sequences / (time.monotonic() - started_at) * 60
            print(f"{outcome.sequences}/{arguments.sequences}, {rate:.0f} a minute: {outcome.summary()}", flush=True)

    try:
        with contextlib.ExitStack() as stack:
            theirs = arguments.theirs or stack.enter_context(running_rabbitmq())
            ours = arguments.ours or stack.enter_context(running_own_broker())
            numbers = range(arguments.first, arguments.first + arguments.sequences)
            outcome = run(ours, theirs, numbers, arguments.seed, report)
    except RabbitMQUnavailableError as error:
        print(error, file=sys.stderr)
        return 2
    print(outcome.summary())
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
