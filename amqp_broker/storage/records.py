"""Records: the octets of everything the journal says. Knows no files; `docs/journal-format.md` is its picture.

A record is `crc u32 | length u32 | number u64 | type u8 | payload`, big-endian. The CRC-32C covers all that
follows it and starts from its segment's seed, so that a record is valid in its own segment only: neither a stale
block of another file nor a message body that contains a journal can pass for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from google_crc32c import extend

PUBLISH: Final = 0x50  # "P"
MOVED: Final = 0x56  # "V": as PUBLISH, a copy made by rewriting
REMOVE: Final = 0x52  # "R"
MARK: Final = 0x4D  # "M"
TOPOLOGY: Final = 0x54  # "T"
SYNCED: Final = 0x53  # "S"
TYPES: Final = bytes(sorted((PUBLISH, MOVED, REMOVE, MARK, TOPOLOGY, SYNCED)))

REDELIVERED: Final = 0x01
"""Reference flag: the message may have been delivered before."""
TRANSIENT: Final = 0x80
"""Reference flag: only paged out, gone after a restart."""

CRC: Final = Struct(">I")
HEAD: Final = Struct(">IIQB")  # crc, octets of payload, record number, type
HEAD_OCTETS: Final = HEAD.size

PUBLISH_HEAD: Final = Struct(">IIQBIIIII")  # HEAD, first ordinal, references, origin, octets of address, of header
PUBLISH_HEAD_OCTETS: Final = PUBLISH_HEAD.size
REFERENCE: Final = Struct(">QQQB")  # queue id, position, expires at (ms since 1970, 0: never), flags
REFERENCE_OCTETS: Final = REFERENCE.size
PUBLISH_TO_ONE: Final = Struct(">IIQBIIIIIQQQB")  # PUBLISH_HEAD and the first reference

_UNSUMMED_PUBLISH = Struct(">IQBIIIII")
_pack_to_one = Struct(">IQBIIIIIQQQB").pack
_UNSUMMED_HEAD = Struct(">IQB")
_RANGE = Struct(">III")  # segment, first ordinal, count
_MARK = Struct(">IIIB")  # segment, ordinal, delivery count, flags
_SYNCED = Struct(">QI")

Reference = tuple[int, int, int, int]
"""queue_id, position, expires_at_ms (0: never), flags."""


class Location:
    """Where a reference and its message are; `new_location` makes one. It stays what it is.

    Attributes:
        segment: number of the segment.
        ordinal: number of the reference within the segment.
        offset: where the record begins.
        length: octets of the whole record.
    """

    segment: int
    ordinal: int
    offset: int
    length: int

    __slots__ = ("length", "offset", "ordinal", "segment")

    @property
    def cells(self) -> tuple[int, int, int, int]:
        """Segment, ordinal, offset and length."""
        return self.segment, self.ordinal, self.offset, self.length

    def __eq__(self, other: object) -> bool:
        return self.cells == other.cells if isinstance(other, Location) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as Python does it beside __eq__

    def __repr__(self) -> str:
        return f"Location{self.cells}"

    def reference(self, index: int) -> Location:
        """From the location of a record's first reference to that of another one."""
        return new_location(self.segment, self.ordinal + index, self.offset, self.length)


def new_location(segment: int, ordinal: int, offset: int, length: int) -> Location:
    """Make a location; compiled, this costs a third of calling a class with arguments."""
    location = Location.__new__(Location)
    location.segment = segment
    location.ordinal = ordinal
    location.offset = offset
    location.length = length
    return location


class StoredMessage:
    """A message as it was appended."""

    __slots__ = ("address", "body", "header")

    def __init__(self, address: bytes, header: bytes, body: bytes) -> None:
        self.address = address
        self.header = header
        self.body = body

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredMessage):
            return NotImplemented
        return (self.address, self.header, self.body) == (other.address, other.header, other.body)

    __hash__ = None  # type: ignore[assignment] # as Python does it beside __eq__


def append_publish(
    data: bytearray,
    seed: int,
    number: int,
    first_ordinal: int,
    origin: int,
    references: Sequence[Reference],
    address: bytes,
    header: bytes,
    body: bytes,
) -> int:
    """Append a PUBLISH record, or MOVED if there is an origin; gives its octets."""
    length = 20 + REFERENCE_OCTETS * len(references) + len(address) + len(header) + len(body)
    kind = MOVED if origin else PUBLISH
    fixed = _UNSUMMED_PUBLISH.pack(
        length, number, kind, first_ordinal, len(references), origin, len(address), len(header)
    )
    head = b"".join((fixed, *[REFERENCE.pack(*reference) for reference in references], address, header))
    return _append(data, seed, head, body)


def append_to_one(
    data: bytearray,
    seed: int,
    number: int,
    ordinal: int,
    queue_id: int,
    position: int,
    expires_at_ms: int,
    flags: int,
    address: bytes,
    header: bytes,
    body: bytes,
) -> int:
    """As `append_publish`, for what most messages are in: one queue. The compiled form has its own, `_speedups.pyx`."""
    length = 20 + REFERENCE_OCTETS + len(address) + len(header) + len(body)
    fixed = _pack_to_one(
        length, number, PUBLISH, ordinal, 1, 0, len(address), len(header), queue_id, position, expires_at_ms, flags
    )
    return _append(data, seed, fixed + address + header, body)


def _append(data: bytearray, seed: int, head: bytes, body: bytes) -> int:
    data += CRC.pack(extend(extend(seed, head), body))  # in two pieces, so that the body is copied once
    data += head
    data += body
    return CRC.size + len(head) + len(body)


def encode(seed: int, number: int, kind: int, payload: bytes) -> bytes:
    """Encode a record whose payload is ready."""
    summed = _UNSUMMED_HEAD.pack(len(payload), number, kind) + payload
    return CRC.pack(extend(seed, summed)) + summed


def is_valid(seed: int, record: bytes) -> bool:
    """Tell whether octets are one whole record of the segment with this seed."""
    if len(record) < HEAD_OCTETS:
        return False
    crc, length, _, _ = HEAD.unpack_from(record)
    return length == len(record) - HEAD_OCTETS and bool(crc == extend(seed, record[4:]))


def decode_message(record: bytes, offset: int = 0) -> StoredMessage:
    """Read the message of a valid PUBLISH or MOVED record that begins at `offset`."""
    _, length, _, _, _, count, _, address_octets, header_octets = PUBLISH_HEAD.unpack_from(record, offset)
    address = offset + PUBLISH_HEAD_OCTETS + REFERENCE_OCTETS * count
    header = address + address_octets
    body = header + header_octets
    return StoredMessage(record[address:header], record[header:body], record[body : offset + HEAD_OCTETS + length])


def decode_references(data: bytes, offset: int = 0) -> Iterator[Reference]:
    """Read the references of a valid PUBLISH or MOVED record that begins at `offset`."""
    count = PUBLISH_HEAD.unpack_from(data, offset)[5]
    start = offset + PUBLISH_HEAD_OCTETS
    return REFERENCE.iter_unpack(data[start : start + REFERENCE_OCTETS * count])


class Ranges:
    """Ordinals, each once, that mostly come in order: then they cost no memory.

    Attributes:
        first: of the range that grows.
        end: the ordinal behind it.
        others: the ranges before it, as (first, end), in the order they came.
    """

    __slots__ = ("end", "first", "others")

    def __init__(self, ordinal: int) -> None:
        self.first = ordinal
        self.end = ordinal + 1
        self.others: list[tuple[int, int]] = []

    def add(self, ordinal: int) -> None:
        if ordinal == self.end:
            self.end += 1
            return
        self.others.append((self.first, self.end))
        self.first = ordinal
        self.end = ordinal + 1


def encode_ranges(removed: dict[int, Ranges]) -> bytes:
    """Encode the payload of REMOVE: per segment, ordinals."""
    payload = bytearray()
    for segment, ranges in removed.items():
        first = following = -1
        for begin, end in sorted([*ranges.others, (ranges.first, ranges.end)]):
            if begin != following:
                if first >= 0:
                    payload += _RANGE.pack(segment, first, following - first)
                first = begin
            following = end
        payload += _RANGE.pack(segment, first, following - first)
    return bytes(payload)


def decode_ranges(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield segment, first ordinal and count."""
    return _RANGE.iter_unpack(payload)


def encode_marks(marks: dict[tuple[int, int], tuple[int, int]]) -> bytes:
    """Encode the payload of MARK: (segment, ordinal) → (delivery count, flags)."""
    return b"".join([_MARK.pack(*reference, *mark) for reference, mark in marks.items()])


def decode_marks(payload: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield segment, ordinal, delivery count and flags."""
    return _MARK.iter_unpack(payload)


def encode_synced(record: int, references: int) -> bytes:
    """Encode the payload of SYNCED: the last record on disk, and how many references the segment has so far."""
    return _SYNCED.pack(record, references)


def decode_synced(payload: bytes) -> tuple[int, int]:
    record, references = _SYNCED.unpack_from(payload)
    return record, references


def find_record(data: bytes, start: int, seed: int, at_least: int, at_most: int, types: bytes = TYPES) -> int:
    """Look for the next valid record.

    The upper five octets of its number are nearly known, and the type is one of six octets: so a regular
    expression finds the few places worth a checksum.

    Args:
        data: octets of a segment.
        start: where to begin to look.
        seed: the segment's seed.
        at_least: the lowest number the record may have.
        at_most: the highest.
        types: those it may have.

    Returns:
        Where the record begins, or -1.
    """
    high = range(at_least >> 24, (at_most >> 24) + 1)
    upper = b"|".join(re.escape(value.to_bytes(5, "big")) for value in high) if len(high) < 16 else b"....."
    candidate = re.compile(b"(?:" + upper + b")...[" + types + b"]", re.DOTALL)
    position = start + 8
    while match := candidate.search(data, position):
        begin = match.start() - 8
        _, length, number, _ = HEAD.unpack_from(data, begin)
        end = begin + HEAD_OCTETS + length
        if at_least <= number <= at_most and end <= len(data) and is_valid(seed, data[begin:end]):
            return begin
        position = match.start() + 1
    return -1
