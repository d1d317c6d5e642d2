"""The checkpoint: what lets recovery forget the past.

It holds the broker's snapshot and, for every segment, which references are gone. A segment it doesn't name, and
that isn't newer than it, is dead. It is replaced as a whole (written aside, fsynced, renamed, directory fsynced)
and holds its content twice, for nothing else could replace it.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Final, NamedTuple

from google_crc32c import value

from amqp_broker.storage.disk import Disk
from amqp_broker.storage.errors import UnknownFormat
from amqp_broker.storage.records import CRC
from amqp_broker.storage.segment import FORMAT_VERSION

CHECKPOINT_NAME: Final = "checkpoint"

_MAGIC = b"AMQPCKPT"
_HEAD = Struct(">8sHHQ")  # magic, version, flags, octets of content
_FIXED = Struct(">16sQQIIQ")  # identity, record, safe_record, active segment, segments, octets of snapshot
_SEGMENT = Struct(">IBQIIII")  # number, flags, first record, references, safe references, octets of gone, marks
_MARK = Struct(">IIB")  # ordinal, delivery count, flags

_CLEAN = 0x01
_DAMAGED = 0x01


class SegmentState(NamedTuple):
    """What a checkpoint says of a segment; the names are those of `Segment`. Empty `gone`: none is."""

    number: int
    first_record: int
    references: int
    safe_references: int
    gone: bytes
    marks: dict[int, tuple[int, int]]
    is_damaged: bool


class Checkpoint(NamedTuple):
    """A state of the journal.

    Attributes:
        identity: random octets, the same in the whole journal.
        record: the last record whose effects are in here; those after it are to be replayed.
        safe_record: the last record known to be on disk when this was written.
        active: the newest segment there was.
        is_clean: nothing was appended after it, and the broker stopped in peace.
        snapshot: the broker's, opaque.
        segments: all that are not dead.
    """

    identity: bytes
    record: int
    safe_record: int
    active: int
    is_clean: bool
    snapshot: bytes
    segments: list[SegmentState]

    def encode(self) -> bytes:
        content = [
            _FIXED.pack(
                self.identity,
                self.record,
                self.safe_record,
                self.active,
                len(self.segments),
                len(self.snapshot),
            ),
            self.snapshot,
        ]
        for segment in self.segments:
            gone = zlib.compress(segment.gone, 1) if any(segment.gone) else b""
            content.append(
                _SEGMENT.pack(
                    segment.number,
                    _DAMAGED if segment.is_damaged else 0,
                    segment.first_record,
                    segment.references,
                    segment.safe_references,
                    len(gone),
                    len(segment.marks),
                )
            )
            content.append(gone)
            content.extend([_MARK.pack(ordinal, *mark) for ordinal, mark in segment.marks.items()])
        body = b"".join(content)
        copy = _HEAD.pack(_MAGIC, FORMAT_VERSION, _CLEAN if self.is_clean else 0, len(body)) + body
        copy += CRC.pack(value(copy))
        return copy + copy


class StoredCheckpoint(NamedTuple):
    """What was found of a checkpoint. `damage`: what is wrong, if anything is."""

    checkpoint: Checkpoint | None
    damage: str


def _decode_copy(copy: bytes, path: str) -> Checkpoint | None:
    if len(copy) < _HEAD.size + _FIXED.size + CRC.size or copy[-4:] != CRC.pack(value(copy[:-4])):
        return None
    magic, version, flags, octets = _HEAD.unpack_from(copy)
    if magic != _MAGIC:
        return None
    if version != FORMAT_VERSION:
        raise UnknownFormat(path, version)
    if octets != len(copy) - _HEAD.size - CRC.size:
        return None
    identity, record, safe_record, active, count, snapshot_octets = _FIXED.unpack_from(copy, _HEAD.size)
    position = _HEAD.size + _FIXED.size
    snapshot = copy[position : position + snapshot_octets]
    position += snapshot_octets
    segments = []
    for _ in range(count):
        number, segment_flags, first_record, references, safe_references, gone_octets, marks = _SEGMENT.unpack_from(
            copy, position
        )
        position += _SEGMENT.size
        gone = zlib.decompress(copy[position : position + gone_octets]) if gone_octets else b""
        position += gone_octets
        marks_end = position + marks * _MARK.size
        marked = {
            ordinal: (deliveries, mark_flags)
            for ordinal, deliveries, mark_flags in _MARK.iter_unpack(copy[position:marks_end])
        }
        position = marks_end
        segments.append(
            SegmentState(
                number,
                first_record,
                references,
                safe_references,
                gone,
                marked,
                bool(segment_flags & _DAMAGED),
            )
        )
    return Checkpoint(identity, record, safe_record, active, bool(flags & _CLEAN), snapshot, segments)


def decode_checkpoint(data: bytes, path: str) -> StoredCheckpoint:
    """Read whichever copy is good.

    Raises:
        UnknownFormat: a good copy is of a later version.
    """
    middle = len(data) // 2
    first = _decode_copy(data[:middle], path)
    second = _decode_copy(data[middle:], path)
    if first and second:
        return StoredCheckpoint(first, "")
    if first or second:
        which = "second" if first else "first"
        return StoredCheckpoint(first or second, f"its {which} copy is damaged, the other is good")
    return StoredCheckpoint(None, "both its copies are damaged")


def read_checkpoint(disk: Disk, directory: str) -> StoredCheckpoint:
    """Read the checkpoint of a data directory; none and no damage in a new one."""
    path = f"{directory}/{CHECKPOINT_NAME}"
    if not disk.exists(path):
        return StoredCheckpoint(None, "")
    file = disk.open_for_reading(path)
    return decode_checkpoint(file.pread(file.size(), 0), path)


def write_checkpoint(disk: Disk, directory: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the last. When this returns, the old one can't come back."""
    path = f"{directory}/{CHECKPOINT_NAME}"
    file = disk.create(f"{path}.tmp")
    file.pwrite(checkpoint.encode(), 0)
    file.fsync()
    disk.rename(f"{path}.tmp", path)
    disk.fsync_directory(directory)
