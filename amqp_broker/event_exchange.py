"""The exchange `amq.rabbitmq.event`: what observers are told, as messages (rule 3.36).

One message an event, with an empty body and everything in its headers, as RabbitMQ's plugin does it.
"""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.events import INTERNAL_USER, Event
from amqp_broker.message import PERSISTENT, new_message
from amqp_broker.vhost import Vhost
from amqp_codec import (
    Int64,
    Properties,
    Table,
    Value,
    encode_address,
    encode_content_header,
    parse_content_header,
)

EVENT_EXCHANGE = "amq.rabbitmq.event"


class EventExchange:
    """An observer that publishes what it hears of.

    The exchange is durable: its bindings survive a restart, after which somebody has to ask for it again.
    """

    def __init__(self, vhost: Vhost, now: Callable[[], float]) -> None:
        self._vhost = vhost
        self._now = now
        if EVENT_EXCHANGE not in vhost.exchanges:
            vhost.make_exchange(EVENT_EXCHANGE, "topic", durable=True, internal=True, user=INTERNAL_USER)

    def __call__(self, event: Event) -> None:
        exchange = self._vhost.exchanges.get(EVENT_EXCHANGE)
        if exchange is None:  # its vhost was deleted
            return
        now_ms = int(self._now() * 1000)
        headers: Table = {name: _shown(value) for name, value in event.details.items()}
        headers["timestamp_in_ms"] = Int64(now_ms)
        properties = Properties(headers=headers, delivery_mode=PERSISTENT, timestamp=now_ms // 1000)
        header = parse_content_header(encode_content_header(properties, 0))
        message = new_message(encode_address(EVENT_EXCHANGE, event.kind), header, b"")
        found = self._vhost.route(exchange, (event.kind,), properties)
        # A queue can hear of its own end, which has begun.
        self._vhost.publish(message, [queue for queue in found.queues if not queue.is_deleted])


def _shown(value: Value) -> Value:
    """Integers are of one type, whatever their size."""
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value
