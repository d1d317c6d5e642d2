"""What somebody at a terminal sees when the broker is ready; a pipe gets the one line `ready URL ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from amqp_broker.config import Config


def announce(urls: Sequence[str], config: Config, out: TextIO) -> None:
    """Say that clients can connect, in the form that suits who reads it."""
    if not out.isatty():
        print("ready", *urls, file=out, flush=True)
        return
    where = "in memory only, gone when the broker ends" if config.data_dir is None else str(config.data_dir)
    rows = [
        ("clients", "  ".join(url for url in urls if not url.startswith("http"))),
        ("management", "  ".join(url for url in urls if url.startswith("http") and not url.endswith("/metrics"))),
        ("metrics", "  ".join(url for url in urls if url.endswith("/metrics"))),
        ("login", _login(config)),
        ("data", where),
        ("stop", "Ctrl-C"),
    ]
    print(
        "amqp-broker is ready", *(f"  {name:<11} {text}" for name, text in rows if text), sep="\n", file=out, flush=True
    )


def _login(config: Config) -> str:
    """The default user as it was made; its password only where everybody knows it."""
    if config.load_definitions is not None:
        return ""
    password = config.default_password if config.default_password == Config().default_password else "(as configured)"
    only_here = ", from this machine only" if config.default_user in config.loopback_users else ""
    return f"{config.default_user} / {password}{only_here}"
