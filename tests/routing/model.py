"""What the tests of this room share."""

from collections.abc import Callable, Sequence

import attrs

from amqp_broker.routing.exchange import Exchange, Route, route
from amqp_codec import Properties, Table


@attrs.frozen(eq=False)
class Queue:
    name: str


def nowhere(name: str) -> None:
    """Find no exchange."""


def sent(
    exchange: Exchange,
    *routing_keys: str,
    headers: Table | None = None,
    find_exchange: Callable[[str], Exchange | None] = nowhere,
) -> list[str]:
    """Name the queues a message reaches, in their order."""
    return names(route(exchange, routing_keys, Properties(headers=headers), find_exchange))


def names(reached: Route) -> list[str]:
    return [queue.name for queue in reached.queues]


def bind_all(exchange: Exchange, routing_keys: Sequence[str]) -> None:
    """Bind a queue named like the key for each key."""
    for routing_key in routing_keys:
        exchange.bind(Queue(routing_key), routing_key, {})
