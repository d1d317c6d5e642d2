"""The consumers of one queue: who is there, who is active, and whose turn it is.

Source: rules 5.24, 5.25, 5.31, 4.57 and 4.58.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from amqp_broker.counters import MessageCounters
from amqp_broker.queues.consumer import Consumer


class Consumers:
    """All consumers of a queue, and of those that may get something the rotation, by priority.

    A consumer that turns out unable to take a message leaves the rotation and comes back through
    `unblock`. With a single active consumer only that one is ever in the rotation.

    Attributes:
        exclusive: the consumer that holds the queue for itself.
        active: the single active consumer; None where all are.
        past: what those who have left have got.
        is_changing: the active one gets nothing more, and another follows when nothing of it is out.
    """

    __slots__ = ("_again", "_all", "_lanes", "active", "exclusive", "is_changing", "past", "single_active")

    def __init__(self, single_active: bool) -> None:
        self.single_active = single_active
        self.exclusive: Consumer | None = None
        self.active: Consumer | None = None
        self.is_changing = False
        self.past = MessageCounters()
        self._all: dict[Consumer, None] = {}
        self._lanes: list[tuple[int, deque[Consumer]]] = []
        self._again: Consumer | None = None
        """It had the last turn and has the next one too, for it is alone; None where that is not known."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Consumer]:
        return iter(self._all)

    def add(self, consumer: Consumer) -> None:
        self._all[consumer] = None
        if consumer.exclusive:
            self.exclusive = consumer
        if not self.single_active:
            self.unblock(consumer)
        elif self.active is None:
            self._activate(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Take a consumer out; the next in line becomes active if it was the single active one."""
        del self._all[consumer]
        consumer.retire(self.past)
        consumer.unacked.blocked.pop(consumer, None)
        self.leave_rotation(consumer)
        if consumer is self.exclusive:
            self.exclusive = None
        if consumer is self.active:
            self.active = None
            self.is_changing = False
            if self._all:
                self._activate(self._first())
        elif self.is_changing and self.active is not None and self._first().priority == self.active.priority:
            self._activate(self.active)

    def prefer_priority(self) -> bool:
        """Let the single active consumer give way to one of a higher priority (rule 4.58).

        From now on it gets nothing more; the other follows once nothing of it is out.

        Returns:
            True when there is a new active consumer.
        """
        active = self.active
        if active is None or (first := self._first()).priority == active.priority:
            return False
        self.leave_rotation(active)
        active.unacked.blocked.pop(active, None)
        self.is_changing = active.unacked_count > 0
        if not self.is_changing:
            self._activate(first)
        return not self.is_changing

    def unblock(self, consumer: Consumer) -> None:
        """Give a consumer a place at the back of its priority's rotation."""
        self._again = None
        for index, (priority, lane) in enumerate(self._lanes):
            if priority == consumer.priority:
                lane.append(consumer)
                return
            if priority < consumer.priority:
                self._lanes.insert(index, (consumer.priority, deque((consumer,))))
                return
        self._lanes.append((consumer.priority, deque((consumer,))))

    def next(self) -> Consumer | None:
        """Whose turn it is; it goes to the back of its priority (rule 5.25)."""
        again = self._again
        if again is not None and again.can_take():
            return again
        self._again = None
        for _, lane in self._lanes:
            while lane:
                consumer = lane[0]
                if consumer.can_take():
                    if len(lane) > 1:
                        lane.rotate(-1)
                    else:
                        self._again = consumer
                    return consumer
                lane.popleft()
                consumer.block()
        return None

    def _first(self) -> Consumer:
        """The next single active consumer: of the highest priority the one that came first."""
        return max(self._all, key=_priority)

    def _activate(self, consumer: Consumer) -> None:
        self.active = consumer
        self.is_changing = False
        self.unblock(consumer)

    def leave_rotation(self, consumer: Consumer) -> None:
        """It gets nothing until `unblock`."""
        self._again = None
        for index, (priority, lane) in enumerate(self._lanes):
            if priority == consumer.priority:
                if consumer in lane:
                    lane.remove(consumer)
                if not lane:
                    del self._lanes[index]
                return


def _priority(consumer: Consumer) -> int:
    return consumer.priority
