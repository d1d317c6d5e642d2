"""A cluster of ours as its users run it: servers of NATS and brokers as processes on loopback, on ports that stay."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interop.own_broker import OwnBroker
from interop.processes import LineProcess, python_environment
from interop.proxy import Proxy, Weather
from tests.support.nats import NatsServer, nats_cluster
from tests.support.ports import free_ports

READY_S = 60.0
COMMAND_S = 30.0


class BrokerNode:
    """One broker, which can be ended and started again.

    Attributes:
        url: where its clients find it, whether it runs or not.
        name: as the cluster knows it.
        links: to NATS, which can be cut; empty where it connects directly.
        door: the link by way of which the other brokers reach this one; None where they do directly.
    """

    def __init__(
        self, name: str, directory: Path, servers: list[str], options: tuple[str, ...] = (), *, has_links: bool = False
    ) -> None:
        self.name = name
        self.links = [Proxy(server, Weather()) for server in servers] if has_links else []
        if self.links:
            servers = [link.url for link in self.links]
        port, cluster_port, http_port = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.cluster_port = cluster_port
        self.door = Proxy(f"tcp://127.0.0.1:{cluster_port}", Weather()) if has_links else None
        self.cluster_host = "127.0.0.1" if self.door is None else self.door.url.rpartition("/")[2]
        self.directory = directory / name
        self.log = directory / f"{name}.log"
        self._log_file = self.log.open("ab")
        self._process: LineProcess | None = None
        self._argv = [
            *("-m", "amqp_broker", "--cluster", ",".join(servers), "--data-dir", str(self.directory)),
            *("--port", str(port), "--management-port", str(http_port), "--metrics-port", "off", *options),
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
        env = {
            **python_environment(),
            "AMQP_BROKER_CLUSTER_PORT": str(self.cluster_port),
            "AMQP_BROKER_CLUSTER_HOST": self.cluster_host,
            "AMQP_BROKER_NODE_NAME": self.name,
        }
        self._process = LineProcess([sys.executable, *self._argv], env=env)
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
        self, directory: Path, brokers: int, servers: int, options: tuple[str, ...] = (), *, has_links: bool = False
    ) -> None:
        self.directory = directory
        self.servers: list[NatsServer] = nats_cluster(directory, servers)
        urls = [server.url for server in self.servers]
        self.brokers = [BrokerNode(f"b{n}", directory, urls, options, has_links=has_links) for n in range(brokers)]

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
    has_links: bool = False,
) -> Iterator[OwnCluster]:
    """A cluster that serves; all of it is killed in the end.

    Args:
        brokers: how many.
        servers: of NATS.
        directory: for files and logs, which are kept then.
        options: more for each broker's command line.
        has_links: there are links between brokers and NATS, and from broker to broker, that can be cut.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amqp-cluster-")))
        cluster = OwnCluster(directory, brokers, servers, options, has_links=has_links)
        stack.callback(cluster.kill)
        cluster.start()
        yield cluster
