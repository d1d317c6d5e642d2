"""Connections and channels."""

from __future__ import annotations

from amqp_broker.auth.users import Tls
from amqp_broker.inspection.values import Json, Record, json_of_table
from amqp_broker.session.channel import Channel
from amqp_broker.session.connection import Connection
from amqp_broker.session.state import State

PROTOCOL = "AMQP 0-9-1"


def connection_record(connection: Connection, node: str) -> Record:
    """A connection as the management API lists it, without rates."""
    properties = json_of_table(connection.client_properties)
    peer = connection.peer
    return {
        "name": connection.name,
        "node": node,
        "type": "network",
        "protocol": PROTOCOL,
        "vhost": connection.vhost_name,
        "user": connection.user,
        "user_who_performed_action": connection.user,
        "user_provided_name": properties.get("connection_name", ""),
        "state": state_of(connection),
        "auth_mechanism": connection.auth_mechanism,
        "host": peer.own_address,
        "port": peer.own_port,
        "peer_host": peer.address,
        "peer_port": peer.port,
        "ssl": peer.is_encrypted,
        "timeout": connection.heartbeat_s,
        "frame_max": connection.outbox.frame_max,
        "channel_max": connection.channel_max,
        "channels": len(connection.channels),
        "client_properties": properties,
        "connected_at": int(connection.connected_at * 1000),
        "recv_oct": connection.received_octets,
        "recv_cnt": connection.received_count,
        "send_oct": connection.outbox.pushed_octets - connection.outbox.size,
        "send_cnt": connection.outbox.sent_count,
        "send_pend": connection.outbox.size,
        "container_id": "",
        **_tls_record(peer.tls),
    }


def _tls_record(tls: Tls | None) -> Record:
    agreed = Tls("", "", "", "") if tls is None else tls
    return {
        "ssl_protocol": agreed.protocol,
        "ssl_cipher": agreed.cipher,
        "ssl_hash": agreed.hash,
        "ssl_key_exchange": agreed.key_exchange,
        "peer_cert_subject": agreed.subject,
        "peer_cert_issuer": agreed.issuer,
        "peer_cert_validity": agreed.validity,
        "peer_cert_serial_number": agreed.serial_number,
    }


def state_of(connection: Connection) -> str:
    """A connection's state in RabbitMQ's words."""
    if connection.state is State.RUNNING:
        if connection.is_blocked:
            return "blocked"
        return "running" if connection.may_read else "flow"
    return _STATES.get(connection.state, "closing")


_STATES = {
    State.HEADER: "starting",
    State.START: "starting",
    State.TUNE: "tuning",
    State.OPEN: "opening",
}


def connection_details(connection: Connection) -> Json:
    """Which connection something belongs to."""
    return {"name": connection.name, "peer_host": connection.peer.address, "peer_port": connection.peer.port}


def channel_record(channel: Channel, node: str) -> Record:
    """A channel as the management API lists it, without statistics."""
    connection, transaction, confirms = channel.connection, channel.transaction, channel.confirms
    return {
        "name": channel.name,
        "number": channel.id,
        "node": node,
        "vhost": channel.vhost.name,
        "user": connection.user,
        "user_who_performed_action": connection.user,
        "connection_details": connection_details(connection),
        "state": "running",
        "transactional": transaction is not None,
        "confirm": confirms is not None,
        "consumer_count": len(channel.consumers) + (channel.requester is not None),
        "prefetch_count": channel.prefetch_count,
        "global_prefetch_count": channel.unacked.prefetch_count,
        "messages_unacknowledged": len(channel.unacked),
        "messages_unconfirmed": 0 if confirms is None else confirms.published - confirms.confirmed,
        "messages_uncommitted": 0 if transaction is None else len(transaction.publishes),
        "acks_uncommitted": 0 if transaction is None else len(transaction.settlements),
    }
