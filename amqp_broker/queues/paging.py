"""How a queue's ready lists reach storage."""

from __future__ import annotations

from collections.abc import Sequence

from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.storage.interface import Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.queue import Queue
    from amqp_broker.storage.page import Page


class Pager:
    """The pages of one queue; see `queues.ready.Pager`."""

    __slots__ = ("_queue", "_storage", "window_octets")

    def __init__(self, queue: Queue, storage: Storage, window_octets: int) -> None:
        self._queue = queue
        self._storage = storage
        self.window_octets = window_octets

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        return self._storage.page_out(entries)

    def page_in(self, page: Page) -> list[QueueEntry]:
        return self._storage.page_in(page, self._entry)

    def borrow(self, octets: int) -> bool:
        return self._storage.spare.borrow(octets)

    def give_back(self, octets: int) -> None:
        self._storage.spare.give_back(octets)

    def load(self, entries: Sequence[QueueEntry]) -> int:
        return self._storage.load(entries)

    def _entry(self, position: int) -> QueueEntry:
        return new_entry(None, self._queue, position)
