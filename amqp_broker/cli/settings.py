"""The options that set something, for every command that needs a broker's settings."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from amqp_broker import logs
from amqp_broker.cli.parser import UsageError
from amqp_broker.config import Config
from amqp_broker.configuration.loading import Loaded, load
from amqp_broker.configuration.syntax import Setting
from amqp_broker.ctl.places import default_data_directory

log = logging.getLogger(__name__)

TLS_PORT: Final = 5671

OPTION_KEYS: Final = {
    "host": "amqp_broker.host",
    "port": "amqp_broker.port",
    "management_port": "management.tcp.port",
    "metrics_port": "prometheus.tcp.port",
    "tls_port": "listeners.ssl.default",
    "tls_cert": "ssl_options.certfile",
    "tls_key": "ssl_options.keyfile",
    "tls_ca": "ssl_options.cacertfile",
    "data_dir": "amqp_broker.data_dir",
    "cluster": "amqp_broker.cluster",
    "sync": "amqp_broker.sync",
    "log_level": "log.default.level",
    "log_format": "log.console.formatter",
}
"""What each option sets, by its name in the parsed arguments."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; one that is not given leaves the matter to environment, files and defaults."""
    default = Config()
    parser.add_argument("--host", help=f"address to listen on (default: {default.host})")
    parser.add_argument("--port", help=f"port to listen on, 0 for a free one (default: {default.port})")
    parser.add_argument("--tls-port", metavar="PORT", help="port to speak TLS on, 0 for a free one (default: 5671)")
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="certificate chain, PEM; with it TLS is spoken; SIGHUP rereads it"
    )
    parser.add_argument("--tls-key", metavar="FILE", help="its key, PEM (default: it stands in --tls-cert)")
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="ask clients for a certificate, which one of these CAs, PEM, must have signed",
    )
    parser.add_argument(
        "--management-port",
        metavar="PORT",
        help="port of the HTTP API and its page, 0 for a free one, off for none "
        f"(default: {default.management_port}; a free one with --port 0)",
    )
    parser.add_argument(
        "--metrics-port",
        metavar="PORT",
        help="port of the metrics for Prometheus, 0 for a free one, off for none "
        f"(default: {default.metrics_port}; a free one with --port 0)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data-dir", metavar="DIR", help=f"directory for durable state (default: {default_data_directory()})"
    )
    where.add_argument("--memory", action="store_true", help="keep everything in memory, nothing on disk")
    parser.add_argument(
        "--cluster", metavar="URL", help="be a node of a cluster on these servers of NATS: nats://host1,host2,host3"
    )
    parser.add_argument(
        "--sync",
        choices=("always", "interval", "never"),
        help="when a persistent message counts as safe: after an fsync, or after the write with an fsync every "
        f"second or none at all (default: {default.sync})",
    )
    parser.add_argument("--log-level", choices=logs.LEVELS, metavar="LEVEL", help=f"{', '.join(logs.LEVELS)}")
    parser.add_argument("--log-format", choices=("text", "json"), help="form of the log (default: text)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="rabbitmq.conf to read (default: /etc/rabbitmq's)")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="its files *.conf are read after that")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="any key of rabbitmq.conf; may be repeated",
    )


def load_from_options(options: argparse.Namespace) -> Loaded:
    """Read what the options name, and the environment.

    Raises:
        UsageError: an option has no such form.
        ConfigError: a value can't be used.
    """
    return load(
        base=Config(data_dir=default_data_directory(), has_control_socket=True),
        environment=os.environ,
        options=list(_settings(options)),
        file=options.config,
        directory=options.config_dir,
    )


def start_log(loaded: Loaded) -> None:
    """Set up the log, and say what was found. Raises UsageError when the file can't be written."""
    try:
        logs.set_up(loaded.log)
    except OSError as error:
        raise UsageError(
            f"can't write the log {loaded.log.file_path}: {error.strerror}; choose another log.file"
        ) from None
    for path in loaded.files:
        log.info("settings from %s", path)
    for text in (*loaded.unknown, *loaded.warnings):
        log.warning("%s", text)
    for text in loaded.notes:
        log.info("%s", text)


def log_paths(loaded: Loaded) -> list[str]:
    """Where the log goes; the console as RabbitMQ writes it."""
    paths = [] if loaded.log.file_path is None else [str(loaded.log.file_path)]
    return [*paths, f"<{loaded.log.console_stream}>"] if loaded.log.console else paths


def _settings(options: argparse.Namespace) -> Iterator[Setting]:
    given: dict[str, Any] = vars(options)
    if given["tls_cert"] is None:
        for name in ("tls_port", "tls_key", "tls_ca"):
            if given[name] is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs a certificate; give one with --tls-cert")
    elif given["tls_port"] is None:
        yield Setting("listeners.ssl.default", str(TLS_PORT), "--tls-cert")
    if given["tls_ca"] is not None:
        yield Setting("ssl_options.verify", "verify_peer", "--tls-ca")
    for assignment in given["assignments"]:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {key[:40]}: expected KEY=VALUE")
        yield Setting(key.strip(), text.strip(), "--set")
    for name, key in OPTION_KEYS.items():
        if given[name] is not None:
            text = "plaintext" if given[name] == "text" else given[name]
            yield Setting(key, text, f"--{name.replace('_', '-')}")
    if given["memory"]:
        yield Setting("amqp_broker.data_dir", "none", "--memory")
