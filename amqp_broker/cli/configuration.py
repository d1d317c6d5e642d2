"""`amqp-broker config check FILE` and `amqp-broker config show`: what settings are, and where they come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from amqp_broker.cli import settings
from amqp_broker.cli.parser import EXIT_OK, EXIT_USAGE, OneLineParser
from amqp_broker.config import Config
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.loading import load

EXIT_UNKNOWN: Final = 1
"""The file can be used, but there are keys in it that nobody knows."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0; or of `check`: 1 for unknown keys, 2 for what can't be used.

    Raises:
        UsageError, ConfigError: of `show`, as when the broker is started.
    """
    parser = OneLineParser(prog="amqp-broker config", description="Check settings, or show which ones count.")
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="read a file, tell what in it is wrong, unknown or without effect")
    check.add_argument("file", type=Path, metavar="FILE")
    show = actions.add_parser("show", help="the value of every key, and where it comes from")
    settings.add_options(show)
    options = parser.parse_args(arguments)
    if options.action == "check":
        return _check(options.file)
    loaded = settings.load_from_options(options)
    for name, value, place in loaded.effective():
        print(f"{name} = {value}\t# {place}")
    for text in (*loaded.unknown, *loaded.warnings, *loaded.notes):
        print(text, file=sys.stderr)
    return EXIT_OK


def _check(file: Path) -> int:
    try:
        loaded = load(base=Config(), environment=os.environ, file=file, is_set_by_environment=False)
    except ConfigError as error:
        print(error)
        return EXIT_USAGE
    for text in (*loaded.unknown, *loaded.notes):
        print(text)
    print(f"{file}: {len(loaded.places)} settings, {len(loaded.unknown)} unknown, {len(loaded.notes)} without effect")
    return EXIT_UNKNOWN if loaded.unknown else EXIT_OK
