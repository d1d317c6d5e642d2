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
    """A message's life in a queue.

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

    def __init__(self, message: Message | None, queue: Queue, position: int) -> None:
        self.message = message
        self.queue = queue
        self.position = position
        self.octets = 0
        self.priority = -1
        if message is not None:
            self.octets = len(message.body)
            self.priority = message.header.priority
        self.location: Location | None = None
        self.expires_at = NEVER
        self.redelivered = False
        self.consumer: Consumer | None = None
        self.acquired_count = 0
        self.delivery_count = 0
