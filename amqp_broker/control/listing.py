"""Lists of what there is: queues, exchanges, bindings, connections, channels, consumers.

Rows are made one by one, from a copy of the list, so that whoever asks can let the broker go on in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from amqp_broker.control.request import Request
from amqp_broker.control.values import argument_table
from amqp_broker.inspection.connections import channel_record, connection_record
from amqp_broker.inspection.exchanges import binding_record, bindings_of, default_binding_record, exchange_record
from amqp_broker.inspection.features import deprecated_records, deprecated_used_records, flag_records
from amqp_broker.inspection.node import Node
from amqp_broker.inspection.queues import consumer_record, queue_record
from amqp_broker.inspection.values import readable
from amqp_broker.routing.binding import Binding
from amqp_broker.session.connection import Connection
from amqp_broker.vhost import Vhost
from amqp_codec import Table

Row = dict[str, Any]

QUEUE_TYPE: Final = "x-queue-type"


def list_queues(node: Node, request: Request) -> Iterator[Row]:
    """The queues of a vhost; nothing where there is no such vhost, as with RabbitMQ."""
    vhost = node.broker.vhosts.get(request.vhost)
    if vhost is None or "offline" in request.options:
        return
    for queue in list(vhost.queues.values()):
        arguments: Table = {QUEUE_TYPE: str(queue.options.type).encode()}
        yield queue_record(queue, vhost, node.name) | {
            "arguments": argument_table(arguments | queue.arguments),
            "pid": node.pid_of(queue),
            "owner_pid": "" if queue.exclusive_owner is None else node.pid_of(queue.exclusive_owner),
            "policy": _policy_of(vhost, queue.name, "policy"),
            "operator_policy": _policy_of(vhost, queue.name, "operator_policy"),
        }


def list_exchanges(node: Node, request: Request) -> Iterator[Row]:
    vhost = node.broker.vhosts.get(request.vhost)
    if vhost is None:
        return
    for exchange in sorted(vhost.exchanges.values(), key=lambda each: each.name):
        applied = vhost.policies.of_exchange(exchange.name).policy
        yield exchange_record(exchange, vhost) | {
            "arguments": argument_table(exchange.arguments),
            "policy": "" if applied is None else applied.name,
        }


def list_bindings(node: Node, request: Request) -> Iterator[Row]:
    """All bindings, those of the default exchange first."""
    vhost = node.broker.vhosts.get(request.vhost)
    if vhost is None:
        return
    for queue in list(vhost.queues.values()):
        yield _binding_row(default_binding_record(queue, vhost), {})
    for binding in list(bindings_of(vhost)):
        yield _row_of(binding, vhost)


def list_connections(node: Node, _request: Request) -> Iterator[Row]:
    for connection in connections_of(node):
        yield connection_record(connection, node.name) | {
            "pid": node.pid_of(connection),
            "client_properties": argument_table(connection.client_properties),
            "protocol": "{0,9,1}",
        }


def list_channels(node: Node, _request: Request) -> Iterator[Row]:
    for connection in connections_of(node):
        for channel in list(connection.channels.values()):
            yield channel_record(channel, node.name) | {
                "pid": node.pid_of(channel),
                "connection": node.pid_of(connection),
            }


def list_consumers(node: Node, request: Request) -> Iterator[Row]:
    """The consumers of a vhost, channel by channel."""
    for connection in connections_of(node):
        if connection.vhost_name != request.vhost:
            continue
        for channel in list(connection.channels.values()):
            for consumer in list(channel.consumers.values()):
                yield consumer_record(consumer, channel, node.name) | {
                    "queue_name": readable(consumer.queue.name),
                    "channel_pid": node.pid_of(channel),
                    "arguments": argument_table(consumer.arguments),
                }


def list_unresponsive_queues(_node: Node, _request: Request) -> Iterator[Row]:
    """None: a queue is no process that could hang."""
    return iter(())


def list_feature_flags(_node: Node, _request: Request) -> Iterator[Row]:
    return iter(flag_records())


def list_deprecated_features(node: Node, request: Request) -> Iterator[Row]:
    return iter(deprecated_used_records(node.broker) if "used" in request.options else deprecated_records())


def connections_of(node: Node) -> list[Connection]:
    """Everybody who is connected, from the first octet on."""
    return [client for client in node.broker.clients if isinstance(client, Connection)]


def _policy_of(vhost: Vhost, queue_name: str, which: str) -> str:
    applied = getattr(vhost.policies.of_queue(queue_name, vhost.queues[queue_name].options.type), which)
    return "" if applied is None else str(applied.name)


def _row_of(binding: Binding, vhost: Vhost) -> Row:
    return _binding_row(binding_record(binding, vhost), binding.arguments)


def _binding_row(record: Row, arguments: Table) -> Row:
    return {
        "source_name": record["source"],
        "source_kind": "exchange",
        "destination_name": record["destination"],
        "destination_kind": record["destination_type"],
        "routing_key": record["routing_key"],
        "arguments": argument_table(arguments),
    }
