"""From files back to streams: indexes tell of full segments, only what has none is read.

As with the journal, a torn tail is what a crash left of chunks nobody was told of, and is cut off; any other hole is
damage: it is reported, and what can be read behind it stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from amqp_broker.storage.batch import set_aside
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.records import HEAD, find_record
from amqp_broker.storage.recovery import Damage, TornTail
from amqp_broker.storage.stream_format import (
    CHUNK_TYPES,
    HEADER_OCTETS,
    INDEX_HEAD_OCTETS,
    ChunkHead,
    ChunkIndex,
    StreamHeader,
    decode_head,
    decode_index_head,
    parse_file_name,
)
from amqp_broker.storage.stream_log import StreamSegment, Tip
from amqp_broker.storage.stream_write import write_index
from amqp_broker.storage.streams import STREAMS, RecoveredStream, valid_chunk

ANY_OFFSET: Final = 1 << 63


class StreamReport(NamedTuple):
    """What was found of all streams.

    Attributes:
        streams: by queue id.
        torn: what a crash has cut off.
        damage: what the disk has lost.
    """

    streams: dict[int, RecoveredStream]
    torn: list[TornTail]
    damage: list[Damage]


def recover_streams(disk: Disk, directory: str, identity: bytes) -> StreamReport:
    """Find the streams of a data directory and repair them.

    Torn tails are cut, files that can't be read set aside, indexes written.

    Args:
        disk: where it is.
        directory: the data directory.
        identity: of its journal.

    Raises:
        OSError: it can't be read or written.
        UnknownFormat: a later version of the broker wrote it.
    """
    disk.make_directory(f"{directory}/{STREAMS}")
    return _Reader(disk, directory, identity, repairs=True).run()


def inspect_streams(disk: Disk, directory: str, identity: bytes) -> StreamReport:
    """Read every chunk of all streams and change nothing. Raises as `recover_streams`."""
    return _Reader(disk, directory, identity, repairs=False).run()


class _Reader:
    def __init__(self, disk: Disk, directory: str, identity: bytes, *, repairs: bool) -> None:
        self._disk = disk
        self._identity = identity
        self._directory = directory
        self._folder = f"{directory}/{STREAMS}"
        self._repairs = repairs
        self._report = StreamReport({}, [], [])

    def run(self) -> StreamReport:
        firsts: dict[int, list[int]] = {}
        indexes = set()
        for name in self._disk.names(self._folder):
            parsed = parse_file_name(name)
            if parsed is None:
                continue
            stream, first, kind = parsed
            if kind == "seg":
                firsts.setdefault(stream, []).append(first)
            else:
                indexes.add((stream, first))
        for stream, starts in firsts.items():
            self._report.streams[stream] = self._read_stream(stream, sorted(starts))
            indexes.difference_update((stream, first) for first in starts)
        if self._repairs:
            for stream, first in indexes:  # of segments that retention has removed
                with suppress(OSError):
                    self._disk.unlink(_segment_of(self._folder, stream, first, b"").index_path)
        return self._report

    def _read_stream(self, stream: int, firsts: list[int]) -> RecoveredStream:
        segments: list[StreamSegment] = []
        expected = firsts[0]
        for first, following in zip(firsts, [*firsts[1:], None], strict=True):
            segment = _segment_of(self._folder, stream, first, self._identity)
            file = self._disk.open_for_reading(segment.path)
            size = file.size()
            header = StreamHeader.decode(file.pread(HEADER_OCTETS, 0), segment.path)
            if header is None or header[:2] != (stream, first):
                self._unreadable(segment, file.pread(size, 0), is_last=following is None)
                continue
            segment = StreamSegment(header, self._folder, 0)
            known = self._take_index(segment, size, following)
            if not self._repairs or segment.index is not None:
                known = self._scan(segment, file.pread(size, 0), following, known)
            if first > expected and segments:
                self._lost(segment.path, 0, 0, expected, first)
            expected = max(known, segment.tip.next)
            if segment.tip.next > first:
                segments.append(segment)
        return RecoveredStream(segments, max(expected, firsts[-1]))

    def _take_index(self, segment: StreamSegment, size: int, following: int | None) -> int:
        """Believe what the index says, if there is one that fits; gives the offset that is known to have been next."""
        try:
            data = self._disk.open_for_reading(segment.index_path).pread(INDEX_HEAD_OCTETS, 0)
        except OSError:
            return segment.first
        head = decode_index_head(data)
        if head is None or head.seed != segment.seed or head.first != segment.first:
            return segment.first
        if following is not None and head.next > following:
            return segment.first
        if head.end <= size:
            segment.first_timestamp_ms = head.first_timestamp_ms
            segment.index = None
            segment.tip = segment.readable = segment.safe = Tip(
                head.next, head.end, head.last_timestamp_ms, head.last_chunk
            )
        return head.next

    def _scan(self, segment: StreamSegment, data: bytes, following: int | None, known: int) -> int:
        """Read a whole segment; what a later segment has as well counts there.

        Args:
            segment: to be filled.
            data: its file.
            following: first offset of the next segment, None if this is the last.
            known: all before this offset is known to have been on disk.

        Returns:
            `known`, with what the chunks say of it.
        """
        limit = ANY_OFFSET if following is None else following
        known = known if following is None else following
        holes: list[tuple[int, int, int, int]] = []  # position, end, first offset missing, next offset found
        found: list[tuple[int, ChunkHead]] = []
        expected, end = segment.first, HEADER_OCTETS
        for position, head in _chunks_of(data, segment, limit):
            if position > end or head.first != expected:
                holes.append((end, position, expected, head.first))
            found.append((position, head))
            expected, end = head.next, position + head.octets
            known = max(known, head.safe)
        torn_at = next((hole[0] for hole in holes if hole[2] >= known), end)
        segment.index = ChunkIndex()
        segment.tip = Tip(segment.first, HEADER_OCTETS, 0, segment.first)
        for position, head in found:
            if position < torn_at:
                if segment.tip.end == HEADER_OCTETS:
                    segment.first_timestamp_ms = head.timestamp_ms
                segment.index.append(head.first, position, head.timestamp_ms)
                segment.tip = Tip(head.next, position + head.octets, head.timestamp_ms, head.first)
        segment.readable = segment.safe = segment.tip
        for position, stop, missing, next_offset in holes:
            if position < torn_at:
                self._lost(segment.path, position, stop - position, missing, next_offset)
        rest = len(data) - segment.tip.end
        if segment.tip.next < known:
            self._lost(segment.path, segment.tip.end, rest, segment.tip.next, known)
        elif rest and following is None:
            self._report.torn.append(TornTail(segment.path, segment.tip.end, rest, segment.tip.next))
            if self._repairs:
                self._disk.open(segment.path).truncate(segment.tip.end)
        if self._repairs:
            self._keep(segment)
        return known

    def _keep(self, segment: StreamSegment) -> None:
        """Have the next start find an index; or nothing, where there is nothing."""
        if segment.tip.next == segment.first:
            with suppress(OSError):
                self._disk.unlink(segment.path)
            return
        self._disk.open(segment.path).fsync()
        with suppress(OSError):
            write_index(self._disk, segment, segment.tip)

    def _unreadable(self, segment: StreamSegment, data: bytes, *, is_last: bool) -> None:
        """A file without a header: the last one may never have been begun in earnest, any other is damaged."""
        was_begun = any(head.safe > segment.first for _, head in _chunks_of(data, segment, ANY_OFFSET))
        if is_last and not was_begun:
            self._report.torn.append(TornTail(segment.path, 0, len(data), segment.first))
        else:
            what = "its header can't be read: the messages in it are lost"
            self._report.damage.append(Damage(segment.path, 0, len(data), 0, segment.first, 0, [], [], what))
        if self._repairs:
            set_aside(self._disk, self._directory, [segment.path])

    def _lost(self, path: str, position: int, octets: int, missing: int, next_offset: int) -> None:
        what = f"messages {missing} to {next_offset - 1} of a stream can't be read"
        self._report.damage.append(Damage(path, position, octets, 0, missing, next_offset - missing, [], [], what))


def _segment_of(folder: str, stream: int, first: int, identity: bytes) -> StreamSegment:
    return StreamSegment(StreamHeader(stream, first, identity), folder, 0)


def _chunks_of(data: bytes, segment: StreamSegment, limit: int) -> Iterator[tuple[int, ChunkHead]]:
    """Yield the valid chunks of a segment with offsets below a limit, and their positions."""
    position = HEADER_OCTETS
    least = segment.first
    while position < len(data):
        chunk = valid_chunk(data, position, segment.seed)
        if chunk is None or HEAD.unpack_from(chunk)[2] < least:
            position = find_record(data, position + 1, segment.seed, least, least + len(data), CHUNK_TYPES)
            if position < 0:
                return
            continue
        head = decode_head(chunk, 0)
        if head.first >= limit:
            return
        yield position, head
        position += head.octets
        least = head.next

