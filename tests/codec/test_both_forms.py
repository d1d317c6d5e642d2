"""The compiled codec gives the same answers as the plain one: whole commands, errors, and octets."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amqp_codec
from amqp_codec import frames
from tests.codec.both_forms import plain
from tests.codec.codec_strategies import cut, properties, streams

pytestmark = pytest.mark.skipif(not amqp_codec.COMPILED, reason="only one form is here")


def told(received: list[Any]) -> list[str]:
    """All that can be told of what a reader gave, in words that are the same in both forms."""
    return [
        repr((item.reply_code, item.text, item.class_id, item.method_id))
        if type(item).__name__ == "CodecError"
        else repr((type(item).__name__, item, item.body, item.header and _told_header(item.header)))
        for item in received
    ]


def _told_header(header: Any) -> tuple[object, ...]:
    return (
        header.raw,
        header.class_id,
        header.body_size,
        header.flags,
        header.delivery_mode,
        header.priority,
        header.expiration,
    )


def fed(codec: Any, limits: tuple[int, int, int], pieces: list[bytes]) -> list[str]:
    reader = codec.CommandReader(*limits)
    return [line for piece in pieces for line in told(reader.receive(piece))]


def agree(data: bytes, limits: tuple[int, int, int] = (131072, 1 << 24, 1 << 27), places: tuple[int, ...] = ()) -> None:
    pieces = cut(data, list(places))
    assert fed(amqp_codec, limits, pieces) == fed(plain, limits, pieces)


def test_the_plain_copy_is_plain() -> None:
    assert not plain.COMPILED
    assert str(plain.commands.__file__).endswith(".py")
    assert plain.Command is not amqp_codec.Command


@settings(max_examples=300)
@given(
    streams(),
    st.sampled_from([(131072, 1 << 24, 1 << 27), (0, 40, 3000), (64, 1 << 24, 200), (30, 10, 60)]),
    st.lists(st.integers(0, 1 << 16), max_size=4),
)
def test_valid_streams(data: bytes, limits: tuple[int, int, int], places: list[int]) -> None:
    agree(data, limits, tuple(places))


@settings(max_examples=300)
@given(streams(), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_streams(data: bytes, changes: list[tuple[int, int]]) -> None:
    octets = bytearray(data)
    for place, octet in changes:
        if octets:
            octets[place % len(octets)] = octet
    agree(bytes(octets))


publishes = st.builds(
    lambda fields, properties, body: b"".join(
        (
            amqp_codec.encode_method_frame(1, amqp_codec.BasicPublish(exchange=fields[0], routing_key=fields[1])),
            amqp_codec.encode_frame(2, 1, amqp_codec.encode_content_header(properties, len(body))),
            amqp_codec.encode_frame(3, 1, body) if body else b"",
        )
    ),
    st.tuples(st.text("ab", max_size=3), st.text("ab", max_size=3)),
    properties,
    st.binary(max_size=20),
)
acks = st.builds(
    lambda tag, multiple: amqp_codec.encode_method_frame(1, amqp_codec.BasicAck(delivery_tag=tag, multiple=multiple)),
    st.integers(0, (1 << 64) - 1),
    st.booleans(),
)


@settings(max_examples=300)
@given(st.lists(publishes | acks, min_size=1, max_size=6), st.data())
def test_every_octet_of_the_usual_commands_changed(commands: list[bytes], data: st.DataObject) -> None:
    octets = bytearray(b"".join(commands))
    agree(bytes(octets))
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] = data.draw(st.sampled_from([0, 1, 2, 3, 60, 128, 206, 255]) | st.integers(0, 255))
    agree(bytes(octets))
    agree(bytes(octets[:place]))


@settings(max_examples=300)
@given(properties, st.data())
def test_damaged_headers(properties: amqp_codec.Properties, data: st.DataObject) -> None:
    payload = bytearray(amqp_codec.encode_content_header(properties, 0))
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(12, len(payload) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(12, len(payload))) :]
    publish = amqp_codec.encode_method_frame(1, amqp_codec.BasicPublish(routing_key="q"))
    agree(publish + amqp_codec.encode_frame(2, 1, bytes(payload)))


@pytest.mark.parametrize("depth", [127, 128, 129, 300])
@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_nested_headers(depth: int, kind: bytes) -> None:
    table = b"\x00\x00\x00\x00"
    for _ in range(depth - 1):
        inner = (b"\x01a" if kind == b"F" else b"") + kind + table
        table = len(inner).to_bytes(4, "big") + inner
    if kind == b"A":
        inner = b"\x01a" + kind + table
        table = len(inner).to_bytes(4, "big") + inner
    payload = b"\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00" + table
    publish = amqp_codec.encode_method_frame(1, amqp_codec.BasicPublish(routing_key="q"))
    agree(publish + amqp_codec.encode_frame(2, 1, payload))


@given(
    st.integers(0, 65535),
    st.binary(max_size=20),
    st.integers(0, (1 << 64) - 1),
    st.booleans(),
    st.binary(max_size=20),
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.sampled_from([0, 9, 20, 4096]),
)
def test_deliveries(
    channel_id: int, tag: bytes, number: int, redelivered: bool, address: bytes, raw: bytes, body: bytes, frame_max: int
) -> None:
    ours, theirs = bytearray(b"before"), bytearray(b"before")
    amqp_codec.append_delivery(ours, channel_id, tag, number, redelivered, address, raw, body, frame_max)
    frames.append_delivery(theirs, channel_id, tag, number, redelivered, address, raw, body, frame_max)
    assert ours == theirs
    amqp_codec.append_content(ours, channel_id, address, raw, body, frame_max)
    frames.append_content(theirs, channel_id, address, raw, body, frame_max)
    assert ours == theirs
    amqp_codec.append_heads(ours, channel_id, address, raw, number & 0xFFFFFFFF)
    frames.append_heads(theirs, channel_id, address, raw, number & 0xFFFFFFFF)
    assert ours == theirs
