from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amqp_codec
from amqp_codec import (
    FLAG_DELIVERY_MODE,
    FLAG_EXPIRATION,
    FLAG_HEADERS,
    CodecError,
    Int64,
    NumberedHeader,
    Properties,
    ReplyCode,
    UInt8,
    add_header,
    encode_content_header,
    encode_shortstr,
    parse_content_header,
    with_properties,
)
from amqp_codec.properties import reply_to_span, with_shortstr
from tests.codec.codec_strategies import properties, with_types

HEAD = b"\x00\x3c\x00\x00" + (5).to_bytes(8)

LITERALS = [
    (Properties(), HEAD + b"\x00\x00"),
    (Properties(content_type=""), HEAD + b"\x80\x00\x00"),
    (Properties(content_encoding="gzip"), HEAD + b"\x40\x00\x04gzip"),
    (Properties(headers={}), HEAD + b"\x20\x00\x00\x00\x00\x00"),
    (Properties(headers={"a": UInt8(1)}), HEAD + b"\x20\x00\x00\x00\x00\x04\x01aB\x01"),
    (Properties(delivery_mode=2), HEAD + b"\x10\x00\x02"),
    (Properties(priority=0), HEAD + b"\x08\x00\x00"),
    (Properties(correlation_id="c"), HEAD + b"\x04\x00\x01c"),
    (Properties(reply_to="r"), HEAD + b"\x02\x00\x01r"),
    (Properties(expiration="60000"), HEAD + b"\x01\x00\x0560000"),
    (Properties(message_id="m"), HEAD + b"\x00\x80\x01m"),
    (Properties(timestamp=1), HEAD + b"\x00\x40" + bytes(7) + b"\x01"),
    (Properties(type="t"), HEAD + b"\x00\x20\x01t"),
    (Properties(user_id="u"), HEAD + b"\x00\x10\x01u"),
    (Properties(app_id="a"), HEAD + b"\x00\x08\x01a"),
    (Properties(cluster_id="\udcff"), HEAD + b"\x00\x04\x01\xff"),
    (
        Properties(content_type="text/plain", delivery_mode=2, priority=9, expiration="1", app_id="a"),
        HEAD + b"\x99\x08\x0atext/plain\x02\x09\x011\x01a",
    ),
]


@pytest.mark.rule("5.9", "5.10")
@pytest.mark.parametrize(("given_properties", "payload"), LITERALS, ids=lambda value: str(value)[:40])
def test_literal_headers(given_properties: Properties, payload: bytes) -> None:
    assert encode_content_header(given_properties, 5) == payload
    header = parse_content_header(payload)
    assert header.properties == given_properties
    assert header.raw == payload
    assert (header.class_id, header.body_size) == (60, 5)


@pytest.mark.rule("5.9")
def test_flags_run_down_from_the_highest_bit_in_the_order_of_the_properties() -> None:
    flags = [getattr(amqp_codec, f"FLAG_{field.name.upper()}") for field in fields(Properties)]
    assert flags == [1 << bit for bit in range(15, 1, -1)]


def test_what_every_publish_is_asked_for_needs_no_decoding() -> None:
    header = parse_content_header(
        encode_content_header(Properties(headers={}, delivery_mode=2, priority=3, expiration="10"), 7)
    )
    assert header.flags & FLAG_HEADERS
    assert (header.delivery_mode, header.priority, header.expiration) == (2, 3, b"10")
    bare = parse_content_header(encode_content_header(Properties(), 7))
    assert not bare.flags & (FLAG_DELIVERY_MODE | FLAG_EXPIRATION)
    assert (bare.delivery_mode, bare.priority, bare.expiration) == (0, -1, None)


def test_properties_are_decoded_once() -> None:
    header = parse_content_header(encode_content_header(Properties(headers={"a": 1}), 0))
    assert header.properties is header.properties


def test_a_header_with_other_properties() -> None:
    header = parse_content_header(encode_content_header(Properties(headers={"a": 1}, expiration="5"), 99))
    changed = with_properties(header, replace(header.properties, expiration=None))
    assert changed.properties == Properties(headers={"a": 1})
    assert (changed.body_size, changed.expiration) == (99, None)
    assert header.properties.expiration == "5"
    assert changed != header
    assert changed == parse_content_header(changed.raw)
    assert "body_size=99" in repr(changed)


@given(properties, st.sampled_from(["", "r", "r" * 255]), st.sampled_from(["", "other", "o" * 255]))
def test_a_header_with_another_reply_to(original: Properties, old: str, new: str) -> None:
    header = parse_content_header(encode_content_header(replace(original, reply_to=old), 99))
    span = reply_to_span(header.raw, header.flags)
    assert header.raw[slice(*span)] == encode_shortstr(old)
    changed = with_shortstr(header, span, encode_shortstr(new))
    expected = parse_content_header(encode_content_header(replace(original, reply_to=new), 99))
    for name in ("raw", "class_id", "body_size", "flags", "delivery_mode", "priority", "expiration", "properties"):
        assert getattr(changed, name) == getattr(expected, name)


@given(properties, st.integers(0, (1 << 64) - 1))
def test_properties_come_back(original: Properties, body_size: int) -> None:
    header = parse_content_header(encode_content_header(original, body_size))
    assert header.body_size == body_size
    assert header.properties == original
    if original.headers is not None:
        assert with_types(header.properties.headers) == with_types(original.headers)
    assert header.priority == (-1 if original.priority is None else original.priority)
    assert header.delivery_mode == (original.delivery_mode or 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        HEAD,
        HEAD + b"\x00",
        HEAD + b"\x00\x00\x00",
        HEAD + b"\x00\x01",
        HEAD + b"\x00\x02",
        HEAD + b"\x80\x00",
        HEAD + b"\x80\x00\x02a",
        HEAD + b"\x10\x00",
        HEAD + b"\x08\x00",
        HEAD + b"\x01\x00\x02a",
        HEAD + b"\x00\x40" + bytes(7),
        HEAD + b"\x20\x00\x00\x00\x00",
        HEAD + b"\x20\x00\x00\x00\x00\x03\x01a?",
        HEAD + b"\x20\x00\x00\x00\x00\x09\x01aB\x01",
    ],
)
def test_malformed_headers(payload: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        parse_content_header(payload)
    assert (caught.value.reply_code, caught.value.text) == (
        ReplyCode.FRAME_ERROR,
        "cannot decode properties",
    )


@given(properties, st.data())
def test_what_was_checked_decodes(original: Properties, data: st.DataObject) -> None:
    octets = bytearray(encode_content_header(original, 0))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = parse_content_header(bytes(octets))
    except CodecError:
        return
    again = parse_content_header(encode_content_header(header.properties, header.body_size))
    # By repr, since a damaged double may be a NaN.
    assert repr(again.properties) == repr(header.properties)


@pytest.mark.parametrize("bad", [Properties(priority=256), Properties(timestamp=-1), Properties(message_id="m" * 256)])
def test_what_does_not_fit_is_a_value_error(bad: Properties) -> None:
    with pytest.raises(ValueError, match=r"range|at most 255"):
        encode_content_header(bad, 0)


@pytest.mark.parametrize(
    "published",
    [
        Properties(),
        Properties(content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=3),
        Properties(headers={}, expiration="60000", app_id="app"),
        Properties(headers={"a": b"x-stream-offset", "b": {"c": 1}}, message_id="1", timestamp=1),
    ],
    ids=["none", "without headers", "no headers", "headers"],
)
def test_a_number_is_put_behind_the_headers(published: Properties) -> None:
    raw = encode_content_header(published, 5)
    numbered = NumberedHeader(raw, "x-stream-offset")
    for number in (0, 1, -1, 1 << 40):
        header = add_header(raw, "x-stream-offset", number)
        headers = {**(published.headers or {}), "x-stream-offset": Int64(number)}
        assert header.properties == replace(published, headers=headers)
        other = numbered.header_of(number)
        assert other.raw == header.raw
        for name in ("class_id", "body_size", "flags", "delivery_mode", "priority", "expiration"):
            assert getattr(other, name) == getattr(header, name)
