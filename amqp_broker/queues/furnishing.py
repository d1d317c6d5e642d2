"""What an exchange has beside bindings, where its type or arguments ask for it: messages, a memory of duplicates."""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.message import Message
from amqp_broker.queues.delay import DelayLine
from amqp_broker.queues.history import History
from amqp_broker.routing.delayed import DelayedMatcher
from amqp_broker.routing.duplicates import DEDUPLICATION, duplicates_from, duplicates_of_type
from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.history import HistoryMatcher
from amqp_broker.storage.interface import Storage
from amqp_broker.timers import Timers


def furnish(
    exchange: Exchange,
    keeper_id: int | None,
    timers: Timers,
    storage: Storage,
    window_octets: int,
    release: Callable[[Message], None],
) -> None:
    """Give an exchange what its type and arguments ask for.

    Args:
        exchange: a new one.
        keeper_id: what storage knows as its messages, if it kept some before a restart.
        timers: for what happens later.
        storage: where its messages go.
        window_octets: what it may hold in memory.
        release: routes a message that has waited.

    Raises:
        AMQPError: 406 for arguments it can't have.
    """
    if exchange.type == DEDUPLICATION:
        exchange.duplicates = duplicates_of_type(exchange.arguments, timers.now)
    else:
        exchange.duplicates = duplicates_from(exchange.arguments, timers.now)
    matcher = exchange.matcher
    if isinstance(matcher, DelayedMatcher):
        matcher.line = exchange.keeper = DelayLine(
            f"amq.delayed-{exchange.name}",
            line_id=keeper_id or storage.new_queue_id(),
            durable=exchange.durable,
            timers=timers,
            storage=storage,
            window_octets=window_octets,
            release=release,
        )
    elif isinstance(matcher, HistoryMatcher):
        exchange.recorder = exchange.keeper = History(
            f"amq.history-{exchange.name}",
            history_id=keeper_id or storage.new_queue_id(),
            durable=exchange.durable,
            length=matcher.length,
            max_octets=window_octets,
            storage=storage,
        )
