"""The octets of a stream's files. Knows no files; `docs/journal-format.md` is its picture.

A stream is a log of its own, cut into segment files. Behind a header a segment has *chunks*: records as in the
journal, whose number is the offset of the first message in them. What was published while the last write was under
way is one chunk, or several when it is much: one checksum, one instant and one filter for all of its messages.
Beside a full segment lies an index, from which its chunks are found by offset and by instant. It only saves time:
one that is missing or damaged is made again from the segment.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final, NamedTuple

from google_crc32c import extend, value

from amqp_broker.storage.errors import UnknownFormat
from amqp_broker.storage.records import CRC, HEAD, HEAD_OCTETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message

MakeMessage = Callable[[int, bytes, bytes, bytes], "Message"]
"""Makes what a reader gets: of its offset, and of address, content header and body as they were appended."""

FORMAT_VERSION: Final = 1
IDENTITY_OCTETS: Final = 16
CHUNK: Final = 0x43  # "C"
CHUNK_TYPES: Final = bytes((CHUNK,))

_SEGMENT_MAGIC = b"AMQPSTRM"
_SEGMENT_COPY = Struct(">8sH6xQQ16s")  # magic, version, stream, first offset, identity; and a CRC
_COPY_OCTETS = _SEGMENT_COPY.size + CRC.size
HEADER_OCTETS: Final = 2 * _COPY_OCTETS
"""The header stands there twice: without its seed no chunk of the file could be believed."""

_CHUNK_HEAD = Struct(">IIQBQQIBB")  # HEAD, timestamp in ms, safe offset, messages, flags, octets of filter
CHUNK_HEAD_OCTETS: Final = _CHUNK_HEAD.size
_UNSUMMED_CHUNK = Struct(">IQBQQIBB")
_ENTRY = Struct(">IHIB")  # octets that follow; of them address, content header, filter value and one (0: has none)
ENTRY_OCTETS: Final = _ENTRY.size
_UNFILTERED = 0x01
LONGEST_FILTER_VALUE: Final = 254
"""What is longer is cut: a consumer then gets too much, which the rule allows (4.55)."""

_INDEX_MAGIC = b"AMQPSIDX"
_INDEX_HEAD = Struct(">8sH2xIQQQQQQQI4x")
INDEX_OCTETS: Final = 16 << 10
"""An index names chunks so far apart; from there it is that much to read to any other."""
_NAME = re.compile(r"(\d{16})\.(\d{20})\.(seg|idx)")


def file_name(stream: int, first: int, kind: str) -> str:
    """Name a file: 0000000000000007.00000000000000001200.seg, and .idx for its index."""
    return f"{stream:016d}.{first:020d}.{kind}"


def parse_file_name(name: str) -> tuple[int, int, str] | None:
    """Read stream, first offset and kind from the name of a file; None if it is no stream's."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match else None


class StreamHeader(NamedTuple):
    """The header of a segment: whose it is, its first offset, and random octets that make its seed its own."""

    stream: int
    first: int
    identity: bytes

    @property
    def seed(self) -> int:
        """From what the CRCs of the segment's chunks start."""
        seed: int = value(self.identity + self.stream.to_bytes(8, "big") + self.first.to_bytes(8, "big"))
        return seed

    def encode(self) -> bytes:
        copy = _SEGMENT_COPY.pack(_SEGMENT_MAGIC, FORMAT_VERSION, *self)
        copy += CRC.pack(value(copy))
        return copy + copy

    @classmethod
    def decode(cls, data: bytes, path: str) -> StreamHeader | None:
        """Read whichever copy is good; None if there is none.

        Raises:
            UnknownFormat: a good copy is of a later version.
        """
        for start in (0, _COPY_OCTETS):
            copy = data[start : start + _COPY_OCTETS]
            if len(copy) < _COPY_OCTETS or copy[-4:] != CRC.pack(value(copy[:-4])):
                continue
            magic, version, stream, first, identity = _SEGMENT_COPY.unpack_from(copy)
            if magic == _SEGMENT_MAGIC:
                if version != FORMAT_VERSION:
                    raise UnknownFormat(path, version)
                return cls(stream, first, identity)
        return None


class Gathering:
    """A chunk that has not been written yet.

    Attributes:
        first: offset of its first message.
        count: messages so far.
        timestamp_ms: when it was begun.
        octets: of the whole record.
    """

    __slots__ = ("_filter_octets", "_filters", "_has_unfiltered", "_parts", "count", "first", "octets", "timestamp_ms")

    def __init__(self, first: int, timestamp_ms: int, filter_octets: int) -> None:
        self.first = first
        self.count = 0
        self.timestamp_ms = timestamp_ms
        self.octets = CHUNK_HEAD_OCTETS
        self._filter_octets = filter_octets
        self._filters: set[bytes] = set()
        self._has_unfiltered = False
        self._parts: list[bytes] = []

    @property
    def next(self) -> int:
        """Offset behind its last message."""
        return self.first + self.count

    def append(self, address: bytes, header: bytes, body: bytes, filter_value: bytes | None) -> None:
        octets = len(address) + len(header) + len(body)
        if filter_value is None:
            self._has_unfiltered = True
            self._parts += (_ENTRY.pack(octets, len(address), len(header), 0), address, header, body)
        else:
            filter_value = filter_value[:LONGEST_FILTER_VALUE]
            if not self._filters:
                self.octets += self._filter_octets
            self._filters.add(filter_value)
            octets += len(filter_value)
            head = _ENTRY.pack(octets, len(address), len(header), len(filter_value) + 1)
            self._parts += (head, address, header, filter_value, body)
        self.octets += ENTRY_OCTETS + octets
        self.count += 1

    def encode(self, seed: int, safe: int) -> bytes:
        """Encode for the segment with this seed, with the offset up to which all is known to be on disk."""
        filters = bloom_filter(self._filters, self._filter_octets) if self._filters else b""
        head = _UNSUMMED_CHUNK.pack(
            self.octets - HEAD_OCTETS,
            self.first,
            CHUNK,
            self.timestamp_ms,
            safe,
            self.count,
            _UNFILTERED if self._has_unfiltered else 0,
            len(filters),
        )
        summed = b"".join((head, filters, *self._parts))
        return CRC.pack(extend(seed, summed)) + summed


class ChunkHead(NamedTuple):
    """What a chunk says of itself, before its messages.

    Attributes:
        octets: of the whole record.
        first: offset of its first message.
        timestamp_ms: when it was begun, since 1970.
        safe: when it was written, all before this offset was on disk.
        messages: how many are in it.
        has_unfiltered: some have no filter value.
        filter_octets: of the filter behind this head; 0 if none has one.
    """

    octets: int
    first: int
    timestamp_ms: int
    safe: int
    messages: int
    has_unfiltered: bool
    filter_octets: int

    @property
    def next(self) -> int:
        """Offset behind its last message."""
        return self.first + self.messages


def chunk_octets(data: bytes, offset: int) -> int:
    """How long the chunk at `offset` says it is; needs HEAD_OCTETS there."""
    length: int = HEAD.unpack_from(data, offset)[1]
    return HEAD_OCTETS + length


def decode_head(data: bytes, offset: int) -> ChunkHead:
    """Read the head of a valid chunk."""
    _, length, first, _, timestamp_ms, safe, count, flags, filter_octets = _CHUNK_HEAD.unpack_from(data, offset)
    return ChunkHead(HEAD_OCTETS + length, first, timestamp_ms, safe, count, flags & _UNFILTERED != 0, filter_octets)


class Wanted:
    """What a consumer with a filter wants (rule 4.55).

    Args:
        values: the filter values it asks for.
        unfiltered: whether it wants messages that have none, too.
    """

    def __init__(self, values: Iterable[bytes], *, unfiltered: bool) -> None:
        self._values = frozenset(each[:LONGEST_FILTER_VALUE] for each in values)
        self._unfiltered = unfiltered

    def may_be_in(self, head: ChunkHead, bits: bytes) -> bool:
        """Whether a chunk with this head and this filter can have something for it."""
        if self._unfiltered and head.has_unfiltered:
            return True
        if not bits:
            return False
        return any(_has_bits(bits, each) for each in self._values)

    def takes(self, filter_value: bytes | None) -> bool:
        return self._unfiltered if filter_value is None else filter_value in self._values


class StoredChunk:
    """A chunk that was read; its messages are made once, for all who read it.

    Attributes:
        head: what it says of itself.
        filter: the Bloom filter of its messages' filter values; empty if none has one.
    """

    __slots__ = ("_data", "_make_message", "_messages", "_values", "filter", "head")

    def __init__(self, head: ChunkHead, data: bytes, make_message: MakeMessage) -> None:
        self.head = head
        self.filter = data[CHUNK_HEAD_OCTETS : CHUNK_HEAD_OCTETS + head.filter_octets]
        self._data = data
        self._make_message = make_message
        self._messages: list[Message] | None = None
        self._values: list[bytes | None] = []

    @property
    def messages(self) -> list[Message]:
        """Its messages, the first of which has the offset `head.first`."""
        if self._messages is None:
            self._decode()
            assert self._messages is not None
        return self._messages

    def filter_value(self, index: int) -> bytes | None:
        """The filter value of a message; None if it has none."""
        if self._messages is None:
            self._decode()
        return self._values[index] if self._values else None

    def _decode(self) -> None:
        data, make = self._data, self._make_message
        offset = self.head.first
        position = CHUNK_HEAD_OCTETS + self.head.filter_octets
        messages: list[Message] = []
        values: list[bytes | None] = []
        for _ in range(self.head.messages):
            octets, address_octets, header_octets, value_octets = _ENTRY.unpack_from(data, position)
            address = position + ENTRY_OCTETS
            header = address + address_octets
            body = header + header_octets
            position = address + octets
            if self.filter:
                values.append(data[body : body + value_octets - 1] if value_octets else None)
                body += max(0, value_octets - 1)
            messages.append(
                make(offset, data[address:header], data[header : header + header_octets], data[body:position])
            )
            offset += 1
        self._messages, self._values = messages, values
        self._data = b""


def bloom_filter(values: Iterable[bytes], octets: int) -> bytes:
    """Note values in so many octets, so that `_has_bits` holds for each of them, and for few others."""
    bits = 0
    for each in values:
        for bit in _bits_of(each, octets * 8):
            bits |= 1 << bit
    return bits.to_bytes(octets, "big")


def _has_bits(bits: bytes, each: bytes) -> bool:
    number = int.from_bytes(bits, "big")
    return all(number >> bit & 1 for bit in _bits_of(each, len(bits) * 8))


def _bits_of(each: bytes, count: int) -> tuple[int, int, int]:
    crc = value(each)
    step = (crc >> 16) | 1
    return crc % count, (crc + step) % count, (crc + 2 * step) % count


class ChunkIndex:
    """Where chunks of a segment begin: not all of them, but one every `INDEX_OCTETS` at least.

    Three columns, of ascending values: offset of the first message, position in the file, instant in ms.
    """

    __slots__ = ("offsets", "positions", "timestamps")

    def __init__(self) -> None:
        self.offsets = array("Q")
        self.positions = array("Q")
        self.timestamps = array("Q")

    def append(self, offset: int, position: int, timestamp_ms: int) -> None:
        """Note a chunk, unless there is one close before it."""
        if not self.positions or position - self.positions[-1] >= INDEX_OCTETS:
            self.offsets.append(offset)
            self.positions.append(position)
            self.timestamps.append(timestamp_ms)

    def cut(self, position: int) -> None:
        """Forget the chunks from a position on."""
        length = bisect_left(self.positions, position)
        for column in (self.offsets, self.positions, self.timestamps):
            del column[length:]

    def before_offset(self, offset: int) -> int:
        """Find a position from which the chunk with this offset is not far."""
        return self._position(bisect_right(self.offsets, offset) - 1)

    def before_timestamp(self, timestamp_ms: int) -> int:
        """Find a position from which the first chunk of this instant or later is not far."""
        return self._position(bisect_left(self.timestamps, timestamp_ms) - 1)

    def _position(self, index: int) -> int:
        return self.positions[index] if index >= 0 else HEADER_OCTETS


class IndexHead(NamedTuple):
    """What an index says of its whole segment.

    Attributes:
        stream: whose it is.
        first: offset of its first message.
        next: offset behind its last message.
        end: octets of the file that count.
        first_timestamp_ms: of its first chunk.
        last_timestamp_ms: of its last chunk.
        last_chunk: offset of the first message of its last chunk.
        seed: of the segment, so that an index that is not this one's is found out.
    """

    stream: int
    first: int
    next: int
    end: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    last_chunk: int
    seed: int


INDEX_HEAD_OCTETS: Final = _INDEX_HEAD.size + CRC.size


def encode_index(head: IndexHead, index: ChunkIndex) -> bytes:
    """The octets of an index file: a head with its CRC, the three columns, and the CRC of those."""
    summed = _INDEX_HEAD.pack(_INDEX_MAGIC, FORMAT_VERSION, len(index.offsets), *head)
    columns = b"".join(
        [Struct(f">{len(column)}Q").pack(*column) for column in (index.offsets, index.positions, index.timestamps)]
    )
    return summed + CRC.pack(value(summed)) + columns + CRC.pack(value(columns))


def decode_index_head(data: bytes) -> IndexHead | None:
    """Read the head of an index; None if it is damaged or of another version."""
    summed = data[: _INDEX_HEAD.size]
    if len(data) < INDEX_HEAD_OCTETS or data[_INDEX_HEAD.size : INDEX_HEAD_OCTETS] != CRC.pack(value(summed)):
        return None
    magic, version, _, *fields = _INDEX_HEAD.unpack(summed)
    return IndexHead(*fields) if (magic, version) == (_INDEX_MAGIC, FORMAT_VERSION) else None


def decode_index(data: bytes) -> ChunkIndex | None:
    """Read the columns of an index; None if it is damaged."""
    columns = data[INDEX_HEAD_OCTETS : -CRC.size]
    if decode_index_head(data) is None or data[-CRC.size :] != CRC.pack(value(columns)):
        return None
    count = len(columns) // 24
    numbers = Struct(f">{count * 3}Q").unpack(columns)
    index = ChunkIndex()
    index.offsets.extend(numbers[:count])
    index.positions.extend(numbers[count : 2 * count])
    index.timestamps.extend(numbers[2 * count :])
    return index
