"""A cluster of ours as its users run it: servers of NATS and brokers as processes on loopback, on ports that stay."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import attrs

from amqp_broker.config import TlsOptions
from interop.clock import Clock
from interop.namespaces import Namespaces
from interop.own_broker import OwnBroker
from interop.processes import LineProcess, python_environment
from interop.proxy import Proxy, Weather
from tests.support.nats import LOOPBACK, NatsServer, Place, nats_cluster
from tests.support.ports import free_ports

READY_S = 60.0
COMMAND_S = 30.0


LOGIN = ("broker", "s3cret")
"""Of the brokers, where NATS asks for one."""


@attrs.frozen
class Surroundings:
    """In what a cluster runs.

    Attributes:
        has_links: there are links between brokers and NATS, and from broker to broker, that can be cut.
        network: with a namespace for each broker and server, see `names`; None for loopback.
        has_tls: brokers speak TLS with one another, and NATS with all, and asks for a login.
        clock_library: with which each broker has a wall clock of its own; None for that of the machine.
    """

    has_links: bool = False
    network: Namespaces | None = None
    has_tls: bool = False
    clock_library: Path | None = None


PLAIN = Surroundings()
CLOCKS_OFF_S = (0, 7 * 3600, -5 * 3600)
"""At first, by turns."""


def names(brokers: int, servers: int) -> tuple[list[str], list[str]]:
    """What brokers and servers of NATS are called in a network."""
    return [f"b{n}" for n in range(brokers)], [f"nats{n}" for n in range(servers)]


class BrokerNode:
    """One broker, which can be ended and started again.

    Attributes:
        url: where its clients find it, whether it runs or not.
        name: as the cluster knows it.
        links: to NATS, which can be cut; empty where it connects directly.
        door: the link by way of which the other brokers reach this one; None where they do directly.
        clock: what it takes for the time, if that is its own.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        servers: list[str],
        options: tuple[str, ...] = (),
        *,
        place: Place = LOOPBACK,
        has_links: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.links = [Proxy(server, Weather()) for server in servers] if has_links else []
        if self.links:
            servers = [link.url for link in self.links]
        port, cluster_port, http_port = free_ports(3)
        host = place.host
        self.url = f"amqp://guest:guest@{host}:{port}/%2F"
        self.http_url = f"http://{host}:{http_port}"
        self.door = Proxy(f"tcp://{host}:{cluster_port}", Weather()) if has_links else None
        self._environment = {
            "AMQP_BROKER_CLUSTER_PORT": str(cluster_port),
            "AMQP_BROKER_CLUSTER_HOST": host if self.door is None else self.door.url.rpartition("/")[2],
            "AMQP_BROKER_NODE_NAME": name,
            "AMQP_BROKER_LOOPBACK_USERS": "none",
            **({} if place.tls is None else _tls_environment(place.tls)),
            **({} if self.clock is None else self.clock.environment),
        }
        self.directory = directory / name
        self.log = directory / f"{name}.log"
        self._log_file = self.log.open("ab")
        self._process: LineProcess | None = None
        self._argv = [
            *(*place.command, sys.executable, "-m", "amqp_broker"),
            *("--cluster", ",".join(servers), "--data-dir", str(self.directory)),
            *("--host", host, "--port", str(port)),
            *("--set", f"management.tcp.ip={host}", "--management-port", str(http_port), "--metrics-port", "off"),
            *options,
        ]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when clients can connect."""
        self._process = LineProcess(self._argv, env={**python_environment(), **self._environment})
        OwnBroker(self._process, READY_S)

    def stop(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.stop(deadline_s=30)
        self._keep_log()

    def kill(self) -> None:
        """End it by SIGKILL; harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._keep_log()

    def command(self, *arguments: str) -> bool:
        """Give it a control command; False if it can't be carried out now."""
        call = [sys.executable, "-m", "amqp_broker.ctl.main", "--data-dir", str(self.directory), *arguments]
        done = subprocess.run(call, env=python_environment(), capture_output=True, timeout=COMMAND_S, check=False)
        return done.returncode == 0

    def output(self) -> str:
        """All that it has logged, in all its lives."""
        now = [] if self._process is None else self._process.errors
        return self.log.read_text() + "\n".join(now)

    def _keep_log(self) -> None:
        assert self._process is not None
        self._log_file.write("".join(f"{line}\n" for line in [*self._process.errors, "---"]).encode())
        self._log_file.flush()
        self._process = None


class OwnCluster:
    """All of them.

    Attributes:
        directory: where their files and logs are.
    """

    def __init__(
        self,
        directory: Path,
        brokers: int,
        servers: int,
        options: tuple[str, ...] = (),
        surroundings: Surroundings = PLAIN,
    ) -> None:
        self.directory = directory
        broker_names, server_names = names(brokers, servers)
        places = _places([*broker_names, *server_names], directory, surroundings)
        library = surroundings.clock_library
        login = LOGIN if surroundings.has_tls else None
        its_places = [places[name] for name in server_names]
        self.servers: list[NatsServer] = nats_cluster(directory, servers, its_places, login)
        urls = [server.url for server in self.servers]
        self.brokers = [
            BrokerNode(
                name,
                directory,
                urls,
                options,
                place=places[name],
                has_links=surroundings.has_links,
                clock=None if library is None else Clock(library, directory / f"{name}.clock", off_s),
            )
            for name, off_s in zip(broker_names, cycle(CLOCKS_OFF_S), strict=False)
        ]

    @property
    def urls(self) -> list[str]:
        return [broker.url for broker in self.brokers]

    def start(self) -> None:
        """Start all of it."""
        for server in self.servers:
            server.start()
        for broker in self.brokers:
            broker.start()

    def kill(self) -> None:
        """End all of it."""
        for broker in self.brokers:
            broker.kill()
            for link in [*broker.links, *([] if broker.door is None else [broker.door])]:
                link.close()
        for server in self.servers:
            server.stop()


@contextlib.contextmanager
def running_cluster(
    brokers: int = 3,
    servers: int = 3,
    *,
    directory: Path | None = None,
    options: tuple[str, ...] = (),
    surroundings: Surroundings = PLAIN,
) -> Iterator[OwnCluster]:
    """A cluster that serves; all of it is killed in the end.

    Args:
        brokers: how many.
        servers: of NATS.
        directory: for files and logs, which are kept then.
        options: more for each broker's command line.
        surroundings: in which it runs; of a network it is in, its threads have to be as well.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amqp-cluster-")))
        cluster = OwnCluster(directory, brokers, servers, options, surroundings)
        stack.callback(cluster.kill)
        cluster.start()
        yield cluster


def _places(everybody: Sequence[str], directory: Path, surroundings: Surroundings) -> dict[str, Place]:
    """Where each of them runs, with certificates that are made for it."""
    network = surroundings.network
    places = {
        name: LOOPBACK if network is None else Place(network.address(name), network.command(name)) for name in everybody
    }
    if not surroundings.has_tls:
        return places
    from tests.support.certificates import Authority  # trustme is not needed elsewhere

    authority = Authority(directory)
    return {
        name: attrs.evolve(
            place, tls=TlsOptions(certificates=(authority.server(place.host, name),), ca=authority.ca_file)
        )
        for name, place in places.items()
    }


def _tls_environment(tls: TlsOptions) -> dict[str, str]:
    [certificate] = tls.certificates
    return {
        "AMQP_BROKER_CLUSTER_TLS_CACERTFILE": str(tls.ca),
        "AMQP_BROKER_CLUSTER_TLS_CERTFILE": str(certificate.chain),
        "AMQP_BROKER_CLUSTER_TLS_KEYFILE": str(certificate.key),
        "SSL_CERT_FILE": str(tls.ca),  # by which it knows the servers of NATS
    }
