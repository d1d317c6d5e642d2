"""Outgoing frames (§4.2.3): the envelope, and content cut to the peer's frame_max (rule 1.50).

A message's frames go into one buffer without anything between them, so they can't be torn apart by those of
other methods on the channel. Nothing is checked here: ids, tags and addresses come from frames that have
been.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from amqp_codec.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
)

_head: Final = Struct(">BHI")
_end: Final = bytes((FRAME_END,))
_end_and_head: Final = Struct(">BBHI")
"""The end octet of one frame and the head of the next."""
_deliver_head: Final = Struct(">BHIHH")
_deliver_tag: Final = Struct(">QB")
_BASIC: Final = 60
_DELIVER: Final = 60


def encode_frame(frame_type: int, channel_id: int, payload: bytes) -> bytes:
    """The payload in its envelope."""
    return _head.pack(frame_type, channel_id, len(payload)) + payload + _end


HEARTBEAT_FRAME: Final = encode_frame(FRAME_HEARTBEAT, 0, b"")


def append_content(
    out: bytearray, channel_id: int, method_payload: bytes, header_raw: bytes, body: bytes, frame_max: int
) -> None:
    """Append the frames of a method with content.

    Args:
        out: the buffer.
        channel_id: the channel of all these frames.
        method_payload: the encoded method.
        header_raw: the content header's payload.
        body: the whole body; an empty one makes no frame.
        frame_max: the peer's limit of a whole frame in octets; 0 for none.
    """
    if body and (not frame_max or len(body) <= frame_max - FRAME_OVERHEAD):
        out += b"".join(
            (
                _head.pack(FRAME_METHOD, channel_id, len(method_payload)),
                method_payload,
                _end_and_head.pack(FRAME_END, FRAME_HEADER, channel_id, len(header_raw)),
                header_raw,
                _end_and_head.pack(FRAME_END, FRAME_BODY, channel_id, len(body)),
                body,
                _end,
            )
        )
    else:
        for piece in iter_content(channel_id, method_payload, header_raw, body, frame_max):
            out += piece


def append_delivery(
    out: bytearray,
    channel_id: int,
    consumer_tag: bytes,
    delivery_tag: int,
    redelivered: bool,
    address: bytes,
    header_raw: bytes,
    body: bytes,
    frame_max: int,
) -> None:
    """Append the frames of a basic.deliver: `append_content` for the method a broker sends most.

    Args:
        out: the buffer.
        channel_id: the channel of all these frames.
        consumer_tag: a shortstr with its length octet.
        delivery_tag: the number on this channel.
        redelivered: whether the message was delivered before.
        address: exchange and routing key, two shortstrs one after the other (`encode_address`).
        header_raw: the content header's payload.
        body: the whole body.
        frame_max: the peer's limit of a whole frame in octets; 0 for none.
    """
    if body and (not frame_max or len(body) <= frame_max - FRAME_OVERHEAD):
        key = (channel_id, consumer_tag, address, header_raw, len(body))
        known, before, behind = _around[0]
        if key != known:
            before, behind = _around_tag(*key)
            _around[0] = (key, before, behind)
        out += b"".join((before, _deliver_tag.pack(delivery_tag, redelivered), behind, body, _end))
    else:
        method_payload = deliver_payload(consumer_tag, delivery_tag, redelivered, address)
        for piece in iter_content(channel_id, method_payload, header_raw, body, frame_max):
            out += piece


_Around = tuple[tuple[int, bytes, bytes, bytes, int] | None, bytes, bytes]

_around: Final[list[_Around]] = [(None, b"", b"")]
"""What was before and behind the tag of the last delivery, and what it was made of: it is likely to be the same again.
One tuple, put there at once, for there may be brokers in several threads."""


def _around_tag(
    channel_id: int, consumer_tag: bytes, address: bytes, header_raw: bytes, body_octets: int
) -> tuple[bytes, bytes]:
    """The octets of a delivery before its tag, and from there to its body."""
    # 13 = class, method, delivery tag and the octet of bits.
    method_size = 13 + len(consumer_tag) + len(address)
    before = _deliver_head.pack(FRAME_METHOD, channel_id, method_size, _BASIC, _DELIVER) + consumer_tag
    behind = (
        address
        + _end_and_head.pack(FRAME_END, FRAME_HEADER, channel_id, len(header_raw))
        + header_raw
        + _end_and_head.pack(FRAME_END, FRAME_BODY, channel_id, body_octets)
    )
    return before, behind


_deliver_ids: Final = Struct(">HH")


def deliver_payload(consumer_tag: bytes, delivery_tag: int, redelivered: bool, address: bytes) -> bytes:
    """The payload of a basic.deliver, from arguments as `append_delivery` takes them."""
    return b"".join(
        (
            _deliver_ids.pack(_BASIC, _DELIVER),
            consumer_tag,
            _deliver_tag.pack(delivery_tag, redelivered),
            address,
        )
    )


def append_heads(out: bytearray, channel_id: int, method_payload: bytes, header_raw: bytes, body_octets: int) -> None:
    """Append the frames of a method with content as far as the body, which is to follow in a single frame.

    Behind the body goes FRAME_END.
    """
    out += b"".join(
        (
            _head.pack(FRAME_METHOD, channel_id, len(method_payload)),
            method_payload,
            _end_and_head.pack(FRAME_END, FRAME_HEADER, channel_id, len(header_raw)),
            header_raw,
            _end_and_head.pack(FRAME_END, FRAME_BODY, channel_id, body_octets),
        )
    )


def iter_content(
    channel_id: int, method_payload: bytes, header_raw: bytes, body: bytes, frame_max: int
) -> Iterator[bytes | memoryview]:
    """The frames of a method with content in pieces to be sent one after the other; the body isn't copied."""
    yield encode_frame(FRAME_METHOD, channel_id, method_payload)
    yield encode_frame(FRAME_HEADER, channel_id, header_raw)
    step = frame_max - FRAME_OVERHEAD if frame_max else len(body)
    view = memoryview(body)
    for start in range(0, len(body), step or 1):
        part = view[start : start + step]
        yield _head.pack(FRAME_BODY, channel_id, len(part))
        yield part
        yield _end
