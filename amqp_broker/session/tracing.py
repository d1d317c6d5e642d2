"""The firehose: with tracing on, what is published and delivered goes to `amq.rabbitmq.trace` too (rule 5.56).

Nobody comes here while it is off: a traced vhost remembers no routes, so that each publish takes the slow
path, and a traced channel has a tap.
"""

from __future__ import annotations

from dataclasses import asdict

import attrs

from amqp_broker.message import Message, new_message
from amqp_broker.vhost import TRACE_EXCHANGE, Route, Vhost
from amqp_codec import Properties, Table, Value, encode_address, encode_content_header, parse_content_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.session.channel import Channel

LONGEST_NAME_OCTETS = 255


@attrs.frozen
class Party:
    """Who published, or gets, what is traced.

    Attributes:
        node: the broker's name.
        connection: where it comes from, as text.
    """

    vhost: Vhost
    node: str
    connection: str
    channel: int
    user: str


def party_of(channel: Channel) -> Party:
    connection = channel.connection
    return Party(channel.vhost, connection.config.node_name, str(connection.peer), channel.id, connection.user)


def published(party: Party, message: Message, route: Route) -> None:
    """A client has published; the queues are those it was routed to."""
    queues: list[Value] = [_octets(queue.name) for queue in route.queues]
    _trace(party, f"publish.{message.exchange}", message, {"routed_queues": queues})


def delivered(party: Party, queue: str, message: Message, redelivered: bool) -> None:
    """A message goes to a consumer or to `basic.get`."""
    _trace(party, f"deliver.{queue}", message, {"redelivered": int(redelivered)})


def _trace(party: Party, key: str, message: Message, more: Table) -> None:
    if message.exchange == TRACE_EXCHANGE:
        return
    vhost = party.vhost
    keys: list[Value] = [_octets(each) for each in message.routing_keys]
    headers: Table = {
        "exchange_name": _octets(message.exchange),
        "routing_keys": keys,
        "properties": _table_of(message.header.properties),
        "node": party.node.encode(),
        "vhost": _octets(vhost.name),
        "connection": party.connection.encode(),
        "channel": party.channel,
        "user": _octets(party.user),
        **more,
    }
    properties = Properties(headers=headers)
    header = parse_content_header(encode_content_header(properties, len(message.body)))
    key = _octets(key)[:LONGEST_NAME_OCTETS].decode("utf-8", "surrogateescape")
    traced = new_message(encode_address(TRACE_EXCHANGE, key), header, message.body)
    found = vhost.route(vhost.exchanges[TRACE_EXCHANGE], (key,), properties)
    vhost.publish(traced, [queue for queue in found.queues if not queue.is_deleted])


def _table_of(properties: Properties) -> Table:
    """The properties that are there, by name."""
    return {
        name: _octets(value) if isinstance(value, str) else value
        for name, value in asdict(properties).items()
        if value is not None
    }


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
