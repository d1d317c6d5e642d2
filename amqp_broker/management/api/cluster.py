"""The cluster: where vhosts are to be."""

from __future__ import annotations

from amqp_broker.inspection.cluster import Cluster
from amqp_broker.management.call import Call
from amqp_broker.management.errors import bad_request, not_found
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.post("vhosts/{vhost}/transfer/{node}", Needs.ADMINISTRATOR)
def transfer_vhost(call: Call) -> Reply:
    """Have a vhost move to another node of the cluster; its clients are told to connect anew."""
    cluster, vhost = _cluster_of(call), call.vhost
    if not any(each.is_running for each in cluster.members() if each.name == call.path["node"]):
        raise bad_request(f"node {call.path['node']} does not run")
    cluster.transfer(vhost.name, call.path["node"])
    return NO_CONTENT


@routes.post("nodes/{node}/drain", Needs.ADMINISTRATOR)
def drain_node(call: Call) -> Reply:
    """Have a node of the cluster give its vhosts to others, and get none until it is undrained."""
    _cluster_of(call).drain(_member(call))
    return NO_CONTENT


@routes.post("nodes/{node}/undrain", Needs.ADMINISTRATOR)
def undrain_node(call: Call) -> Reply:
    """Let a node of the cluster have vhosts again."""
    _cluster_of(call).undrain(_member(call))
    return NO_CONTENT


def _cluster_of(call: Call) -> Cluster:
    """Raises ApiError 400."""
    if call.node.cluster is None:
        raise bad_request("this node is in no cluster")
    return call.node.cluster


def _member(call: Call) -> str:
    """The node that the path names. Raises ApiError 404."""
    if all(each.name != call.path["node"] for each in _cluster_of(call).members()):
        raise not_found()
    return call.path["node"]
