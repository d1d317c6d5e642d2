"""Content headers and the 14 properties of class basic (§4.2.6.1, rules 5.9 and 5.10).

A broker passes most headers on without reading them. So `parse_content_header` checks a payload through,
keeps it raw, and notes only what every publish is asked for; `ContentHeader.properties` decodes the rest on
demand. What has been checked decodes without error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812 - its own name is lower case
from typing import Any, Final, NamedTuple

from amqp_codec.constants import BASIC_CLASS, ReplyCode
from amqp_codec.errors import CodecError
from amqp_codec.fields import Table, check_table, decode_shortstr, decode_table, encode_shortstr, encode_table

FLAG_CONTENT_TYPE: Final = 1 << 15
FLAG_CONTENT_ENCODING: Final = 1 << 14
FLAG_HEADERS: Final = 1 << 13
FLAG_DELIVERY_MODE: Final = 1 << 12
FLAG_PRIORITY: Final = 1 << 11
FLAG_CORRELATION_ID: Final = 1 << 10
FLAG_REPLY_TO: Final = 1 << 9
FLAG_EXPIRATION: Final = 1 << 8
FLAG_MESSAGE_ID: Final = 1 << 7
FLAG_TIMESTAMP: Final = 1 << 6
FLAG_TYPE: Final = 1 << 5
FLAG_USER_ID: Final = 1 << 4
FLAG_APP_ID: Final = 1 << 3
FLAG_CLUSTER_ID: Final = 1 << 2
_FLAGS_UNUSED: Final = 0b11

_head: Final = Struct(">HHQH")
_uint64: Final = Struct(">Q")


@dataclass(slots=True, kw_only=True)
class Properties:
    """The properties of a message; None is an absent one, which an empty one isn't (rule 5.10).

    Strings are `str` with surrogateescape. `timestamp` counts seconds. The order is that of the flags, and so
    of the wire.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


class ContentHeader:
    """A content header that has been checked. Messages share it: neither it nor its properties change."""

    __slots__ = (
        "_properties",
        "body_size",
        "class_id",
        "delivery_mode",
        "expiration",
        "flags",
        "priority",
        "raw",
    )

    def __init__(
        self,
        raw: bytes,
        class_id: int,
        body_size: int,
        flags: int,
        delivery_mode: int,
        priority: int,
        expiration: bytes | None,
    ) -> None:
        self.raw = raw
        """The whole payload of the header frame."""
        self.class_id = class_id
        self.body_size = body_size
        self.flags = flags
        """Which properties are there: the `FLAG_` constants."""
        self.delivery_mode = delivery_mode
        """0 when absent."""
        self.priority = priority
        """-1 when absent."""
        self.expiration = expiration
        """As sent, or None when absent."""
        self._properties: Properties | None = None

    @property
    def properties(self) -> Properties:
        """All properties, decoded at the first call; `with_properties` replaces, nothing changes them."""
        if self._properties is None:
            self._properties = _decode_properties(self.raw, self.flags)
        return self._properties

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContentHeader) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"ContentHeader(body_size={self.body_size}, properties={self.properties})"


def parse_content_header(payload: bytes) -> ContentHeader:
    """Check a content header frame's payload to the last octet.

    Weight, class and body size are taken as they are: what they may be depends on the method before (rules
    1.46 to 1.48), which `CommandReader` knows.

    Raises:
        CodecError: the properties don't fill the payload exactly, or can't be decoded.
    """
    delivery_mode = 0
    priority = -1
    expiration = None
    large_ls: list[int] = []
    try:
        class_id, _, body_size, flags = _head.unpack_from(payload)
        offset = _head.size
        # An index past the end raises; a length or width that leads there is caught by the comparison at
        # the end.
        if flags & FLAG_CONTENT_TYPE:
            offset += 1 + payload[offset]
        if flags & FLAG_CONTENT_ENCODING:
            offset += 1 + payload[offset]
        if flags & FLAG_HEADERS:
            offset = check_table(payload, offset, len(payload), large_ls)
        if flags & FLAG_DELIVERY_MODE:
            delivery_mode = payload[offset]
            offset += 1
        if flags & FLAG_PRIORITY:
            priority = payload[offset]
            offset += 1
        if flags & FLAG_CORRELATION_ID:
            offset += 1 + payload[offset]
        if flags & FLAG_REPLY_TO:
            offset += 1 + payload[offset]
        if flags & FLAG_EXPIRATION:
            start = offset + 1
            offset = start + payload[offset]
            expiration = payload[start:offset]
        if flags & FLAG_MESSAGE_ID:
            offset += 1 + payload[offset]
        if flags & FLAG_TIMESTAMP:
            offset += 8
        if flags & FLAG_TYPE:
            offset += 1 + payload[offset]
        if flags & FLAG_USER_ID:
            offset += 1 + payload[offset]
        if flags & FLAG_APP_ID:
            offset += 1 + payload[offset]
        if flags & FLAG_CLUSTER_ID:
            offset += 1 + payload[offset]
    except (CodecError, IndexError, StructError) as error:
        raise CodecError(ReplyCode.FRAME_ERROR, "cannot decode properties") from error
    if offset != len(payload) or flags & _FLAGS_UNUSED:
        raise CodecError(ReplyCode.FRAME_ERROR, "cannot decode properties")
    if large_ls:
        patched = bytearray(payload)
        for at in large_ls:
            patched[at] = ord("l")
        payload = bytes(patched)
    return ContentHeader(payload, class_id, body_size, flags, delivery_mode, priority, expiration)


class _Domain(NamedTuple):
    """How one kind of property is written, and read at an offset."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], tuple[Any, int]]


_SHORTSTR: Final = _Domain(encode_shortstr, decode_shortstr)
_TABLE: Final = _Domain(encode_table, decode_table)
_OCTET: Final = _Domain(lambda value: bytes((value,)), lambda data, offset: (data[offset], offset + 1))
_TIMESTAMP: Final = _Domain(_uint64.pack, lambda data, offset: (*_uint64.unpack_from(data, offset), offset + 8))

_LAYOUT: Final = (
    (FLAG_CONTENT_TYPE, "content_type", _SHORTSTR),
    (FLAG_CONTENT_ENCODING, "content_encoding", _SHORTSTR),
    (FLAG_HEADERS, "headers", _TABLE),
    (FLAG_DELIVERY_MODE, "delivery_mode", _OCTET),
    (FLAG_PRIORITY, "priority", _OCTET),
    (FLAG_CORRELATION_ID, "correlation_id", _SHORTSTR),
    (FLAG_REPLY_TO, "reply_to", _SHORTSTR),
    (FLAG_EXPIRATION, "expiration", _SHORTSTR),
    (FLAG_MESSAGE_ID, "message_id", _SHORTSTR),
    (FLAG_TIMESTAMP, "timestamp", _TIMESTAMP),
    (FLAG_TYPE, "type", _SHORTSTR),
    (FLAG_USER_ID, "user_id", _SHORTSTR),
    (FLAG_APP_ID, "app_id", _SHORTSTR),
    (FLAG_CLUSTER_ID, "cluster_id", _SHORTSTR),
)


def _decode_properties(payload: bytes, flags: int) -> Properties:
    properties = Properties()
    offset = _head.size
    for flag, name, domain in _LAYOUT:
        if flags & flag:
            value, offset = domain.decode(payload, offset)
            setattr(properties, name, value)
    return properties


def encode_content_header(properties: Properties, body_size: int) -> bytes:
    """The payload of a content header frame; ValueError if a property is out of range."""
    flags = 0
    parts = []
    try:
        for flag, name, domain in _LAYOUT:
            value = getattr(properties, name)
            if value is not None:
                flags |= flag
                parts.append(domain.encode(value))
        return _head.pack(BASIC_CLASS, 0, body_size, flags) + b"".join(parts)
    except StructError as error:
        raise ValueError(f"out of range: timestamp {properties.timestamp}, or body size {body_size}") from error


def add_header(raw: bytes, name: str, value: int) -> ContentHeader:
    """Put an int64 behind the headers of a content header, which is otherwise left as it is.

    Args:
        raw: a checked payload whose headers don't have it already.
        name: ASCII.
        value: the number.
    """
    before, behind = _around_number(raw, name)
    return parse_content_header(before + value.to_bytes(8, "big", signed=True) + behind)


class NumberedHeader:
    """A content header that many messages have, each with a number of its own put in as `add_header` does."""

    __slots__ = ("_before", "_behind", "_example")

    def __init__(self, raw: bytes, name: str) -> None:
        self._before, self._behind = _around_number(raw, name)
        self._example = add_header(raw, name, 0)

    def header_of(self, value: int) -> ContentHeader:
        """Make the one with this number, without looking at it all again."""
        example = self._example
        return ContentHeader(
            self._before + value.to_bytes(8, "big", signed=True) + self._behind,
            example.class_id,
            example.body_size,
            example.flags,
            example.delivery_mode,
            example.priority,
            example.expiration,
        )


def _around_number(raw: bytes, name: str) -> tuple[bytes, bytes]:
    """The octets before and behind an int64 that is put behind all headers."""
    flags = int.from_bytes(raw[12:14], "big")
    field = bytes((len(name),)) + name.encode("ascii") + b"l"
    at = _headers_at(raw, flags)
    if flags & FLAG_HEADERS:
        octets = int.from_bytes(raw[at : at + 4], "big")
        end = at + 4 + octets
        return raw[:at] + (octets + len(field) + 8).to_bytes(4, "big") + raw[at + 4 : end] + field, raw[end:]
    flags |= FLAG_HEADERS
    before = raw[:12] + flags.to_bytes(2, "big") + raw[14:at] + (len(field) + 8).to_bytes(4, "big") + field
    return before, raw[at:]


def reply_to_span(raw: bytes, flags: int) -> tuple[int, int]:
    """Where the shortstr `reply_to` begins and ends, with its length octet.

    Args:
        raw: a checked payload that has one.
        flags: its flags.
    """
    at = _headers_at(raw, flags)
    if flags & FLAG_HEADERS:
        at += 4 + int.from_bytes(raw[at : at + 4], "big")
    if flags & FLAG_DELIVERY_MODE:
        at += 1
    if flags & FLAG_PRIORITY:
        at += 1
    if flags & FLAG_CORRELATION_ID:
        at += 1 + raw[at]
    return at, at + 1 + raw[at]


def _headers_at(raw: bytes, flags: int) -> int:
    """Where the headers begin, or would begin."""
    at = _head.size
    if flags & FLAG_CONTENT_TYPE:
        at += 1 + raw[at]
    if flags & FLAG_CONTENT_ENCODING:
        at += 1 + raw[at]
    return at


def with_shortstr(header: ContentHeader, span: tuple[int, int], value: bytes) -> ContentHeader:
    """A header with another shortstr in the place of one, which is not the expiration.

    Args:
        header: of which the rest is kept.
        span: where the old one is, with its length octet.
        value: the new one, with its length octet.
    """
    start, end = span
    raw = b"".join((header.raw[:start], value, header.raw[end:]))
    return ContentHeader(
        raw, header.class_id, header.body_size, header.flags, header.delivery_mode, header.priority, header.expiration
    )


def with_properties(header: ContentHeader, properties: Properties) -> ContentHeader:
    """A header of the same body with other properties; `dataclasses.replace` helps to make them."""
    return parse_content_header(encode_content_header(properties, header.body_size))
