"""Dead-lettering: what a message becomes when it dies, and where it may not go again.

Makes messages and keeps their order; where they go is the vhost's to find. Source: rules 4.35 to 4.41.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import attrs

from amqp_broker.deaths import Death, DeathReason, set_deaths
from amqp_broker.message import Message, new_message
from amqp_broker.queues.waiting import Undelivered
from amqp_codec import ContentHeader, Table, encode_address, with_properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.entry import QueueEntry
    from amqp_broker.queues.queue import Queue


class DeadLetters:
    """Dead messages on their way to where their queues send them.

    One death can cause the next, in a chain as long as somebody cares to declare: they are worked off one
    after the other, not one inside the other.

    Args:
        bury: send one on to all queues it leads to but those it has reached, and add to these; gives whether
            there are any, and all have it.
    """

    def __init__(self, bury: Callable[[Queue, Message, DeathReason, set[str]], bool]) -> None:
        self._bury = bury
        self._waiting: deque[tuple[Queue, Message, DeathReason, QueueEntry | None]] = deque()
        self._is_held = False

    def add(self, queue: Queue, message: Message, reason: DeathReason, entry: QueueEntry | None) -> None:
        """Send a dead message on; see `QueueHooks.dead_letter`."""
        self._waiting.append((queue, message, reason, entry))
        if self.hold():
            self.release()

    def hold(self) -> bool:
        """Send nothing on until `release`; gives False when that is another's to call."""
        is_held = self._is_held
        self._is_held = True
        return not is_held

    def release(self) -> None:
        """Send on what has died."""
        try:
            while self._waiting:
                queue, message, reason, entry = self._waiting.popleft()
                reached = set[str]()
                has_arrived = self._bury(queue, message, reason, reached)
                if entry is not None:
                    queue.buried(entry, reason, reached, has_arrived)
        finally:
            self._is_held = False

    def bury_again(self, queue: Queue, message: Message, letter: Undelivered) -> bool:
        """Send a letter on that had not arrived; see `QueueHooks.bury_again`."""
        return self._bury(queue, message, letter.reason, letter.reached)


def dead_lettered(
    message: Message, queue: str, reason: DeathReason, now: float, exchange: str, routing_key: str | None
) -> Message:
    """Make the message that goes to the dead-letter exchange.

    Args:
        message: what died; it is not changed.
        queue: the name of the queue it died in.
        reason: why.
        now: seconds since 1970.
        exchange: the dead-letter exchange's name.
        routing_key: the queue's `x-dead-letter-routing-key`; None keeps all keys (rule 4.36).
    """
    properties = message.header.properties
    headers: Table = dict(properties.headers or {})
    deaths = _with_death(message, queue, reason, now, _visible_keys(message, headers), properties.expiration)
    set_deaths(headers, deaths, is_first=not message.deaths)
    if routing_key is not None:
        headers.pop("CC", None)
    header = _with_headers(message.header, headers)
    key = message.routing_key if routing_key is None else routing_key
    dead = new_message(encode_address(exchange, key), header, message.body)
    dead.extra_keys = message.extra_keys if routing_key is None else ()
    dead.deaths = deaths
    return dead


def is_cycle(dead: Message, target: str) -> bool:
    """Whether this dead letter has been in the target queue with no rejection since (rule 4.41)."""
    for death in dead.deaths:
        if death.reason is DeathReason.REJECTED:
            return False
        if death.queue == target:
            return True
    return False


def _with_death(
    message: Message,
    queue: str,
    reason: DeathReason,
    now: float,
    routing_keys: tuple[str, ...],
    expiration: str | None,
) -> tuple[Death, ...]:
    """Count the death: a repeat moves to the front, keeping what was noted the first time."""
    others = [death for death in message.deaths if (death.queue, death.reason) != (queue, reason)]
    repeated = [death for death in message.deaths if (death.queue, death.reason) == (queue, reason)]
    if repeated:
        return (attrs.evolve(repeated[0], count=repeated[0].count + 1), *others)
    death = Death(
        queue=queue,
        reason=reason,
        count=1,
        time_s=int(now),
        exchange=message.exchange,
        routing_keys=routing_keys,
        original_expiration=expiration,
    )
    return (death, *others)


def _visible_keys(message: Message, headers: Table) -> tuple[str, ...]:
    """The keys without those of BCC, which nobody may see (rule 5.54)."""
    copies = headers.get("CC")
    carbon = [key for key in copies if isinstance(key, bytes)] if isinstance(copies, list) else []
    return (message.routing_key, *(key.decode("utf-8", "surrogateescape") for key in carbon))


def _with_headers(header: ContentHeader, headers: Table) -> ContentHeader:
    """Replace the headers; `expiration` goes, so that it can't expire again (rule 4.37)."""
    return with_properties(header, replace(header.properties, headers=headers, expiration=None))
