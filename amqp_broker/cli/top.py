"""`amqp-broker top`: what a broker does, as a live table on a terminal, as one look elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Final

from amqp_broker.cli.parser import EXIT_OK, OneLineParser, UsageError
from amqp_broker.top.api import Api, ApiUnavailableError
from amqp_broker.top.figures import ORDERS, Rates, look_at
from amqp_broker.top.words import snapshot

EXIT_FAILED: Final = 1
"""The broker is not there, or does not let this user look."""

DEFAULT_URL: Final = "http://guest:guest@127.0.0.1:15672"


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives the exit status.

    Raises:
        UsageError: an option is wrong, or the terminal's table can't be drawn here.
    """
    options = _parser().parse_args(arguments)
    try:
        api = Api(options.url)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from None
    with contextlib.closing(api), contextlib.suppress(KeyboardInterrupt):
        try:
            if options.once or not sys.stdout.isatty():
                _print_once(api, options.sort, options.interval, options.rows)
            else:
                _show(api, options.sort, options.interval)
        except ApiUnavailableError as error:
            print(f"amqp-broker top: {error}", file=sys.stderr)
            return EXIT_FAILED
    return EXIT_OK


def _print_once(api: Api, order: str, interval_s: float, most: int) -> None:
    """Look twice, for the sake of rates, and print."""
    rates = Rates()
    rates.take(look_at(api, order, most))
    time.sleep(interval_s)
    rates.take(look_at(api, order, most))
    for line in snapshot(rates):
        print(line)


def _show(api: Api, order: str, interval_s: float) -> None:
    try:
        from amqp_broker.top.screen import show
    except ImportError:
        raise UsageError(
            "the live table needs rich: pip install 'trio-amqp-broker[top]'; --once does without"
        ) from None
    show(api, order, interval_s)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0.1 to 3600 seconds")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="amqp-broker top",
        description="Shows what a broker does: a live table on a terminal (q ends it, s sorts otherwise), "
        "and one look where output goes to a pipe or a file.",
    )
    parser.add_argument(
        "--url", default=DEFAULT_URL, help="the management port, with name and password (default: %(default)s)"
    )
    parser.add_argument("--sort", choices=ORDERS, default="messages", help="which queues come first")
    parser.add_argument("--interval", type=_interval, default=1.0, metavar="S", help="seconds between two looks")
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="queues that one look shows, at most 500")
    parser.add_argument("--once", action="store_true", help="one look, on a terminal as well")
    return parser
