"""Whether a broker can be a node of a cluster with its settings; nothing of NATS is loaded where it is not to be."""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.net.tls import NodeTlsKeeper
from amqp_broker.storage.lock import DirectoryLock
from amqp_broker.storage.settings import JournalSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.cluster.node import ClusterNode


class ClusterConfigError(Exception):
    """No node of a cluster can be run with these settings."""


def join(config: Config, make_broker: Callable[..., Broker], settings: JournalSettings) -> ClusterNode:
    """Be a node of the cluster that is configured; waits for NATS as long as that takes.

    Raises:
        ClusterConfigError: it can't be with these settings.
        TlsConfigError: certificates can't be used.
        DataDirInUse: another broker has the directory.
        OSError: the directory can't be used.
    """
    data_dir = config.data_dir
    if data_dir is None:
        raise ClusterConfigError("a node needs a data directory, for its copies of vhosts")
    try:
        from amqp_broker.cluster.nats import server_urls
        from amqp_broker.cluster.node import ClusterNode
    except ImportError:
        raise ClusterConfigError("nats-py is not there: pip install 'trio-amqp-broker[cluster]'") from None
    try:
        urls = server_urls(config.cluster or "")
    except ValueError as error:
        raise ClusterConfigError(str(error)) from None
    tls = None if config.cluster_tls is None else NodeTlsKeeper(config.cluster_tls)
    lock = DirectoryLock(str(data_dir))
    if config.node_name == Config().node_name:
        config = attrs.evolve(config, node_name=f"rabbit@{socket.gethostname()}")
    return ClusterNode(config, urls, data_dir / "cluster", make_broker, settings, lock, tls)
