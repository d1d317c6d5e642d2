"""The last messages of a recent history exchange, for whoever is bound next (rule 3.36)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import cast

from amqp_broker.message import Message
from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.queues.ready import ENTRY_OCTETS
from amqp_broker.queues.target import Target
from amqp_broker.routing.history import NO_STORE
from amqp_broker.storage.interface import Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.queue import Queue
    from amqp_broker.storage.page import Page


class History(Target):
    """The last messages that came through an exchange: so many, and no more octets than a queue has in memory.

    Those of a durable exchange that are persistent survive a restart.

    Attributes:
        name: none that a queue can have.
        id: what storage knows it by.
        is_deleted: the exchange is gone.
    """

    def __init__(
        self, name: str, *, history_id: int, durable: bool, length: int, max_octets: int, storage: Storage
    ) -> None:
        self.name = name
        self.id = history_id
        self.is_deleted = False
        self._durable = durable
        self._length = length
        self._max_octets = max_octets
        self._storage = storage
        self._entries: deque[QueueEntry] = deque()
        self._octets = 0
        self._next_position = storage.first_position

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def messages(self) -> list[Message]:
        """Oldest first."""
        return [entry.message for entry in self._entries if entry.message is not None]

    def enqueue(self, message: Message) -> bool:
        """Keep a message, unless it says that it is not to be kept."""
        headers = message.header.properties.headers
        if headers is not None and headers.get(NO_STORE) is True:
            return True
        entry = self._entry(self._next_position, message)
        self._next_position += 1
        if self._durable and message.is_persistent:
            self._storage.store(entry)
        self._add(entry)
        return True

    def restore(self, pages: Sequence[Page]) -> None:
        """Take over what a restart has left."""
        self._storage.restore(self.id, pages)
        for page in pages:
            entries = self._storage.page_in(page, self._entry)
            while entries:
                done = self._storage.load(entries)
                for entry in entries[:done]:
                    self._add(entry)
                entries = entries[done:]

    def take_all(self) -> list[QueueEntry]:
        """Take out what is there, oldest first."""
        entries = list(self._entries)
        self._entries.clear()
        self._octets = 0
        return entries

    def delete(self) -> None:
        """The exchange is deleted."""
        self.is_deleted = True
        self._storage.queue_deleted(self.id)
        self._entries.clear()

    def _add(self, entry: QueueEntry) -> None:
        self._entries.append(entry)
        self._octets += entry.octets + ENTRY_OCTETS
        while len(self._entries) > self._length or self._octets > self._max_octets:
            oldest = self._entries.popleft()
            self._octets -= oldest.octets + ENTRY_OCTETS
            self._storage.forget(oldest)

    def _entry(self, position: int, message: Message | None = None) -> QueueEntry:
        # To storage an entry's queue is an id and a name, and nobody else sees these entries.
        return new_entry(message, cast("Queue", self), position)
