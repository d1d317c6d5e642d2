"""Takes the samples that rates are made of: all counters of all objects, in slices."""

from __future__ import annotations

from collections.abc import Iterator

from amqp_broker.counters import MessageCounters
from amqp_broker.inspection.node import Node
from amqp_broker.inspection.queues import utilisation
from amqp_broker.management.churn import churn_counts
from amqp_broker.management.counts import counts_of, exchange_counts, lengths_of, octets_of, vhost_counters
from amqp_broker.management.machine import usage
from amqp_broker.management.statistics import Statistics
from amqp_broker.session.connection import Connection


def sample(node: Node, statistics: Statistics) -> Iterator[None]:
    """Take one sample of everything; yields between objects, so that others have their turn."""
    broker = node.broker
    total = MessageCounters()
    totals = {"messages": 0, "messages_ready": 0, "messages_unacknowledged": 0}
    for vhost in list(broker.vhosts.values()):
        lengths = dict.fromkeys(totals, 0)
        for queue in list(vhost.queues.values()):
            counts = lengths_of(queue)
            for name, count in counts.items():
                lengths[name] += count
            statistics.take(queue, counts | counts_of(queue.statistics()))
            if queue.consumers:
                statistics.take_share(queue, utilisation(queue))
            yield
        octets = {"recv_oct": 0, "send_oct": 0}
        for client in list(broker.clients):
            if isinstance(client, Connection) and client.vhost_name == vhost.name:
                for name, count in octets_of(client).items():
                    octets[name] += count
        counters = vhost_counters(broker, vhost)
        total.add(counters)
        for name, count in lengths.items():
            totals[name] += count
        statistics.take(vhost, lengths | octets | counts_of(counters))
        for exchange in list(vhost.exchanges.values()):
            statistics.take(exchange, exchange_counts(exchange.counters))
            yield
    for client in list(broker.clients):
        if isinstance(client, Connection):
            statistics.take(client, octets_of(client))
            for channel in list(client.channels.values()):
                statistics.take(channel, counts_of(channel.statistics()))
            yield
    statistics.take(broker, counts_of(total))
    statistics.take(node, totals)
    statistics.take(node.resources, usage(node))
    statistics.take(broker.events, churn_counts(broker.events))
