"""`amqp-broker install-aliases DIR`: amqp-brokerctl under the names that scripts and health checks know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from amqp_broker.cli.parser import EXIT_OK, OneLineParser, UsageError

NAMES: Final = (
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmq-plugins",
    "rabbitmq-queues",
    "rabbitmq-streams",
    "rabbitmq-upgrade",
)

SCRIPT: Final = """#!{python}
import sys

from amqp_broker.ctl.main import main

sys.exit(main())
"""


def main(arguments: Sequence[str]) -> int:
    """Write the scripts; none is written over. Raises UsageError when one can't be."""
    parser = OneLineParser(
        prog="amqp-broker install-aliases", description=f"Write {', '.join(NAMES)} into a directory."
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    directory: Path = parser.parse_args(arguments).directory
    for name in NAMES:
        if (directory / name).exists():
            raise UsageError(f"{directory / name} is there already; remove it, or choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (directory / name).write_text(SCRIPT.format(python=sys.executable), "utf-8")
            (directory / name).chmod(0o755)
    except OSError as error:
        raise UsageError(f"can't write to {directory}: {error.strerror}; choose another directory") from None
    return EXIT_OK
