"""A queue: messages that wait, consumers that want them, and the rules that bring them together.

Leaves routing to the vhost and octets to the consumers' channels. What happens beyond the queue
(dead letters, its own end) leaves through the callables of `QueueHooks`. Plain `def` throughout:
between two calls either nobody can take a message or there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import attrs

from amqp_broker.counters import MessageCounters
from amqp_broker.deaths import DeathReason
from amqp_broker.message import PERSISTENT, Message
from amqp_broker.queues.arguments import Overflow, QueueOptions
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.consumers import Consumers
from amqp_broker.queues.entry import NEVER, QueueEntry, new_entry
from amqp_broker.queues.paging import Pager
from amqp_broker.queues.ready import FifoReadyList, PriorityReadyList, ReadyList
from amqp_broker.queues.target import Target
from amqp_broker.queues.waiting import Undelivered
from amqp_broker.routing.duplicates import duplicates_from
from amqp_broker.storage.interface import Storage
from amqp_broker.timers import Timer, Timers
from amqp_codec import Table
from amqp_codec.properties import FLAG_EXPIRATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.storage.page import Page


_FLAG_EXPIRATION: Final = FLAG_EXPIRATION
_PERSISTENT: Final = PERSISTENT
"""What every message is compared with: compiled, these are C integers."""


@attrs.frozen
class QueueHooks:
    """What a queue has others do.

    Attributes:
        dead_letter: a message died here, with the reason; the entry that it was, if it had become one, is to
            be given to `buried` when the dead letter has been stored.
        bury_again: send a letter on that had not arrived; gives False when it still has not.
        on_unused: the last consumer of an auto-delete queue has gone (rule 4.9).
        on_expired: nobody has used the queue for its `x-expires` (rule 4.23).
        vhost: where the queue is, for the texts of errors.
    """

    dead_letter: Callable[[Queue, Message, DeathReason, QueueEntry | None], None]
    bury_again: Callable[[Queue, Message, Undelivered], bool]
    on_unused: Callable[[Queue], None]
    on_expired: Callable[[Queue], None]
    vhost: str


class Queue(Target):
    """A classic queue, and what the other types have in common with it.

    Attributes:
        id: what storage knows it by.
        exclusive_owner: the connection it belongs to; None for a shared queue (rule 4.6).
        ready: the messages nobody has.
        ready_octets: the sum of their bodies.
        unacked_count: the messages that are out.
        unacked_octets: the sum of their bodies.
        counters: what has happened here, but for deliveries to consumers; `statistics` has it all.
        is_deleted: it is gone; settling its messages does nothing any more (rule 4.21).
    """

    def __init__(
        self,
        name: str,
        *,
        queue_id: int,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: Table,
        options: QueueOptions,
        timers: Timers,
        storage: Storage,
        hooks: QueueHooks,
        window_octets: int,
    ) -> None:
        self.name = name
        self.id = queue_id
        self.durable = durable
        self.exclusive_owner = exclusive_owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.options = options
        self.consumers = Consumers(options.single_active_consumer)
        self._timers = timers
        self._storage = storage
        self._window_octets = window_octets
        self._pager = Pager(self, storage, window_octets) if storage.can_page else None
        self.ready = self._make_ready_list()
        self.ready_octets = 0
        self.unacked_count = 0
        self.counters = MessageCounters()
        self.is_deleted = False
        self.unacked_octets = 0
        self._hooks = hooks
        self._next_position = storage.first_position
        self._expiring = False
        """Some message here has had an expiry instant; until then nobody looks at the clock."""
        self._has_limit = options.max_length is not None or options.max_length_octets is not None
        self._has_ttl = options.message_ttl_s is not None
        self._duplicates = duplicates_from(arguments, timers.now)
        self._is_choosy = self._has_limit or self._duplicates is not None
        """Not every message comes in."""
        self._expiry_timer: Timer | None = None
        self._lease_timer: Timer | None = None
        self._last_used = 0.0
        self.touch()

    @property
    def message_count(self) -> int:
        """Ready messages (rule 4.4)."""
        return self.ready.size

    def statistics(self) -> MessageCounters:
        """All that has happened here."""
        counters = MessageCounters()
        counters.add(self.counters)
        counters.add(self.consumers.past)
        for consumer in self.consumers:
            consumer.count_into(counters)
        return counters

    # Messages in

    def enqueue(self, message: Message) -> bool:
        """Take a message: to a waiting consumer at once, else into the ready list.

        Returns:
            False when the overflow rule refuses it (rule 4.30).
        """
        if self._is_choosy and (answer := self._turned_away(message)) is not None:
            return answer
        self.counters.publish += 1
        consumer = self.consumers.next() if self.ready.size == 0 else None
        if consumer is not None and consumer.no_ack:
            consumer.pass_on(message)
            return True
        entry = new_entry(message, self, self._next_position)
        self._next_position += 1
        if self._has_ttl or message.header.flags & _FLAG_EXPIRATION:
            entry.expires_at = self._expiry_of(message)
            self._expiring = True
        if self._keeps(message):
            self._storage.store(entry)
        if consumer is not None:
            self._hand_out(entry, consumer)
            return True
        self.ready.append(entry)
        self.ready_octets += entry.octets
        if self._has_limit:
            self._drop_excess()
        if self._expiring:
            self._expire_due()
        return True

    def requeue(self, entries: Iterable[QueueEntry], *, failed: bool) -> None:
        """Take back what was out, to its original places (rules 5.42 and 5.44).

        Args:
            entries: deliveries of this queue, in the order of their tags.
            failed: whether the return counts as a failed delivery; only quorum queues ask.
        """
        if self.is_deleted:
            return
        for entry in entries:
            self._is_back(entry)
            entry.redelivered = True
            self._take_back(entry, failed)
        if self._has_limit:
            self._drop_excess()
        self.dispatch()

    # Messages out

    def dispatch(self) -> None:
        """Hand ready messages to consumers until one of the two runs out."""
        ready = self.ready
        while ready.size:
            if self._expiring:
                self._expire_due()
                if not ready.size:
                    return
            consumer = self.consumers.next()
            if consumer is None:
                return
            entry = ready.pop()
            if entry is None:
                return
            self.ready_octets -= entry.octets
            if consumer.no_ack:
                self._forget(entry)
            self._hand_out(entry, consumer)

    def get(self) -> QueueEntry | None:
        """Take the head for `basic.get`; it counts as out until acked (rule 5.17)."""
        self.touch()
        if self._expiring:
            self._expire_due()
        entry = self.ready.pop()
        if entry is None:
            return None
        self.ready_octets -= entry.octets
        self.unacked_count += 1
        self.unacked_octets += entry.octets
        if self._expiring:
            self._expire_due()  # what is due behind it is not left over either
        return entry

    def glance(self, count: int, octets: int) -> list[tuple[QueueEntry, Message]]:
        """Look at the first ready messages, in the order they will be delivered; nothing about them changes.

        Args:
            count: how many at most.
            octets: of bodies; when there is that much, no further message is looked at.
        """
        if self._expiring:
            self._expire_due()
        seen: list[tuple[QueueEntry, Message]] = []
        for entry in self.ready.glance(count):
            is_away = entry.message is None
            if is_away:
                self._storage.load([entry])
            if entry.message is not None:
                seen.append((entry, self.outgoing(entry)))
            if is_away:
                entry.message = None
            octets -= entry.octets
            if octets <= 0:
                break
        return seen

    def take(self, entry: QueueEntry) -> bool:
        """Take an entry that `glance` gave, which counts as out until settled.

        Returns:
            False when others were faster, or its message can't be read any more.
        """
        if not self.ready.take(entry):
            return False
        self.ready_octets -= entry.octets
        if entry.message is None:
            self._storage.load([entry])
        if entry.message is None:
            return False
        self.unacked_count += 1
        self.unacked_octets += entry.octets
        return True

    def put_back(self, entry: QueueEntry) -> None:
        """Take back what `take` or `get` gave and nobody has seen: unlike `requeue`, it was never delivered."""
        self._is_back(entry)
        self.ready.put_back(entry)
        self.ready_octets += entry.octets
        self.dispatch()

    def outgoing(self, entry: QueueEntry) -> Message:
        """The message as a consumer sees it; the entry has just left the ready list."""
        assert entry.message is not None
        return entry.message

    def ack(self, entry: QueueEntry) -> None:
        """A delivery is acknowledged and gone."""
        self.counters.ack += 1
        self.let_go(entry)

    def let_go(self, entry: QueueEntry) -> None:
        """A delivery is gone for good."""
        if not self.is_deleted:
            self._is_back(entry)
            self._forget(entry)

    def reject(self, entry: QueueEntry) -> None:
        """A delivery was refused for good: dead-letter or drop it (rule 5.41)."""
        if not self.is_deleted:
            self._is_back(entry)
            self._die(entry, DeathReason.REJECTED)

    def buried(self, entry: QueueEntry, _reason: DeathReason, _reached: set[str], _has_arrived: bool) -> None:
        """A dead entry has been sent on; whether it has arrived is not asked: at most once (rule 4.36).

        Args:
            entry: what died.
            _reason: of what.
            _reached: the names of the queues that have its dead letter.
            _has_arrived: whether these are all it is to reach.
        """
        self.gone(entry)

    def gone(self, entry: QueueEntry) -> None:
        """What was made of a dead entry has been stored: its place here is free."""
        if not self.is_deleted:
            self._storage.forget(entry, is_replaced=True)

    def purge(self) -> int:
        """Drop the ready messages, without dead-lettering; gives their number (rule 4.22)."""
        count = self.message_count
        self._timers.spread(self._forget_each(self._take_everything()))
        return count

    # Consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Add a consumer; the caller dispatches once consume-ok is on its way (rule 5.20)."""
        self.consumers.add(consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        """A consumer was cancelled by its client."""
        self.consumers.remove(consumer)
        self.consumers_removed()
        self.dispatch()

    def consumers_removed(self) -> None:
        """Consumers have left: an auto-delete queue goes with the last. The caller dispatches to those that stay."""
        if len(self.consumers) == 0:
            self.touch()
            if self.auto_delete:
                self._hooks.on_unused(self)

    # Its own life

    def touch(self) -> None:
        """Somebody used the queue: its lease begins anew (rule 4.23)."""
        if self.options.expires_s is None:
            return
        self._last_used = self._timers.now()
        if self._lease_timer is None:
            self._lease_timer = self._timers.at(self._last_used + self.options.expires_s, self._lease_over)

    def apply(self, options: QueueOptions) -> None:
        """Go by other options from now on: a policy has come, changed or gone (rule 8.6).

        Length limits and the lease count at once, a TTL for what comes from now on. Priorities and the single
        active consumer are not for policies to change.
        """
        is_lease_new = options.expires_s != self.options.expires_s
        self.options = options
        self._has_limit = options.max_length is not None or options.max_length_octets is not None
        self._has_ttl = options.message_ttl_s is not None
        self._is_choosy = self._has_limit or self._duplicates is not None
        if is_lease_new:
            if self._lease_timer is not None:
                self._lease_timer.cancel()
                self._lease_timer = None
            self.touch()
        if self._has_limit:
            self._drop_excess()

    def redeclared(self) -> None:
        """Somebody declared it again, or asked whether it is there."""
        self.touch()

    def delete(self) -> None:
        """End: drop everything, without dead-lettering, and cancel the consumers (rule 4.21)."""
        self.is_deleted = True
        for timer in (self._expiry_timer, self._lease_timer):
            if timer is not None:
                timer.cancel()
        self._timers.spread(self._forget_all(self._take_everything()))
        for consumer in list(self.consumers):
            self.consumers.remove(consumer)
            consumer.on_cancelled(consumer)

    def restore(self, pages: Sequence[Page]) -> None:
        """Take over what a restart has left of its messages (rules 7.2 and 7.7)."""
        self.ready_octets = sum(page.octets for page in pages)
        self._expiring = any(page.may_expire for page in pages)
        self._storage.restore(self.id, pages)
        self.ready.restore(pages)
        if self._expiring:
            self._plan_expiry()  # not now: dead letters find their way only when everything is there again

    # What the types do differently

    def _take_everything(self) -> Iterator[QueueEntry]:
        """Empty the queue at once, as all can see; gives what was in it, to be forgotten little by little."""
        ready, self.ready, self.ready_octets = self.ready, self._make_ready_list(), 0
        return ready.drain()

    def _make_ready_list(self) -> ReadyList:
        priorities = self.options.max_priority
        if priorities is None:
            return FifoReadyList(self._pager)
        return PriorityReadyList(max(priorities, 1), pager=self._pager)

    def _keeps(self, message: Message) -> bool:
        """Whether the message is to survive a restart (rule 7.2)."""
        return self.durable and message.header.delivery_mode == _PERSISTENT

    def _kept_count(self) -> int:
        """Messages that are not ready and count for the limits all the same."""
        return 0

    def _kept_octets(self) -> int:
        return 0

    def _take_back(self, entry: QueueEntry, failed: bool) -> None:  # noqa: ARG002 - quorum queues ask
        self.ready.put_back(entry)
        self.ready_octets += entry.octets

    # Helpers

    def _forget_each(self, entries: Iterator[QueueEntry]) -> Iterator[None]:
        for entry in entries:
            self._storage.forget(entry)
            yield

    def _forget_all(self, entries: Iterator[QueueEntry]) -> Iterator[None]:
        """Forget what was ready, and then whatever else storage has of the queue: clients have that."""
        yield from self._forget_each(entries)
        self._storage.queue_deleted(self.id)

    def _hand_out(self, entry: QueueEntry, consumer: Consumer) -> None:
        consumer.deliver(entry, self.outgoing(entry))
        if not consumer.no_ack:
            self.unacked_count += 1
            self.unacked_octets += entry.octets
            if self.unacked_octets > self._window_octets and self._pager is not None:
                self._storage.unload(entry)

    def _forget(self, entry: QueueEntry) -> None:
        """An entry has gone; storage is not told of those it never heard of, which are most."""
        if entry.location is not None or (entry.message is not None and self._keeps(entry.message)):
            self._storage.forget(entry)

    def _is_back(self, entry: QueueEntry) -> None:
        """A delivery is no longer out."""
        self.unacked_count -= 1
        self.unacked_octets -= entry.octets

    def _die(self, entry: QueueEntry, reason: DeathReason) -> None:
        if entry.message is None:
            self._storage.load([entry])
        if entry.message is None:
            return
        self._hooks.dead_letter(self, entry.message, reason, entry)

    def _turned_away(self, message: Message) -> bool | None:
        """The answer to a message that does not come in: refused, or a duplicate that counts as taken (rule 4.59)."""
        duplicates = self._duplicates
        properties = message.header.properties
        key = None if duplicates is None else duplicates.key_of(properties)
        if duplicates is not None and key is not None and duplicates.has(key):
            if self._keeps(message):
                self._storage.stored_count += 1  # its confirm waits for the first one to be on disk
            return True
        if self._has_limit and self._refuses(message):
            return False
        if duplicates is not None and key is not None:
            duplicates.add(key, properties)
        return None

    def _refuses(self, message: Message) -> bool:
        options = self.options
        if options.overflow is Overflow.DROP_HEAD:
            return False
        length = len(self.ready) + self._kept_count() + 1
        over_length = options.max_length is not None and length > options.max_length
        octets = self.ready_octets + self._kept_octets() + len(message.body)
        over_octets = options.max_length_octets is not None and octets > options.max_length_octets
        if not (over_length or over_octets):
            return False
        if options.overflow is Overflow.REJECT_PUBLISH_DLX:
            self._hooks.dead_letter(self, message, DeathReason.MAXLEN, None)
        return True

    def _drop_excess(self) -> None:
        """Drop from the head until within limits (rules 4.29 and 4.32)."""
        options = self.options
        if options.overflow is not Overflow.DROP_HEAD:
            return
        while self.ready and (
            (options.max_length is not None and len(self.ready) > options.max_length)
            or (options.max_length_octets is not None and self.ready_octets > options.max_length_octets)
        ):
            entry = self.ready.pop()
            if entry is None:
                return
            self.ready_octets -= entry.octets
            self._die(entry, DeathReason.MAXLEN)

    def _expiry_of(self, message: Message) -> float:
        """The instant of the shorter of both TTLs (rule 4.24)."""
        ttls = [self.options.message_ttl_s, None if (ttl := message.ttl_ms) is None else ttl / 1000]
        return self._timers.now() + min(ttl for ttl in ttls if ttl is not None)

    def _expire_due(self) -> None:
        """Remove the heads that are due (rule 4.25), and be woken for the next."""
        now = self._timers.now()
        while (entry := self.ready.pop_expired(now)) is not None:
            self.ready_octets -= entry.octets
            self._die(entry, DeathReason.EXPIRED)
        self._plan_expiry()

    def _plan_expiry(self) -> None:
        """Have a timer for the next head that expires; one that is early is left to find that out."""
        due = self.ready.next_expiry()
        timer = self._expiry_timer
        if due == NEVER:
            return
        if timer is not None:
            if timer.is_planned and timer.when <= due:
                return
            timer.cancel()
        self._expiry_timer = self._timers.at(due, self._expire_due)

    def _lease_over(self) -> None:
        self._lease_timer = None
        if self.options.expires_s is None:
            return
        now = self._timers.now()
        ends = (now if len(self.consumers) else self._last_used) + self.options.expires_s
        if ends <= now:
            self._hooks.on_expired(self)
        else:
            self._lease_timer = self._timers.at(ends, self._lease_over)
