"""One subscription to one queue: what it may take, and the way of a message to its client.

A plain class, for every delivery passes through it and the message path is compiled.
"""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.counters import MessageCounters
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.unacked import Unacked
from amqp_codec import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.queues.queue import Queue


class Consumer:
    """A consumer as its queue sees it.

    Attributes:
        unacked: the delivering half of its channel.
        prefetch_count: its own limit, 0 for none; fixed when it began (rule 5.33).
        unacked_count: its deliveries that are out.
        delivered: all it has got since it began.
        redelivered: those of them that had been delivered before.
        on_cancelled: called when the queue ends the subscription, not the client (rule 5.45).
    """

    __slots__ = (
        "_tag_octets",
        "arguments",
        "delivered",
        "exclusive",
        "no_ack",
        "on_cancelled",
        "prefetch_count",
        "priority",
        "queue",
        "redelivered",
        "tag",
        "unacked",
        "unacked_count",
    )

    def __init__(
        self,
        tag: str,
        queue: Queue,
        unacked: Unacked,
        *,
        no_ack: bool,
        exclusive: bool,
        priority: int,
        prefetch_count: int,
        arguments: Table,
        on_cancelled: Callable[[Consumer], None],
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.unacked = unacked
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.priority = priority
        self.prefetch_count = prefetch_count
        self.arguments = arguments
        self.on_cancelled = on_cancelled
        self.unacked_count = 0
        self.delivered = 0
        self.redelivered = 0
        octets = tag.encode("utf-8", "surrogateescape")
        self._tag_octets = bytes((len(octets),)) + octets

    def can_take(self) -> bool:
        """Whether a message may go to it now: room to write, channel limit, own limit (5.34, 5.35)."""
        unacked = self.unacked
        if unacked.outbox.is_full:
            return False
        if unacked.prefetch_count and unacked.delivered_count >= unacked.prefetch_count:
            return False
        return self.no_ack or self.prefetch_count == 0 or self.unacked_count < self.prefetch_count

    def block(self) -> None:
        """Its queue found that it can't take a message; its channel tells when it can again."""
        self.unacked.blocked[self] = None

    def deliver(self, entry: QueueEntry, message: Message) -> None:
        """Write the message to the client and, if it is to be acked, note that it is out."""
        if entry.redelivered:
            self.redelivered += 1
        if self.no_ack:
            tag = self.unacked.take_tag()
        else:
            entry.consumer = self
            tag = self.unacked.add(entry)
        self._write(message, tag, entry.redelivered)

    def pass_on(self, message: Message) -> None:
        """Write a message that needs no ack and has never been in the queue, so that it has no entry either."""
        unacked = self.unacked
        tag = unacked.next_tag
        unacked.next_tag = tag + 1
        self._write(message, tag, False)

    def _write(self, message: Message, tag: int, redelivered: bool) -> None:
        unacked = self.unacked
        self.delivered += 1
        unacked.outbox.push_delivery(unacked.channel_id, self._tag_octets, tag, redelivered, message)
        if unacked.tap is not None:
            unacked.tap(self.queue.name, message, redelivered)

    def count_into(self, counters: MessageCounters) -> None:
        """Add what this consumer has got to what its queue or its channel has counted."""
        if self.no_ack:
            counters.deliver_no_ack += self.delivered
        else:
            counters.deliver += self.delivered
        counters.redeliver += self.redelivered

    def retire(self, of_queue: MessageCounters) -> None:
        """It has left its queue: what it has got stays counted, there and for its channel."""
        self.count_into(of_queue)
        self.count_into(self.unacked.counters)
        self.delivered = self.redelivered = 0
