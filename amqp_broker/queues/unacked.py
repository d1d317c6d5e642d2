"""The delivering half of a channel: delivery tags, what is out, and the limits on it.

Belongs to a channel but knows no session: a queue's consumer hands entries in, `basic.ack` and its
kin take them out. Plain classes, for every delivery passes through and the message path is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from amqp_broker.counters import MessageCounters
from amqp_broker.outbox import Outbox
from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.queues.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.queues.consumer import Consumer
    from amqp_broker.queues.queue import Queue


class Gone(Target):
    """Stands for the queue of a delivery that has been taken back: whatever the client answers, it is late."""

    def ack(self, _entry: QueueEntry) -> None:
        """The message is elsewhere by now."""

    def reject(self, _entry: QueueEntry) -> None:
        """The message is elsewhere by now."""

    def requeue(self, _entries: list[QueueEntry], *, failed: bool) -> None:
        """The message is elsewhere by now."""


GONE: Final = cast("Queue", Gone())


class Unacked:
    """Deliveries of one channel by delivery tag (rules 5.18, 5.34, 5.39).

    Attributes:
        prefetch_count: limit shared by all consumers of the channel, 0 for none (rule 5.34).
        delivered_count: unacked deliveries to consumers; gets don't count (rule 5.17).
        counters: what the channel has done with messages, but for deliveries to the consumers it has.
        tap: told of each delivery while the vhost is traced: queue, message, whether it is redelivered.
        blocked: consumers of the channel that their queue found unable to take a message.
        has_room: some of what was out has been acked, so `resume_all` is due for those that are blocked.
    """

    __slots__ = (
        "_entries",
        "_lowest",
        "blocked",
        "channel_id",
        "counters",
        "delivered_count",
        "has_room",
        "next_tag",
        "outbox",
        "prefetch_count",
        "tap",
    )

    def __init__(self, channel_id: int, outbox: Outbox) -> None:
        self.channel_id = channel_id
        self.outbox = outbox
        self.prefetch_count = 0
        self.tap: Callable[[str, Message, bool], None] | None = None
        self.delivered_count = 0
        self.has_room = False
        self.next_tag = 1
        self.counters = MessageCounters()
        self.blocked: dict[Consumer, None] = {}
        self._entries: dict[int, QueueEntry] = {}
        """In the order of the tags."""
        self._lowest = 1
        """No tag below it is out. Multiple acks count up from here, so each tag is passed once in
        the life of a channel, whatever is acked singly in between."""

    def __len__(self) -> int:
        return len(self._entries)

    def take_tag(self) -> int:
        """Use up a delivery tag for a delivery that needs no ack (rule 5.29)."""
        tag = self.next_tag
        self.next_tag = tag + 1
        return tag

    def add(self, entry: QueueEntry) -> int:
        """Note a delivery; gives its tag."""
        tag = self.next_tag
        self.next_tag = tag + 1
        self._entries[tag] = entry
        consumer = entry.consumer
        if consumer is not None:
            consumer.unacked_count += 1
            self.delivered_count += 1
        return tag

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def take(self, tag: int, multiple: bool) -> list[tuple[int, QueueEntry]] | None:
        """Take a tag's delivery out, or all up to it; None when the tag is not out (rule 5.40).

        The consumers' credit is not touched: that is `release`, which inside a transaction comes later.
        """
        entries = self._entries
        if not multiple:
            entry = entries.pop(tag, None)
            return None if entry is None else [(tag, entry)]
        if tag == 0:
            return self.take_all()
        if tag not in entries:
            return None
        taken = []
        for each in range(self._lowest, tag + 1):
            entry = entries.pop(each, None)
            if entry is not None:
                taken.append((each, entry))
        self._lowest = tag + 1
        return taken

    def take_one(self, tag: int) -> QueueEntry | None:
        """Take a single delivery out and give its consumer's credit back; None when the tag is not out."""
        entry = self._entries.pop(tag, None)
        if entry is None:
            return None
        consumer = entry.consumer
        if consumer is not None:
            consumer.unacked_count -= 1
            self.delivered_count -= 1
        return entry

    def take_all(self) -> list[tuple[int, QueueEntry]]:
        """Take everything out, in the order of the tags."""
        taken = sorted(self._entries.items(), key=_tag_of)
        self._entries.clear()
        self._lowest = self.next_tag
        return taken

    def restore(self, taken: list[tuple[int, QueueEntry]]) -> None:
        """Put back what `take` gave, under the same tags (a rollback, rule 6.15)."""
        self._entries = dict(sorted([*self._entries.items(), *taken], key=_tag_of))
        for tag, _ in taken:
            self._lowest = min(self._lowest, tag)

    def out_before(self, tag: int) -> list[tuple[int, QueueEntry]]:
        """What is out under lower tags, in their order."""
        before = []
        for each, entry in self._entries.items():
            if each >= tag:
                break
            before.append((each, entry))
        return before

    def give_up(self, taken: list[tuple[int, QueueEntry]]) -> None:
        """The queues take these back; their tags stay valid, for the client can't know it yet."""
        for tag, _ in taken:
            self._entries[tag] = new_entry(None, GONE, 0)

    def release(self, taken: list[tuple[int, QueueEntry]]) -> list[Consumer]:
        """These deliveries are settled; gives the consumers whose they were, for `unblock`."""
        consumers: dict[Consumer, None] = {}
        for _, entry in taken:
            consumer = entry.consumer
            if consumer is not None:
                entry.consumer = None
                consumer.unacked_count -= 1
                self.delivered_count -= 1
                consumers[consumer] = None
        return list(consumers)

    def unblock(self, consumers: list[Consumer]) -> list[Queue]:
        """Those of these consumers that were blocked have their turn again if they can take messages.

        Under a limit of the channel any of its consumers may have waited for the room there is now. All
        are back before a queue hands anything out, for it goes to the highest priority (rule 5.24).

        Returns:
            The queues to dispatch; under a limit of the channel the one that was first the last time is
            last, so that none is left behind.
        """
        queues: dict[Queue, None] = {}
        if self.blocked:
            for consumer in list(self.blocked) if self.prefetch_count else consumers:
                if consumer in self.blocked and consumer.can_take():
                    del self.blocked[consumer]
                    consumer.queue.consumers.unblock(consumer)
                    queues[consumer.queue] = None
        if self.prefetch_count and len(queues) > 1:
            first = next(iter(queues))
            del queues[first]
            queues[first] = None
        return list(queues)

    def resume_all(self) -> None:
        """The client reads again, or a limit was raised: whoever can take messages gets them."""
        self.has_room = False
        for queue in self.unblock(list(self.blocked)):
            queue.dispatch()


def _tag_of(item: tuple[int, QueueEntry]) -> int:
    return item[0]
