"""What entries of a log say: operations on the files of one vhost, in the form in which they are kept for good.

An entry speaks of one file, which its subject names, so that all that was ever said of a file can be purged at once.
It begins with the version of this form and the epoch of who wrote it: the sequence of the entry with which its author
took the vhost over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from amqp_broker.cluster.log import ENTRY_OCTETS, Entry
from amqp_broker.storage.errors import UnknownFormat

VERSION: Final = 1

EPOCH_SUBJECT: Final = "epoch"
"""Of entries that speak of no file: somebody takes the vhost over."""

_ENTRY_HEAD = Struct(">HQ")  # version, epoch
_OPERATION_HEAD = Struct(">BQI")  # kind, offset, octets


class Kind(IntEnum):
    """What is done to the file."""

    CREATE = 1
    """It is there, empty, whatever it was."""
    WRITE = 2
    """Octets at an offset."""
    TRUNCATE = 3
    """It ends at the offset."""
    UNLINK = 4
    """It is gone."""
    PUT = 5
    """Octets, at an offset, of what takes its place once all of that is there; offset 0 begins anew."""
    PUT_LAST = 6
    """The last of these."""
    TAKE_OVER = 7
    """No file: from here on only the author of this entry may append; the octets tell who that is."""


class Operation(NamedTuple):
    """One step. `offset` and `data` mean what the kind says, and are 0 and empty where it says nothing."""

    kind: Kind
    offset: int = 0
    data: bytes = b""


def subject_of(path: str) -> str:
    """The subject of a file, by its path in the directory of the vhost."""
    return path.replace(".", "=")


def path_of(subject: str) -> str:
    """The file of a subject."""
    return subject.replace("=", ".")


def encode_entry(path: str, epoch: int, operations: Iterable[Operation]) -> Entry:
    """Put steps that follow one another into an entry."""
    parts = [_ENTRY_HEAD.pack(VERSION, epoch)]
    for kind, offset, data in operations:
        parts.append(_OPERATION_HEAD.pack(kind, offset, len(data)))
        parts.append(data)
    return Entry(subject_of(path), b"".join(parts))


def epoch_of(entry: Entry) -> int:
    """Who wrote an entry. Raises UnknownFormat: a later version of the broker did, in a form of its own."""
    version, epoch = _ENTRY_HEAD.unpack_from(entry.data)
    if version != VERSION:
        raise UnknownFormat(f"an entry of {entry.subject}", version)
    return int(epoch)


def beginning_of(entry: Entry) -> tuple[Kind, int]:
    """Kind and offset of the first step of an entry."""
    kind, offset, _ = _OPERATION_HEAD.unpack_from(entry.data, _ENTRY_HEAD.size)
    return Kind(kind), offset


def decode_entry(entry: Entry) -> Iterator[Operation]:
    """Take an entry apart. Raises UnknownFormat."""
    epoch_of(entry)
    data, offset = entry.data, _ENTRY_HEAD.size
    while offset < len(data):
        kind, position, octets = _OPERATION_HEAD.unpack_from(data, offset)
        offset += _OPERATION_HEAD.size
        yield Operation(Kind(kind), position, data[offset : offset + octets])
        offset += octets


def encode_all(epoch: int, steps: Iterable[tuple[str, Operation]]) -> list[Entry]:
    """Put steps into as few entries as their order and `ENTRY_OCTETS` allow; what is too long for one is cut."""
    entries: list[Entry] = []
    path, gathered, octets = "", list[Operation](), _ENTRY_HEAD.size
    for its_path, step in steps:
        for piece in _pieces(step):
            needed = _OPERATION_HEAD.size + len(piece.data)
            if gathered and (its_path != path or octets + needed > ENTRY_OCTETS):
                entries.append(encode_entry(path, epoch, gathered))
                gathered, octets = [], _ENTRY_HEAD.size
            path = its_path
            gathered.append(piece)
            octets += needed
    if gathered:
        entries.append(encode_entry(path, epoch, gathered))
    return entries


def _pieces(step: Operation) -> Iterator[Operation]:
    """Cut what one entry can't hold."""
    kind, offset, data = step
    limit = ENTRY_OCTETS - _ENTRY_HEAD.size - _OPERATION_HEAD.size
    while len(data) > limit:
        yield Operation(Kind.PUT if kind is Kind.PUT_LAST else kind, offset, data[:limit])
        offset += limit
        data = data[limit:]
    yield Operation(kind, offset, data)
