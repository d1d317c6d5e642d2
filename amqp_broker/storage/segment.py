"""Segments: the header of a file, and what memory knows of a segment.

A segment is one file, but for a failed disk. When a write or fsync fails, nothing more is written to that file,
for what it holds beyond its last good fsync is unknown. The segment goes on in another file, a *part*, whose
header says at which offset of the segment it takes over. So offsets stay what they were, and nobody has to be told.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final, NamedTuple

from google_crc32c import value

from amqp_broker.storage.disk import Disk, File
from amqp_broker.storage.errors import UnknownFormat
from amqp_broker.storage.records import CRC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.storage.batch import Stretch

FORMAT_VERSION: Final = 1
IDENTITY_OCTETS: Final = 16

_MAGIC = b"AMQPJRNL"
_COPY = Struct(">8sHHIIIQQI16s")  # and a CRC
_COPY_OCTETS = _COPY.size + CRC.size
HEADER_OCTETS: Final = 2 * _COPY_OCTETS
"""The header stands there twice: without its seed no record of the file could be believed."""

_NAME = re.compile(r"(\d{16})(?:\.(\d+))?\.seg")


def segment_name(number: int, part: int) -> str:
    """Name the file of a part: 0000000000000007.seg, and 0000000000000007.1.seg once that has failed."""
    return f"{number:016d}.{part}.seg" if part else f"{number:016d}.seg"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Read number and part from the name of a file, None if it is no segment's."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2] or 0)) if match else None


def seed_of(identity: bytes, number: int) -> int:
    """From what the CRCs of a segment start."""
    seed: int = value(identity + number.to_bytes(4, "big"))
    return seed


class SegmentHeader(NamedTuple):
    """The header of a part.

    Attributes:
        identity: random octets, the same in the whole journal.
        number: the segment's.
        part: 0 for the segment's first file.
        base: offset in the segment of the first octet after this header.
        first_ordinal: ordinal the next reference in this part gets.
        first_record: number of this part's first record.
        previous_record: number of the last record before the segment, one less than its first unless a crash lost
            some.
        previous_references: how many references the segment before has; 0 if that isn't known.
    """

    identity: bytes
    number: int
    part: int
    base: int
    first_ordinal: int
    first_record: int
    previous_record: int
    previous_references: int

    def encode(self) -> bytes:
        copy = _COPY.pack(_MAGIC, FORMAT_VERSION, self.part, self.number, *self[3:], self.identity)
        copy += CRC.pack(value(copy))
        return copy + copy

    @classmethod
    def decode(cls, data: bytes, path: str) -> SegmentHeader | None:
        """Read whichever copy is good; None if there is none.

        Raises:
            UnknownFormat: a good copy is of a later version.
        """
        for start in (0, _COPY_OCTETS):
            copy = data[start : start + _COPY_OCTETS]
            if len(copy) < _COPY_OCTETS or copy[-4:] != CRC.pack(value(copy[:-4])):
                continue
            magic, version, part, number, *fields, identity = _COPY.unpack_from(copy)
            if magic != _MAGIC:
                continue
            if version != FORMAT_VERSION:
                raise UnknownFormat(path, version)
            return cls(identity, number, part, *fields)
        return None


class Part:
    """One file of a segment.

    Attributes:
        index: 0 for the first.
        path: of the file.
        base: offset in the segment at which it takes over.
        file: open for reading or, while it is the last of the active segment, for writing.
        has_failed: a write or fsync failed: it is never written to again.
        room: octets of the file up to the end of the zeros that were written for later records; the writer's.
        written: octets of the file up to the end of the last write that went well.
    """

    __slots__ = ("base", "file", "has_failed", "index", "path", "room", "written")

    def __init__(self, index: int, path: str, base: int) -> None:
        self.index = index
        self.path = path
        self.base = base
        self.file: File | None = None
        self.has_failed = False
        self.room = 0
        self.written = 0

    def position(self, offset: int) -> int:
        """From an offset of the segment to one of the file."""
        return offset - self.base + HEADER_OCTETS


class Segment:
    """What memory knows of a segment.

    Offsets count from the beginning of the first file, with its header.

    Attributes:
        end: offset after what has been appended, written or not.
        safe_end: offset up to which nothing will have to be written again.
        references: how many references were appended.
        safe_references: how many of them lie before `safe_end`.
        live: how many of them are not gone.
        live_octets: octets of the live references' records. A record counts once a reference, so with fanout
            this is too much by the same factor as `all_octets`: good enough to find a sparse segment.
        gone: one bit a reference, set when it is gone.
        marks: ordinal → (delivery count, flags), where these differ from what was appended.
        unwritten: the stretches behind `safe_end`, by offset.
        previous_record: the last record before its first.
        previous_references: how many references the segment before has; 0 if that isn't known.
        is_sealed: its last stretch is on disk: nothing is written to it any more.
        is_damaged: some of it can't be read; its files are kept when nothing in them is live.
    """

    __slots__ = (
        "all_octets",
        "end",
        "first_record",
        "gone",
        "is_damaged",
        "is_sealed",
        "live",
        "live_octets",
        "marks",
        "number",
        "parts",
        "previous_record",
        "previous_references",
        "references",
        "safe_end",
        "safe_references",
        "seed",
        "unwritten",
    )

    def __init__(self, number: int, first_record: int, seed: int) -> None:
        self.number = number
        self.first_record = first_record
        self.previous_record = first_record - 1
        self.previous_references = 0
        self.seed = seed
        self.parts: list[Part] = []
        self.end = HEADER_OCTETS
        self.safe_end = HEADER_OCTETS
        self.references = 0
        self.safe_references = 0
        self.live = 0
        self.live_octets = 0
        self.all_octets = 0
        self.gone = bytearray()
        self.marks: dict[int, tuple[int, int]] = {}
        self.unwritten: list[Stretch] = []
        self.is_sealed = False
        self.is_damaged = False

    def appended(self, references: int, octets: int) -> None:
        """Count a PUBLISH record of so many octets."""
        self.references += references
        self.live += references
        self.live_octets += references * octets
        self.all_octets += references * octets
        missing = ((self.references + 7) >> 3) - len(self.gone)
        if missing > 0:
            self.gone.extend(bytes(missing))

    @property
    def has_live(self) -> bool:
        """Whether a reference is live, by the bits alone; the last octet may have some to spare."""
        count = self.references  # an int of any size, which the attribute is not once compiled
        every = (1 << count) - 1
        return int.from_bytes(self.gone, "little") & every != every

    def is_live(self, ordinal: int) -> bool:
        return ordinal < self.references and not self.gone[ordinal >> 3] >> (ordinal & 7) & 1

    def remove(self, ordinal: int, octets: int) -> bool:
        """Note that a reference is gone.

        Returns:
            Whether it was live.
        """
        index, bit = ordinal >> 3, 1 << (ordinal & 7)
        if ordinal >= self.references or self.gone[index] & bit:
            return False
        self.gone[index] |= bit
        self.live -= 1
        self.live_octets -= octets
        if self.marks:
            self.marks.pop(ordinal, None)
        return True

    def unwritten_record(self, offset: int, length: int) -> bytes | None:
        """Give a record that is not safely on disk; None for one that is."""
        if offset >= self.safe_end:
            for stretch in self.unwritten:
                start = offset - stretch.offset
                if 0 <= start < len(stretch.data):
                    return bytes(stretch.data[start : start + length])
        return None

    def part_at(self, offset: int) -> Part:
        """Find the file that holds an offset."""
        parts = self.parts
        if len(parts) == 1:
            return parts[0]
        return next(part for part in reversed(parts) if part.base <= offset)

    def read(self, disk: Disk, offset: int, octets: int) -> bytes:
        """Read octets that lie in one part. Safe in a thread."""
        part = self.part_at(offset)
        file = part.file
        if file is None:
            file = part.file = disk.open_for_reading(part.path)
        return file.pread(octets, part.position(offset))


def set_bits(bits: bytearray, first: int, count: int) -> None:
    """Set `count` bits from `first` on; bits beyond the end are left out."""
    count = min(count, len(bits) * 8 - first)
    if count <= 0:
        return
    start, stop = first >> 3, (first + count + 7) >> 3
    mask = ((1 << count) - 1) << (first & 7)
    width = stop - start
    merged = int.from_bytes(bits[start:stop], "little") | mask
    bits[start:stop] = merged.to_bytes(width, "little")
