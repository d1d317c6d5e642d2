"""One stream: an append-only log in segment files of its own, read by many at once, each at its own offset.

It gathers and numbers; `streams` has all logs written together, `stream_write` is what a thread does for one of
them. Knows neither queues nor what a message is. What stays true:

- an offset is given to one message and never to another that anybody was told of: nothing is readable before it is
  as safe as the sync mode demands;
- what a file holds is not in memory: of a sealed segment only its first and last offset, of the active one a sparse
  index; readers share the few chunks that were read last;
- offsets are found by bisection, of segments and then of one segment's index;
- after a write or fsync that failed the file is never written again: the segment ends where it is surely on disk,
  and the log goes on in the next (as the journal does).
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import attrs

from amqp_broker.storage.disk import File
from amqp_broker.storage.stream_format import (
    HEADER_OCTETS,
    ChunkIndex,
    Gathering,
    MakeMessage,
    StoredChunk,
    StreamHeader,
    Wanted,
    file_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.storage.settings import JournalSettings
    from amqp_broker.storage.stream_write import LogWrite

log = logging.getLogger(__name__)

CHUNK_OCTETS: Final = 64 << 10
"""A chunk that has so much takes no more messages: that is what a flipped bit costs, and what a reader reads."""

LEAST_OCTETS: Final = 64 << 10
"""No segment is smaller, unless the stream asks for that."""

SCAN_OCTETS: Final = 4 << 20
"""What a reader with a filter passes over at most before others have their turn."""


@attrs.frozen
class StreamLimits:
    """How much of a stream is kept, and how.

    Attributes:
        max_octets: of all its files; whole segments go, the oldest first, never the last (rule 4.54).
        max_age_s: of the last message of a segment, likewise.
        segment_octets: a segment is full when it has this size. None for what is usual, or a quarter of what is
            kept at most where that is less, so that what is kept is near to it.
        filter_octets: of the filter of a chunk that has filter values.
    """

    max_octets: int | None = None
    max_age_s: float | None = None
    segment_octets: int | None = None
    filter_octets: int = 16


class Tip(NamedTuple):
    """How far a segment goes.

    Attributes:
        next: offset behind its last message.
        end: octets of the file.
        last_timestamp_ms: of its last chunk.
        last_chunk: offset of the first message of that chunk.
    """

    next: int
    end: int
    last_timestamp_ms: int
    last_chunk: int


class StreamSegment:
    """What memory knows of a segment.

    Attributes:
        header: of its file.
        seed: from it.
        path: of its file.
        first_timestamp_ms: of its first chunk.
        tip: how far it goes, with what is still to be written.
        readable: how far readers may go.
        safe: how far it is surely on disk.
        index: None where the index file is to be asked.
        file: open while it is written to.
        is_gone: retention has dropped it, or the disk refused all of it.
        damaged: positions that were found to be unreadable, and where it goes on.
    """

    __slots__ = (
        "damaged",
        "file",
        "first_timestamp_ms",
        "header",
        "index",
        "is_gone",
        "path",
        "readable",
        "safe",
        "seed",
        "tip",
    )

    def __init__(self, header: StreamHeader, directory: str, first_timestamp_ms: int) -> None:
        self.header = header
        self.seed = header.seed
        self.path = f"{directory}/{file_name(header.stream, header.first, 'seg')}"
        self.first_timestamp_ms = first_timestamp_ms
        self.tip = self.readable = self.safe = Tip(header.first, HEADER_OCTETS, first_timestamp_ms, header.first)
        self.index: ChunkIndex | None = ChunkIndex()
        self.file: File | None = None
        self.is_gone = False
        self.damaged: dict[int, int] = {}

    @property
    def first(self) -> int:
        return self.header.first

    @property
    def index_path(self) -> str:
        return self.path.removesuffix("seg") + "idx"

    def append(self, first: int, count: int, timestamp_ms: int, octets: int) -> None:
        """Note a chunk that follows what there is."""
        assert self.index is not None
        self.index.append(first, self.tip.end, timestamp_ms)
        self.tip = Tip(first + count, self.tip.end + octets, timestamp_ms, first)


class Host(Protocol):
    """What a log asks of those who keep all of them."""

    settings: JournalSettings

    def appended(self, log: StreamLog, octets: int) -> None:
        """It has something to write."""

    def dropped(self, segments: list[StreamSegment]) -> None:
        """Remove the files of these segments, in this order, when there is time."""

    def index_of(self, segment: StreamSegment) -> ChunkIndex:
        """Get the index of a segment."""

    def read_chunk(self, log: StreamLog, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Read a chunk; None where it can't be read as it was written."""

    def chunk_at_hand(self, log: StreamLog, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Read a chunk without waiting for the disk; None where it can't be read as it was written.

        Raises:
            BlockingIOError: the disk has to be waited for; `on_readable` is called once it has been.
        """

    def find_chunk(self, segment: StreamSegment, position: int) -> int:
        """Look for the next chunk behind a position that can be read; the readable end if there is none."""


class StreamLog:
    """A stream's messages.

    Attributes:
        id: of the queue.
        next_offset: what the next message gets.
        readable_offset: readers get what is before it.
        octets: of all files.
        is_deleted: it is gone.
        limits: may be replaced at any time; see `retain`.
        make_message: what readers get of an offset, address, content header and body.
        on_readable: called when there is more to read, or what a reader waits for is there.
    """

    def __init__(
        self,
        host: Host,
        stream_id: int,
        directory: str,
        identity: bytes,
        limits: StreamLimits,
        make_message: MakeMessage,
        now: Callable[[], float],
        segments: list[StreamSegment],
        next_offset: int = 0,
    ) -> None:
        self.id = stream_id
        self.limits = limits
        self.make_message = make_message
        self.on_readable: Callable[[], None] = _nothing
        self.is_deleted = False
        self._host = host
        self._directory = directory
        self._identity = identity
        self._now = now
        self._segments = segments
        self._active: StreamSegment | None = None
        self.octets = sum(segment.tip.end for segment in segments)
        self.next_offset = self.readable_offset = next_offset
        self._last_timestamp_ms = segments[-1].tip.last_timestamp_ms if segments else 0
        self._gathered: deque[Gathering] = deque()
        self._open: Gathering | None = None
        self._unsynced: list[Gathering] = []

    # ---- what there is

    @property
    def first_offset(self) -> int:
        """Offset of the oldest message that is kept."""
        return self._segments[0].first if self._segments else self.readable_offset

    @property
    def safe_offset(self) -> int:
        """All before this offset is known to be on disk."""
        return self.readable_offset if self._active is None else self._active.safe.next

    @property
    def last_chunk_offset(self) -> int:
        """Offset of the first message of the last chunk that can be read."""
        for segment in reversed(self._segments):
            if segment.readable.next > segment.first:
                return segment.readable.last_chunk
        return self.next_offset

    @property
    def message_count(self) -> int:
        """Messages that are kept and can be read."""
        return self.readable_offset - self.first_offset

    @property
    def segment_count(self) -> int:
        """Segments there are."""
        return len(self._segments)

    def offset_at(self, timestamp_ms: int) -> int:
        """Find the first message of the first chunk of this instant or later; the next one if there is none."""
        place = bisect_left(self._segments, timestamp_ms, key=_last_timestamp)
        if place == len(self._segments):
            return self.next_offset
        segment = self._segments[place]
        position = self._host.index_of(segment).before_timestamp(timestamp_ms)
        while position < segment.readable.end:
            chunk = self.read(segment, position)
            if chunk is None:
                position = self.behind_damage(segment, position)
            elif chunk.head.timestamp_ms >= timestamp_ms:
                return chunk.head.first
            else:
                position += chunk.head.octets
        return segment.readable.next

    def locate(self, offset: int) -> tuple[StreamSegment, int]:
        """Find segment and position of the chunk with an offset, or of the first one there is if that is later."""
        segment = self._segments[max(0, bisect_right(self._segments, offset, key=_first) - 1)]
        position = self._host.index_of(segment).before_offset(offset)
        while position < segment.readable.end:
            chunk = self.read(segment, position)
            if chunk is None:
                position = self.behind_damage(segment, position)
            elif chunk.head.next > offset:
                break
            else:
                position += chunk.head.octets
        return segment, position

    def following(self, segment: StreamSegment) -> StreamSegment | None:
        """Give the segment after one; the first, if that one is gone."""
        place = bisect_right(self._segments, segment.first, key=_first)
        return self._segments[place] if place < len(self._segments) else None

    def read(self, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Read a chunk; None where it is damaged. Raises OSError."""
        if position in segment.damaged:
            return None
        return self._host.read_chunk(self, segment, position)

    def read_at_hand(self, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Do the same without waiting. Raises OSError, and BlockingIOError if `on_readable` will be called."""
        if position in segment.damaged:
            return None
        return self._host.chunk_at_hand(self, segment, position)

    def behind_damage(self, segment: StreamSegment, position: int) -> int:
        """Where a segment goes on behind a chunk that can't be read."""
        found = segment.damaged.get(position)
        if found is None:
            found = segment.damaged[position] = self._host.find_chunk(segment, position)
            log.error(
                "%s: offset %d, %d octets can't be read any more: the messages in them are lost",
                segment.path,
                position,
                found - position,
            )
        return found

    # ---- appending

    def append(self, address: bytes, header: bytes, body: bytes, filter_value: bytes | None = None) -> int:
        """Append a message; gives its offset.

        Args:
            address: exchange and routing key, the broker's business.
            header: content header, the broker's business.
            body: the message.
            filter_value: what consumers may filter by; None for none.
        """
        chunk = self._open
        if chunk is None or chunk.octets >= CHUNK_OCTETS:
            self._last_timestamp_ms = max(self._last_timestamp_ms, int(self._now() * 1000))
            chunk = self._open = Gathering(self.next_offset, self._last_timestamp_ms, self.limits.filter_octets)
            self._gathered.append(chunk)
        before = chunk.octets if chunk.count else 0
        chunk.append(address, header, body, filter_value)
        offset = self.next_offset
        self.next_offset = offset + 1
        self._host.appended(self, chunk.octets - before)
        return offset

    def delete(self) -> int:
        """End: nothing more is written or read; whoever keeps the files removes them.

        Returns:
            Octets that were gathered and will not be written.
        """
        self.is_deleted = True
        octets = sum(chunk.octets for chunk in self._gathered)
        self._segments = []
        self._active = None
        self._gathered.clear()
        self._open = None
        self._unsynced = []
        return octets

    # ---- retention

    def retain(self) -> None:
        """Drop the oldest segments that are over the limits; the last one that is safe stays (rule 4.54)."""
        dropped = []
        while self._may_drop and self._is_over():
            segment = self._segments.pop(0)
            segment.is_gone = True
            self.octets -= segment.tip.end
            dropped.append(segment)
        if dropped:
            self._host.dropped(dropped)

    def next_retention(self) -> float | None:
        """When a segment will be too old, in seconds since 1970; None: not before there is more on disk."""
        age_s = self.limits.max_age_s
        if age_s is None or not self._may_drop:
            return None
        return self._segments[0].tip.last_timestamp_ms / 1000 + age_s

    @property
    def _may_drop(self) -> bool:
        """Whether the oldest segment may go: something of the next one is safe."""
        return len(self._segments) > 1 and self._segments[1].safe.next > self._segments[1].first

    def _is_over(self) -> bool:
        limits = self.limits
        if limits.max_octets is not None and self.octets > limits.max_octets:
            return True
        return (due := self.next_retention()) is not None and due <= self._now()

    # ---- the writer's side

    def take(self, stretch_of: Callable[[StreamSegment, bool], LogWrite]) -> None:
        """Hand over what is to be written, segment by segment.

        Args:
            stretch_of: called with a segment and whether it is new, for each that gets something, in order.
        """
        write: LogWrite | None = None
        for chunk in self._gathered:
            active = self._active
            if active is None or self._is_full(active, chunk):
                if active is not None:
                    write = write or stretch_of(active, False)
                    write.stretches[-1].seals = True
                active = self._active = self._begin_segment(chunk)
                write = stretch_of(active, True)
            elif write is None:
                write = stretch_of(active, False)
            write.stretches[-1].chunks.append(chunk)
            active.append(chunk.first, chunk.count, chunk.timestamp_ms, chunk.octets)
            write.stretches[-1].tip = active.tip
            self.octets += chunk.octets
        self._gathered.clear()
        self._open = None

    @property
    def active(self) -> StreamSegment | None:
        """The segment that is written to; None before the first message since the start."""
        return self._active

    def written(self, segment: StreamSegment, tip: Tip, chunks: list[Gathering], *, is_safe: bool) -> None:
        """So far a segment has been written; `is_safe`: it need not be kept for another attempt."""
        segment.readable = tip
        if is_safe:
            segment.safe = tip
            self._unsynced = []
        else:
            self._unsynced += chunks
        if tip.next > self.readable_offset:
            self.readable_offset = tip.next

    def sealed(self, segment: StreamSegment) -> None:
        """Nothing more is written to a segment."""
        segment.file = None
        if self._active is segment:
            self._active = None

    def failed(self, segments: list[StreamSegment], chunks: list[Gathering]) -> int:
        """The disk refused these segments: the first ends where it is safe, the others never were.

        What it may not hold goes to the front again, for another file.

        Returns:
            Octets that were written and have to be written again.
        """
        self._active = None
        again, self._unsynced = self._unsynced, []
        self._gathered.extendleft(reversed([*again, *chunks]))
        for segment in segments:
            self.octets -= segment.tip.end - segment.safe.end
            segment.file = None
            segment.tip = segment.readable = segment.safe
            if segment.safe.next == segment.first:
                segment.is_gone = True
                self.octets -= HEADER_OCTETS
                self._segments.remove(segment)
            elif segment.index is not None:
                segment.index.cut(segment.safe.end)
        self.readable_offset = self._segments[-1].readable.next if self._segments else self._gathered[0].first
        return sum(chunk.octets for chunk in again)

    def _is_full(self, active: StreamSegment, chunk: Gathering) -> bool:
        """Whether the next chunk needs another segment; one gets full of age as well, so that it can go in time."""
        limits = self.limits
        too_old = (
            limits.max_age_s is not None and chunk.timestamp_ms > active.first_timestamp_ms + limits.max_age_s * 1000
        )
        return active.tip.end >= self._segment_octets or too_old

    @property
    def _segment_octets(self) -> int:
        limits, usual = self.limits, self._host.settings.stream_segment_octets
        if limits.segment_octets is not None:
            return limits.segment_octets
        return usual if limits.max_octets is None else min(max(limits.max_octets // 4, LEAST_OCTETS), usual)

    def _begin_segment(self, chunk: Gathering) -> StreamSegment:
        header = StreamHeader(self.id, chunk.first, self._identity)
        segment = StreamSegment(header, self._directory, chunk.timestamp_ms)
        self._segments.append(segment)
        self.octets += HEADER_OCTETS
        return segment


class Cursor:
    """A reader's place in a stream.

    Attributes:
        offset: of the next message it gets, or would get if its filter takes it.
        is_pausing: `next` gave nothing although there may be more: it has passed over much, and others are to have
            their turn.
    """

    __slots__ = ("_chunk", "_log", "_messages", "_passed", "_position", "_segment", "_wanted", "is_pausing", "offset")

    def __init__(self, stream_log: StreamLog, offset: int, wanted: Wanted | None) -> None:
        self.offset = offset
        self.is_pausing = False
        self._log = stream_log
        self._wanted = wanted
        self._segment: StreamSegment | None = None
        self._position = 0
        self._chunk: StoredChunk | None = None
        self._messages: list[Message] = []
        self._passed = 0

    def next(self) -> Message | None:
        """Give the next message, whose offset is then one less than `offset`; None when there is none now.

        Raises:
            BlockingIOError: it is being read from disk; the log's `on_readable` will be called.
            OSError: it can't be read.
        """
        self.is_pausing = False
        self._passed = 0
        while self._chunk is not None or self._load():
            chunk = self._chunk
            assert chunk is not None
            index = self.offset - chunk.head.first
            count = chunk.head.messages
            wanted = self._wanted
            if wanted is not None:
                while index < count and not wanted.takes(chunk.filter_value(index)):
                    index += 1
            if index < count:
                self.offset = chunk.head.first + index + 1
                if index + 1 == count:
                    self._chunk = None
                return chunk.messages[index]
            self.offset = chunk.head.next
            self._chunk = None
        return None

    def _load(self) -> bool:
        """Have the chunk at hand that contains the offset, or the next one there is."""
        stream_log = self._log
        self.offset = max(self.offset, stream_log.first_offset)
        while self.offset < stream_log.readable_offset:
            segment = self._segment
            if segment is None or segment.is_gone or self._position > segment.readable.end:
                segment, self._position = stream_log.locate(self.offset)
                self._segment = segment
            if self._position == segment.readable.end:
                following = stream_log.following(segment)
                if following is None:
                    return False
                self._segment, self._position = following, HEADER_OCTETS
                continue
            if self._passed > SCAN_OCTETS:
                self.is_pausing = True
                return False
            chunk = stream_log.read_at_hand(segment, self._position)
            if chunk is None:
                self._position = stream_log.behind_damage(segment, self._position)
                continue
            head = chunk.head
            self._position += head.octets
            self._passed += head.octets
            if head.next <= self.offset:
                continue
            self.offset = max(self.offset, head.first)
            if self._wanted is None or self._wanted.may_be_in(head, chunk.filter):
                self._chunk = chunk
                return True
            self.offset = head.next
        return False


def _first(segment: StreamSegment) -> int:
    return segment.header.first


def _last_timestamp(segment: StreamSegment) -> int:
    return segment.readable.last_timestamp_ms


def _nothing() -> None:
    """Nobody wants to know."""
