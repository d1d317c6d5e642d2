"""Vhosts: list, show, add, change, delete."""

from __future__ import annotations

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.vhosts import add_vhost, delete_vhost, find_vhost, set_protection, vhost_item
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.connections import open_connections
from amqp_broker.management.api.health import check_node_name
from amqp_broker.management.call import Call
from amqp_broker.management.counts import lengths_of_vhost, message_stats, octets_of, vhost_counters
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.vhost import Vhost

routes = Routes()


@routes.get("vhosts")
def list_vhosts(call: Call) -> Listing:
    """The vhosts that the caller may enter; for who monitors, all."""
    return Listing((_record(call, vhost) for vhost in call.visible_vhosts), is_paged=True)


@routes.get("vhosts/{vhost}", Needs.ADMINISTRATOR)
def show_vhost(call: Call) -> Record:
    """One vhost."""
    return _record(call, call.vhost)


@routes.put("vhosts/{vhost}", Needs.ADMINISTRATOR)
def put_vhost(call: Call) -> Reply:
    """Add a vhost, which the caller may use at once, or describe one anew."""
    broker, name = call.broker, call.path["vhost"]
    queue_type = call.text("default_queue_type", call.text("defaultqueuetype", "undefined"))
    is_new = add_vhost(
        broker,
        name,
        description=call.text("description", ""),
        tags=call.words("tags"),
        default_queue_type=broker.config.default_queue_type if queue_type in ("", "undefined") else queue_type,
        is_tracing=call.flag("tracing") if "tracing" in call.fields else None,
        by=call.user.name,
    )
    if "protected_from_deletion" in call.fields:
        set_protection(broker, name, call.flag("protected_from_deletion"))
    if is_new and broker.users.get(call.user.name) is not None:
        set_permissions(broker, call.user.name, name, ".*", ".*", ".*", by=call.user.name)
    return created_or_changed(is_new)


@routes.delete("vhosts/{vhost}", Needs.ADMINISTRATOR)
def remove_vhost(call: Call) -> Reply:
    """Delete a vhost with all that is in it, and close its connections."""
    delete_vhost(call.broker, call.path["vhost"], by=call.user.name)
    return NO_CONTENT


@routes.post("vhosts/{vhost}/deletion/protection", Needs.ADMINISTRATOR)
def protect_vhost(call: Call) -> Reply:
    """Forbid to delete a vhost."""
    set_protection(call.broker, call.path["vhost"], True)
    return NO_CONTENT


@routes.delete("vhosts/{vhost}/deletion/protection", Needs.ADMINISTRATOR)
def unprotect_vhost(call: Call) -> Reply:
    """Allow to delete a vhost."""
    set_protection(call.broker, call.path["vhost"], False)
    return NO_CONTENT


@routes.post("vhosts/{vhost}/start/{node}", Needs.ADMINISTRATOR)
def start_vhost(call: Call) -> Reply:
    """Start a vhost on a node, where it runs anyway."""
    check_node_name(call)
    find_vhost(call.broker, call.path["vhost"])
    return NO_CONTENT


def _cluster_state(call: Call, vhost: Vhost) -> Record:
    """The node that has a vhost."""
    if call.node.cluster is None:
        return {call.node.name: "running"}
    owner = call.node.cluster.owner_of(vhost.name)
    return {} if owner is None else {owner.name: "running"}


def _record(call: Call, vhost: Vhost) -> Record:
    octets = {"recv_oct": 0, "send_oct": 0}
    for connection in open_connections(call.broker):
        if connection.vhost_name == vhost.name:
            for name, count in octets_of(connection).items():
                octets[name] += count
    record: Record = {**vhost_item(vhost), "cluster_state": _cluster_state(call, vhost)}
    record |= call.statistics.with_rates(vhost, lengths_of_vhost(vhost) | octets)
    record["message_stats"] = message_stats(call.statistics, vhost, vhost_counters(call.broker, vhost))
    return record
