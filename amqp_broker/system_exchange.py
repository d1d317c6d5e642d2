"""Exchanges that the broker itself publishes to: `amq.rabbitmq.event` and `amq.rabbitmq.log` (rule 3.36)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from amqp_broker.events import INTERNAL_USER, Event, EventKind
from amqp_broker.message import new_message
from amqp_broker.vhost import Vhost
from amqp_codec import Properties, encode_address, encode_content_header, parse_content_header

PassOn: TypeAlias = Callable[[str, str, Properties, bytes], None]
"""Takes exchange, routing key, properties and body."""


class SystemExchange:
    """A durable, internal topic exchange: its bindings survive a restart, after which somebody has to ask for it again.

    It goes with its vhost, and is there again when that is made again.

    Args:
        name: of the exchange.
        find_vhost: looks up the one it is in, if that is on this node.
        elsewhere: told of what is published while the vhost is not on this node.
    """

    def __init__(self, name: str, find_vhost: Callable[[], Vhost | None], elsewhere: PassOn | None = None) -> None:
        self._name = name
        self._find_vhost = find_vhost
        self._elsewhere = elsewhere
        self.look()

    def look(self) -> None:
        """Make the exchange if its vhost is here, and it is not there; to be called when a vhost has come here."""
        vhost = self._find_vhost()
        if vhost is not None:
            self._have_it(vhost)

    def hear(self, event: Event) -> None:
        """Make the exchange again if this tells that its vhost was; to be called with every event."""
        if event.kind == EventKind.VHOST_CREATED:
            vhost = self._find_vhost()
            if vhost is not None and event.details["name"] == vhost.name:
                self._have_it(vhost)

    def publish(self, routing_key: str, properties: Properties, body: bytes) -> None:
        """Publish to whatever is bound, if the exchange is there."""
        vhost = self._find_vhost()
        if vhost is None and self._elsewhere is not None:
            self._elsewhere(self._name, routing_key, properties, body)
            return
        exchange = None if vhost is None else vhost.exchanges.get(self._name)
        if vhost is None or exchange is None:  # its vhost is being deleted
            return
        header = parse_content_header(encode_content_header(properties, len(body)))
        message = new_message(encode_address(self._name, routing_key), header, body)
        found = vhost.route(exchange, (routing_key,), properties)
        # A queue can hear of its own end, which has begun.
        vhost.publish(message, [queue for queue in found.queues if not queue.is_deleted])

    def _have_it(self, vhost: Vhost) -> None:
        if self._name not in vhost.exchanges:
            vhost.make_exchange(self._name, "topic", durable=True, internal=True, user=INTERNAL_USER)
