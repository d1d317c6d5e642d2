"""Queues and topology on the journal: what stands between a queue's entries and the records of a disk.

Knows where every stored message of every queue is, so that what the journal moves can be found, and what
a deleted queue leaves behind can be given up. Leaves threads to the committer and files to the journal.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from amqp_broker.deaths import deaths_of
from amqp_broker.message import Message, new_message
from amqp_broker.storage.definitions import Change, Definitions, decode_snapshot, encode_snapshot, queue_id_of
from amqp_broker.storage.errors import DamagedRecord
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.page import Page, Row
from amqp_broker.storage.records import REDELIVERED, TRANSIENT, Location, Reference, StoredMessage
from amqp_broker.storage.recovery import Recovery
from amqp_broker.storage.spare import Spare
from amqp_broker.storage.stream_format import MakeMessage
from amqp_broker.storage.stream_log import StreamLimits, StreamLog
from amqp_broker.storage.streams import Streams
from amqp_codec import Table, Value, decode_table, encode_table, parse_content_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.entry import QueueEntry

log = logging.getLogger(__name__)

POSITIONS_PER_SEGMENT: Final = 1 << 32
"""No segment can hold so many messages, so a number times this is above all positions of the segments before it.

A position that was used again could be taken for the message that had it before a crash and was moved."""

READ_OCTETS: Final = 512 * 1024
"""The most that is read from disk at once for one queue: a few milliseconds when nothing is cached."""


class _Shelf:
    """What is stored of one queue: entries that are in memory, by position, and pages."""

    __slots__ = ("entries", "pages")

    def __init__(self) -> None:
        self.entries: dict[int, QueueEntry] = {}
        self.pages: dict[Page, None] = {}


class _Promise:
    """A callback that waits for the journal and for the streams."""

    __slots__ = ("callback", "halves")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.halves = 2


class JournalStorage:
    """The `Storage` that keeps its promises.

    Attributes:
        journal: where records go.
        streams: where messages of streams go.
        spare: what queues may hold beyond their windows rather than write it.
        definitions: gives the durable topology, for a checkpoint; the broker sets it.
    """

    can_page = True

    def __init__(
        self, journal: Journal, streams: Streams, *, next_queue_id: int = 1, crashed_before: int = 0, start: int = 0
    ) -> None:
        self.journal = journal
        self.streams = streams
        self.spare = Spare()
        self._promises: deque[_Promise] = deque()
        self.first_position = start * POSITIONS_PER_SEGMENT
        self.definitions: Callable[[], Iterable[Change]] = tuple
        self.stored_count = 0
        self._unsaved_changes = 0
        self._next_queue_id = next_queue_id
        self._crashed_before = crashed_before
        """What lies in segments before this one may have been delivered before a crash (rule 7.10)."""
        self._shelves: dict[int, _Shelf] = {}
        self._groups: list[tuple[Message, list[QueueEntry]]] = []
        self._last_moved: Page | None = None
        journal.on_moved = self._moved

    @property
    def has_unsaved_changes(self) -> bool:
        return self._unsaved_changes > 0

    def _change_saved(self) -> None:
        self._unsaved_changes -= 1

    def snapshot(self) -> bytes:
        """What a checkpoint keeps beside the messages."""
        return encode_snapshot(self._next_queue_id, self._crashed_before, self.definitions())

    # Topology

    def new_queue_id(self) -> int:
        number = self._next_queue_id
        self._next_queue_id += 1
        return number

    def changed(self, change: Change) -> None:
        self._unsaved_changes += 1
        self.journal.append_topology(change.kind, change.encode())
        self.journal.when_durable(self._change_saved)

    def queue_deleted(self, queue_id: int) -> None:
        """Give up all that is stored of a queue, whoever has it; storage was told before that it is deleted."""
        if self.streams.delete(queue_id):
            self.journal.when_durable(partial(self.streams.remove, queue_id))
        shelf = self._shelves.pop(queue_id, None)
        if shelf is None:
            return
        for entry in shelf.entries.values():
            if entry.location is not None:
                self.journal.remove(entry.location)
                entry.location = None
        for page in shelf.pages:
            for location in page.locations:
                self.journal.remove(location)

    # Messages

    def begin(self, message: Message) -> None:
        self._groups.append((message, []))

    def end(self) -> None:
        message, entries = self._groups.pop()
        if entries:
            self._append(message, entries, 0)

    def store(self, entry: QueueEntry) -> None:
        self.stored_count += 1
        message = entry.message
        assert message is not None
        if self._groups and self._groups[-1][0] is message:
            self._groups[-1][1].append(entry)
        else:
            self._append_one(message, entry, 0)

    def forget(self, entry: QueueEntry, is_replaced: bool = False) -> None:
        location = entry.location
        if location is None:
            self._leave_group(entry)
        elif (
            is_replaced and self.streams.is_dirty
        ):  # perhaps with what takes its place, of which the journal knows nothing
            self.streams.when_durable(partial(self._remove, entry, is_replaced))
        else:
            self._remove(entry, is_replaced)

    def returned(self, entry: QueueEntry) -> None:
        if entry.location is not None:
            self.journal.mark(entry.location, entry.delivery_count, REDELIVERED)

    def when_durable(self, callback: Callable[[], None]) -> None:
        if not self._promises and not self.streams.is_dirty:
            self.journal.when_durable(callback)
            return
        promise = _Promise(callback)
        self._promises.append(promise)
        kept = partial(self._half_kept, promise)
        self.journal.when_durable(kept)
        self.streams.when_durable(kept)

    @property
    def is_behind(self) -> bool:
        return self.journal.is_behind or self.streams.is_behind

    def on_stalled(self, callback: Callable[[OSError | None], None]) -> None:
        """Call back with the error when the disk refuses to be written, and with None when all of it can be again."""

        def tell(_error: OSError | None) -> None:
            callback(self.journal.stalled or self.streams.stalled)

        self.journal.on_stalled = self.streams.on_stalled = tell

    def _half_kept(self, promise: _Promise) -> None:
        """The journal or the streams have kept a promise; it is told when both have, and after those before it."""
        promise.halves -= 1
        promises = self._promises
        while promises and not promises[0].halves:
            promises.popleft().callback()

    def _remove(self, entry: QueueEntry, is_replaced: bool) -> None:
        location = entry.location
        if location is not None:  # its queue has not been deleted meanwhile
            entry.location = None
            self._shelf(entry.queue.id).entries.pop(entry.position, None)
            self.journal.remove(location, is_replaced)

    # Streams

    def open_stream(
        self, queue_id: int, limits: StreamLimits, make_message: MakeMessage, now: Callable[[], float]
    ) -> StreamLog:
        return self.streams.open(queue_id, limits, make_message, now)

    # Paging

    def page_out(self, entries: Sequence[QueueEntry]) -> Page:
        shelf = self._shelf(entries[0].queue.id)
        page = Page(entries[0].position)
        for entry in entries:
            location = self._location_of(entry)
            if entry.redelivered:
                self._mark_redelivered(location, entry.delivery_count)
            page.append(
                entry.position, *location.cells, entry.octets, entry.expires_at, entry.redelivered, entry.delivery_count
            )
            del shelf.entries[entry.position]
        shelf.pages[page] = None
        return page

    def page_in(self, page: Page, make_entry: Callable[[int], QueueEntry]) -> list[QueueEntry]:
        entries = [_entry_of(row, make_entry) for row in page]
        shelf = self._shelf(entries[0].queue.id)
        del shelf.pages[page]
        shelf.entries.update((entry.position, entry) for entry in entries)
        return entries

    def page_take(self, page: Page, position: int, make_entry: Callable[[int], QueueEntry]) -> QueueEntry:
        entry = _entry_of(page.take(position), make_entry)
        shelf = self._shelf(entry.queue.id)
        if not len(page):
            del shelf.pages[page]
        shelf.entries[position] = entry
        return entry

    def unload(self, entry: QueueEntry) -> None:
        self._location_of(entry)
        entry.message = None

    def load(self, entries: Sequence[QueueEntry]) -> int:
        locations = [entry.location for entry in entries if entry.location is not None]
        assert len(locations) == len(entries)
        try:
            stored = self.journal.reader.read_many(locations, READ_OCTETS)
        except (DamagedRecord, OSError) as error:
            log.error("a message of queue %r can't be read: %s", entries[0].queue.name, error)
            return 1
        for entry, octets in zip(entries, stored, strict=False):
            message = entry.message = _message_from(octets)
            entry.priority = message.header.priority
        return len(stored)

    # Stop and start

    def prepare_stop(self) -> None:
        """Nothing more will happen to the queues: note who was redelivered (rule 7.9)."""
        for shelf in self._shelves.values():
            for entry in shelf.entries.values():
                if entry.redelivered and entry.location is not None:
                    self._mark_redelivered(entry.location, entry.delivery_count)

    def restore(self, queue_id: int, pages: Sequence[Page]) -> None:
        """Take over what recovery found of a queue, which has it from now on."""
        self._shelf(queue_id).pages.update(dict.fromkeys(pages))

    # Helpers

    def _append(self, message: Message, entries: list[QueueEntry], flags: int) -> None:
        references: list[Reference] = [
            (entry.queue.id, entry.position, int(entry.expires_at * 1000), flags) for entry in entries
        ]
        location = self.journal.append_publish(_stored_address(message), message.header.raw, message.body, references)
        for index, entry in enumerate(entries):
            entry.location = location.reference(index)
            self._shelf(entry.queue.id).entries[entry.position] = entry

    def _append_one(self, message: Message, entry: QueueEntry, flags: int) -> None:
        """As `_append`, for what most messages are in: one queue."""
        queue_id = entry.queue.id
        entry.location = self.journal.append_to_one(
            _stored_address(message),
            message.header.raw,
            message.body,
            queue_id,
            entry.position,
            int(entry.expires_at * 1000),
            flags,
        )
        self._shelf(queue_id).entries[entry.position] = entry

    def _location_of(self, entry: QueueEntry) -> Location:
        """Where an entry is; a transient message is stored now, until the next start (rule 7.3)."""
        if entry.location is None:
            assert entry.message is not None
            self._append_one(entry.message, entry, 0 if self._leave_group(entry) else TRANSIENT)
            assert entry.location is not None
        return entry.location

    def _leave_group(self, entry: QueueEntry) -> bool:
        """Don't store an entry with the others of its publish; tells whether it was to be."""
        for _, entries in self._groups:
            if entry in entries:
                entries.remove(entry)
                return True
        return False

    def _shelf(self, queue_id: int) -> _Shelf:
        shelf = self._shelves.get(queue_id)
        if shelf is None:
            shelf = self._shelves[queue_id] = _Shelf()
        return shelf

    def _mark_redelivered(self, location: Location, delivery_count: int) -> None:
        if location.segment >= self._crashed_before:
            self.journal.mark(location, delivery_count, REDELIVERED)

    def _moved(self, queue_id: int, position: int, location: Location) -> None:
        """The journal has moved a message to another segment."""
        shelf = self._shelf(queue_id)
        entry = shelf.entries.get(position)
        if entry is not None:
            old, entry.location = entry.location, location
            delivery_count = entry.delivery_count
        else:
            page = self._page_of(shelf, position)
            if page is None:
                self.journal.remove(location)
                return
            old = page.location_of(position)
            page.relocate(position, location)
            delivery_count = page.delivery_count_of(position)
        if old is not None and old.segment < self._crashed_before:
            self.journal.mark(location, delivery_count, REDELIVERED)

    def _page_of(self, shelf: _Shelf, position: int) -> Page | None:
        """Find a page; messages are moved in the order they were stored, so mostly it is the last one found."""
        last = self._last_moved
        if last is not None and last in shelf.pages and last.location_of(position) is not None:
            return last
        for page in shelf.pages:
            if page.location_of(position) is not None:
                self._last_moved = page
                return page
        return None


def read_topology(recovery: Recovery) -> tuple[Definitions, int, int]:
    """Add up what recovery found of topology.

    Returns:
        The definitions, the next queue id, and the first segment after the last crash.
    """
    definitions = Definitions()
    next_queue_id, crashed_before = 1, 0
    changes: list[Change] = []
    if recovery.snapshot is not None:
        next_queue_id, crashed_before, changes = decode_snapshot(recovery.snapshot)
    changes += (Change.decode(kind, payload) for kind, payload in recovery.topology)
    for change in changes:
        definitions.apply(change)
        next_queue_id = max(next_queue_id, queue_id_of(change.table) + 1)
    return definitions, next_queue_id, crashed_before


def _entry_of(row: Row, make_entry: Callable[[int], QueueEntry]) -> QueueEntry:
    entry = make_entry(row.position)
    entry.location = row.location
    entry.octets = row.octets
    entry.expires_at = row.expires_at
    entry.redelivered = row.redelivered
    entry.delivery_count = row.delivery_count
    # At least so often: returns without failure are forgotten.
    entry.acquired_count = max(row.delivery_count, row.redelivered)
    return entry


def _stored_address(message: Message) -> bytes:
    """The address, and behind it what else is not in header and body: keys of BCC, and that it has died before."""
    if not message.extra_keys and not message.deaths:
        return message.address
    keys: list[Value] = [key.encode("utf-8", "surrogateescape") for key in message.extra_keys]
    more: Table = {"keys": keys, "dead": bool(message.deaths)}
    return message.address + encode_table(more)


def _message_from(stored: StoredMessage) -> Message:
    """Make the message that was stored."""
    octets = bytes(stored.address)
    end = 1 + octets[0]
    end += 1 + octets[end]
    message = new_message(octets[:end], parse_content_header(bytes(stored.header)), bytes(stored.body))
    if end < len(octets):
        more, _ = decode_table(octets, end)
        keys = more["keys"]
        assert isinstance(keys, list)
        message.extra_keys = tuple(key.decode("utf-8", "surrogateescape") for key in keys if isinstance(key, bytes))
        if more["dead"]:
            message.deaths = deaths_of(message.header.properties.headers or {})
    return message
