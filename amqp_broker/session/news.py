"""What observers are told of connections, channels and consumers."""

from __future__ import annotations

import ipaddress

from amqp_broker.events import EventKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.consumer import Consumer
    from amqp_broker.session.channel import Channel
    from amqp_broker.session.connection import Connection
    from amqp_codec import Table


def connection_created(connection: Connection) -> None:
    """A client has opened a vhost."""
    events = connection.broker.events
    if not events.is_watched:
        events.count(EventKind.CONNECTION_CREATED)
        return
    peer = connection.peer
    details = _identity_of(connection)
    given_name = connection.client_properties.get("connection_name")
    if given_name is not None:
        details["user_provided_name"] = given_name
    events.emit(
        EventKind.CONNECTION_CREATED,
        **details,
        vhost=connection.vhost_name,
        node=connection.config.node_name,
        protocol="{0,9,1}",
        ssl=peer.is_encrypted,
        host=_erlang_address(peer.own_address),
        port=peer.own_port,
        peer_host=_erlang_address(peer.address),
        peer_port=peer.port,
        auth_mechanism=connection.auth_mechanism,
        timeout=connection.heartbeat_s,
        frame_max=connection.outbox.frame_max,
        channel_max=connection.channel_max,
        client_properties=connection.client_properties,
        connected_at=int(connection.connected_at * 1000),
        user_who_performed_action=connection.user,
    )


def connection_closed(connection: Connection) -> None:
    """A connection that was created has gone."""
    connection.broker.events.emit(EventKind.CONNECTION_CLOSED, **_identity_of(connection), vhost=connection.vhost_name)


def channel_created(channel: Channel) -> None:
    _emit_channel(EventKind.CHANNEL_CREATED, channel)


def channel_closed(channel: Channel) -> None:
    _emit_channel(EventKind.CHANNEL_CLOSED, channel)


def consumer_created(channel: Channel, consumer: Consumer) -> None:
    events = channel.connection.broker.events
    if not events.is_watched:
        events.count(EventKind.CONSUMER_CREATED)
        return
    events.emit(
        EventKind.CONSUMER_CREATED,
        consumer_tag=consumer.tag,
        exclusive=consumer.exclusive,
        ack_required=not consumer.no_ack,
        channel=channel.name,
        queue=consumer.queue.name,
        vhost=channel.vhost.name,
        prefetch_count=consumer.prefetch_count,
        arguments=consumer.arguments,
        user_who_performed_action=channel.connection.user,
    )


def consumer_deleted(channel: Channel, consumer: Consumer) -> None:
    events = channel.connection.broker.events
    if not events.is_watched:
        events.count(EventKind.CONSUMER_DELETED)
        return
    events.emit(
        EventKind.CONSUMER_DELETED,
        consumer_tag=consumer.tag,
        channel=channel.name,
        queue=consumer.queue.name,
        vhost=channel.vhost.name,
        user_who_performed_action=channel.connection.user,
    )


def _emit_channel(kind: EventKind, channel: Channel) -> None:
    events = channel.connection.broker.events
    if not events.is_watched:
        events.count(kind)
        return
    events.emit(
        kind,
        name=channel.name,
        connection=channel.connection.name,
        number=channel.id,
        user=channel.connection.user,
        vhost=channel.vhost.name,
        user_who_performed_action=channel.connection.user,
    )


def _erlang_address(text: str) -> str:
    """An IP address as RabbitMQ's events have it: {127,0,0,1}."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    octets, width = address.packed, 1 if address.version == 4 else 2
    groups = (int.from_bytes(octets[at : at + width], "big") for at in range(0, len(octets), width))
    return f"{{{','.join(map(str, groups))}}}"


def _identity_of(connection: Connection) -> Table:
    return {"name": connection.name, "type": "network", "user": connection.user}
