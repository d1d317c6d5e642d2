"""Channels: list, show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amqp_broker.inspection.connections import channel_record
from amqp_broker.inspection.queues import consumer_record
from amqp_broker.inspection.values import Record, rfc_3339
from amqp_broker.management.api.connections import connection_of, open_connections
from amqp_broker.management.call import NOT_YOURS, Call
from amqp_broker.management.counts import counts_of, message_stats
from amqp_broker.management.errors import not_authorised, not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.session.channel import Channel
from amqp_broker.session.connection import Connection

routes = Routes()


@routes.get("channels")
def list_channels(call: Call) -> Listing:
    """All channels; for whom does not monitor, one's own."""
    wanted = (each for each in _visible(call) if call.wants(each.vhost.name))
    return Listing((_record(call, channel) for channel in wanted), is_paged=True)


@routes.get("vhosts/{vhost}/channels")
def list_channels_of_vhost(call: Call) -> Listing:
    """The channels of a vhost."""
    vhost = call.vhost
    return Listing(_record(call, channel) for channel in _visible(call) if channel.vhost is vhost)


@routes.get("connections/{name}/channels")
def list_channels_of_connection(call: Call) -> Listing:
    """The channels of a connection."""
    return Listing(_record(call, channel) for channel in connection_of(call).channels.values())


@routes.get("channels/{name}")
def show_channel(call: Call) -> Record:
    """One channel, with its consumers."""
    for channel in _channels(open_connections(call.broker)):
        if channel.name == call.path["name"]:
            if not _may_see(call, channel):
                raise not_authorised(NOT_YOURS)
            record = _record(call, channel)
            consumers = channel.consumers.values()
            record["consumer_details"] = [consumer_record(each, channel, call.node.name) for each in consumers]
            record["publishes"] = []
            record["deliveries"] = []
            return record
    raise not_found()


def _visible(call: Call) -> Iterator[Channel]:
    return (channel for channel in list(_channels(open_connections(call.broker))) if _may_see(call, channel))


def _channels(connections: Iterable[Connection]) -> Iterator[Channel]:
    for connection in connections:
        yield from connection.channels.values()


def _may_see(call: Call, channel: Channel) -> bool:
    return channel.connection.user == call.user.name or call.user.is_a(Needs.MONITORING)


def _record(call: Call, channel: Channel) -> Record:
    record = channel_record(channel, call.node.name)
    statistics = channel.statistics()
    record["message_stats"] = message_stats(call.statistics, channel, statistics)
    idle_since = call.statistics.statistics.idle_since(channel, counts_of(statistics))
    if idle_since is not None:
        record["idle_since"] = rfc_3339(idle_since)
    return record
