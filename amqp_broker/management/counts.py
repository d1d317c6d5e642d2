"""Counters as the API shows them: each with its rate."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from amqp_broker.broker import Broker
from amqp_broker.counters import ExchangeCounters, MessageCounters
from amqp_broker.inspection.values import Record
from amqp_broker.management.figures import Figures
from amqp_broker.queues.queue import Queue
from amqp_broker.session.connection import Connection
from amqp_broker.vhost import Vhost

FIELDS = (
    "ack",
    "confirm",
    "deliver",
    "deliver_get",
    "deliver_no_ack",
    "drop_unroutable",
    "get",
    "get_empty",
    "get_no_ack",
    "publish",
    "redeliver",
    "return_unroutable",
)
"""What `message_stats` consists of."""

_ALL_FIELDS: Final = attrgetter(*FIELDS)


def counts_of(counters: MessageCounters) -> dict[str, int]:
    return dict(zip(FIELDS, _ALL_FIELDS(counters), strict=True))


def message_stats(statistics: Figures, subject: object, counters: MessageCounters) -> Record:
    """The `message_stats` of a queue, a channel, a vhost or the whole broker."""
    return statistics.with_rates(subject, counts_of(counters))


def exchange_counts(counters: ExchangeCounters) -> dict[str, int]:
    return {"publish_in": counters.publish_in, "publish_out": counters.publish_out}


def vhost_counters(broker: Broker, vhost: Vhost) -> MessageCounters:
    """What all channels of a vhost, those that have ended as well, have done with messages."""
    counters = MessageCounters()
    counters.add(vhost.past.messages)
    for client in broker.clients:
        if isinstance(client, Connection) and client.vhost_name == vhost.name:
            for channel in client.channels.values():
                counters.add(channel.statistics())
    return counters


def lengths_of(queue: Queue) -> dict[str, int]:
    ready, unacked = queue.message_count, queue.unacked_count
    return {"messages": ready + unacked, "messages_ready": ready, "messages_unacknowledged": unacked}


def octets_of(connection: Connection) -> dict[str, int]:
    """What has gone over a connection."""
    outbox = connection.outbox
    return {"recv_oct": connection.received_octets, "send_oct": outbox.pushed_octets - outbox.size}


def lengths_of_vhost(vhost: Vhost) -> dict[str, int]:
    """How many messages are in a vhost."""
    ready = sum(queue.message_count for queue in vhost.queues.values())
    unacked = sum(queue.unacked_count for queue in vhost.queues.values())
    return {"messages": ready + unacked, "messages_ready": ready, "messages_unacknowledged": unacked}
