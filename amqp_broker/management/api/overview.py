"""The overview, and what little concerns the broker as a whole."""

from __future__ import annotations

from amqp_broker import __version__
from amqp_broker.administration.parameters import set_global_parameter
from amqp_broker.counters import MessageCounters
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.connections import open_connections
from amqp_broker.management.call import Call
from amqp_broker.management.churn import churn_counts
from amqp_broker.management.counts import lengths_of_vhost, message_stats, vhost_counters
from amqp_broker.management.machine import context_records, erlang_version, exchange_types, listener_records
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.registry import CLUSTER_NAME

routes = Routes()

PRODUCT = "trio-amqp-broker"


@routes.get("version", Needs.NOBODY)
def show_version(call: Call) -> str:
    """The RabbitMQ version that clients are told."""
    return call.broker.config.version


@routes.get("overview")
def show_overview(call: Call) -> Record:
    """What there is, and what goes on."""
    broker, node = call.broker, call.node
    totals = {"messages": 0, "messages_ready": 0, "messages_unacknowledged": 0}
    counters = MessageCounters()
    for vhost in call.visible_vhosts:
        counters.add(vhost_counters(broker, vhost))
        for name, count in lengths_of_vhost(vhost).items():
            totals[name] += count
    stats = message_stats(call.statistics, broker, counters)
    for name in ("disk_reads", "disk_writes"):
        stats |= {name: 0, f"{name}_details": {"rate": 0.0}}
    overview: Record = {
        "management_version": broker.config.version,
        "rabbitmq_version": broker.config.version,
        "product_name": PRODUCT,
        "product_version": __version__,
        **erlang_version(),
        "cluster_name": broker.cluster_name,
        "cluster_tags": {},
        "node_tags": {},
        "rates_mode": "basic",
        "sample_retention_policies": {"global": [600], "basic": [600], "detailed": [600]},
        "exchange_types": exchange_types(),
        "default_queue_type": "classic",
        "disable_stats": False,
        "enable_queue_totals": False,
        "is_op_policy_updating_enabled": True,
        "require_definition_json_extension": False,
        "crypto_lib_version": "",
        "statistics_db_event_queue": 0,
        "message_stats": stats,
        "queue_totals": call.statistics.with_rates(node, totals),
        "object_totals": _object_totals(call),
        "churn_rates": call.statistics.with_rates(broker.events, churn_counts(broker.events)),
    }
    if call.user.is_a(Needs.MONITORING):
        overview |= {"node": node.name, "listeners": listener_records(node), "contexts": context_records(node)}
    return overview


def caller_record(call: Call) -> Record:
    return {"name": call.user.name, "tags": sorted(call.user.tags), "is_internal_user": True}


@routes.get("whoami")
def show_caller(call: Call) -> Record:
    """Who is logged in."""
    return caller_record(call)


@routes.get("cluster-name")
def show_cluster_name(call: Call) -> Record:
    """What the cluster is called."""
    return {"name": call.broker.cluster_name}


@routes.put("cluster-name", Needs.ADMINISTRATOR)
def set_cluster_name(call: Call) -> Reply:
    """Call the cluster something else."""
    set_global_parameter(call.broker, CLUSTER_NAME, call.text("name"), by=call.user.name)
    return NO_CONTENT


@routes.get("extensions")
def list_extensions(_call: Call) -> list[Record]:
    """Parts of the web page that others bring along: none."""
    return []


def _object_totals(call: Call) -> Record:
    vhosts = call.visible_vhosts
    names = {vhost.name for vhost in vhosts}
    connections = [each for each in open_connections(call.broker) if each.vhost_name in names]
    return {
        "connections": len(connections),
        "channels": sum(len(connection.channels) for connection in connections),
        "consumers": sum(len(queue.consumers) for vhost in vhosts for queue in vhost.queues.values()),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts if call.broker.is_here(vhost.name)),
        "queues": sum(len(vhost.queues) for vhost in vhosts),
    }
