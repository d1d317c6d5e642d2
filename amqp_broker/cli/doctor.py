"""`amqp-broker doctor`: whether a broker could run here with these settings, and what to do where it could not.

Changes nothing: ports are tried and given back, no directory is made.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from amqp_broker import COMPILED
from amqp_broker.cli import settings
from amqp_broker.cli.parser import EXIT_OK, OneLineParser
from amqp_broker.config import Config, Listener
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.loading import Loaded
from amqp_broker.resources import machine_memory_octets, open_files_limit

EXIT_UNWELL: Final = 1

FEW_FILES: Final = 4096
"""A connection is an open file; below that many a production broker is short of them."""


class Verdict(Enum):
    """How it is with one thing."""

    WELL = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """One thing that was looked at; `advice` is what to do about it."""

    verdict: Verdict
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.verdict.value:>7}  {self.text}" + (f"\n         -> {self.advice}" if self.advice else "")


def main(arguments: Sequence[str]) -> int:
    """Look; gives 0, or 1 when something is wrong."""
    parser = OneLineParser(
        prog="amqp-broker doctor", description="Find out what would keep a broker from running here."
    )
    settings.add_options(parser)
    findings = list(look(parser.parse_args(arguments)))
    for finding in findings:
        print(finding)
    return EXIT_UNWELL if any(finding.verdict is Verdict.WRONG for finding in findings) else EXIT_OK


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """All there is to look at, with the settings that a broker would have."""
    yield _form()
    try:
        loaded = settings.load_from_options(options)
    except ConfigError as error:
        yield Finding(Verdict.WRONG, f"settings: {error}", "mend it; amqp-broker config check FILE looks at one file")
        return
    yield from _settings(loaded)
    yield from data_directory(loaded.config)
    for listener in loaded.config.all_listeners:
        yield port(listener)
    yield open_files(open_files_limit(), loaded.config)
    yield _memory(loaded.config)


def _form() -> Finding:
    python = f"Python {platform.python_version()}"
    if COMPILED:
        return Finding(Verdict.WELL, f"{python}, compiled message path")
    return Finding(
        Verdict.WARNING,
        f"{python}, message path not compiled: several times slower",
        "have a C compiler and reinstall, or install a wheel for this platform",
    )


def _settings(loaded: Loaded) -> Iterator[Finding]:
    sources = ", ".join(map(str, loaded.files)) or "no file"
    yield Finding(Verdict.WELL, f"settings: {sources}; amqp-broker config show has them all")
    for text in loaded.unknown:
        yield Finding(Verdict.WARNING, f"settings: {text}", "correct the key, or take it out")


def data_directory(config: Config) -> Iterator[Finding]:
    """The directory can be made or written, nobody else has it, and there is room."""
    path = config.data_dir
    if path is None:
        yield Finding(Verdict.WELL, "data: in memory only; nothing survives the broker")
        return
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        yield Finding(Verdict.WRONG, f"data: {there} is no directory", "choose another with --data-dir")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(Verdict.WRONG, f"data: {there} can't be written", "chown it, or choose another with --data-dir")
        return
    yield _lock(path)
    free = shutil.disk_usage(there).free
    room = f"data: {path}, {free / 1e9:.1f} GB free"
    if free < config.disk_free_limit_octets:
        yield Finding(
            Verdict.WRONG,
            f"{room}, less than disk_free_limit ({config.disk_free_limit_octets / 1e6:.0f} MB): publishers would wait",
            "free some, or set disk_free_limit.absolute",
        )
    else:
        yield Finding(Verdict.WELL, room)


def _lock(path: Path) -> Finding:
    import fcntl

    try:
        with (path / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = file.read(32).decode("ascii", "replace").strip()
                advice = "that broker may be the one you want; otherwise stop it, or choose another with --data-dir"
                return Finding(Verdict.WRONG, f"data: {path} is in use by process {holder or '?'}", advice)
    except FileNotFoundError:
        return Finding(Verdict.WELL, f"data: {path} is new")
    except OSError as error:
        return Finding(Verdict.WRONG, f"data: {path / 'lock'}: {error.strerror}", "chown what is in the directory")
    return Finding(Verdict.WELL, f"data: {path} is free")


def port(listener: Listener) -> Finding:
    """Whether it can be listened on; if not, who does."""
    if listener.path is not None:
        return Finding(Verdict.WELL, f"listener: {listener.path}")
    shown = f"port {listener.host}:{listener.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        return Finding(
            Verdict.WRONG,
            f"{shown}: {error.strerror or error}{_who_has(listener.port)}",
            "stop that process, or choose another with --port (0 takes a free one)",
        )
    return Finding(Verdict.WELL, f"{shown} is free")


def _who_has(port_number: int) -> str:
    """Which process listens there, if the system lets us know."""
    try:
        for connection in psutil.net_connections("tcp"):
            is_there = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port_number,)
            if is_there and connection.pid:
                return f", taken by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.Error, OSError):
        pass  # other people's processes are not shown on every system
    return ""


def open_files(limit: int, config: Config) -> Finding:
    """How many clients there can be, by the limit of open files."""
    clients = max(0, limit - config.reserved_files)
    if limit < FEW_FILES:
        return Finding(
            Verdict.WARNING,
            f"open files: {limit}, for about {clients} connections",
            "ulimit -n 65536, or LimitNOFILE= in a systemd unit",
        )
    return Finding(Verdict.WELL, f"open files: {limit}, for about {clients} connections")


def _memory(config: Config) -> Finding:
    total = config.total_memory_octets or machine_memory_octets()
    limit = config.memory_high_watermark_octets or int(total * config.memory_high_watermark)
    return Finding(Verdict.WELL, f"memory: publishers wait from {limit / 1e9:.1f} GB of {total / 1e9:.1f} GB on")
