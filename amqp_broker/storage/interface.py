"""What the model asks of storage, and the storage that keeps nothing.

The only way from queues and topology to a disk. Whatever stands behind it is told what is to be kept
and what is gone, and says when all it was told so far would survive the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from amqp_broker.storage.memory import MemoryStreams
from amqp_broker.storage.spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.queues.entry import QueueEntry
    from amqp_broker.storage.definitions import Change
    from amqp_broker.storage.page import Page
    from amqp_broker.storage.stream_format import MakeMessage
    from amqp_broker.storage.stream_log import StreamLimits, StreamLog


class Storage(Protocol):
    """Where durable state goes.

    Attributes:
        can_page: messages may be left to storage alone while nobody needs them, see `page_out`.
        spare: memory for what would have to be written only to be left.
        first_position: where queues begin to number messages: higher than any number an earlier start gave.
        has_unsaved_changes: a change of topology is not safe yet.
        is_behind: more waits to be written than should; publishers had better pause.
        stored_count: grows with every entry stored; whoever compares it knows whether something was.
    """

    can_page: bool
    spare: Spare
    first_position: int
    stored_count: int

    @property
    def has_unsaved_changes(self) -> bool: ...

    @property
    def is_behind(self) -> bool: ...

    def new_queue_id(self) -> int:
        """A number for a durable queue, never used before."""

    def begin(self, message: Message) -> None:
        """Entries of this message are about to be stored, for several queues: they share one record."""

    def end(self) -> None:
        """The entries of the message last begun have been stored."""

    def store(self, entry: QueueEntry) -> None:
        """Keep a message in its queue."""

    def forget(self, entry: QueueEntry, *, is_replaced: bool = False) -> None:
        """An entry has left its queue.

        Args:
            entry: whether or not it was stored.
            is_replaced: what was stored last takes its place, as a dead letter does: it must not go before.
        """

    def queue_deleted(self, queue_id: int) -> None:
        """Give up all that is stored of a queue, whoever has it."""

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        """Take consecutive entries of one queue, of which memory is to keep only where they are."""

    def page_in(self, page: Page, make_entry: Callable[[int], QueueEntry]) -> list[QueueEntry]:
        """Give entries back, without messages; `make_entry` makes one for a position."""

    def page_take(self, page: Page, position: int, make_entry: Callable[[int], QueueEntry]) -> QueueEntry:
        """Give one entry of a page back, without its message; the others stay. A page that is empty is done with."""

    def unload(self, entry: QueueEntry) -> None:
        """Drop an entry's message from memory; `load` brings it back."""

    def restore(self, queue_id: int, pages: Sequence[Page]) -> None:
        """Take over what a restart has left of a queue."""

    def load(self, entries: Sequence[QueueEntry]) -> int:
        """Give messages back to the first of these entries, as many as are cheap to read at once.

        Returns:
            How many were dealt with; one whose message can't be read any more has none then.
        """

    def returned(self, entry: QueueEntry) -> None:
        """The counts of an entry have changed, and are to survive (rule 7.11)."""

    def open_stream(
        self, queue_id: int, limits: StreamLimits, make_message: MakeMessage, now: Callable[[], float]
    ) -> StreamLog:
        """Open the log of a stream, as a restart has left it or new; `queue_deleted` ends it.

        Args:
            queue_id: whose it is.
            limits: how much of it is kept.
            make_message: see `StreamLog`.
            now: seconds since 1970.
        """

    def changed(self, change: Change) -> None:
        """Keep a change of durable topology."""

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back, in order, once everything told so far is safe; at once if it is already."""


class MemoryStorage:
    """Keeps nothing: what the process holds is all there is."""

    can_page = False
    first_position = 0
    has_unsaved_changes = False
    is_behind = False
    stored_count = 0

    def __init__(self) -> None:
        self.spare = Spare()

    def new_queue_id(self) -> int:
        """There is nothing to tell apart."""
        return 0

    def begin(self, message: Message) -> None:
        """Nothing outlives the process."""

    def end(self) -> None:
        """Nothing outlives the process."""

    def store(self, entry: QueueEntry) -> None:
        """Nothing outlives the process."""

    def forget(self, entry: QueueEntry, *, is_replaced: bool = False) -> None:
        """There is nothing to forget."""

    def queue_deleted(self, queue_id: int) -> None:
        """There is nothing to give up."""

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        raise AssertionError("there is nowhere to page out to")

    def page_in(self, page: Page, make_entry: Callable[[int], QueueEntry]) -> list[QueueEntry]:
        raise AssertionError("nothing was paged out")

    def page_take(self, page: Page, position: int, make_entry: Callable[[int], QueueEntry]) -> QueueEntry:
        raise AssertionError("nothing was paged out")

    def unload(self, entry: QueueEntry) -> None:
        raise AssertionError("there is nowhere to load from")

    def restore(self, queue_id: int, pages: Sequence[Page]) -> None:
        raise AssertionError("nothing outlived the process")

    def load(self, entries: Sequence[QueueEntry]) -> int:
        raise AssertionError("nothing was paged out")

    def returned(self, entry: QueueEntry) -> None:
        """Nothing outlives the process."""

    def open_stream(
        self, queue_id: int, limits: StreamLimits, make_message: MakeMessage, now: Callable[[], float]
    ) -> StreamLog:
        """Open a log in memory, which ends when nobody refers to it."""
        return MemoryStreams().open(queue_id, limits, make_message, now)

    def changed(self, change: Change) -> None:
        """Nothing outlives the process."""

    def when_durable(self, callback: Callable[[], None]) -> None:
        callback()
