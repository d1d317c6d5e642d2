"""One message in one queue: its place, whether it was out before, and who has it now.

The same object stands in the ready list and, while it is out, in the channel's table of unacked
deliveries. A plain class, for every message passes through it and the message path is compiled.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.queues.consumer import Consumer
    from amqp_broker.queues.queue import Queue
    from amqp_broker.storage.records import Location

NEVER = 0.0
"""The expiry instant of what does not expire."""


class QueueEntry:
    """A message's life in a queue; `new_entry` makes one.

    Attributes:
        message: None while only storage has it.
        octets: of the body.
        priority: as published, -1 for none.
        location: where storage keeps it; None when it does not.
        position: grows with each enqueue to the queue; requeueing goes by it (rule 5.42).
        expires_at: instant fixed on enqueue, kept across requeue (rule 4.24); NEVER for none.
        redelivered: it was handed to a consumer or get before (rule 5.30).
        consumer: whose delivery it is; None while ready and for `basic.get`.
        acquired_count: times handed out before; only quorum queues count.
        delivery_count: returns that count as failed (rule 4.46); only quorum queues count.
    """

    message: Message | None
    queue: Queue
    position: int
    octets: int
    priority: int
    location: Location | None
    expires_at: float
    redelivered: bool
    consumer: Consumer | None
    acquired_count: int
    delivery_count: int

    __slots__ = (
        "acquired_count",
        "consumer",
        "delivery_count",
        "expires_at",
        "location",
        "message",
        "octets",
        "position",
        "priority",
        "queue",
        "redelivered",
    )


def new_entry(message: Message | None, queue: Queue, position: int) -> QueueEntry:
    """Make an entry; compiled, this costs a third of calling a class with arguments."""
    entry = QueueEntry.__new__(QueueEntry)
    entry.message = message
    entry.queue = queue
    entry.position = position
    entry.octets = 0
    entry.priority = -1
    if message is not None:
        entry.octets = len(message.body)
        entry.priority = message.header.priority
    entry.location = None
    entry.expires_at = NEVER
    entry.redelivered = False
    entry.consumer = None
    entry.acquired_count = 0
    entry.delivery_count = 0
    return entry
