"""The quorum type: counts its deliveries, gives up after too many, serves returned messages first.

On one node that is what a client can tell from a classic queue; source: rules 4.44 to 4.50.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from amqp_broker.deaths import DeathReason
from amqp_broker.message import Message
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.ready import PriorityReadyList, ReadyList, ReturnsReadyList
from amqp_codec import Int64, Table, with_properties

HIGHEST_PRIORITY = 31
DEFAULT_PRIORITY = 4


class QuorumQueue(Queue):
    """A queue with `x-queue-type` quorum."""

    def outgoing(self, entry: QueueEntry) -> Message:
        """Tell a consumer how often the message was out before (rule 4.47)."""
        message = entry.message
        assert message is not None
        if entry.acquired_count == 0:
            return message
        properties = message.header.properties
        headers: Table = dict(properties.headers or {})
        headers["x-acquired-count"] = Int64(entry.acquired_count)
        if entry.delivery_count:
            headers["x-delivery-count"] = Int64(entry.delivery_count)
        header = with_properties(message.header, replace(properties, headers=headers))
        counted = Message(message.address, header, message.body)
        counted.extra_keys = message.extra_keys
        counted.deaths = message.deaths
        return counted

    def redeclared(self) -> None:
        """No use of a queue of this type (rule 4.23)."""

    def add_consumer(self, consumer: Consumer) -> None:
        super().add_consumer(consumer)
        self.consumers.prefer_priority()

    def ack(self, entry: QueueEntry) -> None:
        super().ack(entry)
        self._hand_over()

    def reject(self, entry: QueueEntry) -> None:
        super().reject(entry)
        self._hand_over()

    def requeue(self, entries: Iterable[QueueEntry], *, failed: bool) -> None:
        super().requeue(entries, failed=failed)
        self._hand_over()

    def _hand_over(self) -> None:
        """Go on with the next single active consumer, if the last one has now settled all it had."""
        if self.consumers.is_changing and self.consumers.prefer_priority():
            self.dispatch()

    def _make_ready_list(self) -> ReadyList:
        return ReturnsReadyList(PriorityReadyList(HIGHEST_PRIORITY, DEFAULT_PRIORITY, pager=self._pager), self._pager)

    def _keeps(self, message: Message) -> bool:  # noqa: ARG002 - a quorum queue keeps every message
        return True

    def _take_back(self, entry: QueueEntry, failed: bool) -> None:
        entry.acquired_count += 1
        if failed:
            entry.delivery_count += 1
        limit = self.options.delivery_limit
        if limit is not None and entry.delivery_count > limit:
            self._die(entry, DeathReason.DELIVERY_LIMIT)
            return
        if limit is None and (again := self._at_the_tail(entry)) is not None:
            entry = again
            self.ready.append(entry)
        else:
            self.ready.put_back(entry)
        self._storage.returned(entry)
        self.ready_octets += entry.octets

    def _at_the_tail(self, entry: QueueEntry) -> QueueEntry | None:
        """Give a returned message a new place, behind all others; None if it can't be read (rule 4.48)."""
        if entry.message is None:
            self._storage.load([entry])
        if entry.message is None:
            return None
        again = QueueEntry(entry.message, self, self._next_position)
        self._next_position += 1
        again.expires_at = entry.expires_at
        again.redelivered = entry.redelivered
        again.acquired_count = entry.acquired_count
        again.delivery_count = entry.delivery_count
        self._storage.store(again)
        self._storage.forget(entry, is_replaced=True)
        return again
