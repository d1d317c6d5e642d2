"""`amqp-broker install-aliases DIR`: our commands under the names that scripts and health checks know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from amqp_broker.cli.parser import EXIT_OK, OneLineParser, UsageError

CONTROL: Final = "ctl.main"

MODULES: Final = {
    "rabbitmqctl": CONTROL,
    "rabbitmq-diagnostics": CONTROL,
    "rabbitmq-plugins": CONTROL,
    "rabbitmq-queues": CONTROL,
    "rabbitmq-streams": CONTROL,
    "rabbitmq-upgrade": CONTROL,
    "rabbitmq-server": "cli.main",
    "rabbitmqadmin": "management.rabbitmqadmin",
}
"""Whose `main` each name calls."""

SCRIPT: Final = """#!{python}
import sys

from amqp_broker.{module} import main

sys.exit(main())
"""


def main(arguments: Sequence[str]) -> int:
    """Write the scripts; none is written over. Raises UsageError when one can't be."""
    parser = OneLineParser(
        prog="amqp-broker install-aliases", description=f"Write {', '.join(MODULES)} into a directory."
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    directory: Path = parser.parse_args(arguments).directory
    for name in MODULES:
        if (directory / name).exists():
            raise UsageError(f"{directory / name} is there already; remove it, or choose another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, module in MODULES.items():
            (directory / name).write_text(SCRIPT.format(python=sys.executable, module=module), "utf-8")
            (directory / name).chmod(0o755)
    except OSError as error:
        raise UsageError(f"can't write to {directory}: {error.strerror}; choose another directory") from None
    return EXIT_OK
