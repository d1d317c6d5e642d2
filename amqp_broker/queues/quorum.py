"""The quorum type: counts its deliveries, gives up after too many, serves returned messages first.

On one node that is what a client can tell from a classic queue; source: rules 4.43 to 4.50.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from amqp_broker.deaths import DeathReason
from amqp_broker.message import Message, new_message
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.ready import PriorityReadyList, ReadyList, ReturnsReadyList
from amqp_broker.queues.waiting import DelayedReturns, Undelivered, UndeliveredLetters, death_of
from amqp_broker.timers import Timers
from amqp_codec import Int64, Table, with_properties

HIGHEST_PRIORITY = 31
DEFAULT_PRIORITY = 4


class QuorumQueue(Queue):
    """A queue with `x-queue-type` quorum.

    Attributes:
        delayed: returned messages that wait for their next try (rule 4.45).
        undelivered: dead letters that have not arrived (rule 4.43).
    """

    def __init__(self, name: str, *, timers: Timers, **rest: Any) -> None:
        self.delayed = DelayedReturns(timers, self._delay_over)
        self.undelivered = UndeliveredLetters(timers, self._send_on)
        super().__init__(name, timers=timers, **rest)

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
        counted = new_message(message.address, header, message.body)
        counted.extra_keys = message.extra_keys
        counted.deaths = message.deaths
        return counted

    def redeclared(self) -> None:
        """No use of a queue of this type (rule 4.23)."""

    def add_consumer(self, consumer: Consumer) -> None:
        super().add_consumer(consumer)
        self.consumers.prefer_priority()

    def ack(self, entry: QueueEntry) -> None:
        Queue.ack(self, entry)
        self._hand_over()

    def reject(self, entry: QueueEntry) -> None:
        super().reject(entry)
        self._hand_over()

    def requeue(self, entries: Iterable[QueueEntry], *, failed: bool) -> None:
        super().requeue(entries, failed=failed)
        self._hand_over()

    def purge(self) -> int:
        """What waits for its next try counts as ready; dead letters are dropped without being counted."""
        return len(self.delayed) + super().purge()

    def _take_everything(self) -> Iterator[QueueEntry]:
        return chain(super()._take_everything(), self.delayed.drain(), self.undelivered.drain())

    def buried(self, entry: QueueEntry, reason: DeathReason, reached: set[str], has_arrived: bool) -> None:
        """A dead entry has been sent on; at least once, it stays until it has arrived (rule 4.43)."""
        if has_arrived or self.is_deleted or not self.options.at_least_once:
            self.gone(entry)
            return
        self.undelivered.add(Undelivered(entry, reason, reached))
        self._storage.returned(entry)
        self._unload_beyond_window(entry, self.undelivered.octets)

    def _send_on(self, letter: Undelivered) -> bool:
        """Try again with a dead letter; one that can't be read any more has arrived as far as it can."""
        entry = letter.entry
        if entry.message is None:
            self._storage.load([entry])
        if entry.message is not None and self.options.at_least_once:
            has_arrived: bool = self._hooks.bury_again(self, entry.message, letter)
            if not has_arrived:
                return False
        self.gone(entry)
        return True

    def _delay_over(self, due: list[QueueEntry]) -> None:
        """The time of these has come: they are ready, in the order in which they were due."""
        for entry in due:
            self.ready.put_back(entry)
            self.ready_octets += entry.octets
        if self._has_limit:
            self._drop_excess()
        self.dispatch()
        if self._expiring:
            self._expire_due()

    def _is_dead(self, entry: QueueEntry) -> bool:
        """Sort out, of what a restart has left, the dead letters that had not arrived."""
        reason = death_of(entry)
        if reason is not None:
            self.ready_octets -= entry.octets
            self.undelivered.add(Undelivered(entry, reason))
        return reason is not None

    def _unload_beyond_window(self, entry: QueueEntry, octets: int) -> None:
        if self._pager is not None and octets > self._pager.window_octets:
            self._storage.unload(entry)

    def _kept_count(self) -> int:
        return len(self.undelivered)

    def _kept_octets(self) -> int:
        return self.undelivered.octets

    def _hand_over(self) -> None:
        """Go on with the next single active consumer, if the last one has now settled all it had."""
        if self.consumers.is_changing and self.consumers.prefer_priority():
            self.dispatch()

    def _make_ready_list(self) -> ReadyList:
        fresh = PriorityReadyList(HIGHEST_PRIORITY, DEFAULT_PRIORITY, self._pager, self._is_dead)
        return ReturnsReadyList(fresh, self._pager)

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
        retry = self.options.delayed_retry
        delay_s = 0.0 if retry is None else retry.delay_s(entry.delivery_count, failed=failed)
        if delay_s:
            self.delayed.add(entry, delay_s)
            self._storage.returned(entry)
            self._unload_beyond_window(entry, self.delayed.octets)
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
        again = new_entry(entry.message, self, self._next_position)
        self._next_position += 1
        again.expires_at = entry.expires_at
        again.redelivered = entry.redelivered
        again.acquired_count = entry.acquired_count
        again.delivery_count = entry.delivery_count
        self._storage.store(again)
        self._storage.forget(entry, is_replaced=True)
        return again
