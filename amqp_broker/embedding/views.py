"""What a test sees of a broker: values made at the moment of asking, which nothing changes later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from amqp_broker.broker import Broker
from amqp_broker.inspection.values import json_of_table
from amqp_broker.message import Message
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.session.connection import Connection
from amqp_broker.storage.stream_log import Cursor
from amqp_broker.vhost import Vhost
from amqp_codec import Properties


@attrs.frozen
class MessageView:
    """A message.

    Attributes:
        properties: as they were sent, decoded; None is an absent one.
        headers: with text for longstrs and numbers for all that are some; empty when there are none.
        redelivered: it was with a consumer before.
        priority: as sent, None for none.
    """

    body: bytes
    properties: Properties
    headers: dict[str, Any]
    exchange: str
    routing_key: str
    redelivered: bool = False

    @property
    def priority(self) -> int | None:
        return self.properties.priority

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()


@attrs.frozen
class BindingView:
    """A binding of a queue."""

    exchange: str
    routing_key: str
    arguments: dict[str, Any]


@attrs.frozen
class ConsumerView:
    """A consumer of a queue.

    Attributes:
        connection: the name of its connection.
        unacked: deliveries it has.
    """

    tag: str
    connection: str
    no_ack: bool
    exclusive: bool
    prefetch_count: int
    unacked: int


@attrs.frozen
class ConnectionView:
    """A client.

    Attributes:
        name: both ends, as the management API writes it.
        client_name: as the client calls itself, empty if it doesn't.
        is_blocked: an alarm is on, and it has tried to publish.
    """

    name: str
    client_name: str
    user: str
    vhost: str
    channels: int
    is_blocked: bool


@attrs.frozen
class QueueState:
    """How full a queue is."""

    name: str
    ready: int
    unacked: int
    consumers: int

    def __str__(self) -> str:
        return f"{self.name}: {self.ready} ready, {self.unacked} unacked, {self.consumers} consumers"


def message_view(message: Message, *, redelivered: bool = False) -> MessageView:
    properties = message.header.properties
    return MessageView(
        bytes(message.body),
        properties,
        json_of_table(properties.headers or {}),
        message.exchange,
        message.routing_key,
        redelivered,
    )


def messages_of(queue: Queue) -> list[MessageView]:
    """The ready messages that memory has, the next one first; all that a stream keeps."""
    if isinstance(queue, StreamQueue):
        return [message_view(message) for message in _stream(queue)]
    return [
        message_view(entry.message, redelivered=entry.redelivered)
        for entry in queue.ready.resident()
        if entry.message is not None
    ]


def _stream(queue: StreamQueue) -> Iterator[Message]:
    cursor = Cursor(queue.log, queue.first_offset, None)
    while cursor.offset <= queue.last_offset:
        message = cursor.next()
        if message is not None:
            yield message
        elif not cursor.is_pausing:
            return


def bindings_of(vhost: Vhost, queue: Queue) -> list[BindingView]:
    """All bindings that lead to a queue, but for that of the default exchange."""
    return [
        BindingView(exchange.name, binding.routing_key, json_of_table(binding.arguments))
        for exchange in vhost.exchanges.values()
        for binding in exchange.bindings.values()
        if binding.destination is queue
    ]


def consumers_of(broker: Broker, queue: Queue) -> list[ConsumerView]:
    return [
        ConsumerView(
            tag, client.name, consumer.no_ack, consumer.exclusive, consumer.prefetch_count, consumer.unacked_count
        )
        for client in connections(broker)
        for channel in client.channels.values()
        for tag, consumer in channel.consumers.items()
        if consumer.queue is queue
    ]


def connections(broker: Broker, vhost: str | None = None) -> list[Connection]:
    """The clients that have opened a vhost, or this one."""
    return [
        client
        for client in broker.clients
        if isinstance(client, Connection) and client.is_open and vhost in (None, client.vhost_name)
    ]


def connection_view(client: Connection) -> ConnectionView:
    name = json_of_table(client.client_properties).get("connection_name")
    return ConnectionView(
        client.name,
        name if isinstance(name, str) else "",
        client.user,
        client.vhost_name,
        client.channel_count,
        client.is_blocked,
    )


def state_of(queue: Queue) -> QueueState:
    return QueueState(queue.name, queue.message_count, queue.unacked_count, len(queue.consumers))


def is_idle(vhost: Vhost, broker: Broker) -> bool:
    """Nothing is on its way: no delivery unacked, none to come, no octet unsent, no publish unconfirmed."""
    for queue in vhost.queues.values():
        if isinstance(queue, StreamQueue):
            continue
        if queue.unacked_count or (queue.message_count and len(queue.consumers)):
            return False
    for client in connections(broker, vhost.name):
        if client.outbox.size:
            return False
        for channel in client.channels.values():
            if channel.confirms is not None and channel.confirms.confirmed != channel.confirms.published:
                return False
    return True


def activity(vhost: Vhost, broker: Broker) -> tuple[int, ...]:
    """Numbers that change when anything comes or goes."""
    clients = connections(broker, vhost.name)
    return (
        len(clients),
        sum(client.received_octets for client in clients),
        sum(client.outbox.pushed_octets for client in clients),
        len(vhost.queues),
        *(number for queue in vhost.queues.values() for number in (queue.message_count, queue.unacked_count)),
    )
