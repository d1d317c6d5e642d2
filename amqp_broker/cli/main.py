"""`amqp-broker`: arguments to a `Config`, a broker that runs until a signal, and an exit status.

Standard output has the one line `ready URL ...`, or that in friendlier words where it is a terminal; everything else is
the log on standard error.
"""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

import trio

from amqp_broker import COMPILED, __version__
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.cli import settings
from amqp_broker.cli.parser import EXIT_OK, EXIT_USAGE, OneLineParser, UsageError
from amqp_broker.cli.welcome import announce
from amqp_broker.cluster.joining import ClusterConfigError
from amqp_broker.config import Config
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.net.doors import ListenError, shown
from amqp_broker.net.tls import TlsConfigError
from amqp_broker.server import Server
from amqp_broker.storage.errors import DataDirInUse, UnknownFormat

log = logging.getLogger("amqp_broker")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == ["journal"]:
            from amqp_broker.cli import journal

            return journal.main(words[1:])
        if words[:1] == ["perf"]:
            from amqp_broker.cli import perf  # not while a broker starts

            return perf.main(words[1:])
        if words[:1] == ["top"]:
            from amqp_broker.cli import top

            return top.main(words[1:])
        if words[:1] == ["shovel"]:
            from amqp_broker.cli import shovel

            return shovel.main(words[1:])
        if words[:1] == ["config"]:
            from amqp_broker.cli import configuration

            return configuration.main(words[1:])
        if words[:1] == ["doctor"]:
            from amqp_broker.cli import doctor

            return doctor.main(words[1:])
        if words[:1] == ["install-aliases"]:
            from amqp_broker.cli import aliases

            return aliases.main(words[1:])
        loaded = settings.load_from_options(_parser().parse_args(words))
        settings.start_log(loaded)
        server = _open(loaded.config)
        server.node.log_paths, server.node.config_paths = settings.log_paths(loaded), loaded.files
        _ease_garbage_collection()
        trio.run(_serve, server)
    except (UsageError, ConfigError) as error:
        print(f"amqp-broker: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _open(config: Config) -> Server:
    """Make the server; with a data directory that is where recovery happens."""
    try:
        return Server(config)
    except TlsConfigError as error:
        raise UsageError(f"TLS: {error}") from None
    except ClusterConfigError as error:
        raise UsageError(f"cluster: {error}") from None
    except AuthConfigError as error:
        raise UsageError(f"authentication: {error}") from None
    except InvalidDefinitionsError as error:
        raise UsageError(f"definitions: {error}") from None
    except DataDirInUse as error:
        raise UsageError(f"{error}; stop that broker, or choose another directory with --data-dir") from None
    except UnknownFormat as error:
        raise UsageError(f"{error}; use the newer version, or another directory with --data-dir") from None
    except OSError as error:
        raise UsageError(
            f"can't use data directory {config.data_dir}: {error.strerror}; "
            "choose one that can be written with --data-dir, or use --memory"
        ) from None


def _ease_garbage_collection() -> None:
    """Look for cycles less often: messages are in none, and there are many.

    With Python's own thresholds a tenth of the time goes into walking over what is alive. The little garbage of imports
    is kept with it: to find it takes as long as a tenth of a start.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(server: Server) -> None:
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_stop_on_signal, server)
            await nursery.start(_reload_on_signal, server)
            await nursery.start(server.run)
            announce(server.urls, server.config, sys.stdout)
            await server.stopped.wait()
            nursery.cancel_scope.cancel()
    except* ListenError as group:
        raise UsageError(_explain(group)) from None


async def _stop_on_signal(server: Server, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Stop in order at the first signal, at once at the second."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            if server.is_stopping:
                os._exit(128 + number)
            log.info("%s: stopping; a second signal ends at once", signal.Signals(number).name)
            server.stop()


async def _reload_on_signal(server: Server, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            server.reload()


def _explain(group: BaseExceptionGroup[ListenError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ListenError)
    listener, cause = error.listener, error.cause
    if listener.path is not None:
        return f"can't listen on {listener.path}: {cause.strerror or cause}"
    port = error.option
    if cause.errno == errno.EADDRINUSE:
        return f"{shown(listener)} is in use by another process; stop it, or choose another port with {port}"
    if cause.errno == errno.EACCES:
        return f"not allowed to listen on {shown(listener)}; choose a port above 1023 with {port}"
    return f"can't listen on {shown(listener)}: {cause}; choose another address with --host and {port}"


def _parser() -> argparse.ArgumentParser:
    form = "compiled" if COMPILED else "plain Python"
    parser = OneLineParser(
        prog="amqp-broker",
        description="An AMQP 0-9-1 broker that RabbitMQ clients connect to.",
        epilog="Other commands, each with --help: config (check and show settings), doctor (what would keep a "
        "broker from running), install-aliases (rabbitmqctl), journal (look into a data directory), perf (put load on "
        "a broker), shovel (move messages to another broker), top (what a broker does, live).",
    )
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve", help="run the broker (the default)")
    settings.add_options(parser)
    parser.add_argument("--version", action="version", version=f"amqp-broker {__version__} ({form})")
    return parser
