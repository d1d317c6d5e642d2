"""What a broker of a cluster publishes itself, on its way to the node that has the vhost of the system exchanges.

Messages wait here while no node has it. Those that were under way when a node broke off are sent again, so they may
come twice; beyond so many the oldest are forgotten, for events must not pile up.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import trio

from amqp_broker.broker import Broker
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.placement import Inquiry
from amqp_codec import Properties, decode_table, encode_content_header, encode_table, parse_content_header

SUBJECT: Final = "publish"
WAITING: Final = 10_000
AT_ONCE: Final = 500
ANSWER_S: Final = 10.0
AGAIN_S: Final = 0.5


class Message(NamedTuple):
    """One of them."""

    exchange: str
    routing_key: str
    properties: Properties
    body: bytes


class Relay:
    """The messages of one broker.

    Args:
        broker: whose.
        cluster: which it is in.
    """

    def __init__(self, broker: Broker, cluster: Cluster) -> None:
        self._broker = broker
        self._cluster = cluster
        self._waiting: deque[Message] = deque(maxlen=WAITING)
        self._came = trio.Event()

    def add(self, exchange: str, routing_key: str, properties: Properties, body: bytes) -> None:
        """Have a message published, soon."""
        self._waiting.append(Message(exchange, routing_key, properties, body))
        self._came.set()

    async def run(self) -> None:
        """Send what comes until cancelled."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            while self._waiting:
                owner = await self._cluster.wait_owner(self._broker.config.default_vhost)
                some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                if owner == self._broker.config.node_name:
                    for message in some:
                        publish(self._broker, message)
                elif not await self._send(owner, some):
                    room = WAITING - len(self._waiting)
                    self._waiting.extendleft(reversed(some[max(0, len(some) - room) :]))
                    await trio.sleep(AGAIN_S)

    async def _send(self, node: str, messages: list[Message]) -> bool:
        """Have another node publish messages; gives whether it says that it has."""
        with contextlib.suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            with trio.move_on_after(ANSWER_S):
                async with await self._cluster.visit(node, SUBJECT) as stream:
                    await stream.send_all(b"".join(map(_encoded, messages)))
                    await stream.send_eof()
                    return await stream.receive_some() != b""
        return False


def publish(broker: Broker, message: Message) -> None:
    """Publish to an exchange that is here; if it is not, that begins anew."""
    exchange = broker.system_exchanges.get(message.exchange)
    if exchange is not None:
        exchange.publish(message.routing_key, message.properties, message.body)


async def answer_messages(broker: Broker, _inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
    """Publish what another node sends, all of it or nothing. Raises trio.TooSlowError: it doesn't come in time."""
    with trio.fail_after(ANSWER_S):
        octets = b"".join([data async for data in stream])
    messages = list(_decoded(octets))
    for message in messages:
        publish(broker, message)
    with trio.fail_after(ANSWER_S):
        await stream.send_all(b"published")
        await stream.send_eof()


def _decoded(octets: bytes) -> Iterator[Message]:
    place = 0
    while place < len(octets):
        fields, place = decode_table(octets, place)
        exchange, routing_key, header, body = (fields[name] for name in ("exchange", "key", "header", "body"))
        assert isinstance(exchange, bytes)
        assert isinstance(routing_key, bytes)
        assert isinstance(header, bytes)
        assert isinstance(body, bytes)
        properties = parse_content_header(header).properties
        key = routing_key.decode("utf-8", "surrogateescape")
        yield Message(exchange.decode("utf-8", "surrogateescape"), key, properties, body)


def _encoded(message: Message) -> bytes:
    return encode_table(
        {
            "exchange": message.exchange,
            "key": message.routing_key,
            "header": encode_content_header(message.properties, len(message.body)),
            "body": message.body,
        }
    )
