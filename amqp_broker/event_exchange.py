"""The exchange `amq.rabbitmq.event`: what observers are told, as messages (rule 3.36).

One message an event, with an empty body and everything in its headers, as RabbitMQ's plugin does it.
"""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.events import INTERNAL_USER, Event, EventKind
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

    The exchange is durable: its bindings survive a restart, after which somebody has to ask for it again. It goes
    with its vhost, and is there again when that is made again.

    Args:
        find_vhost: looks up the one it is in.
        now: seconds since 1970.
    """

    def __init__(self, find_vhost: Callable[[], Vhost | None], now: Callable[[], float]) -> None:
        self._find_vhost = find_vhost
        self._now = now
        vhost = find_vhost()
        if vhost is not None:
            _have_exchange(vhost)

    def __call__(self, event: Event) -> None:
        vhost = self._find_vhost()
        if vhost is None:
            return
        if event.kind == EventKind.VHOST_CREATED and event.details["name"] == vhost.name:
            _have_exchange(vhost)
        exchange = vhost.exchanges.get(EVENT_EXCHANGE)
        if exchange is None:  # its vhost is being deleted
            return
        now_ms = int(self._now() * 1000)
        headers: Table = {name: _shown(value) for name, value in event.details.items()}
        headers["timestamp_in_ms"] = Int64(now_ms)
        properties = Properties(headers=headers, delivery_mode=PERSISTENT, timestamp=now_ms // 1000)
        header = parse_content_header(encode_content_header(properties, 0))
        message = new_message(encode_address(EVENT_EXCHANGE, event.kind), header, b"")
        found = vhost.route(exchange, (event.kind,), properties)
        # A queue can hear of its own end, which has begun.
        vhost.publish(message, [queue for queue in found.queues if not queue.is_deleted])


def _have_exchange(vhost: Vhost) -> None:
    if EVENT_EXCHANGE not in vhost.exchanges:
        vhost.make_exchange(EVENT_EXCHANGE, "topic", durable=True, internal=True, user=INTERNAL_USER)


def _shown(value: Value) -> Value:
    """Integers are of one type, whatever their size."""
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value
