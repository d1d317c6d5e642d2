"""Messages of streams for tests that know only offsets and bodies."""

from __future__ import annotations

from amqp_broker.message import Message, new_message
from amqp_codec import Properties, encode_content_header, parse_content_header

HEADER = parse_content_header(encode_content_header(Properties(), 0))


def plain_message(_offset: int, address: bytes, _header: bytes, body: bytes) -> Message:
    return new_message(address, HEADER, body)


def body_of(message: Message) -> bytes:
    return message.body
