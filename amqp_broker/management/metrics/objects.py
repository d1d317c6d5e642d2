"""What there is of each queue, channel, connection and exchange: `/metrics/per-object` and `/metrics/detailed`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from amqp_broker.broker import Broker
from amqp_broker.inspection.queues import utilisation
from amqp_broker.inspection.values import readable
from amqp_broker.management.metrics.exposition import Family, Sample
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.exchange import Exchange
from amqp_broker.session.channel import Channel
from amqp_broker.session.connection import Connection
from amqp_broker.vhost import Vhost

T = TypeVar("T")


class Wanted(NamedTuple):
    """Which objects are asked for.

    Attributes:
        vhosts: their names; None for all.
        queues: the names of queues; None for all.
    """

    vhosts: frozenset[str] | None = None
    queues: frozenset[str] | None = None

    def vhosts_of(self, broker: Broker) -> Iterator[Vhost]:
        for name, vhost in sorted(broker.vhosts.items()):
            if self.vhosts is None or name in self.vhosts:
                yield vhost


class Metric(NamedTuple, Generic[T]):
    """A figure of one kind of object; the name ends in `_total` for what only grows."""

    name: str
    help: str
    figure: Callable[[T], float]


_QUEUE_LENGTHS: Final[list[Metric[Queue]]] = [
    Metric("queue_messages_ready", "Messages ready to be delivered to consumers", lambda queue: queue.message_count),
    Metric(
        "queue_messages_unacked",
        "Messages delivered to consumers but not yet acknowledged",
        lambda queue: queue.unacked_count,
    ),
    Metric(
        "queue_messages",
        "Sum of ready and unacknowledged messages - total queue depth",
        lambda queue: queue.message_count + queue.unacked_count,
    ),
]

_QUEUE_CONSUMERS: Final[list[Metric[Queue]]] = [
    Metric("queue_consumers", "Consumers on a queue", lambda queue: len(queue.consumers)),
    Metric("queue_consumer_capacity", "Whether consumers could take messages at this moment", utilisation),
    Metric("queue_consumer_utilisation", "Same as consumer capacity", utilisation),
]

_QUEUE_OCTETS: Final[list[Metric[Queue]]] = [
    Metric("queue_messages_ready_bytes", "Size in bytes of ready messages", lambda queue: queue.ready_octets),
    Metric("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages", lambda q: q.unacked_octets),
    Metric(
        "queue_messages_bytes",
        "Size in bytes of ready and unacknowledged messages",
        lambda queue: queue.ready_octets + queue.unacked_octets,
    ),
    Metric(
        "queue_messages_persistent",
        "Messages of a durable queue",
        lambda queue: queue.message_count + queue.unacked_count if queue.durable else 0,
    ),
    Metric(
        "queue_messages_persistent_bytes",
        "Size in bytes of the messages of a durable queue",
        lambda queue: queue.ready_octets + queue.unacked_octets if queue.durable else 0,
    ),
]

_QUEUE_COUNTERS: Final[list[Metric[Queue]]] = [
    Metric("queue_messages_published_total", "Messages published into a queue", lambda q: q.statistics().publish),
    Metric("queue_messages_delivered_ack_total", "Delivered, to be acknowledged", lambda q: q.statistics().deliver),
    Metric(
        "queue_messages_delivered_total", "Delivered without acknowledgement", lambda q: q.statistics().deliver_no_ack
    ),
    Metric("queue_messages_redelivered_total", "Messages redelivered", lambda queue: queue.statistics().redeliver),
    Metric("queue_messages_acked_total", "Messages acknowledged", lambda queue: queue.statistics().ack),
    Metric("queue_get_ack_total", "Fetched, to be acknowledged", lambda queue: queue.statistics().get),
    Metric("queue_get_total", "Fetched without acknowledgement", lambda queue: queue.statistics().get_no_ack),
    Metric("queue_get_empty_total", "Times that nothing was there to fetch", lambda q: q.statistics().get_empty),
]

_CHANNEL_STATES: Final[list[Metric[Channel]]] = [
    Metric("channel_consumers", "Consumers on a channel", lambda channel: len(channel.consumers)),
    Metric("channel_messages_unacked", "Delivered but not yet acknowledged messages", lambda c: len(c.unacked)),
    Metric(
        "channel_prefetch", "Total limit of unacknowledged messages", lambda channel: channel.unacked.prefetch_count
    ),
]

_CHANNEL_COUNTERS: Final[list[Metric[Channel]]] = [
    Metric("channel_messages_published_total", "Messages published", lambda channel: channel.statistics().publish),
    Metric("channel_messages_confirmed_total", "Messages confirmed", lambda channel: channel.statistics().confirm),
    Metric("channel_messages_acked_total", "Messages acknowledged", lambda channel: channel.statistics().ack),
    Metric("channel_messages_delivered_ack_total", "Delivered, to be acknowledged", lambda c: c.statistics().deliver),
    Metric(
        "channel_messages_delivered_total", "Delivered without acknowledgement", lambda c: c.statistics().deliver_no_ack
    ),
    Metric("channel_messages_redelivered_total", "Messages redelivered", lambda c: c.statistics().redeliver),
]

_CONNECTIONS: Final[list[Metric[Connection]]] = [
    Metric("connection_incoming_bytes_total", "Bytes received on a connection", lambda c: c.received_octets),
    Metric(
        "connection_outgoing_bytes_total",
        "Bytes sent on a connection",
        lambda c: c.outbox.pushed_octets - c.outbox.size,
    ),
    Metric("connection_incoming_packets_total", "Packets received on a connection", lambda c: c.received_count),
    Metric("connection_outgoing_packets_total", "Packets sent on a connection", lambda c: c.outbox.sent_count),
    Metric("connection_pending_packets", "Octets waiting to be sent", lambda connection: connection.outbox.size),
    Metric("connection_channels", "Channels on a connection", lambda connection: len(connection.channels)),
]

_EXCHANGES: Final[list[Metric[Exchange]]] = [
    Metric("exchange_messages_published_total", "Messages published into an exchange", lambda e: e.counters.publish_in),
]

FAMILIES: Final = (
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_metrics",
    "queue_delivery_metrics",
    "channel_metrics",
    "channel_exchange_metrics",
    "connection_coarse_metrics",
    "connection_metrics",
    "exchange_metrics",
    "exchange_bindings",
    "exchange_names",
    "vhost_status",
)
"""What `family` can name, of RabbitMQ's; a metric stands in one of them only."""


def of_objects(broker: Broker, prefix: str, families: Iterable[str], wanted: Wanted) -> Iterator[Family]:
    """The metrics of all objects that are asked for; samples are made while they are written.

    Args:
        broker: whose.
        prefix: what names begin with.
        families: of `FAMILIES`; others have nothing in them here.
        wanted: which objects.
    """
    asked = set(families)
    for family, of_queues in (
        ("queue_coarse_metrics", _QUEUE_LENGTHS),
        ("queue_consumer_count", _QUEUE_CONSUMERS),
        ("queue_metrics", _QUEUE_OCTETS),
        ("queue_delivery_metrics", _QUEUE_COUNTERS),
    ):
        if family in asked:
            yield from (_family(prefix, metric, _queue_samples(broker, wanted, metric)) for metric in of_queues)
    if asked & {"channel_metrics", "channel_exchange_metrics"}:
        # As in RabbitMQ only what is counted names the vhost.
        yield from (_family(prefix, each, _channel_samples(broker, wanted, each, ())) for each in _CHANNEL_STATES)
        labels = ("vhost",)
        yield from (_family(prefix, each, _channel_samples(broker, wanted, each, labels)) for each in _CHANNEL_COUNTERS)
    if asked & {"connection_coarse_metrics", "connection_metrics"}:
        yield from (_family(prefix, metric, _connection_samples(broker, metric)) for metric in _CONNECTIONS)
    if "exchange_metrics" in asked:
        yield from (_family(prefix, metric, _exchange_samples(broker, wanted, metric)) for metric in _EXCHANGES)
    if "exchange_bindings" in asked:
        yield Family(
            "rabbitmq_cluster_exchange_bindings", "gauge", "Number of bindings", _binding_samples(broker, wanted)
        )
    if "exchange_names" in asked:
        yield Family("rabbitmq_cluster_exchange_name", "gauge", "Exchange names", _exchange_names(broker, wanted))
    if "vhost_status" in asked:
        samples = [Sample(1, {"vhost": vhost.name}) for vhost in wanted.vhosts_of(broker)]
        yield Family("rabbitmq_cluster_vhost_status", "gauge", "Whether a vhost is running", samples)


def _family(prefix: str, metric: Metric[T], samples: Iterable[Sample]) -> Family:
    is_counter = metric.name.endswith("_total")
    return Family(prefix + metric.name, "counter" if is_counter else "gauge", metric.help, samples)


def _queue_samples(broker: Broker, wanted: Wanted, metric: Metric[Queue]) -> Iterator[Sample]:
    for vhost in wanted.vhosts_of(broker):
        for name, queue in sorted(vhost.queues.items()):
            if wanted.queues is None or name in wanted.queues:
                yield Sample(metric.figure(queue), {"vhost": vhost.name, "queue": readable(name)})


def _channel_samples(
    broker: Broker, wanted: Wanted, metric: Metric[Channel], labels: Iterable[str]
) -> Iterator[Sample]:
    for connection in _connections(broker):
        if wanted.vhosts is None or connection.vhost_name in wanted.vhosts:
            for channel in list(connection.channels.values()):
                more = dict.fromkeys(labels, connection.vhost_name)
                yield Sample(metric.figure(channel), {"channel": channel.name, **more})


def _connection_samples(broker: Broker, metric: Metric[Connection]) -> Iterator[Sample]:
    return (Sample(metric.figure(connection), {"channel": connection.name}) for connection in _connections(broker))


def _exchange_samples(broker: Broker, wanted: Wanted, metric: Metric[Exchange]) -> Iterator[Sample]:
    for vhost in wanted.vhosts_of(broker):
        for name, exchange in sorted(vhost.exchanges.items()):
            yield Sample(metric.figure(exchange), {"vhost": vhost.name, "exchange": readable(name)})


def _binding_samples(broker: Broker, wanted: Wanted) -> Iterator[Sample]:
    for vhost in wanted.vhosts_of(broker):
        for name, exchange in sorted(vhost.exchanges.items()):
            labels = {"vhost": vhost.name, "exchange": readable(name), "type": exchange.type}
            yield Sample(len(exchange.bindings), labels)


def _exchange_names(broker: Broker, wanted: Wanted) -> Iterator[Sample]:
    for vhost in wanted.vhosts_of(broker):
        for name, exchange in sorted(vhost.exchanges.items()):
            yield Sample(1, {"vhost": vhost.name, "exchange": readable(name), "type": exchange.type})


def _connections(broker: Broker) -> list[Connection]:
    return [client for client in broker.open_clients() if isinstance(client, Connection)]
