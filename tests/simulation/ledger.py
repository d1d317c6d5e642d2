"""What the broker has told storage, in order: the truth that a crash may cut short but not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import attrs

import amqp_broker
from amqp_broker.deaths import Death
from amqp_broker.message import Message
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.storage.definitions import Change, Definitions
from amqp_broker.storage.interface import Storage
from amqp_broker.storage.page import Page
from amqp_broker.storage.stream_format import MakeMessage
from amqp_broker.storage.stream_log import StreamLimits, StreamLog
from amqp_codec import parse_content_header

Key = tuple[int, int]
"""Queue id and position: a message's place."""


def number_of(body: bytes) -> int:
    """The number a message was published under."""
    return int(body[: body.index(b":")])


@attrs.frozen
class Content:
    """What of a message must come back as it was."""

    address: bytes
    header: bytes
    body: bytes
    extra_keys: tuple[str, ...]
    deaths: tuple[Death, ...]

    @classmethod
    def of(cls, message: Message) -> Content:
        return cls(message.address, message.header.raw, message.body, message.extra_keys, message.deaths)

    @property
    def number(self) -> int:
        return number_of(self.body)

    @property
    def has_died(self) -> bool:
        return bool(self.deaths) or b"x-death" in self.header

    def is_read_of(self, appended: Content) -> bool:
        """Whether this is what a reader of a stream is to see of a message."""
        ours, theirs = (parse_content_header(each.header).properties for each in (self, appended))
        headers = {name: value for name, value in (ours.headers or {}).items() if name != "x-stream-offset"}
        is_same = replace(ours, headers=headers) == replace(theirs, headers=theirs.headers or {})
        return is_same and (self.address, self.body) == (appended.address, appended.body)


@attrs.frozen
class Stored:
    """A message in a durable queue. `expires_at` is in seconds, 0 for never."""

    content: Content
    expires_at: float

    def is_same(self, other: Stored) -> bool:
        """Instants are kept in whole milliseconds."""
        return self.content == other.content and abs(self.expires_at - other.expires_at) < 0.0015


class Ledger:
    """One life of the broker.

    Attributes:
        base: what recovery found at its beginning; that is on disk.
        ever: all that was in a durable queue, kept, at any time of this life, or in a stream: there its place is
            its offset.
        streams: of those, by stream id, what was appended, by offset.
        live: what still is.
        predecessors: of a dead letter or another copy, what it took the place of.
        definitions: durable topology at the beginning.
        changes: of topology, since then.
    """

    def __init__(
        self,
        base: dict[Key, Stored],
        definitions: Sequence[Change],
        streams: Mapping[int, Mapping[int, Content]] | None = None,
    ) -> None:
        self.base = dict(base)
        self.live = dict(base)
        self.streams = {stream_id: dict(contents) for stream_id, contents in (streams or {}).items()}
        for stream_id, contents in self.streams.items():
            self.base.update(((stream_id, offset), Stored(content, 0.0)) for offset, content in contents.items())
        self.ever = dict(self.base)
        self.predecessors: dict[Key, set[Key]] = {}
        self.definitions = list(definitions)
        self.changes: list[Change] = []
        self.places: dict[tuple[int, int], Key] = {}
        """Queue id and number of a message → its latest place there."""
        for key, stored in base.items():
            self.places[key[0], stored.content.number] = key
        self._recent: list[Key] = []

    def store(self, entry: QueueEntry) -> None:
        assert entry.message is not None
        key = (entry.queue.id, entry.position)
        assert key not in self.ever, "a place is used twice"
        stored = Stored(Content.of(entry.message), entry.expires_at)
        self.ever[key] = self.live[key] = stored
        self.places[key[0], stored.content.number] = key
        self._recent.append(key)

    def append(self, stream_id: int, offset: int, content: Content) -> None:
        """A message was appended to a stream."""
        appended = self.streams.setdefault(stream_id, {})
        assert offset not in appended, "an offset is used twice"
        appended[offset] = content
        self.ever[stream_id, offset] = Stored(content, 0.0)
        self._recent.append((stream_id, offset))

    def forget(self, entry: QueueEntry, is_replaced: bool) -> None:
        key = (entry.queue.id, entry.position)
        stored = self.live.pop(key, None)
        if stored is not None and is_replaced:
            number = stored.content.number
            for successor in self._recent:
                if self.ever[successor].content.number == number and successor != key:
                    self.predecessors.setdefault(successor, set()).add(key)
            self._recent = [each for each in self._recent if self.ever[each].content.number != number]

    def queue_deleted(self, queue_id: int) -> None:
        for key in [key for key in self.live if key[0] == queue_id]:
            del self.live[key]

    def ancestors(self, key: Key) -> set[Key]:
        """What a place's message was before, and before that."""
        found: set[Key] = set()
        rest = {key}
        while rest:
            found |= rest
            rest = {each for key in rest for each in self.predecessors.get(key, ())} - found
        return found - {key}

    def topologies(self, first: int) -> list[set[tuple[int, bytes]]]:
        """The durable topology after each number of changes, from `first` on."""
        definitions = Definitions()
        for change in self.definitions:
            definitions.apply(change)
        result = []
        for count in range(len(self.changes) + 1):
            if count:
                definitions.apply(self.changes[count - 1])
            if count >= first:
                result.append(as_set(definitions))
        return result


def as_set(changes: Iterator[Change] | Definitions) -> set[tuple[int, bytes]]:
    return {(change.kind, change.encode()) for change in changes}


class RecordedStorage:
    """A storage that keeps a ledger of what it is told."""

    can_page = True

    def __init__(self, inner: Storage, ledger: Callable[[], Ledger]) -> None:
        self._inner = inner
        self._ledger = ledger
        self.first_position = inner.first_position
        self.spare = inner.spare
        self.new_queue_id = inner.new_queue_id
        self.begin = inner.begin
        self.end = inner.end
        self.page_out = inner.page_out
        self.unload = inner.unload
        self.load = inner.load
        self.returned = inner.returned
        self.when_durable = inner.when_durable

    @property
    def stored_count(self) -> int:
        return self._inner.stored_count

    @stored_count.setter
    def stored_count(self, count: int) -> None:
        self._inner.stored_count = count

    @property
    def has_unsaved_changes(self) -> bool:
        return self._inner.has_unsaved_changes

    @property
    def is_behind(self) -> bool:
        return self._inner.is_behind

    def store(self, entry: QueueEntry) -> None:
        self._ledger().store(entry)
        self._inner.store(entry)

    def forget(self, entry: QueueEntry, *, is_replaced: bool = False) -> None:
        self._ledger().forget(entry, is_replaced)
        self._inner.forget(entry, is_replaced=is_replaced)

    def queue_deleted(self, queue_id: int) -> None:
        self._ledger().queue_deleted(queue_id)
        self._inner.queue_deleted(queue_id)

    def changed(self, change: Change) -> None:
        self._ledger().changes.append(change)
        self._inner.changed(change)

    def page_in(self, page: Page, make_entry: Callable[[int], QueueEntry]) -> list[QueueEntry]:
        return self._inner.page_in(page, make_entry)

    def page_take(self, page: Page, position: int, make_entry: Callable[[int], QueueEntry]) -> QueueEntry:
        return self._inner.page_take(page, position, make_entry)

    def open_stream(
        self, queue_id: int, limits: StreamLimits, make_message: MakeMessage, now: Callable[[], float]
    ) -> StreamLog:
        log = self._inner.open_stream(queue_id, limits, make_message, now)
        if not amqp_broker.COMPILED:  # there nothing can be put between a queue and its log
            append = log.append

            def recorded(address: bytes, header: bytes, body: bytes, filter_value: bytes | None = None) -> int:
                offset = append(address, header, body, filter_value)
                self._ledger().append(queue_id, offset, Content(address, header, body, (), ()))
                return offset

            log.append = recorded  # type: ignore[method-assign]
        return log

    def restore(self, queue_id: int, pages: Sequence[Page]) -> None:
        self._inner.restore(queue_id, pages)


def survey(queue_of: dict[int, list[QueueEntry]]) -> dict[Key, Stored]:
    """What is in queues, by place."""
    found: dict[Key, Stored] = {}
    for queue_id, entries in queue_of.items():
        for entry in entries:
            assert entry.message is not None
            assert (queue_id, entry.position) not in found, "a place is taken twice"
            found[queue_id, entry.position] = Stored(Content.of(entry.message), entry.expires_at)
    return found
