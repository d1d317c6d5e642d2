"""What the commands that fill a broker of ours and look what that costs have in common."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable

from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import WireError
from interop.machine import current_load, describe_machine
from interop.processes import ProcessError


def main(prog: str, description: str, messages: str, size: int, measure: Callable[[str, int, int, int], None]) -> int:
    """Measure with what the command line says; gives the exit status.

    Args:
        prog: the command.
        description: what it tells, in a line.
        messages: what the messages do of which there are a million.
        size: octets of a body, if nothing else is said.
        measure: called with a data directory, the number of messages, their size and how many may be unconfirmed.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--messages", type=int, default=1_000_000, help=f"{messages} (default: %(default)s)")
    parser.add_argument("--size", type=int, default=size, help="octets of a body (default: %(default)s)")
    parser.add_argument("--window", type=int, default=10_000, help="unconfirmed messages (default: %(default)s)")
    arguments = parser.parse_args()
    print(describe_machine())
    load = current_load()
    try:
        with tempfile.TemporaryDirectory(prefix="amqp-broker-figures-") as directory:
            measure(directory, arguments.messages, arguments.size, arguments.window)
    except (PerfError, ProcessError, WireError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"others: {current_load().others_since(load):.0%}")
    return 0
