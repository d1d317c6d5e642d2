"""Commands about the cluster: who has which vhost, and who is to have it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from amqp_broker.administration import exporting, vhosts
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
    "restart_shovel",
}
"""Commands that look at what is in a vhost, which is on one node only."""

OF_ALL: Final = {
    "list_connections",
    "list_channels",
    "alarms",
    "shovel_status",
    "federation_status",
    "close_all_user_connections",
    "export_definitions",
}
"""Commands that concern all nodes: each does, or tells, what is with it."""

OF_SOME: Final = {"restart_federation_link"}
"""Commands about what is with one of them, nobody knows which."""


@attrs.frozen
class Route:
    """Which nodes carry out a command.

    Attributes:
        is_here: this one does.
        others: the others that do.
        is_first_enough: only the first of them that can.
    """

    is_here: bool = True
    others: Sequence[str] = ()
    is_first_enough: bool = False

    def nodes(self, own_name: str) -> list[str]:
        """All of them, in the order of their names, so that each node gives the same list."""
        return sorted([own_name, *self.others] if self.is_here else self.others)


def route_of(node: Node, cluster: Cluster, name: str, request: Request) -> Route:
    """Find out who is to carry out a command that has been asked here."""
    others = [each.name for each in cluster.members() if each.is_running and each.name != node.name]
    if name in OF_CONTENTS or (name == "close_all_connections" and "global" not in request.options):
        owner = cluster.owner_of(request.vhost) if request.vhost in node.broker.vhosts else None
        is_here = node.broker.is_here(request.vhost) or owner is None or owner.name == node.name
        return Route() if is_here or owner is None else Route(is_here=False, others=[owner.name])
    if name in OF_ALL or name == "close_all_connections":
        return Route(others=others)
    if name in OF_SOME:
        return Route(others=others, is_first_enough=True)
    if name == "import_definitions":
        return Route()  # which gives others their part
    meant = node_of_pid(request.text(0)) if name == "close_connection" else request.node
    return Route(is_here=False, others=[meant]) if meant in others else Route()


def node_of_pid(pid: str) -> str:
    """Whose thing that is, by what `Node.pid_of` calls it."""
    found = re.fullmatch(r"<(.+)\.\d+\.\d+\.0>", pid)
    return "" if found is None else found[1]


def _joined_exports(lines: Sequence[dict[str, Any]]) -> Iterable[str]:
    """One export, of what all nodes have."""
    yield json.dumps(exporting.join([json.loads(each["line"]) for each in lines]), separators=(",", ":"))


def _joined_counts(lines: Sequence[dict[str, Any]]) -> Iterable[str]:
    """One count of connections that were closed."""
    yield health.closed_text(sum(int(each["line"].split()[1]) for each in lines))


JOINS: Final[Mapping[str, Callable[[Sequence[dict[str, Any]]], Iterable[str]]]] = {
    "export_definitions": _joined_exports,
    "close_all_connections": _joined_counts,
    "close_all_user_connections": _joined_counts,
}
"""Where the answers of several nodes become one; of other commands they just follow one another."""


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
    owners = {vhost: each.name for each in members for vhost in each.vhosts}
    for name in sorted(node.broker.vhosts):
        yield f"Vhost: {name}, node: {owners.get(name, 'none at present')}"
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
