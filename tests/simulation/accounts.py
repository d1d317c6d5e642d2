"""What clients were told in one life of the broker, and what they have left in its queues.

Nothing here predicts the broker: these are the promises that it has made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import amqp_broker
from amqp_broker.message import Message
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.entry import NEVER
from amqp_broker.queues.history import History
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.queues.target import Target
from amqp_codec import parse_content_header
from tests.simulation.kinds import RULED
from tests.simulation.lanes import Delivered, Lane, Observer
from tests.simulation.ledger import Content, Key, Ledger, number_of
from tests.simulation.machine import Machine


class Accounts(Observer):
    """Of one life after the other.

    Attributes:
        machine: the broker.
        ledger: what its storage was told.
        steps: that were done, in all lives.
        confirmed: numbers of messages.
        handed_out: queue id and number of what clients got → at which step.
        read: by stream id, the offset before which somebody has read everything.
        expected: by queue id, the numbers of the messages that the clients' doings have left there, if it is plain.
        is_exact: the expectations are up to date: no power cut has fallen into the middle of something.
        promised_changes: of topology; so many are on disk.
        promises: what was declared (or deleted) and answered, and not touched since: whether it is there.
        recorded: messages of which an exchange has had a copy to give to whoever is bound, also to one who has had it.
        copies: queue id and number of those that were given: no publisher has been promised that they are there.
    """

    machine: Machine

    def __init__(self, ledger: Ledger) -> None:
        self.steps = 0
        self.recorded: set[int] = set()
        self.copies: set[tuple[int, int]] = set()
        self.begin(ledger)

    def begin(self, ledger: Ledger) -> None:
        """Another life; nothing has been promised in it."""
        self.ledger = ledger
        self.confirmed: set[int] = set()
        self.handed_out: dict[tuple[int, int], int] = {}
        self.read: dict[int, int] = {}
        self.expected: dict[int, Counter[int]] = {}
        self.is_exact = True
        self.promised_changes = 0
        self.promises: dict[tuple[str, ...], bool] = {}

    # What clients see

    def delivered(self, lane: Lane, delivered: Delivered, *, is_gone: bool) -> None:
        if delivered.offset is not None:
            self._read(lane, delivered, delivered.offset)
            return
        queue_id, number = delivered.queue_id, delivered.number
        key = self.ledger.places.get((queue_id, number))
        stored = None if key is None else self.ledger.ever[key]
        queue = self._queue_with_id(queue_id)
        is_dead = b"x-death" in delivered.content.header
        if key is not None and stored is not None and stored.content.header == delivered.content.header:
            assert stored.content.address == delivered.content.address
            assert stored.content.body == delivered.content.body
            in_order = queue is not None and queue.options.max_priority is None
            in_order = in_order and not delivered.redelivered
            in_order = in_order and not self.may_come_again(delivered.content, is_dead=is_dead)
            if in_order and queue is not None and queue.options.type is QueueType.CLASSIC:
                assert lane.order.get(queue_id, -1) < key[1], "out of order"
                lane.order[queue_id] = key[1]
        if not self.may_come_again(delivered.content, is_dead=is_dead):
            # Within one step nobody knows whose delivery was the first.
            before = self.handed_out.setdefault((queue_id, number), self.steps)
            assert delivered.redelivered or before == self.steps, "it was handed out before"
        if is_gone:
            self.left(delivered)

    def promised(self, number: int) -> None:
        self.confirmed.add(number)

    def published(self, message: Message, queues: Sequence[Target]) -> None:
        """The vhost is about to put a message into queues."""
        number = number_of(message.body)
        if any(isinstance(queue, History) for queue in queues):
            self.recorded.add(number)
        elif number in self.recorded:
            self.copies |= {(queue.id, number) for queue in queues if isinstance(queue, Queue)}
        if message.ttl_ms is not None:
            return
        for queue in queues:
            if isinstance(queue, Queue) and is_plain(queue):
                is_quorum = queue.options.type is QueueType.QUORUM
                if is_quorum or message.is_persistent:
                    self.expected.setdefault(queue.id, Counter())[number] += 1

    def left(self, delivered: Delivered) -> None:
        """A client has taken a message for good."""
        counter = self.expected.get(delivered.queue_id)
        if counter is not None and counter[delivered.number] and not delivered.expires:
            counter[delivered.number] -= 1

    def _read(self, lane: Lane, delivered: Delivered, offset: int) -> None:
        """A consumer of a stream gets every message that is there, in order, and what it got is there for good."""
        last = lane.offsets.get(delivered.tag)
        if last is not None:
            queue = self._queue_with_id(delivered.queue_id)
            dropped = queue.log.first_offset if isinstance(queue, StreamQueue) else offset
            assert offset == last + 1 or last < offset <= dropped, f"offset {offset} after {last}"
        lane.offsets[delivered.tag] = offset
        self.read[delivered.queue_id] = max(self.read.get(delivered.queue_id, 0), offset + 1)
        if not amqp_broker.COMPILED:
            assert delivered.content.is_read_of(self.ledger.ever[delivered.queue_id, offset].content)

    # What was promised

    def may_come_again(self, content: Content, *, is_dead: bool) -> bool:
        """To the same queue: by another death, on another way after a crash in the middle, or out of a history."""
        return is_dead or was_delayed(content) or content.number in self.recorded

    def is_promised(self, key: Key) -> bool:
        """It was on disk from the beginning, or the publisher was told that it is now."""
        ledger = self.ledger
        content = ledger.ever[key].content
        is_as_published = key not in ledger.predecessors and not content.has_died and not _has_waited(content)
        is_as_published = is_as_published and (key[0], content.number) not in self.copies
        return key in ledger.base or (is_as_published and content.number in self.confirmed)

    def check_books(self) -> None:
        """What clients have done to plain queues is what storage was told."""
        if not self.is_exact or amqp_broker.COMPILED:  # nobody can look over the shoulder of what is compiled
            return
        told: dict[int, Counter[int]] = {}
        for (queue_id, _), stored in self.ledger.live.items():
            if stored.expires_at == NEVER:
                told.setdefault(queue_id, Counter())[stored.content.number] += 1
        for queue in self.machine.broker.vhosts["/"].queues.values():
            if is_plain(queue):
                wanted = +self.expected.get(queue.id, Counter())
                has = told.get(queue.id, Counter())
                assert has == wanted, f"{queue.name} has {has}, clients left {wanted} in it"

    def _queue_with_id(self, queue_id: int) -> Queue | None:
        queues: Iterable[Queue] = self.machine.broker.vhosts["/"].queues.values()
        return next((queue for queue in queues if queue.id == queue_id), None)


def is_plain(queue: Queue) -> bool:
    """Messages come in whatever they are, and leave only through clients."""
    options = queue.options
    if options.type is QueueType.STREAM or queue.name == RULED or "x-message-deduplication" in queue.arguments:
        return False
    if options.type is QueueType.QUORUM and options.delivery_limit is not None:
        return False
    timeless = options.message_ttl_s is None and options.expires_s is None
    return queue.durable and timeless and options.max_length is None


def was_delayed(content: Content) -> bool:
    """A message that waited, or still waits."""
    return b"x-delay" in content.header


def _has_waited(content: Content) -> bool:
    """It was delayed; if it was kept while it waited, then that is what its publisher was promised."""
    delay = (parse_content_header(content.header).properties.headers or {}).get("x-delay", 0)
    return isinstance(delay, int) and delay < 0
