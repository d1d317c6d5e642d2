"""Commands about the cluster: who has which vhost, and who is to have it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from amqp_broker.administration import vhosts
from amqp_broker.control import health
from amqp_broker.control.errors import EXIT_DATA, EXIT_USAGE, ControlError
from amqp_broker.control.request import Request
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.inspection.node import Node

OF_CONTENTS: Final = {
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_consumers",
    "list_unresponsive_queues",
    "purge_queue",
    "delete_queue",
}
"""Commands that look at what is in a vhost, which is on one node only."""


def check_is_here(node: Node, name: str, request: Request) -> None:
    """Refuse what has to be asked on another node. Raises ControlError."""
    vhost = request.vhost
    if node.cluster is None or name not in OF_CONTENTS or node.broker.is_here(vhost):
        return
    if vhost not in node.broker.vhosts:
        return  # which the command itself has words for
    owner = node.cluster.owner_of(vhost)
    if owner is None:
        raise ControlError(f"vhost '{vhost}' is on no node at present")
    raise ControlError(f"vhost '{vhost}' is on node {owner.name}: ask there")


def status_lines(node: Node) -> Iterable[str]:
    """What `cluster_status` says of a cluster: nodes, and where vhosts are."""
    assert node.cluster is not None
    members = node.cluster.members()
    yield "\n".join(["\nDisk Nodes\n", *(each.name for each in members)])
    yield "\n".join(["\nRunning Nodes\n", *(each.name for each in members if each.is_running)])
    yield "\nVhosts\n"
    for name in sorted(node.broker.vhosts):
        owner = node.cluster.owner_of(name)
        yield f"Vhost: {name}, node: {'none at present' if owner is None else owner.name}"
    yield "\nMaintenance status\n"
    for each in members:
        yield f"Node: {each.name}, status: {'' if each.is_draining else 'not '}under maintenance"


def transfer_vhost(node: Node, request: Request) -> Iterable[str]:
    """Have a vhost move to a node."""
    cluster = _cluster_of(node)
    vhost, target = request.text(0), request.text(1)
    vhosts.find_vhost(node.broker, vhost)
    _member(cluster, target)
    cluster.transfer(vhost, target)
    yield f"Vhost {vhost} moves to {target}; its clients are told to connect anew"


def drain(node: Node, request: Request) -> Iterable[str]:
    """Have a node give up its vhosts: the one that is named, or else this one, which sends away its clients as well."""
    name = request.text(0) or node.name
    if node.cluster is not None:
        _member(node.cluster, name)
        node.cluster.drain(name)
    elif name != node.name:
        raise ControlError(f"there is no node {name}", EXIT_DATA)
    if name == node.name:
        health.stop_app(node, request)
    yield from ()


def undrain(node: Node, request: Request) -> Iterable[str]:
    """Let a node have vhosts, and clients, again."""
    name = request.text(0) or node.name
    if node.cluster is not None:
        node.cluster.undrain(name)
    if name == node.name:
        health.start_app(node, request)
    yield from ()


def _cluster_of(node: Node) -> Cluster:
    if node.cluster is None:
        raise ControlError("this node is in no cluster", EXIT_USAGE)
    return node.cluster


def _member(cluster: Cluster, name: str) -> None:
    """Know a node. Raises ControlError."""
    names = [each.name for each in cluster.members() if each.is_running]
    if name not in names:
        raise ControlError(f"node {name} does not run; those that do: {', '.join(names)}", EXIT_DATA)
