"""The exchange `amq.rabbitmq.event`: what observers are told, as messages (rule 3.36).

One message an event, with an empty body and everything in its headers, as RabbitMQ's plugin does it.
"""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.events import Event
from amqp_broker.message import PERSISTENT
from amqp_broker.system_exchange import SystemExchange
from amqp_codec import Int64, Properties, Table, Value

EVENT_EXCHANGE = "amq.rabbitmq.event"


class EventExchange:
    """An observer that publishes what it hears of.

    Args:
        exchange: where to.
        now: seconds since 1970.
    """

    def __init__(self, exchange: SystemExchange, now: Callable[[], float]) -> None:
        self._exchange = exchange
        self._now = now

    def __call__(self, event: Event) -> None:
        self._exchange.hear(event)
        now_ms = int(self._now() * 1000)
        headers: Table = {name: _shown(value) for name, value in event.details.items()}
        headers["timestamp_in_ms"] = Int64(now_ms)
        properties = Properties(headers=headers, delivery_mode=PERSISTENT, timestamp=now_ms // 1000)
        self._exchange.publish(event.kind, properties, b"")


def _shown(value: Value) -> Value:
    """Integers are of one type, whatever their size."""
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value
