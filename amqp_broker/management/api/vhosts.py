"""Vhosts: list, show, add, change, delete."""

from __future__ import annotations

from amqp_broker.administration.vhosts import vhost_item
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.connections import open_connections
from amqp_broker.management.call import Call
from amqp_broker.management.counts import lengths_of_vhost, message_stats, octets_of, vhost_counters
from amqp_broker.management.listing import Listing
from amqp_broker.management.routes import Routes
from amqp_broker.vhost import Vhost

routes = Routes()


@routes.get("vhosts")
def list_vhosts(call: Call) -> Listing:
    """The vhosts that the caller may enter."""
    return Listing((_record(call, vhost) for vhost in call.vhosts), is_paged=True)


@routes.get("vhosts/{vhost}")
def show_vhost(call: Call) -> Record:
    """One vhost."""
    return _record(call, call.vhost)


def _record(call: Call, vhost: Vhost) -> Record:
    node = call.node.name
    octets = {"recv_oct": 0, "send_oct": 0}
    for connection in open_connections(call.broker):
        if connection.vhost_name == vhost.name:
            for name, count in octets_of(connection).items():
                octets[name] += count
    record: Record = {**vhost_item(vhost), "cluster_state": {node: "running"}}
    record |= call.statistics.with_rates(vhost, lengths_of_vhost(vhost) | octets)
    record["message_stats"] = message_stats(call.statistics, vhost, vhost_counters(call.broker, vhost))
    return record
