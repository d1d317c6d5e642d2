import random
import tracemalloc
from collections.abc import Iterable
from time import process_time
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqp_codec import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_METHOD,
    HEARTBEAT_FRAME,
    AckCommand,
    BasicAck,
    BasicDeliver,
    BasicPublish,
    BasicReturn,
    ChannelOpen,
    CodecError,
    Command,
    CommandReader,
    ConnectionTuneOk,
    Method,
    Properties,
    PublishCommand,
    QueueDeclare,
    Received,
    ReplyCode,
    append_content,
    decode_address,
    encode_address,
    encode_content_header,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.codec.codec_strategies import cut, streams

PUBLISH = b"\x01\x00\x01\x00\x00\x00\x0b\x00\x3c\x00\x28\x00\x00\x01e\x01k\x01\xce"


def header_frame(size: int, channel_id: int = 1, properties: Properties | None = None) -> bytes:
    return encode_frame(FRAME_HEADER, channel_id, encode_content_header(properties or Properties(), size))


def body_frame(body: bytes, channel_id: int = 1) -> bytes:
    return encode_frame(FRAME_BODY, channel_id, body)


def content(method: Method, body: bytes, channel_id: int = 1, properties: Properties | None = None) -> bytes:
    out = bytearray()
    raw = encode_content_header(properties or Properties(), len(body))
    append_content(out, channel_id, encode_method_payload(method), raw, body, 131072)
    return bytes(out)


def new_reader(frame_max: int = 131072) -> CommandReader:
    return CommandReader(frame_max, max_body_octets=1 << 24, max_partial_octets=1 << 27)


def comparable(received: Iterable[Received]) -> list[object]:
    """The same with errors as what can be told of them, since exceptions don't compare."""
    return [
        (item.reply_code, item.text, item.class_id, item.method_id) if isinstance(item, CodecError) else item
        for item in received
    ]


def fed(reader: CommandReader, pieces: Iterable[bytes]) -> list[object]:
    return comparable(item for piece in pieces for item in reader.receive(piece))


def by_octet(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def only_error(data: bytes, frame_max: int = 131072) -> CodecError:
    """The error that is all a reader says to the data, whole and by the octet."""
    reader = new_reader(frame_max)
    (error,) = reader.receive(data)
    assert isinstance(error, CodecError)
    assert reader.failed
    assert fed(new_reader(frame_max), by_octet(data)) == comparable([error])
    return error


# What is right


def test_a_publish() -> None:
    (command,) = new_reader().receive(PUBLISH + header_frame(5) + body_frame(b"hello"))
    assert isinstance(command, PublishCommand)
    assert (command.channel_id, command.address, command.bits) == (1, b"\x01e\x01k", PublishCommand.MANDATORY)
    assert (command.exchange, command.routing_key) == ("e", "k")
    assert command.header.properties == Properties()
    assert command.body == b"hello"


ALIKE: Final = [
    *(content(BasicPublish(routing_key="q"), body) for body in (b"hello", b"world", b"hello!", b"")),
    content(BasicPublish(routing_key="q"), b"hello", channel_id=2),
    content(BasicPublish(routing_key="q"), b"hello", properties=Properties(priority=1)),
    PUBLISH,
    *(encode_method_frame(channel_id, BasicAck(258, True)) for channel_id in (0, 1, 2)),
    HEARTBEAT_FRAME,
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(ALIKE), max_size=6), st.sampled_from(ALIKE), st.integers(0, 3), st.data())
def test_what_is_like_the_last_one_is_looked_at_as_closely(
    commands: list[bytes], usual: bytes, most: int, data: st.DataObject
) -> None:
    """By the octet no frame is ever whole in a read, so that there nothing is recognized."""
    commands = [usual, *commands, usual, usual]
    octets = bytearray(b"".join(commands))
    ends = [len(b"".join(commands[:count])) - 1 for count in range(1, len(commands) + 1)]
    if data.draw(st.booleans()):
        place = data.draw(st.sampled_from(ends) | st.integers(0, len(octets) - 1))
        octets[place] = data.draw(st.sampled_from([0, 1, 2, 3, 13, 60, 80, 206]))
    reader = new_reader()
    reader.most = most
    received = reader.receive(octets)
    while reader.has_more:
        received += reader.receive(b"")
    one_by_one = new_reader()
    expected = [item for piece in by_octet(bytes(octets)) for item in one_by_one.receive(piece)]
    assert comparable(received) == comparable(expected)


def test_what_is_like_the_last_one_may_be_too_large_by_now() -> None:
    reader = new_reader()
    assert len(reader.receive(ALIKE[5])) == 1
    reader.frame_max = len(header_frame(5, properties=Properties(priority=1))) - 9
    (error,) = reader.receive(ALIKE[5])
    assert isinstance(error, CodecError)
    assert "frame_too_large" in error.text


def test_no_body_stays_with_the_reader() -> None:
    body = bytes(100_000)
    octets = content(BasicPublish(routing_key="q"), body)
    reader = new_reader()
    tracemalloc.start()
    try:
        assert len(reader.receive(octets * 2)) == 2
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < len(body)


@pytest.mark.rule("1.51")
def test_addresses() -> None:
    assert encode_address("e", "k\udcff") == b"\x01e\x02k\xff"
    assert decode_address(b"\x01e\x02k\xff") == ("e", "k\udcff")
    (command,) = new_reader().receive(content(BasicPublish(routing_key="\udcff", immediate=True), b""))
    assert isinstance(command, PublishCommand)
    assert (command.exchange, command.routing_key, command.bits) == ("", "\udcff", PublishCommand.IMMEDIATE)


def test_a_method_without_content() -> None:
    assert new_reader().receive(encode_method_frame(7, QueueDeclare(queue="q"))) == [
        Command(7, QueueDeclare(queue="q"))
    ]


def test_an_ack_is_a_command_like_others() -> None:
    data = encode_method_frame(1, BasicAck(delivery_tag=(1 << 64) - 1, multiple=True))
    received = new_reader().receive(data + encode_method_frame(0, BasicAck(delivery_tag=2)))
    assert received == [Command(1, BasicAck((1 << 64) - 1, True)), Command(0, BasicAck(2))]
    ack = received[0]
    assert isinstance(ack, AckCommand)
    assert (ack.delivery_tag, ack.multiple, ack.header, ack.body) == ((1 << 64) - 1, True, None, None)
    assert repr(ack) == repr(Command(1, BasicAck((1 << 64) - 1, True)))


def test_an_ack_is_looked_at_as_closely_as_others() -> None:
    ack = encode_method_frame(1, BasicAck(delivery_tag=1))
    assert [type(item) for item in new_reader().receive(ack + encode_method_frame(0, BasicAck()))] == [
        AckCommand,
        Command,
    ]
    assert "invalid_frame_end_marker" in only_error(ack[:-1] + b"\0").text
    assert only_error(b"\x03" + ack[1:]).reply_code is ReplyCode.UNEXPECTED_FRAME
    assert "expected content header" in only_error(PUBLISH + ack).text


def test_content_of_other_methods() -> None:
    method = BasicDeliver(consumer_tag="c", delivery_tag=1)
    (command,) = new_reader().receive(content(method, b"abc"))
    assert isinstance(command, Command)
    assert (command.method, command.body) == (method, b"abc")


@pytest.mark.rule("1.47")
def test_an_empty_body_has_no_frame() -> None:
    data = PUBLISH + header_frame(0) + PUBLISH + header_frame(1) + body_frame(b"x")
    bodies = [item.body for item in new_reader().receive(data) if isinstance(item, PublishCommand)]
    assert bodies == [b"", b"x"]
    assert fed(new_reader(), by_octet(data)) == new_reader().receive(data)


@pytest.mark.rule("1.49")
def test_a_body_may_be_split_anywhere_and_into_empty_frames() -> None:
    parts = [b"", b"he", b"", b"l", b"lo"]
    data = PUBLISH + header_frame(5) + b"".join(map(body_frame, parts))
    (command,) = new_reader().receive(data)
    assert isinstance(command, PublishCommand)
    assert command.body == b"hello"


@pytest.mark.rule("1.49")
def test_channels_take_turns() -> None:
    second = encode_frame(FRAME_METHOD, 2, PUBLISH[7:-1])
    frames = [
        PUBLISH,
        second,
        header_frame(2, 2),
        HEARTBEAT_FRAME,
        header_frame(4, 1),
        body_frame(b"ab", 1),
        encode_method_frame(3, ChannelOpen()),
        body_frame(b"AB", 2),
        body_frame(b"cd", 1),
    ]
    received = new_reader().receive(b"".join(frames))
    assert [(item.channel_id, item.body) for item in received if not isinstance(item, CodecError)] == [
        (3, None),
        (2, b"AB"),
        (1, b"abcd"),
    ]
    assert fed(new_reader(), frames) == received


def test_heartbeats_give_no_command() -> None:
    assert new_reader().receive(HEARTBEAT_FRAME * 3) == []


def test_repeated_headers_are_shared() -> None:
    data = content(BasicPublish(), b"abc", properties=Properties(headers={"a": 1}))
    first, second = new_reader().receive(data + data)
    assert isinstance(first, PublishCommand)
    assert isinstance(second, PublishCommand)
    assert first.header is second.header


def test_content_methods_on_channel_0_come_alone() -> None:
    # No content belongs there; the session refuses the method without waiting for any (rule 1.53).
    received = new_reader().receive(encode_method_frame(0, BasicPublish(exchange="e")))
    assert received == [Command(0, BasicPublish(exchange="e"))]


def test_a_bytearray_may_be_reused_by_its_owner() -> None:
    data = PUBLISH + header_frame(3000) + body_frame(b"x" * 3000)
    reader = new_reader()
    received = []
    for piece in cut(data, [10, 2000]):
        buffer = bytearray(piece)
        received += reader.receive(buffer)
        buffer[:] = bytes(len(buffer))
    assert received == new_reader().receive(data)


def test_one_at_a_time_keeps_the_rest() -> None:
    tune_ok = ConnectionTuneOk(frame_max=0)
    large = content(BasicPublish(), b"x" * 100)
    reader = new_reader(frame_max=64)
    reader.most = 1
    received = reader.receive(encode_method_frame(0, tune_ok) + HEARTBEAT_FRAME + large + large + PUBLISH[:3])
    assert received == [Command(0, tune_ok)]
    reader.frame_max = 4096
    assert len(reader.receive(b"")) == 1
    assert len(reader.receive(b"")) == 1
    assert reader.receive(b"") == []
    reader.most = 0
    assert len(reader.receive(PUBLISH[3:] + header_frame(0) + large)) == 2


# Limits


@pytest.mark.rule("1.43")
def test_payloads_up_to_frame_max_are_tolerated() -> None:
    data = PUBLISH + header_frame(4096) + body_frame(bytes(4096))
    assert len(new_reader(4096).receive(data)) == 1


@pytest.mark.rule("1.43")
def test_one_octet_more_than_frame_max_is_refused() -> None:
    reader = new_reader(4096)
    reader.receive(PUBLISH + header_frame(4097))
    (error,) = reader.receive(b"\x03\x00\x01\x00\x00\x10\x01")
    assert isinstance(error, CodecError)
    assert (error.reply_code, error.text) == (
        ReplyCode.FRAME_ERROR,
        "type 3, all octets = <<>>: {frame_too_large,4097,4088}",
    )


@pytest.mark.rule("1.43")
@pytest.mark.parametrize("frame", [FRAME_METHOD, FRAME_HEADER, FRAME_BODY])
def test_the_head_is_enough_to_refuse_a_frame(frame: int) -> None:
    error = only_error(bytes((frame, 0, 1)) + (8193).to_bytes(4), frame_max=8192)
    assert error.text == f"type {frame}, all octets = <<>>: {{frame_too_large,8193,8184}}"


@pytest.mark.rule("1.43")
def test_no_frame_max_is_no_limit_but_that_of_content() -> None:
    reader = CommandReader(0, max_body_octets=1 << 20, max_partial_octets=1 << 20)
    data = PUBLISH + header_frame(1 << 20) + body_frame(bytes(1 << 20))
    (command,) = reader.receive(data)
    assert isinstance(command, PublishCommand)
    (error,) = reader.receive(b"\x03\x00\x01" + ((1 << 20) + 1).to_bytes(4))
    assert isinstance(error, CodecError)
    assert error.reply_code is ReplyCode.RESOURCE_ERROR


@pytest.mark.rule("1.48")
def test_the_largest_announced_body() -> None:
    error = only_error(PUBLISH + header_frame(536870913))
    assert (error.reply_code, error.text) == (
        ReplyCode.FRAME_ERROR,
        "content body size 536870913 exceeds maximum allowed size 536870912",
    )
    assert (error.class_id, error.method_id) == (60, 40)
    assert new_reader().receive(PUBLISH + header_frame(536870912)) == []


@pytest.mark.rule("5.5")
def test_too_large_a_body_is_read_and_thrown_away() -> None:
    reader = CommandReader(131072, max_body_octets=10, max_partial_octets=100)
    parts = [body_frame(bytes(100)), body_frame(b""), body_frame(bytes(1000))]
    data = PUBLISH + header_frame(1100) + b"".join(parts) + PUBLISH + header_frame(1) + body_frame(b"x")
    too_large, next_one = reader.receive(data)
    assert isinstance(too_large, PublishCommand)
    assert (too_large.body, too_large.header.body_size) == (None, 1100)
    assert isinstance(next_one, PublishCommand)
    assert next_one.body == b"x"
    single = PUBLISH + header_frame(11) + body_frame(bytes(11))
    (command,) = reader.receive(single)
    assert isinstance(command, PublishCommand)
    assert command.body is None


def test_unfinished_content_of_all_channels_is_limited() -> None:
    reader = CommandReader(131072, max_body_octets=1000, max_partial_octets=1000)
    for channel_id in range(1, 6):
        method = encode_method_frame(channel_id, BasicPublish())
        assert reader.receive(method + header_frame(200, channel_id) + body_frame(bytes(150), channel_id)) == []
    (error,) = reader.receive(encode_method_frame(6, BasicPublish()) + header_frame(999, 6) + body_frame(bytes(200), 6))
    assert isinstance(error, CodecError)
    assert (error.reply_code, error.text) == (
        ReplyCode.RESOURCE_ERROR,
        "unfinished content of all channels exceeds 1000 octets",
    )
    assert (error.class_id, error.method_id) == (60, 40)


def test_finished_content_does_not_count() -> None:
    reader = CommandReader(131072, max_body_octets=1000, max_partial_octets=1000)
    data = PUBLISH + header_frame(1000) + body_frame(bytes(900)) + body_frame(bytes(100))
    assert [len(reader.receive(data)) for _ in range(50)] == [1] * 50


def test_nothing_is_allocated_for_what_is_only_announced() -> None:
    reader = CommandReader(0, max_body_octets=1 << 30, max_partial_octets=1 << 30)
    tracemalloc.start()
    try:
        reader.receive(PUBLISH + header_frame(1 << 29) + b"\x03\x00\x01\x20\x00\x00\x00" + b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("step", [1, 2, 3])
def test_small_pieces_cost_octets_not_objects(step: int) -> None:
    data = PUBLISH + header_frame(100_000) + body_frame(bytes(100_000))[:-1]
    reader = new_reader()
    tracemalloc.start()
    try:
        for start in range(0, len(data), step):
            reader.receive(data[start : start + step])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200_000
    assert len(reader.receive(b"\xce")) == 1


def read_by_room(reader: CommandReader, data: bytes, octets: int) -> list[object]:
    """Take so many octets at a time, as many of them as there is room for straight to where they stay."""
    received: list[Received] = []
    for start in range(0, len(data), octets):
        piece = data[start : start + octets]
        room = reader.room
        landed = 0 if room is None else min(len(room), len(piece))
        if room is not None:
            room[:landed] = piece[:landed]
        received += reader.receive(piece[landed:], landed)
    return comparable(received)


LARGE_STREAM: Final = b"".join(
    (
        content(BasicPublish(routing_key="first"), random.Random(1).randbytes(40_000)),
        content(BasicPublish(routing_key="small"), b"small"),
        # Another channel's frames come between those of a body.
        encode_method_frame(3, BasicPublish(routing_key="between")) + header_frame(60_000, 3),
        body_frame(random.Random(2).randbytes(30_000), 3),
        content(BasicPublish(routing_key="in two frames"), random.Random(3).randbytes(140_000), 2),
        body_frame(random.Random(4).randbytes(30_000), 3),
        content(BasicReturn(reply_code=312, reply_text="a method with content"), bytes(20_000), 7),
        encode_method_frame(1, BasicAck(delivery_tag=1)),
    )
)


@pytest.mark.parametrize("octets", [100, 4096, 16_385, 65_536, 262_144, 1_000_000])
@pytest.mark.parametrize("most", [0, 1])
def test_large_bodies_are_the_same_however_they_come(octets: int, most: int) -> None:
    whole = comparable(new_reader().receive(LARGE_STREAM))
    assert len(whole) == 6
    reader = new_reader()
    reader.most = most
    received = read_by_room(reader, LARGE_STREAM, octets)
    while reader.has_more:
        received += comparable(reader.receive(b""))
    assert received == whole
    if not most:
        assert (
            fed(new_reader(), [LARGE_STREAM[at : at + octets] for at in range(0, len(LARGE_STREAM), octets)]) == whole
        )


def room_of(reader: CommandReader) -> int | None:
    """In octets."""
    return None if reader.room is None else len(reader.room)


def test_the_rest_of_a_large_body_has_room_and_nothing_else_has() -> None:
    reader = new_reader()
    data = content(BasicPublish(), bytes(20_000))
    assert room_of(reader) is None
    reader.receive(data[:500])
    missing = len(data) - 500 - 1
    assert room_of(reader) == missing
    reader.receive(b"", missing)
    assert room_of(reader) == 0
    assert len(reader.receive(data[-1:])) == 1
    assert room_of(reader) is None
    reader.receive(content(BasicPublish(), bytes(10_000))[:500])
    assert room_of(reader) is None


@pytest.mark.rule("1.43")
@pytest.mark.parametrize("octets", [5000, 100_000])
def test_a_wrong_end_of_a_large_frame_is_told_however_it_came(octets: int) -> None:
    data = PUBLISH + header_frame(20_000) + body_frame(bytes(20_000))[:-1] + b"\x07" + PUBLISH
    reader = new_reader()
    (error,) = read_by_room(reader, data, octets)
    assert [error] == comparable([only_error(data)])
    assert reader.room is None


def test_a_large_frame_where_none_belongs_gets_no_room() -> None:
    reader = new_reader()
    reader.receive(body_frame(bytes(20_000))[:10_000])
    assert reader.room is None
    reader = new_reader()
    reader.receive(PUBLISH + header_frame(19_999) + body_frame(bytes(20_000))[:10_000])
    assert reader.room is None
    reader = CommandReader(131072, max_body_octets=10, max_partial_octets=100_000)
    reader.receive(PUBLISH + header_frame(20_000) + body_frame(bytes(20_000))[:10_000])
    assert reader.room is None  # it is thrown away


def test_a_large_frame_in_many_reads_takes_linear_time() -> None:
    def seconds(octets: int) -> float:
        data = PUBLISH + header_frame(octets) + body_frame(bytes(octets))
        reader = new_reader(0)
        begin = process_time()
        commands = [item for i in range(0, len(data), 64) for item in reader.receive(data[i : i + 64])]
        assert len(commands) == 1
        return process_time() - begin

    # Four times the octets: 4 when linear, 16 when quadratic.
    small = min(seconds(1 << 20) for _ in range(3))
    assert min(seconds(1 << 22) for _ in range(3)) < 10 * small


# What is wrong


@pytest.mark.rule("1.44")
def test_a_wrong_end_octet() -> None:
    error = only_error(b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xcf" + HEARTBEAT_FRAME)
    assert (error.reply_code, error.text) == (
        ReplyCode.FRAME_ERROR,
        "type 1, all octets = <<0,10,0,51>>: {invalid_frame_end_marker,207}",
    )
    error = only_error(b"\x03\x00\x01\x00\x00\x00\x11" + bytes(17) + b"\x00")
    assert error.text == f"type 3, first 16 octets = <<{','.join('0' * 16)}>>: {{invalid_frame_end_marker,0}}"


@pytest.mark.rule("1.44")
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_wrong_end_octet_within_a_message(broken: int) -> None:
    frames = [PUBLISH, header_frame(5), body_frame(b"hello")]
    frames[broken] = frames[broken][:-1] + b"\x00"
    assert "invalid_frame_end_marker,0" in only_error(b"".join(frames)).text


@pytest.mark.rule("1.44")
def test_after_an_error_nothing_more_is_accepted() -> None:
    reader = new_reader()
    open_ = encode_method_frame(1, ChannelOpen())
    received = reader.receive(open_ + b"\x09" + bytes(6) + b"\xce" + open_)
    assert received[0] == Command(1, ChannelOpen())
    assert isinstance(received[1], CodecError)
    assert len(received) == 2
    assert reader.receive(open_) == []


@pytest.mark.rule("1.45")
@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"\x09\x00\x00\x00\x00\x00\x01a\xce", "type 9, all octets = <<97>>: unknown_frame"),
        (b"\x00\x00\x01\x00\x00\x00\x00\xce", "type 0, all octets = <<>>: unknown_frame"),
        (b"\x01\x00\x01\x00\x00\x00\x00\xce", "type 1, all octets = <<>>: unknown_frame"),
        (b"\x01\x00\x01\x00\x00\x00\x03\x00\x3c\x00\xce", "type 1, all octets = <<0,60,0>>: unknown_frame"),
        (b"\x02\x00\x01\x00\x00\x00\x00\xce", "type 2, all octets = <<>>: unknown_frame"),
    ],
)
def test_unknown_frames(frame: bytes, text: str) -> None:
    error = only_error(frame)
    assert (error.reply_code, error.text, error.class_id) == (ReplyCode.FRAME_ERROR, text, 0)


@pytest.mark.rule("1.45")
def test_a_content_header_too_short_to_be_one() -> None:
    error = only_error(PUBLISH + encode_frame(FRAME_HEADER, 1, bytes(11)))
    assert "unknown_frame" in error.text
    error = only_error(PUBLISH + encode_frame(FRAME_HEADER, 1, b""))
    assert "unknown_frame" in error.text


@pytest.mark.rule("1.28")
def test_heartbeats_with_payload_or_on_a_channel() -> None:
    error = only_error(b"\x08\x00\x00\x00\x00\x00\x01a\xce")
    assert (error.reply_code, error.text) == (
        ReplyCode.FRAME_ERROR,
        "type 8, all octets = <<97>>: unknown_frame",
    )
    error = only_error(b"\x08\x00\x01\x00\x00\x00\x00\xce")
    assert error.reply_code is ReplyCode.UNEXPECTED_FRAME


NO_METHOD = "expected method frame, got non method frame instead"
NO_HEADER = "expected content header for class 60, got non content header frame instead"
NO_BODY = "expected content body, got non content body frame instead"
OTHER_CLASS = "expected content header for class 60, got one for class 10 instead"


@pytest.mark.rule("1.46", "0.6")
@pytest.mark.parametrize(
    ("data", "text", "ids"),
    [
        (header_frame(1), NO_METHOD, (0, 0)),
        (body_frame(b"a"), NO_METHOD, (0, 0)),
        (body_frame(b"a", 0), NO_METHOD, (0, 0)),
        (PUBLISH + header_frame(0) + body_frame(b"a"), NO_METHOD, (0, 0)),
        (PUBLISH + PUBLISH, NO_HEADER, (60, 40)),
        (PUBLISH + body_frame(b"a"), NO_HEADER, (60, 40)),
        (PUBLISH + encode_method_frame(1, ChannelOpen()), NO_HEADER, (60, 40)),
        (encode_method_frame(1, BasicDeliver()) + body_frame(b""), NO_HEADER, (60, 60)),
        (
            PUBLISH + encode_frame(FRAME_HEADER, 1, b"\x00\x0a\x00\x00" + bytes(8) + b"\x00\x00"),
            OTHER_CLASS,
            (60, 40),
        ),
        (PUBLISH + header_frame(2) + PUBLISH, NO_BODY, (60, 40)),
        (PUBLISH + header_frame(2) + header_frame(2), NO_BODY, (60, 40)),
        (PUBLISH + header_frame(2) + body_frame(b"a") + PUBLISH, NO_BODY, (60, 40)),
    ],
)
def test_frames_out_of_sequence(data: bytes, text: str, ids: tuple[int, int]) -> None:
    reader = new_reader()
    error = reader.receive(data)[-1]
    assert isinstance(error, CodecError)
    assert (error.reply_code, error.text) == (ReplyCode.UNEXPECTED_FRAME, text)
    assert (error.class_id, error.method_id) == ids
    assert fed(new_reader(), by_octet(data))[-1:] == comparable([error])


@pytest.mark.rule("1.47")
def test_a_header_with_weight_is_unexpected() -> None:
    error = only_error(PUBLISH + encode_frame(FRAME_HEADER, 1, b"\x00\x3c\x00\x01" + bytes(10)))
    assert error.reply_code is ReplyCode.UNEXPECTED_FRAME


@pytest.mark.rule("1.48")
@pytest.mark.parametrize("parts", [[b"abc"], [b"a", b"bc"], [b"a", b"", b"bcdef"]])
def test_more_body_than_announced(parts: list[bytes]) -> None:
    error = only_error(PUBLISH + header_frame(2) + b"".join(map(body_frame, parts)))
    assert (error.reply_code, error.text) == (
        ReplyCode.FRAME_ERROR,
        "content body frame exceeds remaining content size",
    )
    assert (error.class_id, error.method_id) == (60, 40)


@pytest.mark.rule("1.51")
@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x05e\x00\x00",
        b"\x00\x00\x00\x05e\x00",
        b"\x00\x00\x01e\x01k\x00\x00",
        b"\x00\x00\x01e\xffk\x00",
        b"\x00\x00\xffe\x01k\x00",
    ],
)
def test_undecodable_publishes(arguments: bytes) -> None:
    error = only_error(
        encode_frame(FRAME_METHOD, 1, b"\x00\x3c\x00\x28" + arguments) + header_frame(1) + body_frame(b"a")
    )
    assert (error.reply_code, error.text) == (ReplyCode.FRAME_ERROR, "cannot decode basic.publish")
    assert (error.class_id, error.method_id) == (60, 40)


@pytest.mark.rule("1.51")
def test_undecodable_arguments() -> None:
    error = only_error(encode_frame(FRAME_METHOD, 1, b"\x00\x32\x00\x0a\x00\x00\x05q"))
    assert (error.reply_code, error.text) == (ReplyCode.FRAME_ERROR, "cannot decode queue.declare")
    assert (error.class_id, error.method_id) == (50, 10)


@pytest.mark.rule("1.52")
def test_undecodable_properties() -> None:
    error = only_error(PUBLISH + encode_frame(FRAME_HEADER, 1, b"\x00\x3c\x00\x00" + bytes(8) + b"\x80\x00"))
    assert (error.reply_code, error.text) == (ReplyCode.FRAME_ERROR, "cannot decode properties")
    assert (error.class_id, error.method_id) == (60, 40)


# Any slicing, any octets


@given(streams(), st.lists(st.integers(0, 1 << 16), max_size=8), st.integers(1, 4))
def test_any_slicing_gives_the_same(data: bytes, places: list[int], most: int) -> None:
    whole = fed(new_reader(), [data])
    assert not any(isinstance(item, tuple) for item in whole)
    assert fed(new_reader(), cut(data, places)) == whole
    assert fed(new_reader(), by_octet(data)) == whole
    few_by_few = new_reader()
    few_by_few.most = most
    collected = []
    for piece in cut(data, places):
        received = few_by_few.receive(piece)
        collected += comparable(received)
        while few_by_few.has_more:
            assert len(received) == most
            received = few_by_few.receive(b"")
            collected += comparable(received)
        assert len(received) <= most
    assert collected == whole


@given(streams(), st.data())
def test_damaged_streams_give_the_same_errors_however_cut(stream: bytes, data: st.DataObject) -> None:
    octets = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 5)) if octets else 0):
        place = data.draw(st.integers(0, len(octets) - 1))
        change = data.draw(st.sampled_from(["set", "drop", "insert"]))
        if change == "set":
            octets[place] = data.draw(st.integers(0, 255))
        elif change == "drop" and len(octets) > 1:
            del octets[place]
        else:
            octets.insert(place, data.draw(st.sampled_from([0, 1, 2, 3, 8, 0xCE, 255])))
    damaged = bytes(octets)
    reader = new_reader()
    received = reader.receive(damaged)
    assert not any(isinstance(item, CodecError) for item in received[:-1])
    assert reader.failed == (bool(received) and isinstance(received[-1], CodecError))
    for item in received:
        if not isinstance(item, CodecError) and item.header is not None:
            assert item.header.properties
    # By repr, since a damaged double may be a NaN.
    whole = repr(comparable(received))
    places = data.draw(st.lists(st.integers(0, len(damaged)), max_size=5))
    assert repr(fed(new_reader(), cut(damaged, places))) == whole
    assert repr(fed(new_reader(), by_octet(damaged))) == whole


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.binary(max_size=24)), max_size=6))
def test_any_frames_never_raise(frames: list[tuple[int, int, bytes]]) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    assert fed(new_reader(), by_octet(data)) == fed(new_reader(), [data])


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_any_octets_never_raise(pieces: list[bytes]) -> None:
    reader = new_reader()
    for piece in pieces:
        received = reader.receive(piece)
        assert not any(isinstance(item, CodecError) for item in received[:-1])
