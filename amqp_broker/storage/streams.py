"""All streams of a broker: what of them is written together, read, and remembered of what was read.

Beside the journal, in the same manner: Sans-IO, `take_batch` and `batch_done` with a thread between them, one fsync
for all that came meanwhile, an error makes publishers wait and is tried again. Callbacks are called in order, and
only when all that was appended before is as safe as the sync mode demands (rules 6.5 and 7.4).
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from google_crc32c import extend

from amqp_broker.storage.disk import Disk, File
from amqp_broker.storage.records import HEAD_OCTETS, find_record
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.stream_format import (
    CHUNK_HEAD_OCTETS,
    CHUNK_TYPES,
    ChunkIndex,
    MakeMessage,
    StoredChunk,
    chunk_octets,
    decode_head,
    decode_index,
)
from amqp_broker.storage.stream_log import StreamLimits, StreamLog, StreamSegment
from amqp_broker.storage.stream_read import StreamRead, StreamReads
from amqp_broker.storage.stream_write import LogWrite, StreamBatch

logger = logging.getLogger(__name__)

STREAMS: Final = "streams"

MESSAGE_OCTETS: Final = 400
"""What a message takes beside its octets."""

OPEN_FILES: Final = 64
"""Files kept open for reading."""


class RecoveredStream(NamedTuple):
    """What a start has found of a stream.

    Attributes:
        segments: in order.
        next_offset: above every offset that was ever given, as far as files tell.
    """

    segments: list[StreamSegment]
    next_offset: int


class Streams:
    """The logs, by queue id. All methods belong to one thread.

    Attributes:
        disk: what it reads from; what the writer is to run batches on.
        stalled: the error that stopped writing; None while all is well.
        is_finished: all is written and sealed; nothing may be appended any more.
        on_work: called when there is something to write at once.
        on_reads: called when there is something to read, see `take_reads`.
        on_stalled: called with the error when writing stops and with None when it goes on.
        cached_octets: what chunks that are remembered take in memory, about.
        segments_read: how many times a file was opened to be read.
    """

    def __init__(
        self,
        disk: Disk,
        directory: str,
        identity: bytes,
        settings: JournalSettings | None = None,
        recovered: dict[int, RecoveredStream] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.disk = disk
        self.settings = settings or JournalSettings()
        self.stalled: OSError | None = None
        self.is_finished = False
        self.on_work: Callable[[], None] = _nothing
        self.on_reads: Callable[[], None] = _nothing
        self.on_stalled: Callable[[OSError | None], None] = _nothing_of_it
        self.segments_read = 0
        self._directory = f"{directory}/{STREAMS}"
        self._identity = identity
        self._recovered = recovered or {}
        self._clock = clock
        self._logs: dict[int, StreamLog] = {}
        self._dirty: dict[StreamLog, None] = {}
        self._unsynced: dict[StreamLog, None] = {}
        self._unsynced_since = 0.0
        self._unsynced_octets = 0
        self._unwritten_octets = 0
        self._unlinked: list[str] = []
        self._removed: list[int] = []
        """Streams whose files are to go, those too that a batch is just making."""
        self._unlink_error: OSError | None = None
        self._unlink_not_before = -math.inf
        self._number = 0
        self._released = 0
        self._callbacks: deque[tuple[int, Callable[[], None]]] = deque()
        self._under_way: StreamBatch | None = None
        self._may_write = True
        self._is_finishing = False
        self.cached_octets = 0
        self._cache: OrderedDict[tuple[StreamSegment, int], StoredChunk] = OrderedDict()
        self._files: OrderedDict[StreamSegment, File] = OrderedDict()
        self._wanted: dict[tuple[StreamSegment, int], StreamRead] = {}
        self._reading: dict[tuple[StreamSegment, int], StreamRead] = {}
        self._outcomes: dict[tuple[StreamSegment, int], StoredChunk | OSError | None] = {}
        """What came of a read, while those who wait for it are told; None: what is there is damaged."""

    # ---- logs

    def open(
        self, stream_id: int, limits: StreamLimits, make_message: MakeMessage, now: Callable[[], float]
    ) -> StreamLog:
        """Open a stream, as a start has found it or new.

        Args:
            stream_id: of the queue.
            limits: how much of it is kept.
            make_message: see `StreamLog`.
            now: seconds since 1970.
        """
        found = self._recovered.pop(stream_id, None) or RecoveredStream([], 0)
        log = StreamLog(
            self,
            stream_id,
            self._directory,
            self._identity,
            limits,
            make_message,
            now,
            found.segments,
            found.next_offset,
        )
        self._logs[stream_id] = log
        log.retain()
        return log

    def forget_others(self, known: set[int]) -> None:
        """Remove the files of streams that no queue is known for: their declaration or deletion was cut short."""
        for stream_id in self._recovered.keys() - known:
            del self._recovered[stream_id]
            self._removed.append(stream_id)

    def delete(self, stream_id: int) -> bool:
        """End a stream; its files stay until `remove`. Tells whether there is such a stream."""
        log = self._logs.get(stream_id)
        if log is None:
            return False
        self._dirty.pop(log, None)
        self._unsynced.pop(log, None)
        self._unwritten_octets -= log.delete()
        for key in [key for key in self._cache if key[0].header.stream == stream_id]:
            self._uncache(key)
        for segment in [segment for segment in self._files if segment.header.stream == stream_id]:
            del self._files[segment]
        return True

    def remove(self, stream_id: int) -> None:
        """Remove the files of a stream that nobody will look for any more."""
        if self._logs.pop(stream_id, None) is not None:
            self._removed.append(stream_id)
            self.on_work()

    # ---- what logs ask of it

    def appended(self, log: StreamLog, octets: int) -> None:
        self._unwritten_octets += octets
        if log not in self._dirty:
            self._dirty[log] = None
            self.on_work()

    def dropped(self, segments: list[StreamSegment]) -> None:
        for segment in segments:
            self._files.pop(segment, None)  # while it is open, the disk has no use of its room
        self._unlink([path for segment in segments for path in (segment.path, segment.index_path)])

    # ---- durability

    @property
    def is_dirty(self) -> bool:
        """Whether something that was appended is not as safe as it is to be."""
        return bool(self._dirty) or self._under_way is not None or bool(self._callbacks)

    @property
    def is_behind(self) -> bool:
        """Whether more is waiting to be written than should: publishers had better pause."""
        return self._unwritten_octets > self.settings.behind_octets

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back, in order, once all that was appended so far is safe; at once if it is."""
        if self._dirty:
            self._callbacks.append((self._number + 1, callback))
        elif self._released < self._number or self._callbacks:
            self._callbacks.append((self._number, callback))
        else:
            callback()

    # ---- the writer's side

    def take_batch(self) -> StreamBatch | None:
        """Return what is to be written now; its end is to be told to `batch_done` before there is another."""
        if self._under_way or self.is_finished or (self.stalled and not self._may_write):
            return None
        is_synced = self.settings.sync == "always" or self._sync_is_due() or self._is_finishing
        logs = dict(self._dirty)
        if is_synced:
            logs.update(self._unsynced)
        if self._is_finishing:
            logs.update((log, None) for log in self._logs.values() if log.active is not None)
        unlinks = bool(self._unlinked or self._removed)
        unlinks = unlinks and (self._is_finishing or self._clock() >= self._unlink_not_before)
        if not (logs or unlinks or self._callbacks):
            self.is_finished = self._is_finishing
            return None
        self._number += 1
        batch = StreamBatch(self._directory, self._number, is_synced=is_synced)
        for log in logs:
            write = LogWrite(log)
            batch.writes.append(write)
            log.take(write.stretch)
            if not write.stretches and log.active is not None:
                write.stretch(log.active, False)  # nothing but the fsync
            if self._is_finishing:
                write.stretches[-1].seals = True
        if unlinks:
            batch.unlinked, self._unlinked = self._unlinked, []
            batch.removed, self._removed = self._removed, []
        self._dirty.clear()
        self._under_way = batch
        return batch

    def batch_done(self, batch: StreamBatch, error: OSError | None) -> None:
        """Take the outcome of a batch: call back, or stall."""
        self._under_way = None
        self._unlinks_done(batch)
        if batch.is_synced:
            self._unsynced.clear()
            self._unsynced_octets = 0
        grown = [write.log for write in batch.writes if self._settle(write, is_synced=batch.is_synced)]
        if error is not None:
            self._may_write = False
            was_well, self.stalled = self.stalled is None, error
            if was_well:
                self.on_stalled(error)
        else:
            if self.stalled is not None:
                self.stalled = None
                self.on_stalled(None)
            self._release(batch.number)
        for log in grown:
            if not log.is_deleted:
                log.on_readable()

    def idle_s(self) -> float | None:
        """Return how long `take_batch` will have nothing, unless `on_work` is called; None: for ever."""
        if self.stalled:
            return None
        due = math.inf
        if self._unsynced and self.settings.sync == "interval":
            due = self._unsynced_since + self.settings.sync_interval_s
        if self._unlinked or self._removed:
            due = min(due, self._unlink_not_before)
        return None if due == math.inf else max(0.0, due - self._clock())

    def retry(self) -> None:
        """After a stall: try again, in new files."""
        self._may_write = True
        self.on_work()

    def finish(self) -> None:
        """Nothing more will be appended: write all there is, and the indexes, so that a start need not read it."""
        self._is_finishing = True
        self.on_work()

    def _unlink(self, paths: list[str]) -> None:
        self._unlinked += paths
        self.on_work()

    def _sync_is_due(self) -> bool:
        return bool(self._unsynced) and (
            self._unsynced_octets > self.settings.unsynced_octets
            or (
                self.settings.sync == "interval"
                and self._clock() >= self._unsynced_since + self.settings.sync_interval_s
            )
        )

    def _unlinks_done(self, batch: StreamBatch) -> None:
        """Keep what could not be removed for later; what is left when the broker stops is found by its next start."""
        error = batch.unlink_error
        if error is not None:
            if self._unlink_error is None:
                logger.error("a file of a stream can't be removed, to be tried again: %s", error)
            self._unlink_not_before = self._clock() + self.settings.checkpoint_interval_s
            if not self._is_finishing:
                self._unlinked = batch.leftover + self._unlinked
                self._removed = batch.removed + self._removed
        if error is not None or batch.unlinked:
            self._unlink_error = error

    def _settle(self, write: LogWrite, *, is_synced: bool) -> bool:
        """Tell a log what has become of its part; gives whether there is more to read."""
        log = write.log
        for stretch in write.stretches:
            self._unwritten_octets -= sum(chunk.octets for chunk in stretch.chunks)
        if log.is_deleted:
            return False
        readable = log.readable_offset
        for stretch in write.stretches[: write.done]:
            is_safe = is_synced or stretch.creates or stretch.seals or self.settings.sync == "never"
            log.written(stretch.segment, stretch.tip, stretch.chunks, is_safe=is_safe)
            if not is_safe:
                if not self._unsynced:
                    self._unsynced_since = self._clock()
                self._unsynced[log] = None
                self._unsynced_octets += stretch.tip.end - stretch.position
            if stretch.seals:
                log.sealed(stretch.segment)
        if write.error is not None:
            refused = write.stretches[write.done :]
            again = [chunk for stretch in refused for chunk in stretch.chunks]
            self._unwritten_octets += sum(chunk.octets for chunk in again)
            self._unwritten_octets += log.failed([stretch.segment for stretch in refused], again)
            self._unsynced.pop(log, None)
            for stretch in refused:
                self._files.pop(stretch.segment, None)
            self._dirty[log] = None
        else:
            log.retain()
        return log.readable_offset > readable

    def _release(self, number: int) -> None:
        self._released = number
        callbacks = self._callbacks
        while callbacks and callbacks[0][0] <= number:
            callbacks.popleft()[1]()

    # ---- reading

    def index_of(self, segment: StreamSegment) -> ChunkIndex:
        if segment.index is not None:
            return segment.index
        self.segments_read += 1
        try:
            file = self.disk.open_for_reading(segment.index_path)
            index = decode_index(file.pread(file.size(), 0))
        except FileNotFoundError:
            index = None
        return index if index is not None else ChunkIndex()  # without one it is read from the beginning

    def read_chunk(self, log: StreamLog, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Read a chunk, and whatever comes with it. Raises OSError."""
        chunk = self._cache.get((segment, position))
        if chunk is not None:
            self._cache.move_to_end((segment, position))
            return chunk
        read = StreamRead(log, segment, position, self._file_of(segment))
        read.execute()
        return self._take_in_all(read)

    def chunk_at_hand(self, log: StreamLog, segment: StreamSegment, position: int) -> StoredChunk | None:
        """Read a chunk if that can be done without waiting for the disk; see `Host`."""
        key = segment, position
        chunk = self._cache.get(key)
        if chunk is not None:
            self._cache.move_to_end(key)
            return chunk
        if key in self._outcomes:
            outcome = self._outcomes[key]
            if isinstance(outcome, OSError):
                raise outcome
            return outcome
        if key not in self._wanted and key not in self._reading:
            read = StreamRead(log, segment, position, self._file_of(segment))
            if read.is_at_hand():
                return self._take_in_all(read)
            self._wanted[key] = read
            self.on_reads()
        raise BlockingIOError

    def take_reads(self) -> StreamReads | None:
        """Return what readers wait for; its end is to be told to `reads_done` before there is more."""
        if self._reading or not self._wanted:
            return None
        self._reading, self._wanted = self._wanted, {}
        return StreamReads(list(self._reading.values()))

    def reads_done(self, reads: StreamReads) -> None:
        """Hand out what has been read."""
        self._reading = {}
        for read in reads.reads:
            if not (read.log.is_deleted or read.segment.is_gone):
                key = read.segment, read.position
                self._outcomes[key] = read.error or self._take_in_all(read)
                read.log.on_readable()
                del self._outcomes[key]

    def find_chunk(self, segment: StreamSegment, position: int) -> int:
        """Look for the next valid chunk behind a damaged one. Raises OSError."""
        end = segment.readable.end
        data = self._file_of(segment).pread(end - position, position)
        found = find_record(data, 1, segment.seed, segment.first, segment.readable.next, CHUNK_TYPES)
        return end if found < 0 else position + found

    def _take_in_all(self, read: StreamRead) -> StoredChunk | None:
        """Make chunks of what was read, as far as they are whole and valid; gives the first, if it is."""
        log, segment, position, window = read.log, read.segment, read.position, read.data
        first = chunk = self._take_in(log, segment, position, window, 0)
        offset = 0
        while chunk is not None:
            offset += chunk.head.octets
            if offset + HEAD_OCTETS > len(window) or (segment, position + offset) in self._cache:
                break
            chunk = self._take_in(log, segment, position + offset, window, offset)
        return first

    def _take_in(
        self, log: StreamLog, segment: StreamSegment, position: int, window: bytes, offset: int
    ) -> StoredChunk | None:
        """Make a chunk of octets that may hold a whole and valid one, and remember it."""
        data = valid_chunk(window, offset, segment.seed)
        if data is None:
            return None
        chunk = StoredChunk(decode_head(data, 0), data, log.make_message)
        self._cache[segment, position] = chunk
        self.cached_octets += _cost(chunk)
        while self.cached_octets > self.settings.stream_cache_octets and len(self._cache) > 1:
            self._uncache(next(iter(self._cache)))
        return chunk

    def _uncache(self, key: tuple[StreamSegment, int]) -> None:
        self.cached_octets -= _cost(self._cache.pop(key))

    def _file_of(self, segment: StreamSegment) -> File:
        file = self._files.get(segment)
        if file is None:
            self.segments_read += 1
            file = self._files[segment] = self.disk.open_for_reading(segment.path)
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(segment)
        return file


def valid_chunk(data: bytes, offset: int, seed: int) -> bytes | None:
    """Take a chunk out of octets; None if there is no whole and valid one at this place."""
    if len(data) - offset < CHUNK_HEAD_OCTETS:
        return None
    octets = chunk_octets(data, offset)
    if octets < CHUNK_HEAD_OCTETS or offset + octets > len(data):
        return None
    chunk = data[offset : offset + octets]
    return chunk if extend(seed, chunk[4:]) == int.from_bytes(chunk[:4], "big") and chunk[16] in CHUNK_TYPES else None


def _cost(chunk: StoredChunk) -> int:
    """What a chunk takes of memory once its messages are made, about."""
    return chunk.head.octets + MESSAGE_OCTETS * chunk.head.messages


def _nothing() -> None:
    """Nobody wants to know."""


def _nothing_of_it(_error: OSError | None) -> None:
    """Nobody wants to know."""
