"""Consumers, as lists and as parts of queues and channels."""

from __future__ import annotations

from collections.abc import Iterator

from amqp_broker.administration.vhosts import find_vhost
from amqp_broker.inspection.queues import consumer_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.connections import open_connections
from amqp_broker.management.call import Call
from amqp_broker.management.listing import Listing
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.queue import Queue
from amqp_broker.session.channel import Channel
from amqp_broker.vhost import Vhost

routes = Routes()


@routes.get("consumers")
def list_consumers(call: Call) -> Listing:
    """All consumers; for whom does not monitor, one's own."""
    vhosts = (vhost for name, vhost in call.broker.vhosts.items() if call.wants(name))
    records = (record for vhost in vhosts for record in consumer_records(call, vhost))
    return Listing(records, is_paged=True, name_of=_words)


@routes.get("consumers/{vhost}")
def list_consumers_of_vhost(call: Call) -> Listing:
    """The consumers of a vhost."""
    vhost = find_vhost(call.broker, call.path["vhost"])
    return Listing(consumer_records(call, vhost), is_paged=True, name_of=_words)


def _words(record: Record) -> str:
    """What a search looks at."""
    queue = record["queue"]
    assert isinstance(queue, dict)
    return f"{record['consumer_tag']} {queue['name']}"


def consumer_records(call: Call, vhost: Vhost, queue: Queue | None = None) -> Iterator[Record]:
    """The consumers of a vhost, or of one of its queues; of others' only for who monitors."""
    for channel, consumer in _consumers(call, vhost):
        is_own = channel.connection.user == call.user.name
        if (queue is None or consumer.queue is queue) and (is_own or call.user.is_a(Needs.MONITORING)):
            yield consumer_record(consumer, channel, call.node.name)


def _consumers(call: Call, vhost: Vhost) -> Iterator[tuple[Channel, Consumer]]:
    for connection in open_connections(call.broker):
        if connection.vhost_name == vhost.name:
            for channel in connection.channels.values():
                yield from ((channel, consumer) for consumer in channel.consumers.values())
