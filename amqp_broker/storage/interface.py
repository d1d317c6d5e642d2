"""What the model asks of storage, and the storage that keeps nothing.

The only way from queues and topology to a disk. Whatever stands behind it is told what is to be kept
and what is gone, and says when all it was told so far would survive the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.entry import QueueEntry


class Storage(Protocol):
    """Where durable state goes."""

    def store(self, entry: QueueEntry) -> None:
        """Keep a message in its queue; entries of one publish come one after the other."""

    def forget(self, entry: QueueEntry) -> None:
        """A stored message has left its queue."""

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back, in order, once everything told so far is safe; at once if it is already."""


class MemoryStorage:
    """Keeps nothing: what the process holds is all there is."""

    def store(self, entry: QueueEntry) -> None:
        """Nothing outlives the process."""

    def forget(self, entry: QueueEntry) -> None:
        """There is nothing to forget."""

    def when_durable(self, callback: Callable[[], None]) -> None:
        callback()
