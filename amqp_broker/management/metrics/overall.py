"""What concerns the whole broker: at `/metrics`, and what does not grow with the number of queues."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from typing import Final

import psutil

from amqp_broker import __version__
from amqp_broker.broker import CLUSTER_ID, Broker
from amqp_broker.counters import MessageCounters, SizeCounters
from amqp_broker.events import EventKind
from amqp_broker.inspection.node import Node
from amqp_broker.management.api.overview import PRODUCT
from amqp_broker.management.churn import churn_counts
from amqp_broker.management.machine import erlang_version, node_record, usage
from amqp_broker.management.metrics.exposition import Family, Sample
from amqp_broker.past import Past
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.queue import Queue
from amqp_broker.registry import GLOBAL
from amqp_broker.session.connection import Connection

PROTOCOL: Final = {"protocol": "amqp091"}

_TYPE_LABELS: Final = {type_: f"rabbit_{type_.value}_queue" for type_ in QueueType}

_CHURN: Final = {
    "connections_opened": "connection_created",
    "connections_closed": "connection_closed",
    "channels_opened": "channel_created",
    "channels_closed": "channel_closed",
    "queues_declared": "queue_declared",
    "queues_created": "queue_created",
    "queues_deleted": "queue_deleted",
}

_OF_QUEUES: Final = {
    "acknowledged": "ack",
    "delivered_consume_auto_ack": "deliver_no_ack",
    "delivered_consume_manual_ack": "deliver",
    "delivered_get_auto_ack": "get_no_ack",
    "delivered_get_manual_ack": "get",
    "delivered": "deliver_get",
    "get_empty": "get_empty",
    "redelivered": "redeliver",
}
"""Metrics by the counter of a queue."""


class Totals:
    """All counters of the broker summed up, those of what is gone as well.

    Attributes:
        past: with what is there added.
        ready: messages, and their octets; `unacked` likewise, and `kept`, which are all of durable queues.
    """

    def __init__(self) -> None:
        self.past = Past()
        self.ready = self.ready_octets = self.unacked = self.unacked_octets = 0
        self.kept = self.kept_octets = 0
        self.queues = self.consumers = 0
        self.connections = self.channels = self.publishers = 0

    def _count_queue(self, queue: Queue) -> None:
        self.queues += 1
        self.consumers += len(queue.consumers)
        self.ready += queue.message_count
        self.ready_octets += queue.ready_octets
        self.unacked += queue.unacked_count
        self.unacked_octets += queue.unacked_octets
        if queue.durable:
            self.kept += queue.message_count + queue.unacked_count
            self.kept_octets += queue.ready_octets + queue.unacked_octets
        self.past.queues[queue.options.type].add(queue.statistics())

    @classmethod
    def counted(cls, broker: Broker) -> Generator[None, None, Totals]:
        """Count, in steps; yet whatever ends meanwhile counts once, for no sum may ever be less than one before."""
        totals = cls()
        totals.past.add(broker.past)
        vhosts = list(broker.vhosts.values())
        for vhost in vhosts:
            for type_, counters in vhost.past.queues.items():
                totals.past.queues[type_].add(counters)
            totals.past.dead_letters.update(vhost.past.dead_letters)
        for queue in [queue for vhost in vhosts for queue in vhost.queues.values()]:
            totals._count_queue(queue)  # a queue that is deleted keeps its counters
            yield
        clients = list(broker.open_clients())
        connections = [client for client in clients if isinstance(client, Connection)]
        channels = [channel for connection in connections for channel in connection.channels.values()]
        looked_at = []
        for channel in channels:
            looked_at.append((channel, channel.unacked.counters, channel.statistics()))
            yield
        for vhost in vhosts:
            totals.past.messages.add(vhost.past.messages)
            totals.past.sizes.add(vhost.past.sizes)
        for channel, own, counters in looked_at:
            if channel.unacked.counters is own:  # else it has ended, and the vhost has counted it
                totals.publishers += counters.publish > 0
                totals.past.messages.add(counters)
                totals.past.sizes.add(channel.sizes)
        totals.connections, totals.channels = len(clients), len(channels)
        return totals


def overall(node: Node, endpoint: str, totals: Totals) -> Iterator[Family]:
    """The families that every page but the detailed one has."""
    broker = node.broker
    yield from identity(node, endpoint)
    for name, count in churn_counts(broker.events).items():
        metric = next(metric for metric, counter in _CHURN.items() if counter == name)
        yield _counter(metric, f"Total number of {metric.replace('_', ' ')}", Sample(count))
    yield _gauge("connections", "Connections currently open", Sample(totals.connections))
    yield _gauge("channels", "Channels currently open", Sample(totals.channels))
    yield _gauge("consumers", "Consumers currently connected", Sample(totals.consumers))
    yield _gauge("queues", "Queues available", Sample(totals.queues))
    yield from _machine(node)
    yield from _alarms(broker)
    yield _gauge("unreachable_cluster_peers_count", "Peers that can't be reached", Sample(_unreachable(node)))
    yield from _logins(broker)
    yield from _messages(totals)


def queue_sums(totals: Totals) -> Iterator[Family]:
    """The lengths of all queues together."""
    for name, help_, value in (
        ("messages_ready", "Messages ready to be delivered to consumers", totals.ready),
        ("messages_unacked", "Messages delivered to consumers but not yet acknowledged", totals.unacked),
        ("messages", "Sum of ready and unacknowledged messages - total queue depth", totals.ready + totals.unacked),
        ("messages_ready_bytes", "Size in bytes of ready messages", totals.ready_octets),
        ("messages_unacked_bytes", "Size in bytes of all unacknowledged messages", totals.unacked_octets),
        (
            "messages_bytes",
            "Size in bytes of ready and unacknowledged messages",
            totals.ready_octets + totals.unacked_octets,
        ),
        ("messages_persistent", "Messages in durable queues", totals.kept),
        ("messages_persistent_bytes", "Size in bytes of messages in durable queues", totals.kept_octets),
        ("consumers", "Consumers on a queue", totals.consumers),
    ):
        yield _gauge(f"queue_{name}", help_, Sample(value))
    messages = totals.past.messages
    for name, help_, value in (
        ("channel_messages_published", "Messages published into an exchange on a channel", messages.publish),
        ("channel_messages_confirmed", "Messages published and confirmed", messages.confirm),
        ("channel_messages_delivered_ack", "Messages delivered in manual acknowledgement mode", messages.deliver),
        ("channel_messages_delivered", "Messages delivered in automatic acknowledgement mode", messages.deliver_no_ack),
        ("channel_messages_redelivered", "Messages redelivered to consumers", messages.redeliver),
        ("channel_messages_acked", "Messages acknowledged by consumers", messages.ack),
        ("channel_get_ack", "Messages fetched in manual acknowledgement mode", messages.get),
        ("channel_get", "Messages fetched in automatic acknowledgement mode", messages.get_no_ack),
        ("channel_get_empty", "Times that basic.get fetched no message", messages.get_empty),
        ("channel_messages_unroutable_returned", "Unroutable messages returned", messages.return_unroutable),
        ("channel_messages_unroutable_dropped", "Unroutable messages dropped", messages.drop_unroutable),
    ):
        yield _counter(name, help_, Sample(value))


def identity(node: Node, endpoint: str) -> Iterator[Family]:
    """Which program this is, and the one series that dashboards join all others with."""
    broker = node.broker
    cluster_id = broker.registry.parameters.get((GLOBAL, "", CLUSTER_ID), "")
    labels = {
        "rabbitmq_node": node.name,
        "rabbitmq_cluster": broker.cluster_name,
        "rabbitmq_cluster_permanent_id": str(cluster_id),
        "rabbitmq_endpoint": endpoint,
    }
    yield _gauge("build_info", "Which program this is", Sample(1, _build(broker)))
    yield _gauge("identity_info", "Which node this is", Sample(1, labels))


def _build(broker: Broker) -> dict[str, str]:
    version = broker.config.version
    return {
        "rabbitmq_version": version,
        "prometheus_plugin_version": version,
        "prometheus_client_version": __version__,
        "erlang_version": str(erlang_version()["erlang_version"]),
        "product_version": __version__,
        "product_name": PRODUCT,
    }


def _machine(node: Node) -> Iterator[Family]:
    record = node_record(node, usage(node))
    for name, help_, field in (
        ("process_open_fds", "Open file descriptors", "fd_used"),
        ("process_max_fds", "Open file descriptors limit", "fd_total"),
        ("process_resident_memory_bytes", "Memory used in bytes", "mem_used"),
        ("resident_memory_limit_bytes", "Memory high watermark in bytes", "mem_limit"),
        ("disk_space_available_bytes", "Disk space available in bytes", "disk_free"),
        ("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", "disk_free_limit"),
    ):
        yield _gauge(name, help_, Sample(_figure(record[field])))
    yield _gauge("erlang_uptime_seconds", "Node uptime", Sample(node.uptime_s))
    started = Sample(round(psutil.Process().create_time()))
    yield Family("process_start_time_seconds", "gauge", "When the process started, since 1970", [started])


def _alarms(broker: Broker) -> Iterator[Family]:
    for name, help_, alarm in (
        ("alarms_memory_used_watermark", "is 1 if the memory alarm is in effect", "memory"),
        ("alarms_free_disk_space_watermark", "is 1 if the disk alarm is in effect", "disk"),
    ):
        yield _gauge(name, help_, Sample(alarm in broker.alarms))


def _unreachable(node: Node) -> int:
    return 0 if node.cluster is None else sum(not member.is_running for member in node.cluster.members())


def _logins(broker: Broker) -> Iterator[Family]:
    counts = broker.events.counts
    succeeded = counts[EventKind.USER_AUTHENTICATION_SUCCESS]
    failed = counts[EventKind.USER_AUTHENTICATION_FAILURE]
    yield _counter("auth_attempts", "Total number of authentication attempts", Sample(succeeded + failed, PROTOCOL))
    yield _counter("auth_attempts_succeeded", "Those that succeeded", Sample(succeeded, PROTOCOL))
    yield _counter("auth_attempts_failed", "Those that failed", Sample(failed, PROTOCOL))


def _messages(totals: Totals) -> Iterator[Family]:
    messages = totals.past.messages
    unroutable = messages.drop_unroutable + messages.return_unroutable
    yield _gauge("global_publishers", "Publishers currently connected", Sample(totals.publishers, PROTOCOL))
    yield _gauge("global_consumers", "Consumers currently connected", Sample(totals.consumers, PROTOCOL))
    for name, help_, value in (
        ("received", "messages received from publishers", messages.publish),
        ("received_confirm", "messages received that were to be confirmed", messages.confirm),
        ("confirmed", "messages confirmed to publishers", messages.confirm),
        ("routed", "messages routed to queues or streams", messages.publish - unroutable),
        ("unroutable_dropped", "messages not routed and dropped", messages.drop_unroutable),
        ("unroutable_returned", "messages not routed and returned", messages.return_unroutable),
    ):
        yield _counter(f"global_messages_{name}", f"Total number of {help_}", Sample(value, PROTOCOL))
    for name, counter in _OF_QUEUES.items():
        help_ = f"Total number of messages {name.replace('_', ' ')}"
        yield Family(f"rabbitmq_global_messages_{name}_total", "counter", help_, list(_by_type(totals.past, counter)))
    yield from _dead_letters(totals.past.dead_letters)
    yield _sizes(totals.past.sizes)


def _by_type(past: Past, counter: str) -> Iterator[Sample]:
    for type_, label in _TYPE_LABELS.items():
        counters = past.queues.get(type_, MessageCounters())
        yield Sample(getattr(counters, counter), {**PROTOCOL, "queue_type": label})


def _dead_letters(deaths: Counter[tuple[str, str, str]]) -> Iterator[Family]:
    by_reason: defaultdict[str, list[Sample]] = defaultdict(list)
    for (type_, strategy, reason), count in sorted(deaths.items()):
        labels = {"queue_type": f"rabbit_{type_}_queue", "dead_letter_strategy": strategy}
        by_reason[reason].append(Sample(count, labels))
    for reason in ("delivery_limit", "expired", "maxlen", "rejected"):
        nothing = Sample(0, {"queue_type": "rabbit_classic_queue", "dead_letter_strategy": "disabled"})
        help_ = f"Total number of messages dead-lettered due to {reason}"
        name = f"rabbitmq_global_messages_dead_lettered_{reason}_total"
        yield Family(name, "counter", help_, by_reason[reason] or [nothing])


def _sizes(sizes: SizeCounters) -> Family:
    samples = []
    count = 0
    for limit, in_step in sizes.steps():
        count += in_step
        samples.append(Sample(count, {**PROTOCOL, "le": "+Inf" if limit is None else str(limit)}, "_bucket"))
    samples += [Sample(count, PROTOCOL, "_count"), Sample(sizes.octets, PROTOCOL, "_sum")]
    return Family("rabbitmq_message_size_bytes", "histogram", "Size of messages received from publishers", samples)


def _gauge(name: str, help_: str, sample: Sample) -> Family:
    return Family(f"rabbitmq_{name}", "gauge", help_, [sample])


def _counter(name: str, help_: str, sample: Sample) -> Family:
    return Family(f"rabbitmq_{name}_total", "counter", help_, [sample])


def _figure(value: object) -> float:
    assert isinstance(value, int | float)
    return value
