"""Recovery: from files back to what was stored.

It reads the checkpoint, then every segment that may hold something live, and says in a report what a crash cut off
and what a disk has lost. What stays true:

- a torn tail, the end of the last segment from the first record on that was never known to be on disk, is cut
  off. That is what a crash leaves, and nobody was told of those records;
- any other hole is damage: it is reported, all that is valid behind it is recovered, and the file is kept: as long
  as something in it is live where it is, then in `damaged/`;
- messages come in the order they were appended, but those moved by rewriting come later than that: the broker
  orders a queue by position.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from amqp_broker.forms import is_compiled
from amqp_broker.storage.batch import DAMAGED, SEGMENTS, free_name, set_aside
from amqp_broker.storage.checkpoint import CHECKPOINT_NAME, Checkpoint, SegmentState, read_checkpoint
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.errors import StorageError
from amqp_broker.storage.journal import JournalState
from amqp_broker.storage.page import Page, Pages
from amqp_broker.storage.records import (
    HEAD,
    HEAD_OCTETS,
    MARK,
    MOVED,
    PUBLISH,
    PUBLISH_HEAD,
    PUBLISH_HEAD_OCTETS,
    PUBLISH_TO_ONE,
    REDELIVERED,
    REFERENCE,
    REFERENCE_OCTETS,
    REMOVE,
    SYNCED,
    TOPOLOGY,
    TRANSIENT,
    Location,
    StoredMessage,
    decode_marks,
    decode_message,
    decode_ranges,
    decode_references,
    decode_synced,
    new_location,
)
from amqp_broker.storage.scan import Hole, Scan, read_segment, scan
from amqp_broker.storage.segment import (
    HEADER_OCTETS,
    IDENTITY_OCTETS,
    Part,
    Segment,
    SegmentHeader,
    parse_segment_name,
    seed_of,
    segment_name,
    set_bits,
)

COMPILED = is_compiled()
if COMPILED:
    from amqp_broker.storage._speedups import take_rows


class Damage(NamedTuple):
    """Something that can't be read, although it was on disk.

    Attributes:
        path: the file.
        offset: where in the file it begins.
        octets: how many.
        segment: number of the segment, 0 for another file.
        first_record: number of the first record in it; 0 if no record was in it.
        records: how many records, or 0 if that can't be told.
        lost: the references lost: (first ordinal, count) ranges.
        suspects: (queue id, position) of lost references, as far as the damaged octets still tell.
        what: in words.
    """

    path: str
    offset: int
    octets: int
    segment: int
    first_record: int
    records: int
    lost: list[tuple[int, int]]
    suspects: list[tuple[int, int]]
    what: str

    def __str__(self) -> str:
        text = f"{self.path}: offset {self.offset}, {self.octets} octets: {self.what}"
        if self.lost:
            count = sum(count for _, count in self.lost)
            text += f"; {count} message reference{'s' if count > 1 else ''} lost"
        if self.suspects:
            named = ", ".join(f"{position} of queue {queue_id}" for queue_id, position in self.suspects[:10])
            text += f", probably position {named}" + (", ..." if len(self.suspects) > 10 else "")
        return text


class TornTail(NamedTuple):
    """What a crash left of records nobody was told of. The whole of a file (offset 0) goes to `damaged/`."""

    path: str
    offset: int
    octets: int
    first_record: int

    def __str__(self) -> str:
        return f"{self.path}: cut off {self.octets} octets at offset {self.offset}, unfinished when the broker stopped"


class RecoveredReference(NamedTuple):
    """A message in a queue. `content` only if it was asked for."""

    queue_id: int
    position: int
    expires_at_ms: int
    flags: int
    delivery_count: int
    body_octets: int
    location: Location
    content: StoredMessage | None


RecoveredRow = tuple[int, int, int, int, int, int, int, int, int]
"""Of a RecoveredReference: queue_id, position, expires_at_ms, flags, delivery_count, body_octets; of its location:
ordinal, offset, length."""


class Recovery:
    """What was found in a data directory.

    First read `messages` to its end, dropping (`Journal.remove`) what belongs to no queue, then take `journal_state`.

    Attributes:
        is_new: there was no journal.
        was_clean: the broker had stopped in peace: what is not marked as redelivered was never delivered.
        snapshot: the broker's, from the checkpoint; None if there was none or it is lost.
        topology: (kind, payload) of the changes since, in order.
        damage: what the disk has lost.
        torn: what the crash has cut off.
    """

    def __init__(self, disk: Disk, directory: str) -> None:
        self.is_new = True
        self.was_clean = False
        self.snapshot: bytes | None = None
        self.topology: list[tuple[int, bytes]] = []
        self.damage: list[Damage] = []
        self.torn: list[TornTail] = []
        self._disk = disk
        self._directory = directory
        self._identity = b""
        self._segments: dict[int, Segment] = {}
        self._scans: dict[int, Scan] = {}
        self._next_segment = 1
        self._next_record = 1
        self._last_record = 0
        self._superseded: dict[tuple[int, int], tuple[int, int]] = {}
        self._origins: set[int] = set()
        self._is_read = False

    @property
    def journal_state(self) -> JournalState:
        """Where a journal goes on from here."""
        if not self._is_read:
            raise StorageError("messages() was not read to its end")
        return JournalState(self._identity, self._segments, self._next_segment, self._next_record, self._last_record)

    def messages(self, *, with_content: bool = False) -> Iterator[RecoveredReference]:
        """Yield what is live, about in the order it was appended. One segment is in memory at a time.

        Args:
            with_content: whether to give the messages as well.
        """
        for segment, found, data in self._with_live():
            number, rows = segment.number, self._rows(segment, data, found.publishes)
            for queue_id, position, expires_at_ms, flags, deliveries, body_octets, ordinal, offset, octets in rows:
                yield RecoveredReference(
                    queue_id,
                    position,
                    expires_at_ms,
                    flags,
                    deliveries,
                    body_octets,
                    new_location(number, ordinal, offset, octets),
                    decode_message(data, offset) if with_content else None,
                )

    def queues(self, crashed_before: int) -> dict[int, list[Page]]:
        """Do as `messages`, much faster: what is live by queue id, in pages in the order of positions.

        Args:
            crashed_before: what lies in segments before this one may have been delivered.
        """
        pages_of: defaultdict[int, Pages] = defaultdict(Pages)
        for segment, found, data in self._with_live():
            publishes, marks = found.publishes, REDELIVERED if segment.number < crashed_before else 0
            if not COMPILED or segment.number in self._origins:
                self._append(pages_of, self._rows(segment, data, publishes), segment.number, marks)
                continue
            index = 0
            while index < len(publishes):
                index, live, live_octets, all_octets = take_rows(
                    data, publishes, index, segment.gone, segment.marks, segment.number, marks, pages_of
                )
                segment.live += live
                segment.live_octets += live_octets
                segment.all_octets += all_octets
                unusual = publishes[index : index + 1]
                self._append(pages_of, self._rows(segment, data, unusual), segment.number, marks)
                index += 1
        return {queue_id: pages.finish() for queue_id, pages in pages_of.items()}

    @staticmethod
    def _append(pages_of: defaultdict[int, Pages], rows: Iterator[RecoveredRow], segment: int, marks: int) -> None:
        for queue_id, position, expires_at_ms, flags, delivery_count, octets, ordinal, offset, length in rows:
            redelivered = (flags | marks) & REDELIVERED != 0
            pages_of[queue_id].append(
                position, segment, ordinal, offset, length, octets, expires_at_ms / 1000, redelivered, delivery_count
            )

    def _with_live(self) -> Iterator[tuple[Segment, Scan, bytes]]:
        """Yield segments that have something live, with their octets, one in memory at a time."""
        for segment in self._segments.values():
            segment.live = segment.live_octets = segment.all_octets = 0
        for number, found in self._scans.items():
            segment = self._segments[number]
            if segment.has_live:
                yield segment, found, read_segment(self._disk, segment.parts)
        self._is_read = True

    def _rows(self, segment: Segment, data: bytes, publishes: array[int]) -> Iterator[RecoveredRow]:
        """Yield what is live of some PUBLISH records, and count all of them; to be read to its end."""
        number, gone, marks = segment.number, segment.gone, segment.marks
        superseded = self._superseded if number in self._origins else None
        unpack, unpack_reference = PUBLISH_TO_ONE.unpack_from, REFERENCE.unpack_from
        live = live_octets = all_octets = 0
        for offset in publishes:
            (
                _, length, _, _, ordinal, count, _, address_octets, header_octets,
                queue_id, position, expires_at_ms, flags,
            ) = unpack(data, offset)  # fmt: skip
            octets = HEAD_OCTETS + length
            all_octets += octets * count
            body_octets = length - 20 - REFERENCE_OCTETS * count - address_octets - header_octets
            last = ordinal + count - 1
            next_reference = offset + PUBLISH_HEAD_OCTETS
            while True:
                if not gone[ordinal >> 3] >> (ordinal & 7) & 1:
                    if flags & TRANSIENT or (
                        superseded and superseded.get((queue_id, position), (number, ordinal)) != (number, ordinal)
                    ):
                        gone[ordinal >> 3] |= 1 << (ordinal & 7)
                    else:
                        live += 1
                        live_octets += octets
                        deliveries = 0
                        if ordinal in marks:
                            deliveries, flags = marks[ordinal]
                        yield queue_id, position, expires_at_ms, flags, deliveries, body_octets, ordinal, offset, octets
                if ordinal == last:
                    break
                ordinal += 1
                next_reference += REFERENCE_OCTETS
                queue_id, position, expires_at_ms, flags = unpack_reference(data, next_reference)
        segment.live += live
        segment.live_octets += live_octets
        segment.all_octets += all_octets


class _Reader:
    """The work of `recover`, step by step."""

    def __init__(self, disk: Disk, directory: str, *, repairs: bool) -> None:
        self.disk = disk
        self.directory = directory
        self.folder = f"{directory}/{SEGMENTS}"
        self.repairs = repairs
        self.result = Recovery(disk, directory)
        self.segments = self.result._segments
        self.checkpoint: Checkpoint | None = None
        self.states: dict[int, SegmentState] = {}
        self.useless: list[str] = []  # files of dead segments, and files that were never begun in earnest
        self.unreadable: list[str] = []  # files of which nothing can be used
        self.headless: set[int] = set()  # segments whose header is lost
        self.synced = 0  # the last record known to have been on disk
        self.covered = 0  # the last record whose effects are in the checkpoint

    def run(self) -> Recovery:
        result = self.result
        if self.repairs:
            self.disk.make_directory(self.folder)
        self._read_checkpoint()
        files = self._list_files()
        result.is_new = not files and self.checkpoint is None and not result.damage
        self._make_segments(files)
        newest = max([self.checkpoint.active if self.checkpoint else 0, *files])
        last = max(self.segments, default=0)
        for segment in self.segments.values():
            self._read_segment(segment, is_last=segment.number == last)
        for number, state in self.states.items():
            if number not in self.segments:
                self._report_missing(state)
        result._next_segment = newest + 1
        result._last_record = max(result._last_record, self.synced)
        result._next_record = max(result._last_record, self.covered) + 1
        result.was_clean = bool(
            self.checkpoint
            and self.checkpoint.is_clean
            and result._last_record <= self.covered
            and newest == self.checkpoint.active
        )
        if self.repairs:
            self._repair(last)
        return result

    # ---- what there is

    def _read_checkpoint(self) -> None:
        path = f"{self.directory}/{CHECKPOINT_NAME}"
        self.checkpoint, damage = read_checkpoint(self.disk, self.directory)
        if damage:
            size = self.disk.open_for_reading(path).size()
            if self.checkpoint is None:
                damage += ": what it said of topology and of messages gone is lost"
            self.result.damage.append(Damage(path, 0, size, 0, 0, 0, [], [], damage))
        if self.checkpoint:
            self.result.snapshot = self.checkpoint.snapshot
            self.covered, self.synced = self.checkpoint.record, self.checkpoint.safe_record
            self.states = {state.number: state for state in self.checkpoint.segments}

    def _list_files(self) -> dict[int, list[Part]]:
        """List the segments' files, those of dead segments left out."""
        files: dict[int, list[Part]] = {}
        for name in self.disk.names(self.folder):
            parsed = parse_segment_name(name)
            if parsed is None:
                continue
            number, index = parsed
            path = f"{self.folder}/{name}"
            if self.checkpoint and number <= self.checkpoint.active and number not in self.states:
                self.useless.append(path)
            else:
                files.setdefault(number, []).append(Part(index, path, HEADER_OCTETS))
        for parts in files.values():
            parts.sort(key=lambda part: part.index)
        return dict(sorted(files.items()))

    def _make_segments(self, files: dict[int, list[Part]]) -> None:
        headers: dict[str, SegmentHeader] = {}
        for parts in files.values():
            for part in parts:
                start = self.disk.open_for_reading(part.path).pread(HEADER_OCTETS, 0)
                if header := SegmentHeader.decode(start, part.path):
                    headers[part.path] = header
        if self.checkpoint:
            identity = self.checkpoint.identity
        else:
            identity = next((header.identity for header in headers.values()), os.urandom(IDENTITY_OCTETS))
        self.result._identity = identity
        newest = max(files, default=0)
        for number, parts in files.items():
            usable: list[Part] = []
            for index, part in enumerate(parts):
                header = headers.get(part.path)
                later = [headers[other.path] for other in parts[index + 1 :] if other.path in headers]
                if header and header[:3] == (identity, number, part.index):
                    part.base = header.base
                    usable.append(part)
                elif header:
                    self._report_unreadable(part, number, "it is a file of another journal or segment")
                elif later and (part.index or later[0].base == HEADER_OCTETS):
                    self.useless.append(part.path)  # the disk refused it, and the segment went on elsewhere
                elif number == newest and not self._was_begun(part, number):
                    self._report_unfinished(part)
                elif part.index:
                    self._report_unreadable(part, number, "its header can't be read")
                else:
                    usable.append(part)
                    self.headless.add(number)
            if usable:
                self._make_segment(number, usable, headers.get(usable[0].path))

    def _was_begun(self, part: Part, number: int) -> bool:
        """Tell whether a file without a header ever had one on disk."""
        state = self.states.get(number)
        if state and part.index == 0 and self.synced >= state.first_record:
            return True
        data = read_segment(self.disk, [part])
        found = scan(data, seed_of(self.result._identity, number), 1, is_number_known=False)
        first = min([_number_at(data, offset) for offset in (*found.publishes[:1], *found.others[:1])], default=0)
        return any(kind == SYNCED and decode_synced(payload)[0] >= first for kind, payload, _ in _others(found))

    def _make_segment(self, number: int, parts: list[Part], header: SegmentHeader | None) -> None:
        state = self.states.get(number)
        first_record = state.first_record if state else 1
        if number in self.headless or header is None or header.base != HEADER_OCTETS:
            self.headless.add(number)
            header = None
        segment = Segment(
            number, header.first_record if header else first_record, seed_of(self.result._identity, number)
        )
        segment.previous_record = header.previous_record if header else 0
        segment.previous_references = header.previous_references if header else 0
        segment.parts = parts
        segment.is_sealed = True
        if state:
            segment.references = state.references
            segment.gone = bytearray(state.gone)
            segment.marks = state.marks
            segment.is_damaged = state.is_damaged
        self.segments[number] = segment

    # ---- one segment

    def _read_segment(self, segment: Segment, *, is_last: bool) -> None:
        state = self.states.get(segment.number)
        data = read_segment(self.disk, segment.parts)
        found = scan(
            data,
            segment.seed,
            segment.first_record,
            is_number_known=segment.number not in self.headless or state is not None,
        )
        for kind, payload, _ in _others(found):
            if kind == SYNCED:
                self.synced = max(self.synced, decode_synced(payload)[0])
        if segment.number in self.headless:
            self._report(segment, found, Hole(0, HEADER_OCTETS, segment.first_record, segment.first_record), [])
        lost = self._judge(segment, found, is_last=is_last)
        end = _end_of_references(found, len(found.publishes))
        if end < segment.references:
            lost.append((end, segment.references - end))
        segment.references = max([segment.references, end, *map(sum, lost)])
        segment.gone.extend(bytes(((segment.references + 7) >> 3) - len(segment.gone)))
        for first, count in lost:
            set_bits(segment.gone, first, count)
        segment.safe_references = segment.references
        segment.end = segment.safe_end = len(found.data)
        self.result._last_record = max(self.result._last_record, found.last_record)
        self._replay(found)
        self._note_moved(segment, found)
        found.data = b""
        self.result._scans[segment.number] = found

    def _judge(self, segment: Segment, found: Scan, *, is_last: bool) -> list[tuple[int, int]]:
        """Tell damage from a torn tail; return the ranges of ordinals lost."""
        lost: list[tuple[int, int]] = []
        for hole in list(found.holes):
            if is_last and hole.first_record > self.synced:
                part = segment.part_at(hole.offset)
                octets = len(found.data[hole.offset :].rstrip(b"\0"))
                if octets:  # else it is the room that was made for more
                    self.result.torn.append(TornTail(part.path, part.position(hole.offset), octets, hole.first_record))
                found.cut(hole)
                break
            before = bisect_left(found.publishes, hole.offset)
            first = _end_of_references(found, before)
            if before < len(found.publishes):
                end = PUBLISH_HEAD.unpack_from(found.data, found.publishes[before])[4]
            else:
                end = max(first, self._references_of(segment, found))
            missing = _live_ranges(segment, first, end - first)
            lost.append((first, end - first))
            if not segment.is_damaged or missing:
                self._report(segment, found, hole, missing)
        last_record = self._last_record_of(segment)
        if found.last_record < last_record and not (found.holes and found.holes[-1].next_record == 0):
            first = _end_of_references(found, len(found.publishes))
            missing = _live_ranges(segment, first, self._references_of(segment, found) - first)
            if not segment.is_damaged or missing:
                size = len(found.data)
                self._report(segment, found, Hole(size, size, found.last_record + 1, last_record + 1), missing)
        if any(hole.first_record for hole in found.holes):
            segment.is_damaged = True
        return lost

    def _last_record_of(self, segment: Segment) -> int:
        """Return the last record a segment must have had, 0 if nobody knows."""
        following = self.segments.get(segment.number + 1)
        if following:
            return following.previous_record
        if self.checkpoint and self.checkpoint.active == segment.number:
            return self.checkpoint.safe_record
        return 0

    def _references_of(self, segment: Segment, found: Scan) -> int:
        """Return how many references a segment must have had, as far as anything tells."""
        following = self.segments.get(segment.number + 1)
        synced = [decode_synced(payload)[1] for kind, payload, _ in _others(found) if kind == SYNCED]
        return max([segment.references, following.previous_references if following else 0, *synced])

    def _replay(self, found: Scan) -> None:
        for kind, payload, number in _others(found):
            if number <= self.covered:
                continue
            if kind == TOPOLOGY:
                self.result.topology.append((payload[0], payload[1:]))
            elif kind == REMOVE:
                for segment_number, first, count in decode_ranges(payload):
                    if segment := self.segments.get(segment_number):
                        set_bits(segment.gone, first, count)
            elif kind == MARK:
                for segment_number, ordinal, deliveries, flags in decode_marks(payload):
                    if segment := self.segments.get(segment_number):
                        segment.marks[ordinal] = (deliveries, flags)

    def _note_moved(self, segment: Segment, found: Scan) -> None:
        """A moved message whose original is still there: only the later one counts."""
        for offset in found.moved:
            first, _, origin = PUBLISH_HEAD.unpack_from(found.data, offset)[4:7]
            if origin in self.segments:
                self.result._origins.add(origin)
                for index, (queue_id, position, _, _) in enumerate(decode_references(found.data, offset)):
                    self.result._superseded[queue_id, position] = (segment.number, first + index)

    # ---- what is reported

    def _report(self, segment: Segment, found: Scan, hole: Hole, lost: list[tuple[int, int]]) -> None:
        segment.is_damaged = True
        part = segment.part_at(hole.offset) if hole.offset >= HEADER_OCTETS else segment.parts[0]
        records = max(0, hole.next_record - hole.first_record)
        if hole.offset < HEADER_OCTETS:
            what = "the header of the segment"
        elif hole.offset == hole.end:
            what = f"the end of the segment is missing, {records} records"
        elif hole.next_record:
            what = f"{records} damaged record{'s' if records != 1 else ''} from number {hole.first_record} on"
        else:
            what = f"nothing can be read from record {hole.first_record} to the end of the segment"
        suspects = [] if hole.offset < HEADER_OCTETS else _suspects(found.data, hole)
        self.result.damage.append(
            Damage(
                part.path,
                part.position(hole.offset),
                hole.end - hole.offset,
                segment.number,
                hole.first_record,
                records,
                lost,
                suspects,
                what,
            )
        )

    def _report_unreadable(self, part: Part, number: int, what: str) -> None:
        size = self.disk.open_for_reading(part.path).size()
        self.result.damage.append(Damage(part.path, 0, size, number, 0, 0, [], [], what))
        self.unreadable.append(part.path)

    def _report_unfinished(self, part: Part) -> None:
        """The crash came before the file's first fsync. Should it be damage after all, it is still there."""
        file = self.disk.open_for_reading(part.path)
        size = file.size()
        if any(file.pread(size, HEADER_OCTETS)):
            self.result.torn.append(TornTail(part.path, 0, size, 0))
            self.unreadable.append(part.path)
        else:
            self.useless.append(part.path)

    def _report_missing(self, state: SegmentState) -> None:
        segment = Segment(state.number, state.first_record, 0)
        segment.references = state.safe_references
        segment.gone = bytearray(state.gone)
        if lost := _live_ranges(segment, 0, state.safe_references):
            path = f"{self.folder}/{segment_name(state.number, 0)}"
            self.result.damage.append(
                Damage(path, 0, 0, state.number, state.first_record, 0, lost, [], "the file is missing")
            )

    # ---- what is changed

    def _repair(self, last: int) -> None:
        """Make the files say what was found, so that nothing that was cut off can come back."""
        if last:
            segment = self.segments[last]
            kept = []
            for part in segment.parts:
                if part.base > segment.end:
                    self.useless.append(part.path)
                    continue
                kept.append(part)
                file = self.disk.open(part.path)
                if part is segment.part_at(segment.end) and file.size() > part.position(segment.end):
                    file.truncate(part.position(segment.end))
                # What a killed broker wrote may be in the page cache only, and is reported as recovered.
                file.fsync()
            segment.parts = kept
        for path in self.useless:
            self.disk.unlink(path)
        if any(damage.segment == 0 for damage in self.result.damage):
            self._copy_checkpoint()
        if self.unreadable:
            set_aside(self.disk, self.directory, self.unreadable)
        self.disk.fsync_directory(self.folder)
        self.disk.fsync_directory(self.directory)

    def _copy_checkpoint(self) -> None:
        """Keep a damaged checkpoint: the next one takes its place."""
        aside = f"{self.directory}/{DAMAGED}"
        self.disk.make_directory(aside)
        source = self.disk.open_for_reading(f"{self.directory}/{CHECKPOINT_NAME}")
        copy = self.disk.create(f"{aside}/{free_name(CHECKPOINT_NAME, set(self.disk.names(aside)))}")
        copy.pwrite(source.pread(source.size(), 0), 0)
        copy.fsync()
        self.disk.fsync_directory(aside)


def recover(disk: Disk, directory: str) -> Recovery:
    """Read a data directory, which is made if need be, and cut off what a crash left unfinished.

    Raises:
        UnknownFormat: it is of a later version of the broker.
        OSError: the disk refuses.
    """
    return _Reader(disk, directory, repairs=True).run()


def inspect(disk: Disk, directory: str) -> Recovery:
    """Do as `recover`, without changing anything."""
    return _Reader(disk, directory, repairs=False).run()


def _others(found: Scan) -> Iterator[tuple[int, bytes, int]]:
    """Yield type, payload and number of all records that aren't messages."""
    for offset in found.others:
        _, length, number, kind = HEAD.unpack_from(found.data, offset)
        start = offset + HEAD_OCTETS
        yield kind, found.data[start : start + length], number


def _number_at(data: bytes, offset: int) -> int:
    number: int = HEAD.unpack_from(data, offset)[2]
    return number


def _end_of_references(found: Scan, publishes: int) -> int:
    """Return the ordinal after those of so many PUBLISH records."""
    if not publishes:
        return 0
    head = PUBLISH_HEAD.unpack_from(found.data, found.publishes[publishes - 1])
    first: int = head[4]
    count: int = head[5]
    return first + count


def _live_ranges(segment: Segment, first: int, count: int) -> list[tuple[int, int]]:
    """Return those of a range of ordinals that aren't known to be gone, as (first, count)."""
    ranges: list[tuple[int, int]] = []
    gone = segment.gone
    for ordinal in range(first, first + count):
        if ordinal >> 3 < len(gone) and gone[ordinal >> 3] >> (ordinal & 7) & 1:
            continue
        if ranges and sum(ranges[-1]) == ordinal:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((ordinal, 1))
    return ranges


def _suspects(data: bytes, hole: Hole) -> list[tuple[int, int]]:
    """Read the references of a damaged PUBLISH at the beginning of a hole, if it looks like one."""
    if hole.end - hole.offset < PUBLISH_HEAD_OCTETS + REFERENCE_OCTETS:
        return []
    _, _, number, kind, _, count, *_ = PUBLISH_HEAD.unpack_from(data, hole.offset)
    end_of_references = hole.offset + PUBLISH_HEAD_OCTETS + REFERENCE_OCTETS * count
    if kind not in (PUBLISH, MOVED) or number != hole.first_record or end_of_references > hole.end:
        return []
    return [(queue_id, position) for queue_id, position, _, _ in decode_references(data, hole.offset)]
