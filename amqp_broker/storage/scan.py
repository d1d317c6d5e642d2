"""Scanning: which records of a segment's octets can be believed, and where there are holes between them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

from google_crc32c import extend

from amqp_broker.forms import is_compiled
from amqp_broker.storage.disk import Disk
from amqp_broker.storage.records import HEAD, HEAD_OCTETS, MOVED, PUBLISH, find_record
from amqp_broker.storage.segment import HEADER_OCTETS, Part

COMPILED = is_compiled()
if COMPILED:
    from amqp_broker.storage._speedups import skip_valid

ANY_NUMBER = 1 << 63
"""An upper bound for the number of a record whose segment's header is lost."""


class Hole(NamedTuple):
    """A stretch without a valid record.

    Attributes:
        offset: where it begins.
        end: where the next valid record begins, or the octets end.
        first_record: number of the first record missing.
        next_record: number of the record at `end`, 0 if there is none.
    """

    offset: int
    end: int
    first_record: int
    next_record: int


class Scan:
    """The valid records of a segment, by their offsets.

    Attributes:
        data: all octets of the segment, at their offsets.
        publishes: offsets of PUBLISH and MOVED records.
        moved: offsets of the MOVED ones among these.
        others: offsets of all other records.
        holes: what lies between.
        last_record: number of the last valid record, or of the one before the first.
    """

    __slots__ = ("data", "holes", "last_record", "moved", "others", "publishes")

    def __init__(self, data: bytes, first_record: int) -> None:
        self.data = data
        self.publishes = array("I")
        self.moved = array("I")
        self.others = array("I")
        self.holes: list[Hole] = []
        self.last_record = first_record - 1

    def cut(self, hole: Hole) -> None:
        """Forget all from a hole on."""
        for offsets in (self.publishes, self.moved, self.others):
            del offsets[bisect_left(offsets, hole.offset) :]
        self.holes = [earlier for earlier in self.holes if earlier.offset < hole.offset]
        self.last_record = hole.first_record - 1
        self.data = self.data[: hole.offset]


def scan(data: bytes, seed: int, first_record: int, *, is_number_known: bool = True) -> Scan:
    """Find the valid records of a segment.

    Args:
        data: the segment, header included, as `read_segment` returns it.
        seed: the segment's CRC seed.
        first_record: number of its first record, or a lower bound of it.
        is_number_known: whether `first_record` is exact.
    """
    result = Scan(data, first_record)
    publishes, others = result.publishes.append, result.others.append
    unpack, checksum = HEAD.unpack_from, extend
    position, size = HEADER_OCTETS, len(data)
    last_start = size - HEAD_OCTETS
    expected = first_record
    while position < size:
        if COMPILED:
            position, expected = skip_valid(
                data, seed, position, expected, result.publishes, result.moved, result.others
            )
            if position == size:
                break
        if position <= last_start:
            crc, length, number, kind = unpack(data, position)
            stop = position + HEAD_OCTETS + length
            if number == expected and stop <= size and checksum(seed, data[position + 4 : stop]) == crc:
                if kind == PUBLISH:
                    publishes(position)
                elif kind == MOVED:
                    publishes(position)
                    result.moved.append(position)
                else:
                    others(position)
                position = stop
                expected += 1
                continue
        at_most = expected + (size - position) // HEAD_OCTETS if is_number_known else ANY_NUMBER
        found = find_record(data, position, seed, expected, at_most)
        if found < 0:
            result.holes.append(Hole(position, size, expected, 0))
            break
        number = unpack(data, found)[2]
        if is_number_known or found > position:
            result.holes.append(Hole(position, found, expected, number))
        is_number_known = True
        position, expected = found, number
    result.last_record = expected - 1
    return result


def read_segment(disk: Disk, parts: list[Part]) -> bytes:
    """Read a whole segment: what index i of the result holds stands at offset i of the segment.

    Each part counts up to where the next one takes over; where it is too short there are zeros.
    """
    if len(parts) == 1 and parts[0].base == HEADER_OCTETS:
        file = parts[0].file or disk.open_for_reading(parts[0].path)
        return file.pread(file.size(), 0)
    data = bytearray(HEADER_OCTETS)
    ends = [part.base for part in parts[1:]]
    for part, end in zip(parts, [*ends, None], strict=True):
        data += bytes(part.base - len(data))
        file = part.file or disk.open_for_reading(part.path)
        octets = max(0, file.size() - HEADER_OCTETS)
        data += file.pread(octets if end is None else min(octets, end - part.base), HEADER_OCTETS)
    return bytes(data)
