"""The node: a broker, the process around it, and where it is listened on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import attrs

from amqp_broker.broker import Broker
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.resources import Resources

PURPOSES: Final = {
    "amqp": "AMQP 0-9-1",
    "amqp/ssl": "AMQP 0-9-1 over TLS",
    "clustering": "inter-node and CLI tool communication",
    "http": "HTTP API",
    "http/prometheus": "Prometheus exporter API over HTTP",
    "https": "HTTP API over TLS (HTTPS)",
    "https/prometheus": "Prometheus exporter API over TLS (HTTPS)",
}
"""What protocols are for, in the words of `rabbitmq-diagnostics listeners`."""


@attrs.frozen
class ListeningPort:
    """A port that is open.

    Attributes:
        protocol: in RabbitMQ's words: a key of `PURPOSES`.
        address: an IP address, or the path of a Unix socket.
        port: 0 of a Unix socket.
    """

    protocol: str
    address: str
    port: int
    purpose: str = attrs.field(default=attrs.Factory(lambda self: PURPOSES[self.protocol], takes_self=True))

    @property
    def interface(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address


@attrs.define(eq=False)
class Node:
    """What is looked at, from the command line or over HTTP.

    Attributes:
        listeners: where clients can connect at this moment.
        stop: begin an orderly stop of the process.
        log_paths: where the log is written; the console is `<stderr>` or `<stdout>`.
        config_paths: the files that settings came from.
        started_at: seconds since the epoch.
        cluster: the one it is in, if it is in one.
    """

    broker: Broker
    resources: Resources
    listeners: Sequence[ListeningPort] = ()
    stop: Callable[[], None] = lambda: None
    log_paths: Sequence[str] = ("<stderr>",)
    config_paths: Sequence[Path] = ()
    started_at: float = attrs.Factory(time.time)
    cluster: Cluster | None = None
    _pids: WeakKeyDictionary[object, str] = attrs.field(init=False, factory=WeakKeyDictionary)
    _last_pid: int = attrs.field(init=False, default=0)

    @property
    def name(self) -> str:
        """RabbitMQ's `rabbit@host`."""
        return self.broker.config.node_name

    @property
    def uptime_s(self) -> float:
        return time.time() - self.started_at

    @property
    def is_in_service(self) -> bool:
        """Whether clients are let in, and nobody wants them to go to another node."""
        members = () if self.cluster is None else self.cluster.members()
        return not self.broker.is_suspended and not any(each.is_draining for each in members if each.name == self.name)

    @property
    def vhosts_down(self) -> list[str]:
        """Those that are open neither here nor, as far as is known, on another node; without a cluster, none."""
        if self.cluster is None:
            return []
        others = (each for each in self.cluster.members() if each.is_running and each.name != self.name)
        elsewhere = {vhost for each in others for vhost in each.vhosts}
        return [name for name in self.broker.vhosts if name not in elsewhere and not self.broker.is_here(name)]

    @property
    def is_critical(self) -> bool:
        """Whether no other node of the cluster is there to have the vhosts; one that is alone is not."""
        others = [] if self.cluster is None else [each for each in self.cluster.members() if each.name != self.name]
        return bool(others) and not any(each.is_running and not each.is_draining for each in others)

    def pid_of(self, thing: object) -> str:
        """A name for a connection, a channel or a queue that no other has, in the form of an Erlang process id."""
        pid = self._pids.get(thing)
        if pid is None:
            self._last_pid += 1
            pid = f"<{self.name}.{int(self.started_at)}.{self._last_pid}.0>"
            self._pids[thing] = pid
        return pid
