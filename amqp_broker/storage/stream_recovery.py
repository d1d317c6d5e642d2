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
    file_name,
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


def dump_streams(disk: Disk, directory: str) -> Iterator[str]:
    """Yield a line for each segment of a stream and for each of its chunks. Raises as `recover_streams`."""
    folder = f"{directory}/{STREAMS}"
    for name in disk.names(folder):
        parsed = parse_file_name(name)
        if parsed is None or parsed[2] != "seg":
            continue
        file = disk.open_for_reading(f"{folder}/{name}")
        data = file.pread(file.size(), 0)
        header = StreamHeader.decode(data[:HEADER_OCTETS], name)
        if header is None:
            yield f"{name}: DAMAGED: no header"
            continue
        yield f"{name}: stream of queue {header.stream} from offset {header.first}, {len(data)} octets"
        end = HEADER_OCTETS
        for position, head in _chunks_of(data, StreamSegment(header, folder, 0), ANY_OFFSET):
            if position > end:
                yield f"{name}:{end}: UNREADABLE: {position - end} octets"
            yield (
                f"{name}:{position}: CHUNK offsets {head.first} to {head.next - 1}, {head.octets} octets, "
                f"{head.timestamp_ms} ms, safe up to {head.safe - 1}"
                + (f", filter of {head.filter_octets} octets" if head.filter_octets else "")
            )
            end = position + head.octets
        if end < len(data):
            yield f"{name}:{end}: UNREADABLE: {len(data) - end} octets"


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
                    self._disk.unlink(_path_of(self._folder, stream, first, "idx"))
        return self._report

    def _read_stream(self, stream: int, firsts: list[int]) -> RecoveredStream:
        segments: list[StreamSegment] = []
        expected, highest = firsts[0], firsts[-1]
        headers = {first: self._header_of(stream, first) for first in firsts}
        if headers[highest] is None and not self._was_begun(stream, highest):
            self._set_aside_torn(stream, firsts.pop())
        for first, following in zip(firsts, [*firsts[1:], None][: len(firsts)], strict=True):
            header = headers[first]
            if header is None:
                self._set_aside_damaged(stream, first)
                continue
            segment = StreamSegment(header, self._folder, 0)
            file = self._disk.open_for_reading(segment.path)
            size = file.size()
            known = self._take_index(segment, size, following)
            if not self._repairs or segment.index is not None:
                known = self._scan(segment, file.pread(size, 0), following, known)
            if first > expected and segments:
                self._lost(segment.path, 0, 0, expected, first)
            expected = max(known, segment.tip.next)
            if segment.tip.next > first:
                segments.append(segment)
        return RecoveredStream(segments, max(expected, highest))

    def _header_of(self, stream: int, first: int) -> StreamHeader | None:
        """Read the header of a segment; None if it can't be read, or is another's."""
        path = _path_of(self._folder, stream, first)
        header = StreamHeader.decode(self._disk.open_for_reading(path).pread(HEADER_OCTETS, 0), path)
        return header if header is not None and header[:2] == (stream, first) else None

    def _was_begun(self, stream: int, first: int) -> bool:
        """Tell whether a file without a header ever had one on disk."""
        segment = StreamSegment(StreamHeader(stream, first, self._identity), self._folder, 0)
        return any(head.safe > first for _, head in _chunks_of(self._read(segment.path), segment, ANY_OFFSET))

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

    def _set_aside_torn(self, stream: int, first: int) -> None:
        """The last file was never begun in earnest: nobody was told of anything in it."""
        path = _path_of(self._folder, stream, first)
        self._report.torn.append(TornTail(path, 0, len(self._read(path)), first))
        self._set_aside(path)

    def _set_aside_damaged(self, stream: int, first: int) -> None:
        path = _path_of(self._folder, stream, first)
        what = "its header can't be read: the messages in it are lost"
        self._report.damage.append(Damage(path, 0, len(self._read(path)), 0, first, 0, [], [], what))
        self._set_aside(path)

    def _set_aside(self, path: str) -> None:
        if self._repairs:
            set_aside(self._disk, self._directory, [path])

    def _read(self, path: str) -> bytes:
        file = self._disk.open_for_reading(path)
        return file.pread(file.size(), 0)

    def _lost(self, path: str, position: int, octets: int, missing: int, next_offset: int) -> None:
        what = f"messages {missing} to {next_offset - 1} of a stream can't be read"
        self._report.damage.append(Damage(path, position, octets, 0, missing, next_offset - missing, [], [], what))


def _path_of(folder: str, stream: int, first: int, kind: str = "seg") -> str:
    return f"{folder}/{file_name(stream, first, kind)}"


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
