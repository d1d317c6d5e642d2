"""How many connections, channels and queues have come and gone."""

from __future__ import annotations

from typing import Final

from amqp_broker.events import EventKind, Events

_KINDS: Final = {
    "connection_created": EventKind.CONNECTION_CREATED,
    "connection_closed": EventKind.CONNECTION_CLOSED,
    "channel_created": EventKind.CHANNEL_CREATED,
    "channel_closed": EventKind.CHANNEL_CLOSED,
    "queue_created": EventKind.QUEUE_CREATED,
    "queue_declared": EventKind.QUEUE_CREATED,
    "queue_deleted": EventKind.QUEUE_DELETED,
}
"""The API's counters by the event that each counts."""


def churn_counts(events: Events) -> dict[str, int]:
    return {name: events.counts[kind] for name, kind in _KINDS.items()}
