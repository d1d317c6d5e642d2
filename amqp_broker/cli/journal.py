"""`amqp-broker journal check DIR` and `amqp-broker journal dump DIR`: look into a data directory, change nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from amqp_broker.cli.parser import EXIT_DAMAGED, EXIT_OK, OneLineParser, UsageError
from amqp_broker.storage.check import check, dump
from amqp_broker.storage.errors import UnknownFormat
from amqp_broker.storage.store import read_topology


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives the exit status: 0, or 1 when something is damaged.

    Raises:
        UsageError: the directory can't be looked at.
    """
    parser = OneLineParser(prog="amqp-broker journal", description="Look into a data directory, change nothing.")
    parser.add_argument("action", choices=("check", "dump"), help="check: a report; dump: a line a record")
    parser.add_argument("directory", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    if not (directory / "segments").is_dir():
        raise UsageError(f"{directory} is no data directory: it has no folder segments; give the one of --data-dir")
    try:
        if options.action == "dump":
            for line in dump(str(directory)):
                print(line)
            return EXIT_OK
        report = check(str(directory), read_definitions=lambda recovery: read_topology(recovery)[0])
    except UnknownFormat as error:
        raise UsageError(f"{error}; use the newer version") from None
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has seen enough
        return EXIT_OK
    except OSError as error:
        raise UsageError(f"can't read {directory}: {error.strerror}") from None
    print(report)
    return EXIT_OK if report.is_good else EXIT_DAMAGED
