"""`amqp-broker`: arguments to a `Config`, a broker that runs until a signal, and an exit status.

Standard output has the one line `ready URL ...`; everything else is the log on standard error.
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
from pathlib import Path

import trio
from platformdirs import user_data_dir

from amqp_broker import COMPILED, __version__
from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.cli import journal
from amqp_broker.cli.parser import EXIT_OK, EXIT_USAGE, OneLineParser, UsageError
from amqp_broker.config import Certificate, Config, Listener, TlsOptions
from amqp_broker.net.doors import ListenError, shown
from amqp_broker.net.tls import TlsConfigError
from amqp_broker.server import Server
from amqp_broker.storage.errors import DataDirInUse, UnknownFormat

log = logging.getLogger("amqp_broker")

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == ["journal"]:
            return journal.main(words[1:])
        if words[:1] == ["perf"]:
            from amqp_broker.cli import perf  # not while a broker starts

            return perf.main(words[1:])
        options = _parser().parse_args(words)
        logging.basicConfig(
            level=options.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        config = Config(
            host=options.host,
            port=options.port,
            data_dir=None if options.memory else options.data_dir,
            sync=options.sync,
            listeners=_tls_listeners(options),
            tls=_tls(options),
        )
        server = _open(config)
        _ease_garbage_collection()
        trio.run(_serve, server)
    except UsageError as error:
        print(f"amqp-broker: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _open(config: Config) -> Server:
    """Make the server; with a data directory that is where recovery happens."""
    try:
        return Server(config)
    except TlsConfigError as error:
        raise UsageError(f"TLS: {error}") from None
    except AuthConfigError as error:
        raise UsageError(f"authentication: {error}") from None
    except DataDirInUse as error:
        raise UsageError(f"{error}; stop that broker, or choose another directory with --data-dir") from None
    except UnknownFormat as error:
        raise UsageError(f"{error}; use the newer version, or another directory with --data-dir") from None
    except OSError as error:
        raise UsageError(
            f"can't use data directory {config.data_dir}: {error.strerror}; "
            "choose one that can be written with --data-dir, or use --memory"
        ) from None


def _tls(options: argparse.Namespace) -> TlsOptions | None:
    """What the options say about TLS; None when there is to be none."""
    if options.tls_cert is None:
        for name in ("tls_port", "tls_key", "tls_ca"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs a certificate; give one with --tls-cert")
        return None
    return TlsOptions(
        certificates=(Certificate(chain=options.tls_cert, key=options.tls_key),),
        ca=options.tls_ca,
        verify_peer=options.tls_ca is not None,
    )


def _tls_listeners(options: argparse.Namespace) -> tuple[Listener, ...]:
    if options.tls_cert is None:
        return ()
    port = 5671 if options.tls_port is None else options.tls_port
    return (Listener(host=options.host, port=port, is_tls=True),)


def _ease_garbage_collection() -> None:
    """Look for cycles less often: messages are in none, and there are many.

    With Python's own thresholds a tenth of the time goes into walking over what is alive.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(server: Server) -> None:
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_stop_on_signal, server)
            await nursery.start(_reload_on_signal, server)
            await nursery.start(server.run)
            print("ready", *server.urls, flush=True)
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
    port = "--tls-port" if listener.is_tls else "--port"
    if cause.errno == errno.EADDRINUSE:
        return f"{shown(listener)} is in use by another process; stop it, or choose another port with {port}"
    if cause.errno == errno.EACCES:
        return f"not allowed to listen on {shown(listener)}; choose a port above 1023 with {port}"
    return f"can't listen on {shown(listener)}: {cause}; choose another address with --host and {port}"


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to 65535")
    return port


def _parser() -> argparse.ArgumentParser:
    form = "compiled" if COMPILED else "plain Python"
    parser = OneLineParser(
        prog="amqp-broker",
        description="An AMQP 0-9-1 broker that RabbitMQ clients connect to.",
        epilog="amqp-broker journal --help: look into a data directory. amqp-broker perf --help: put load on a broker.",
    )
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve", help="run the broker (the default)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=5672, help="port to listen on, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--tls-port", type=_port, metavar="PORT", help="port to speak TLS on, 0 for a free one (default: 5671)"
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM; with it TLS is spoken; SIGHUP rereads it"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM (default: it stands in --tls-cert)")
    parser.add_argument(
        "--tls-ca",
        type=Path,
        metavar="FILE",
        help="ask clients for a certificate, which one of these CAs, PEM, must have signed",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=Path(user_data_dir("amqp-broker", appauthor=False)),
        help="directory for durable state (default: %(default)s)",
    )
    where.add_argument("--memory", action="store_true", help="keep everything in memory, nothing on disk")
    parser.add_argument(
        "--sync",
        choices=("always", "interval", "never"),
        default="always",
        help="when a persistent message counts as safe: after an fsync, or after the write with an fsync every "
        "second or none at all (default: %(default)s)",
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")
    parser.add_argument("--version", action="version", version=f"amqp-broker {__version__} ({form})")
    return parser
