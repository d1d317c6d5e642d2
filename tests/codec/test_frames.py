import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_codec import (
    FRAME_BODY,
    HEARTBEAT_FRAME,
    BasicDeliver,
    Command,
    CommandReader,
    Properties,
    append_content,
    append_delivery,
    append_heads,
    deliver_payload,
    encode_address,
    encode_content_header,
    encode_frame,
    encode_method_payload,
    encode_shortstr,
    iter_content,
)


def test_the_envelope() -> None:
    assert encode_frame(FRAME_BODY, 258, b"abc") == b"\x03\x01\x02\x00\x00\x00\x03abc\xce"
    assert HEARTBEAT_FRAME == b"\x08\x00\x00\x00\x00\x00\x00\xce"


DELIVER = b"\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x00\x07\x01\x01e\x01k"
METHOD_FRAME = b"\x01\x00\x05\x00\x00\x00\x13" + DELIVER + b"\xce"
HEADER_FRAME = b"\x02\x00\x05\x00\x00\x00\x02hh\xce"


@pytest.mark.rule("1.50")
@pytest.mark.parametrize(
    ("body", "frame_max", "body_frames"),
    [
        (b"", 0, b""),
        (b"", 100, b""),
        (b"abcd", 0, b"\x03\x00\x05\x00\x00\x00\x04abcd\xce"),
        (b"abcd", 12, b"\x03\x00\x05\x00\x00\x00\x04abcd\xce"),
        (b"abcd", 11, b"\x03\x00\x05\x00\x00\x00\x03abc\xce\x03\x00\x05\x00\x00\x00\x01d\xce"),
        (b"abcd", 10, b"\x03\x00\x05\x00\x00\x00\x02ab\xce\x03\x00\x05\x00\x00\x00\x02cd\xce"),
    ],
)
def test_content_is_cut_at_frame_max(body: bytes, frame_max: int, body_frames: bytes) -> None:
    expected = b"before" + METHOD_FRAME + HEADER_FRAME + body_frames
    out = bytearray(b"before")
    append_content(out, 5, DELIVER, b"hh", body, frame_max)
    assert out == expected
    out = bytearray(b"before")
    append_delivery(out, 5, b"\x01c", 7, True, b"\x01e\x01k", b"hh", body, frame_max)
    assert out == expected
    assert b"before" + b"".join(iter_content(5, DELIVER, b"hh", body, frame_max)) == expected


def test_a_body_of_one_frame_may_stay_where_it_is() -> None:
    heads, whole = bytearray(b"before"), bytearray(b"before")
    append_heads(heads, 5, DELIVER, b"hh", 4)
    append_content(whole, 5, DELIVER, b"hh", b"abcd", 12)
    assert heads + b"abcd\xce" == whole


def test_deliveries_differ_in_whatever_part_differs() -> None:
    usual = (5, b"\x01t", 7, False, b"\x01e\x01k", b"hh", b"abcd")
    for fields in (
        usual,
        (6, *usual[1:]),
        usual,
        (5, b"\x01u", *usual[2:]),
        usual,
        (5, b"\x01t", 8, True, *usual[4:]),
        usual,
        (*usual[:4], b"\x01e\x01l", *usual[5:]),
        usual,
        (*usual[:5], b"ii", usual[6]),
        usual,
        (*usual[:6], b"abcde"),
    ):
        channel_id, tag, number, redelivered, address, header, body = fields
        delivery, whole = bytearray(), bytearray()
        append_delivery(delivery, channel_id, tag, number, redelivered, address, header, body, 131072)
        append_content(whole, channel_id, deliver_payload(tag, number, redelivered, address), header, body, 131072)
        assert delivery == whole


def test_iterating_does_not_copy_the_body() -> None:
    body = bytes(1000)
    pieces = [piece for piece in iter_content(1, DELIVER, b"hh", body, 108) if isinstance(piece, memoryview)]
    assert [piece.nbytes for piece in pieces] == [100] * 10
    assert all(piece.obj is body for piece in pieces)


@pytest.mark.rule("1.47", "1.50")
@given(st.binary(max_size=300), st.sampled_from([0, 9, 20, 308]), st.integers(0, (1 << 64) - 1), st.booleans())
def test_a_delivery_reads_as_one_command(body: bytes, frame_max: int, tag: int, redelivered: bool) -> None:
    raw = encode_content_header(Properties(app_id="a"), len(body))
    method = BasicDeliver(
        consumer_tag="ctag", delivery_tag=tag, redelivered=redelivered, exchange="ex", routing_key="\udcff"
    )
    out = bytearray()
    append_delivery(
        out,
        65535,
        encode_shortstr("ctag"),
        tag,
        redelivered,
        encode_address("ex", "\udcff"),
        raw,
        body,
        frame_max,
    )
    plain = bytearray()
    append_content(plain, 65535, encode_method_payload(method), raw, body, frame_max)
    assert out == plain
    (command,) = CommandReader(0, 1000, 1000).receive(bytes(out))
    assert isinstance(command, Command)
    assert command.method == method
    assert command.header is not None
    assert (command.channel_id, command.header.raw, command.body) == (65535, raw, body)
