"""Delayed messages: where those of one exchange wait until their time comes (rules 3.31 and 3.32).

Routing sees a destination like any other, so that confirms, transactions, dead letters and bindings between
exchanges need to know nothing of it. Memory keeps a window of messages; of the others storage has the message
and a page says where, and an index has one number for each. Leaves routing to the vhost.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from amqp_broker.message import Message, new_message
from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.queues.ready import ENTRY_OCTETS, PAGE_ENTRIES
from amqp_broker.queues.target import Target
from amqp_broker.routing.delayed import DELAY, delay_ms
from amqp_broker.storage.interface import Storage
from amqp_broker.timers import Timer, Timers
from amqp_codec import with_properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.queue import Queue
    from amqp_broker.storage.page import Page

_POSITION_BITS: Final = 64
_POSITION: Final = (1 << _POSITION_BITS) - 1

_EARLY_MS: Final = 0.01
"""A clock that is read as a float can be off by less; nothing is late or early by a millisecond for that."""


class DelayLine(Target):
    """The messages of one delayed exchange that wait.

    Attributes:
        name: none that a queue can have.
        id: what storage knows it by.
        is_deleted: the exchange is gone, and all that waited (rule 3.32).
    """

    def __init__(
        self,
        name: str,
        *,
        line_id: int,
        durable: bool,
        timers: Timers,
        storage: Storage,
        window_octets: int,
        release: Callable[[Message], None],
    ) -> None:
        self.name = name
        self.id = line_id
        self.is_deleted = False
        self._durable = durable
        self._timers = timers
        self._storage = storage
        self._window_octets = window_octets
        self._release = release
        self._next_position = storage.first_position
        self._index: list[int] = []
        """A heap: when a message is due, in milliseconds since 1970, and its position below that."""
        self._kept: dict[int, QueueEntry] = {}
        self._fresh: dict[int, QueueEntry] = {}
        """What came last, in the order of positions: a page is made of it, or it is kept."""
        self._fresh_octets = 0
        self._resident = 0
        """Octets of all messages in memory, about."""
        self._pages: list[Page] = []
        self._firsts: list[int] = []
        """The first position of each page; both in the order of positions."""
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._index)

    @property
    def resident_octets(self) -> int:
        """What waiting messages take in memory, about, without the index."""
        return self._resident

    def enqueue(self, message: Message) -> bool:
        """Let a message wait, for as long as it says."""
        delay = delay_ms(message.header.properties.headers)
        due = math.ceil(self._timers.now() * 1000 - _EARLY_MS) + delay
        position = self._next_position
        self._next_position += 1
        entry = self._entry(position, message)
        entry.expires_at = (due + 0.5) / 1000  # storage cuts it to milliseconds
        if self._durable and message.is_persistent:
            self._storage.store(entry)
        heapq.heappush(self._index, due << _POSITION_BITS | position)
        self._fresh[position] = entry
        self._fresh_octets += entry.octets + ENTRY_OCTETS
        self._resident += entry.octets + ENTRY_OCTETS
        if len(self._fresh) >= PAGE_ENTRIES or self._fresh_octets > self._window_octets // 4:
            self._settle_fresh()
        self._plan()
        return True

    def restore(self, pages: Sequence[Page]) -> None:
        """Take over what a restart has left, each with its instant; what is due by now goes when the schedule runs."""
        self._storage.restore(self.id, pages)
        self._pages = list(pages)
        self._firsts = [page.first for page in pages]
        self._index = [
            round(instant * 1000) << _POSITION_BITS | position for page in pages for position, instant in page.instants
        ]
        heapq.heapify(self._index)
        self._plan()

    def take_due(self, until_ms: int) -> list[QueueEntry]:
        """Take out the next, a page of them at most, that are due by an instant; some have no message."""
        entries: list[QueueEntry] = []
        index = self._index
        while index and index[0] >> _POSITION_BITS <= until_ms and len(entries) < PAGE_ENTRIES:
            entries.append(self._take(heapq.heappop(index) & _POSITION))
        return entries

    def delete(self) -> None:
        """The exchange is deleted: nothing that waits will come."""
        self.is_deleted = True
        if self._timer is not None:
            self._timer.cancel()
        self._storage.queue_deleted(self.id)
        self._index.clear()
        self._kept.clear()
        self._fresh.clear()
        self._pages.clear()
        self._firsts.clear()

    # Helpers

    def _settle_fresh(self) -> None:
        """Leave what came last to storage if memory holds enough; what came before is likely to be due earlier."""
        fresh, self._fresh = self._fresh, {}
        if self._storage.can_page and self._resident > self._window_octets:
            page = self._storage.page_out(list(fresh.values()))
            self._pages.append(page)
            self._firsts.append(page.first)
            self._resident -= self._fresh_octets
        else:
            self._kept.update(fresh)
        self._fresh_octets = 0

    def _plan(self) -> None:
        """Be woken when the next is due."""
        if not self._index:
            return
        due = (self._index[0] >> _POSITION_BITS) / 1000
        timer = self._timer
        if timer is not None:
            if timer.is_planned and timer.when <= due:
                return
            timer.cancel()
        self._timer = self._timers.at(due, self._release_due)

    def _release_due(self) -> None:
        """Send on what is due, in the order of its time; others have their turn after a page of it."""
        entries = self.take_due(int(self._timers.now() * 1000 + _EARLY_MS))
        self._plan()
        for entry in entries:
            if entry.message is None:
                self._storage.load([entry])
            if entry.message is not None:
                self._release(_waited(entry.message))
            self._storage.forget(entry, is_replaced=True)

    def _take(self, position: int) -> QueueEntry:
        """Take an entry out; one that was paged out has no message."""
        entry = self._kept.pop(position, None)
        if entry is None and (entry := self._fresh.pop(position, None)) is not None:
            self._fresh_octets -= entry.octets + ENTRY_OCTETS
        if entry is not None:
            self._resident -= entry.octets + ENTRY_OCTETS
            return entry
        number = bisect_right(self._firsts, position) - 1
        page = self._pages[number]
        entry = self._storage.page_take(page, position, self._entry)
        if not len(page):
            del self._pages[number]
            del self._firsts[number]
        return entry

    def _entry(self, position: int, message: Message | None = None) -> QueueEntry:
        # To storage an entry's queue is an id and a name, and nobody else sees these entries.
        return new_entry(message, cast("Queue", self), position)


def _waited(message: Message) -> Message:
    """The message as it goes on: with the delay negated, so that it is told apart and not delayed again."""
    properties = message.header.properties
    headers = dict(properties.headers or {})
    headers[DELAY] = -delay_ms(headers)
    header = with_properties(message.header, replace(properties, headers=headers))
    released = new_message(message.address, header, message.body)
    released.extra_keys = message.extra_keys
    released.deaths = message.deaths
    return released
