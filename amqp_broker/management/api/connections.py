"""Connections: list, show, close."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amqp_broker.broker import Broker
from amqp_broker.inspection.connections import connection_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import NOT_YOURS, Call
from amqp_broker.management.counts import octets_of
from amqp_broker.management.errors import not_authorised, not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.session.connection import Connection

routes = Routes()

CLOSED_HERE = "Closed via management plugin"
"""What a client is told without the header `X-Reason`."""


@routes.get("connections")
def list_connections(call: Call) -> Listing:
    """All connections; for whom does not monitor, one's own."""
    wanted = (each for each in _visible(call) if call.wants(each.vhost_name))
    return Listing((_record(call, connection) for connection in wanted), is_paged=True)


@routes.get("vhosts/{vhost}/connections")
def list_connections_of_vhost(call: Call) -> Listing:
    """The connections to a vhost."""
    vhost = call.vhost
    return Listing(_record(call, each) for each in _visible(call) if each.vhost_name == vhost.name)


@routes.get("connections/username/{user}")
def list_connections_of_user(call: Call) -> Listing:
    """The connections of a user."""
    return Listing(_record(call, each) for each in _visible(call) if each.user == call.path["user"])


@routes.get("connections/{name}")
def show_connection(call: Call) -> Record:
    """One connection."""
    return _record(call, connection_of(call))


@routes.delete("connections/{name}")
def close_connection(call: Call) -> Reply:
    """Close a connection, with the reason that the header `X-Reason` gives."""
    _close(call, [connection_of(call)])
    return NO_CONTENT


@routes.delete("connections/username/{user}")
def close_connections_of_user(call: Call) -> Reply:
    """Close all connections of a user."""
    _close(call, [each for each in _visible(call) if each.user == call.path["user"]])
    return NO_CONTENT


def open_connections(broker: Broker) -> Iterator[Connection]:
    """The connections that have opened a vhost."""
    return (client for client in broker.open_clients() if isinstance(client, Connection))


def connection_of(call: Call) -> Connection:
    """The connection that the path names. Raises ApiError 404, or 401 for somebody else's."""
    for connection in open_connections(call.broker):
        if connection.name == call.path["name"]:
            if not _may_see(call, connection):
                raise not_authorised(NOT_YOURS)
            return connection
    raise not_found()


def _visible(call: Call) -> list[Connection]:
    return [connection for connection in open_connections(call.broker) if _may_see(call, connection)]


def _may_see(call: Call, connection: Connection) -> bool:
    return connection.user == call.user.name or call.user.is_a(Needs.MONITORING)


def _close(call: Call, connections: Sequence[Connection]) -> None:
    if any(connection.user != call.user.name for connection in connections) and not call.user.is_a(Needs.ADMINISTRATOR):
        raise not_authorised(NOT_YOURS)
    for connection in connections:
        connection.force_close(call.reason or CLOSED_HERE)


def _record(call: Call, connection: Connection) -> Record:
    record = connection_record(connection, call.node.name)
    return record | call.statistics.with_rates(connection, octets_of(connection))
