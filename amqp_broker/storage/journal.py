"""The journal: one log for all queues. Sans-IO: it gathers, numbers and remembers; batches do the writing.

It knows neither queues nor the meaning of what it stores, leaves threads and timers to the committer and the way
back from files to `recovery`. What stays true:

- a callback given to `when_durable` is called in order, and only when all that was appended before it is as safe
  as the sync mode demands (rules 7.4 and 7.5);
- while one batch is written the next one gathers, so one fsync covers all that came meanwhile;
- what is gone (`remove`) never costs an fsync of its own: after a crash it may be back (rule 7.6), after a clean
  stop it isn't, for that ends with a checkpoint;
- a `Location` is good until its reference is removed or `on_moved` names another; failed disks don't change it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from amqp_broker.storage.batch import SEGMENTS, Batch, CheckpointBatch, DataBatch, Stretch
from amqp_broker.storage.checkpoint import Checkpoint, SegmentState
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.reading import SegmentReader
from amqp_broker.storage.records import (
    MARK,
    REDELIVERED,
    REMOVE,
    SYNCED,
    TOPOLOGY,
    TRANSIENT,
    Location,
    Ranges,
    Reference,
    append_publish,
    append_to_one,
    decode_message,
    encode,
    encode_marks,
    encode_ranges,
    encode_synced,
    new_location,
)
from amqp_broker.storage.segment import Part, Segment, SegmentHeader, seed_of, segment_name
from amqp_broker.storage.settings import JournalSettings


class JournalState(NamedTuple):
    """Where a journal goes on, as recovery found it.

    Attributes:
        identity: random octets, the same in the whole journal.
        segments: those with something live, by number.
        next_segment: number of the next segment.
        next_record: number of the next record.
        last_record: number of the last record that was found; a checkpoint may know of later ones.
    """

    identity: bytes
    segments: dict[int, Segment]
    next_segment: int
    next_record: int
    last_record: int


class Journal:
    """Appends, and tells when it is safe. All methods belong to one thread.

    Attributes:
        disk: what it reads from; what the writer is to run batches on.
        settings: as given.
        segments: all that hold something live, or did till the last checkpoint, by number.
        reader: reads what was appended; safe in another thread.
        stalled: the error that stopped writing; None while all is well.
        is_finished: a clean checkpoint is on disk; nothing may be appended any more.
        on_work: called when there is something to write at once.
        on_stalled: called with the error when writing stops and with None when it goes on.
        on_moved: called with queue id, position and the new location when rewriting has moved a reference. Whoever
            has no such message any more removes it there.
    """

    def __init__(
        self,
        disk: Disk,
        directory: str,
        state: JournalState,
        snapshot: Callable[[], bytes],
        settings: JournalSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.disk = disk
        self.settings = settings or JournalSettings()
        self.segments = state.segments
        self.reader = SegmentReader(disk, state.segments)
        self.stalled: OSError | None = None
        self.is_finished = False
        self.on_work: Callable[[], None] = _nothing
        self.on_stalled: Callable[[OSError | None], None] = _nothing_of_it
        self.on_moved: Callable[[int, int, Location], None] = _nothing_moved

        self._directory = directory
        self._identity = state.identity
        self._snapshot = snapshot
        self._clock = clock
        self._segment_octets = self.settings.segment_octets
        self._next_segment = state.next_segment
        self._next_record = state.next_record
        self._previous = (state.last_record, 0)
        self._last_awaited = self._released = self._written = self._synced = state.last_record
        self._noted_synced = self._synced

        self._waiting: deque[Stretch] = deque()
        self._active, self._gathering = self._open_segment()
        self._unsynced: Stretch | None = None
        self._unsynced_since = 0.0
        self._under_way: Batch | None = None
        self._may_write = True
        self._is_finishing = False
        self._unwritten_octets = 0

        self._callbacks: deque[tuple[int, Callable[[], None]]] = deque()
        self._retiring: deque[tuple[int, Segment, list[tuple[int, int]]]] = deque()
        self._removed: dict[int, Ranges] = {}
        self._marked: dict[tuple[int, int], tuple[int, int]] = {}
        self._lazy_since: float | None = None

        self._dead = {number: segment for number, segment in self.segments.items() if self._is_dead(segment)}
        self._leftover: list[str] = []
        self._checkpoint_is_wanted = True
        self._checkpoint_not_before = self._checkpoint_blocked_until = clock()

    # ---- appending

    def append_publish(
        self, address: bytes, header: bytes, body: bytes, references: Sequence[Reference], origin: int = 0
    ) -> Location:
        """Store a message once for all queues it reached.

        Args:
            address: exchange, routing keys and what else the broker wants back.
            header: the content header.
            body: the message.
            references: (queue_id, position, expires_at_ms or 0, flags), one a queue and at least one; position
                orders a queue and is never used twice in it.
            origin: for rewriting only.

        Returns:
            The location of the first reference; `location.reference(i)` is that of another.
        """
        if not references:
            raise ValueError("a message in no queue is not stored")
        segment = self._active
        if segment.end >= self._segment_octets:
            segment = self._roll()
        octets = append_publish(
            self._gathering.data,
            segment.seed,
            self._next_record,
            segment.references,
            origin,
            references,
            address,
            header,
            body,
        )
        is_awaited = any(not flags & TRANSIENT for _, _, _, flags in references)
        return self._appended(segment, len(references), octets, is_awaited)

    def append_to_one(
        self, address: bytes, header: bytes, body: bytes, queue_id: int, position: int, expires_at_ms: int, flags: int
    ) -> Location:
        """As `append_publish`, for what most messages are in: one queue."""
        segment = self._active
        if segment.end >= self._segment_octets:
            segment = self._roll()
        octets = append_to_one(
            self._gathering.data,
            segment.seed,
            self._next_record,
            segment.references,
            queue_id,
            position,
            expires_at_ms,
            flags,
            address,
            header,
            body,
        )
        return self._appended(segment, 1, octets, not flags & TRANSIENT)

    def append_topology(self, kind: int, payload: bytes) -> None:
        """Store a change of the topology; both arguments are the broker's own."""
        if self._active.end >= self._segment_octets:
            self._roll()
        payload = bytes((kind,)) + payload
        self._gather(encode(self._active.seed, self._next_record, TOPOLOGY, payload), True)

    def remove(self, location: Location, is_replaced: bool = False) -> None:
        """A reference is gone: acked, expired, dropped. Removing it twice does nothing.

        Args:
            location: of the reference.
            is_replaced: what was appended last takes its place, as a dead letter does: whatever happens, the
                reference doesn't go before that is safe.
        """
        segment = self.segments.get(location.segment)
        if segment is None:
            return
        if is_replaced and self._synced < self._last_awaited:
            self._retiring.append((self._last_awaited, segment, [(location.ordinal, location.length)]))
        elif segment.remove(location.ordinal, location.length):
            self._note_removed(segment, location.ordinal)

    def mark(self, location: Location, delivery_count: int, flags: int = REDELIVERED) -> None:
        """Change what is remembered of a reference, as lazily as a removal."""
        segment = self.segments.get(location.segment)
        if segment is None or not segment.is_live(location.ordinal):
            return
        segment.marks[location.ordinal] = (delivery_count, flags)
        self._marked[location.segment, location.ordinal] = (delivery_count, flags)
        self._note_lazy()

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back, in order, once all publishes and topology so far are safe; at once if they are."""
        if self._released >= self._last_awaited and not self._callbacks:
            callback()
        else:
            self._callbacks.append((self._last_awaited, callback))

    @property
    def is_behind(self) -> bool:
        """Whether more is waiting to be written than should: publishers had better pause."""
        return self._unwritten_octets > self.settings.behind_octets

    @property
    def disk_octets(self) -> int:
        """Octets of all segments."""
        return sum(segment.end for segment in self.segments.values())

    @property
    def live_octets(self) -> int:
        """Octets of what is live; see `Segment.live_octets`."""
        return sum(segment.live_octets for segment in self.segments.values())

    def _appended(self, segment: Segment, references: int, octets: int, is_awaited: bool) -> Location:
        """The record of a message has been added to what is gathering."""
        location = new_location(segment.number, segment.references, segment.end, octets)
        segment.appended(references, octets)
        self._gathered(octets, is_awaited)
        return location

    def _gather(self, record: bytes, is_awaited: bool) -> None:
        self._gathering.data += record
        self._gathered(len(record), is_awaited)

    def _gathered(self, octets: int, is_awaited: bool) -> None:
        """A record of so many octets has been added to what is gathering."""
        gathering = self._gathering
        gathering.count += 1
        gathering.references = self._active.references
        self._active.end += octets
        self._unwritten_octets += octets
        if is_awaited:
            self._last_awaited = self._next_record
            if not gathering.is_awaited:
                gathering.is_awaited = True
                self.on_work()
        elif self._lazy_since is None:
            self._lazy_since = self._clock()
        self._next_record += 1

    def _note_removed(self, segment: Segment, ordinal: int) -> None:
        ranges = self._removed.get(segment.number)
        if ranges is None:
            self._removed[segment.number] = Ranges(ordinal)
            self._note_lazy()
        else:
            ranges.add(ordinal)
        if not segment.live and self._is_dead(segment):
            self._bury(segment)

    def _note_lazy(self) -> None:
        if self._lazy_since is None:
            self._lazy_since = self._clock()
            self.on_work()

    # ---- segments

    def _open_segment(self) -> tuple[Segment, Stretch]:
        number = self._next_segment
        self._next_segment += 1
        segment = Segment(number, self._next_record, seed_of(self._identity, number))
        segment.previous_record, segment.previous_references = self._previous
        self.segments[number] = segment
        return segment, self._begin_stretch(segment)

    def _begin_stretch(self, segment: Segment) -> Stretch:
        stretch = Stretch(segment, self._next_record)
        segment.unwritten.append(stretch)
        return stretch

    def _roll(self) -> Segment:
        """Seal the active segment and begin the next."""
        self._previous = (self._next_record - 1, self._active.references)
        self._gathering.seals = True
        self._waiting.append(self._gathering)
        self._active, self._gathering = self._open_segment()
        self.on_work()
        return self._active

    @staticmethod
    def _is_dead(segment: Segment) -> bool:
        return segment.is_sealed and not segment.live and segment.safe_end == segment.end

    def _bury(self, segment: Segment) -> None:
        self._dead[segment.number] = segment
        self.on_work()

    # ---- the writer's side

    def take_batch(self) -> Batch | None:
        """Return what is to be written now; its end is to be told to `batch_done` before there is another."""
        if self._under_way or self.is_finished or (self.stalled and not self._may_write):
            return None
        # On a full disk the checkpoint goes first: it may free what the data need.
        batch = self._take_checkpoint() if self._checkpoint_is_due() else self._take_data()
        self._under_way = batch
        return batch

    def idle_s(self) -> float | None:
        """Return how long `take_batch` will have nothing, unless `on_work` is called; None: for ever."""
        if self.stalled and not self._may_write:
            return None
        now = self._clock()
        due = []
        if self._lazy_since is not None:
            due.append(self._lazy_since + self.settings.lazy_delay_s)
        if self._unsynced and self.settings.sync == "interval":
            due.append(self._unsynced_since + self.settings.sync_interval_s)
        if self._dead or self._checkpoint_is_wanted or self._is_finishing:
            due.append(max(self._checkpoint_not_before, self._checkpoint_blocked_until))
        return max(0.0, min(due) - now) if due else None

    def retry(self) -> None:
        """After a stall: try again, in a new file."""
        self._may_write = True
        self.on_work()

    def finish(self) -> None:
        """Nothing more will be appended: write all there is, then a clean checkpoint (rule 7.6)."""
        self._is_finishing = True
        self.on_work()

    def batch_done(self, batch: Batch, error: OSError | None) -> None:
        """Take the outcome of a batch: call back, or stall."""
        self._under_way = None
        if isinstance(batch, CheckpointBatch):
            self._checkpoint_done(batch, error)
        elif error is None:
            self._data_done(batch)
        else:
            self._data_failed(batch, error)

    def _take_data(self) -> DataBatch | None:
        now = self._clock()
        if self._waiting:
            stretch = self._waiting.popleft()
        else:
            lazy_is_due = self._lazy_since is not None and now >= self._lazy_since + self.settings.lazy_delay_s
            if not (self._gathering.is_awaited or lazy_is_due or self._sync_is_due(now) or self._is_finishing):
                return None
            self._gather_lazy()
            stretch = self._gathering
            if not stretch.count and not (
                self._sync_is_due(now) or (self._is_finishing and self._written > self._synced)
            ):
                return None
            self._gathering = self._begin_stretch(self._active)
        segment = stretch.segment
        unsynced_octets = stretch.octets + (self._unsynced.octets if self._unsynced else 0)
        is_synced = (
            stretch.seals
            or (stretch.is_awaited and self.settings.sync == "always")
            or self._sync_is_due(now)
            or unsynced_octets > self.settings.unsynced_octets
            or self._is_finishing
        )
        header: bytes | None = None
        failed: Part | None = None
        last = segment.parts[-1] if segment.parts else None
        if last is None or last.has_failed:
            failed = last
            part = Part(
                last.index + 1 if last else 0,
                f"{self._directory}/{SEGMENTS}/{segment_name(segment.number, last.index + 1 if last else 0)}",
                stretch.offset,
            )
            segment.parts.append(part)
            header = SegmentHeader(
                self._identity,
                segment.number,
                part.index,
                part.base,
                stretch.first_reference,
                stretch.first_record,
                segment.previous_record,
                segment.previous_references,
            ).encode()
            is_synced = True
        return DataBatch(
            self._directory,
            stretch,
            segment.parts[-1],
            header,
            failed,
            is_synced=is_synced,
            room_octets=self.settings.room_octets,
        )

    def _sync_is_due(self, now: float) -> bool:
        return (
            self._unsynced is not None
            and self.settings.sync == "interval"
            and now >= self._unsynced_since + self.settings.sync_interval_s
        )

    def _gather_lazy(self) -> None:
        """Put what needs no hurry behind what does."""
        self._lazy_since = None
        removed, self._removed = self._removed, {}
        marked, self._marked = self._marked, {}
        seed = self._active.seed
        if marked := {key: mark for key, mark in marked.items() if self._is_live(*key)}:
            self._gather(encode(seed, self._next_record, MARK, encode_marks(marked)), False)
        if removed:
            self._gather(encode(seed, self._next_record, REMOVE, encode_ranges(removed)), False)
        if self._synced > self._noted_synced and (self._gathering.count or self._must_note_synced):
            self._noted_synced = self._synced
            payload = encode_synced(self._synced, self._active.references)
            self._gather(encode(seed, self._next_record, SYNCED, payload), False)
        self._lazy_since = None

    @property
    def _must_note_synced(self) -> bool:
        """Whether something that somebody waited for is on disk, and nothing there says so yet.

        Until it does, damage at the journal's end could be taken for what a crash tore off.
        """
        return self._noted_synced < self._last_awaited <= self._synced

    def _is_live(self, number: int, ordinal: int) -> bool:
        segment = self.segments.get(number)
        return segment is not None and segment.is_live(ordinal)

    def _data_done(self, batch: DataBatch) -> None:
        stretch = batch.stretch
        segment = stretch.segment
        last_record = stretch.last_record
        self._written = max(self._written, last_record)
        batch.part.written = batch.part.position(stretch.offset + stretch.octets)
        self._unwritten_octets -= stretch.octets
        if self._unsynced:
            self._unsynced.absorb(stretch)
            stretch = self._unsynced
        if batch.is_synced:
            self._unsynced = None
            self._synced = max(self._synced, last_record)
            self._settle(stretch)
            self._retire()
            if self._must_note_synced and self._lazy_since is None:
                self._lazy_since = self._clock()
        elif self.settings.sync == "never":
            self._settle(stretch)
        elif self._unsynced is None:
            self._unsynced = stretch
            self._unsynced_since = self._clock()
        if stretch.seals:
            segment.is_sealed = True
            for part in segment.parts:
                part.file = None
            if self._is_dead(segment):
                self._bury(segment)
        if self.stalled:
            self.stalled = None
            self.on_stalled(None)
        if batch.is_synced or self.settings.sync != "always":
            self._release(last_record)

    def _settle(self, stretch: Stretch) -> None:
        """Forget the octets of a stretch that won't have to be written again."""
        segment = stretch.segment
        segment.safe_end = stretch.offset + stretch.octets
        segment.safe_references = stretch.references
        segment.unwritten.remove(stretch)

    def _release(self, record: int) -> None:
        self._released = max(self._released, record)
        callbacks = self._callbacks
        while callbacks and callbacks[0][0] <= self._released:
            callbacks.popleft()[1]()

    def _data_failed(self, batch: DataBatch, error: OSError) -> None:
        """Give up the file; what it doesn't surely hold goes to the front again, for another one."""
        batch.part.has_failed = True
        stretch = batch.stretch
        if self._unsynced:
            self._unwritten_octets += self._unsynced.octets
            self._unsynced.absorb(stretch)
            stretch, self._unsynced = self._unsynced, None
        self._waiting.appendleft(stretch)
        self._may_write = False
        was_well, self.stalled = self.stalled is None, error
        if was_well:
            self.on_stalled(error)

    # ---- checkpoints

    def _checkpoint_is_due(self) -> bool:
        if self._is_finishing:
            is_due = not (self._waiting or self._gathering.count or self._written > self._synced)
        else:
            is_due = bool(self._dead) or self._checkpoint_is_wanted
        now = self._clock()
        is_soon = now < self._checkpoint_not_before and len(self._dead) < 2 and not self._is_finishing
        return is_due and not is_soon and now >= self._checkpoint_blocked_until

    def _take_checkpoint(self) -> CheckpointBatch:
        dead, self._dead = self._dead, {}
        checkpoint = Checkpoint(
            self._identity,
            self._next_record - 1,
            self._synced,
            self._active.number,
            self._is_finishing,
            self._snapshot(),
            [
                SegmentState(
                    segment.number,
                    segment.first_record,
                    segment.references,
                    segment.safe_references,
                    bytes(segment.gone),
                    dict(segment.marks),
                    segment.is_damaged,
                )
                for segment in self.segments.values()
                if segment.number not in dead or segment.is_damaged
            ],
        )
        return CheckpointBatch(
            self._directory, checkpoint, list(dead.values()), self._leftover, self.settings.reserve_octets
        )

    def _checkpoint_done(self, batch: CheckpointBatch, error: OSError | None) -> None:
        now = self._clock()
        if error:
            self._checkpoint_blocked_until = now + self.settings.checkpoint_interval_s
            self._dead.update({segment.number: segment for segment in batch.dead})
            return
        self._checkpoint_not_before = now + self.settings.checkpoint_interval_s
        self._checkpoint_is_wanted = False
        self._leftover = batch.leftover
        for segment in batch.dead:
            if segment in batch.buried:
                for part in segment.parts:
                    part.file = None  # while it is open, the disk has no use of its room
                del self.segments[segment.number]
                self._removed.pop(segment.number, None)
            else:
                self._dead[segment.number] = segment
                self._checkpoint_blocked_until = now + self.settings.checkpoint_interval_s
        self.is_finished = batch.checkpoint.is_clean

    # ---- moving

    def move(self, segment: Segment, record: bytes, references: Sequence[tuple[int, Reference]]) -> None:
        """Append a message again, for those of its references that are live. For rewriting.

        Args:
            segment: where it was.
            record: the valid PUBLISH record.
            references: ordinal in `segment` and reference, of the live ones.
        """
        message = decode_message(record)
        location = self.append_publish(
            message.address,
            message.header,
            message.body,
            [reference for _, reference in references],
            origin=segment.number,
        )
        for index, (ordinal, (queue_id, position, _, _)) in enumerate(references):
            moved = location.reference(index)
            mark = segment.marks.get(ordinal)
            if mark:
                self.mark(moved, *mark)
            self.on_moved(queue_id, position, moved)
        old = [(ordinal, len(record)) for ordinal, _ in references]
        self._retiring.append((self._next_record - 1, segment, old))

    def _retire(self) -> None:
        """What was moved is on disk at its new place: it is gone at the old one."""
        while self._retiring and self._retiring[0][0] <= self._synced:
            _, segment, references = self._retiring.popleft()
            for ordinal, octets in references:
                if segment.remove(ordinal, octets):
                    self._note_removed(segment, ordinal)


def _nothing() -> None:
    """Nobody wants to know."""


def _nothing_of_it(_error: OSError | None) -> None:
    """Nobody wants to know."""


def _nothing_moved(_queue_id: int, _position: int, _location: Location) -> None:
    """Nobody wants to know."""
