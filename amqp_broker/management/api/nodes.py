"""The node: what it is, and what it uses of the machine."""

from __future__ import annotations

from amqp_broker.inspection.cluster import ClusterMember
from amqp_broker.inspection.memory import memory_record, relative_memory_record
from amqp_broker.inspection.settings import setting_lines
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.health import check_node_name
from amqp_broker.management.call import Call
from amqp_broker.management.churn import churn_counts
from amqp_broker.management.machine import node_record, usage
from amqp_broker.management.replies import NO_CONTENT, Reply, Text
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("nodes", Needs.MONITORING)
def list_nodes(call: Call) -> list[Record]:
    """All nodes; of those that don't answer only whether they run."""
    cluster = call.node.cluster
    members = {} if cluster is None else {each.name: each for each in cluster.members()}
    own = _record(call)
    if call.node.name in members:
        own |= _as_member(members.pop(call.node.name))
    return [own, *map(_as_member, members.values())]


@routes.get("nodes/{node}", Needs.MONITORING)
def show_node(call: Call) -> Record:
    """One node."""
    check_node_name(call)
    return _record(call)


@routes.get("nodes/{node}/memory", Needs.MONITORING)
def show_memory(call: Call) -> Record:
    """What memory is used for."""
    check_node_name(call)
    return {"memory": memory_record()}


@routes.get("nodes/{node}/memory/relative", Needs.MONITORING)
def show_relative_memory(call: Call) -> Record:
    """What memory is used for, in parts of a hundred."""
    check_node_name(call)
    return {"memory": relative_memory_record()}


@routes.get("config/effective", Needs.ADMINISTRATOR)
def show_settings(call: Call) -> Text:
    """The settings as they are, without secrets; plain text, as `rabbitmq-diagnostics environment` prints it."""
    return Text("\n".join(setting_lines(call.broker.config)) + "\n")


@routes.delete("reset", Needs.ADMINISTRATOR)
@routes.delete("reset/{node}", Needs.ADMINISTRATOR)
def reset_statistics(call: Call) -> Reply:
    """Forget the samples that rates are made of."""
    check_node_name(call)
    call.statistics.statistics.clear()
    return NO_CONTENT


def _as_member(member: ClusterMember) -> Record:
    """What the cluster knows of a node."""
    return {
        "name": member.name,
        "type": "disc",
        "running": member.is_running,
        "being_drained": member.is_draining,
        "vhost_count": len(member.vhosts),
    }


def _record(call: Call) -> Record:
    events = call.broker.events
    used = usage(call.node)
    rates = call.statistics.with_rates(call.node.resources, used)
    return node_record(call.node, used) | rates | call.statistics.with_rates(events, churn_counts(events))
