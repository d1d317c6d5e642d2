"""What the writer does for streams in its thread: plain blocking functions over a `Disk`.

`streams` judges the result.
"""

from __future__ import annotations

from contextlib import suppress

from amqp_broker.storage.disk import Disk
from amqp_broker.storage.stream_format import HEADER_OCTETS, Gathering, IndexHead, encode_index, parse_file_name
from amqp_broker.storage.stream_log import StreamLog, StreamSegment, Tip


class Stretch:
    """Chunks that follow one another in one segment and are written together.

    Attributes:
        segment: whose they are.
        position: where the first begins.
        creates: the file is to be made.
        chunks: not yet encoded; none where there is only something to be fsynced.
        tip: how far the segment goes then.
        seals: the segment ends with this stretch: its index is written as well.
    """

    __slots__ = ("chunks", "creates", "position", "seals", "segment", "tip")

    def __init__(self, segment: StreamSegment, creates: bool) -> None:
        self.segment = segment
        self.position = segment.tip.end
        self.creates = creates
        self.chunks: list[Gathering] = []
        self.tip: Tip = segment.tip
        self.seals = False

    def execute(self, disk: Disk, directory: str, safe: int, *, is_synced: bool) -> None:
        """Write, in the calling thread.

        Raises:
            OSError: nothing of the stretch may be believed to be on disk.
        """
        segment = self.segment
        data = b"".join([chunk.encode(segment.seed, safe) for chunk in self.chunks])
        if self.creates:
            if disk.exists(segment.path):
                disk.unlink(segment.path)  # an attempt the disk refused; nobody was told of anything in it
            file = disk.create(segment.path)
            # With a header it takes over from the segment before, which may hold some of this too, if not safely.
            file.pwrite(data, HEADER_OCTETS)
            file.fsync()
            file.pwrite(segment.header.encode(), 0)
            file.fsync()
            disk.fsync_directory(directory)
            segment.file = file
        else:
            file = segment.file or disk.open(segment.path)
            if data:
                file.pwrite(data, self.position)
            if is_synced or self.seals:
                file.fsync()
        if self.seals:
            with suppress(OSError):
                write_index(disk, segment, self.tip)


class LogWrite:
    """What is written of one log.

    Attributes:
        log: whose it is.
        stretches: in order; each in a segment of its own.
        done: how many of them are on disk.
        error: what stopped it.
    """

    def __init__(self, log: StreamLog) -> None:
        self.log = log
        self.stretches: list[Stretch] = []
        self.done = 0
        self.error: OSError | None = None
        self._safe = log.safe_offset

    def stretch(self, segment: StreamSegment, creates: bool) -> LogWrite:
        """Go on in this segment."""
        self.stretches.append(Stretch(segment, creates))
        return self

    def execute(self, disk: Disk, directory: str, *, is_synced: bool) -> None:
        """Write, in the calling thread, as far as the disk lets it."""
        try:
            for stretch in self.stretches:
                stretch.execute(disk, directory, self._safe, is_synced=is_synced)
                self.done += 1
        except OSError as error:
            self.error = error


class StreamBatch:
    """What is written of all logs together, then fsynced.

    Attributes:
        number: grows by one with every batch.
        writes: one for each log that has something.
        is_synced: whether to fsync what is not by itself.
        unlinked: files to be removed, in this order.
        removed: streams all of whose files are to be removed; those that are left have not been looked for.
        leftover: those that could not be removed.
        unlink_error: what the first of these said.
    """

    def __init__(self, directory: str, number: int, *, is_synced: bool) -> None:
        self._directory = directory
        self.number = number
        self.is_synced = is_synced
        self.writes: list[LogWrite] = []
        self.unlinked: list[str] = []
        self.removed: list[int] = []
        self.leftover: list[str] = []
        self.unlink_error: OSError | None = None

    def execute(self, disk: Disk) -> None:
        """Write, in the calling thread.

        Raises:
            OSError: the first that stopped one of the logs; each has its own.
        """
        for write in self.writes:
            write.execute(disk, self._directory, is_synced=self.is_synced)
        self._unlink(disk)
        for write in self.writes:
            if write.error is not None:
                raise write.error

    def _unlink(self, disk: Disk) -> None:
        """Remove files; in order, for a stream must not have a gap where a segment went before an older one."""
        try:
            self._find_removed(disk)
        except OSError as error:
            self.unlink_error = error
        stuck: set[int] = set()
        for path in self.unlinked:
            stream_id = _stream_of(path)
            try:
                if stream_id not in stuck and disk.exists(path):
                    disk.unlink(path)
                    disk.fsync_directory(self._directory)
            except OSError as error:
                stuck.add(stream_id)
                self.unlink_error = self.unlink_error or error
            if stream_id in stuck:
                self.leftover.append(path)

    def _find_removed(self, disk: Disk) -> None:
        if self.removed:
            for name in disk.names(self._directory):
                if (parsed := parse_file_name(name)) is not None and parsed[0] in self.removed:
                    self.unlinked.append(f"{self._directory}/{name}")
            self.removed = []


def _stream_of(path: str) -> int:
    parsed = parse_file_name(path.rpartition("/")[2])
    assert parsed is not None
    return parsed[0]


def write_index(disk: Disk, segment: StreamSegment, tip: Tip) -> None:
    """Write the index of a segment that is complete. Not fsynced: what is not whole is made again. Raises OSError."""
    assert segment.index is not None
    head = IndexHead(
        segment.header.stream,
        segment.first,
        tip.next,
        tip.end,
        segment.first_timestamp_ms,
        tip.last_timestamp_ms,
        tip.last_chunk,
        segment.seed,
    )
    disk.create(segment.index_path).pwrite(encode_index(head, segment.index), 0)
