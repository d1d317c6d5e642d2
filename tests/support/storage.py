"""Storage whose disk takes as long as a test wants."""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.queues.entry import QueueEntry
from amqp_broker.storage.interface import MemoryStorage


class SlowStorage(MemoryStorage):
    """What has been stored is safe once the test calls `sync`.

    Attributes:
        stored: the bodies of the messages stored so far.
    """

    def __init__(self) -> None:
        self.stored_count = 0
        self.stored: list[bytes] = []
        self._is_dirty = False
        self._waiting: list[Callable[[], None]] = []

    def store(self, entry: QueueEntry) -> None:
        self.stored_count += 1
        assert entry.message is not None
        self.stored.append(entry.message.body)
        self.touch()

    def touch(self) -> None:
        """Something was stored, whatever it is."""
        self._is_dirty = True

    def when_durable(self, callback: Callable[[], None]) -> None:
        if self._is_dirty:
            self._waiting.append(callback)
        else:
            callback()

    def sync(self) -> None:
        """Everything stored so far is safe."""
        self._is_dirty = False
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
