"""A private RabbitMQ from Debian's package, to be compared with: own directory, own ports, own epmd.

Everything it needs lives in a temporary directory and on ports the system picked; it shares nothing with
an installed service and nothing of it is left afterwards. `python -m interop.rabbitmq` keeps one running by
hand.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from amqp_broker.perf.wire import Client
from interop.processes import LineProcess
from tests.support.ports import free_ports

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one on the PATH: that one changes to the user `rabbitmq` and to its home directory."""

CTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")

MANAGEMENT = "rabbitmq_management"
FEDERATION = "rabbitmq_federation"
FEDERATION_MANAGEMENT = "rabbitmq_federation_management"
SHOVEL = "rabbitmq_shovel"

COUNTED_OFTEN = "collect_statistics_interval = 500\n"
"""A setting in milliseconds for tests that look at the management API; the default is 5000."""

CTL_DEADLINE_S = 60.0
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0


class RabbitMQUnavailableError(Exception):
    """This machine has no RabbitMQ; the text says what to install."""


@attrs.define(eq=False)
class Node:
    """A RabbitMQ that runs.

    Attributes:
        url: where its AMQP clients find it.
        management_url: where its management API is, with name and password; empty without that plugin.
    """

    url: str
    management_url: str
    _env: dict[str, str]
    _directory: Path
    _server: LineProcess = attrs.field(init=False)

    def start(self) -> None:
        """Start it, or start it again where it was. Raises ProcessError."""
        self._server = LineProcess([str(SERVER)], env=self._env, cwd=self._directory)
        # The shell around the Erlang machine writes this line after the listeners are open.
        self._server.wait_line("  Starting broker... completed", deadline_s=START_DEADLINE_S)

    def settle(self) -> None:
        """What it was told of queues and users is on disk; 3.10 keeps it in a buffer of its process for a while.

        Raises:
            CalledProcessError: it refuses.
        """
        self.ctl("eval", "mnesia:sync_log().")

    def kill(self) -> None:
        """SIGKILL, to its Erlang machine as well."""
        self._server.kill()

    def stop(self) -> None:
        """End it in order. Raises ProcessError."""
        self._server.stop(deadline_s=STOP_DEADLINE_S)

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on it; gives what it writes.

        Raises:
            CalledProcessError: it refuses.
        """
        return subprocess.run(
            [str(CTL), "-q", *arguments],
            env=self._env,
            check=True,
            capture_output=True,
            text=True,
            timeout=CTL_DEADLINE_S,
        ).stdout


@contextlib.contextmanager
def running_rabbitmq(port: int = 0) -> Iterator[str]:
    """The AMQP URL of a fresh RabbitMQ, as `running_node` starts it."""
    with running_node(port) as node:
        yield node.url


@contextlib.contextmanager
def running_node(port: int = 0, *, plugins: Collection[str] = (), settings: str = "") -> Iterator[Node]:
    """A fresh RabbitMQ, user guest, listening on loopback.

    Args:
        port: for AMQP; 0 lets the system pick one.
        plugins: to enable; `MANAGEMENT` takes some seconds more.
        settings: more lines for its `rabbitmq.conf`.

    Raises:
        RabbitMQUnavailableError: not installed.
        ProcessError: it did not start, or did not stop in time.
    """
    with contextlib.ExitStack() as stack:
        family = stack.enter_context(_family())
        node = family.start(stack, f"interop-{secrets.token_hex(4)}", port, plugins=plugins, settings=settings)
        yield node
        node.stop()


@contextlib.contextmanager
def running_cluster(count: int = 3) -> Iterator[list[Node]]:
    """Fresh nodes of RabbitMQ, as `running_node` starts one, that are one cluster. Raises what that does."""
    names = [f"interop-{secrets.token_hex(4)}" for _ in range(count)]
    settings = "cluster_formation.peer_discovery_backend = classic_config\n" + "".join(
        f"cluster_formation.classic_config.nodes.{number} = {name}@localhost\n"
        for number, name in enumerate(names, start=1)
    )
    with contextlib.ExitStack() as stack:
        family = stack.enter_context(_family())
        nodes = [family.start(stack, name, settings=settings) for name in names]
        yield nodes
        for node in nodes:
            node.stop()


@contextlib.contextmanager
def _family() -> Iterator[_Family]:
    """Raises RabbitMQUnavailableError."""
    epmd_path = shutil.which("epmd")
    if not SERVER.exists() or epmd_path is None:
        raise RabbitMQUnavailableError(f"no {SERVER} or no epmd: install Debian's package rabbitmq-server")
    (epmd_port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        cookie = directory / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o600)
        family = _Family(directory, epmd_port)
        command = [epmd_path, "-port", str(epmd_port), "-address", "127.0.0.1"]
        epmd = LineProcess(command, env=_clean_environment(), cwd=directory)
        stack.callback(epmd.kill)
        yield family


@attrs.frozen
class _Family:
    """Nodes that know one another: a directory with their cookie, and their epmd."""

    directory: Path
    epmd_port: int

    def start(
        self,
        stack: contextlib.ExitStack,
        name: str,
        port: int = 0,
        *,
        plugins: Collection[str] = (),
        settings: str = "",
    ) -> Node:
        """Start a node, which ends with the stack at the latest. Raises ProcessError."""
        amqp_port, dist_port, management_port = free_ports(3)
        amqp_port = port or amqp_port
        directory = self.directory / name
        directory.mkdir()
        management_url = ""
        if MANAGEMENT in plugins:
            management_url = f"http://guest:guest@127.0.0.1:{management_port}"
            settings += f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management_port}\n"
        (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (directory / "rabbitmq.conf").write_text(settings)
        (directory / "rabbitmq-env.conf").touch()
        env = self._environment(name, directory, amqp_port, dist_port)
        node = Node(f"amqp://guest:guest@127.0.0.1:{amqp_port}", management_url, env, directory)
        stack.callback(node.kill)
        node.start()
        Client(node.url).close()
        return node

    def _environment(self, name: str, directory: Path, amqp_port: int, dist_port: int) -> dict[str, str]:
        return _clean_environment() | {
            "HOME": str(self.directory),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"{name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(amqp_port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ("-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
        }


def _clean_environment() -> dict[str, str]:
    """What the caller's environment says about RabbitMQ or Erlang is dropped."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}


@contextlib.contextmanager
def _signal_socket(*signals: signal.Signals) -> Iterator[socket.socket]:
    """A socket that becomes readable with the first of these signals, whichever thread it reaches."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        for number in signals:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(-1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.rabbitmq", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="for AMQP (default: one that is free)")
    arguments = parser.parse_args()
    try:
        with (
            running_rabbitmq(arguments.port) as url,
            _signal_socket(signal.SIGINT, signal.SIGTERM) as signalled,
        ):
            print("ready", url, flush=True)
            signalled.recv(1)
    except RabbitMQUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
