"""Chapter 1j: frames, and how methods, headers and bodies are put together; seen from a running connection."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicConsume,
    BasicPublish,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionSecureOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDelete,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import ChannelClient, Client, World

PUBLISH = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key="q")))


def header(size: int, channel_id: int = 1, *, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0") -> bytes:
    return encode_frame(2, channel_id, class_id.to_bytes(2) + weight.to_bytes(2) + size.to_bytes(8) + rest)


def body(octets: bytes, channel_id: int = 1) -> bytes:
    return encode_frame(3, channel_id, octets)


def expect_error(client: Client, code: int, text: str, ids: tuple[int, int] = (0, 0)) -> None:
    """A `connection.close` with just this, and nothing else."""
    close = client.expect_close(code, text)
    assert (close.failing_class_id, close.failing_method_id) == ids
    client.expect_nothing()
    assert not client.connection.is_open


# Sizes and the end octet


@pytest.mark.rule("1.43")
@pytest.mark.parametrize("frame_max", [4096, 131072])
def test_a_payload_of_frame_max_is_tolerated_and_one_octet_more_is_not(world: World, frame_max: int) -> None:
    client = Client(world)
    client.open(frame_max=frame_max)
    channel = client.channel()
    channel.queue("q")
    client.send_octets(PUBLISH + header(frame_max) + body(bytes(frame_max)))
    assert channel.drain("q") == [bytes(frame_max)]
    client.send_octets(PUBLISH + header(frame_max + 1) + body(bytes(frame_max + 1)))
    text = f"FRAME_ERROR - type 3, all octets = <<>>: {{frame_too_large,{frame_max + 1},{frame_max - 8}}}"
    expect_error(client, 501, text)


@pytest.mark.rule("1.43")
@pytest.mark.parametrize("kind", [1, 2, 3, 8, 77])
@pytest.mark.parametrize("size", [131073, 0xFFFFFFFF])
def test_a_frame_that_announces_too_much_is_refused_at_once(channel: ChannelClient, kind: int, size: int) -> None:
    channel.client.send_octets(bytes((kind, 0, 1)) + size.to_bytes(4))
    text = f"FRAME_ERROR - type {kind}, all octets = <<>>: {{frame_too_large,{size},131064}}"
    expect_error(channel.client, 501, text)


@pytest.mark.rule("1.44")
@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (
            b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xcf",
            "type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,207}",
        ),
        (PUBLISH[:-1] + b"\x00", "type 1, all octets = <<0,60,0,40,0,0,0,1,113,0>>: {invalid_frame_end_marker,0}"),
        (
            PUBLISH + header(3) + b"\x03\x00\x01\x00\x00\x00\x03abcd",
            "type 3, all octets = <<97,98,99>>: {invalid_frame_end_marker,100}",
        ),
        (
            b"\x03\x00\x01\x00\x00\x00\x20" + bytes(range(32)) + b"\x01",
            "type 3, first 16 octets = <<0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15>>: {invalid_frame_end_marker,1}",
        ),
        (b"\x08\x00\x00\x00\x00\x00\x00\x01", "type 8, all octets = <<>>: {invalid_frame_end_marker,1}"),
    ],
)
def test_a_wrong_end_octet(channel: ChannelClient, octets: bytes, text: str) -> None:
    channel.client.send_octets(octets)
    expect_error(channel.client, 501, f"FRAME_ERROR - {text}")


@pytest.mark.rule("1.44", "1.43")
@pytest.mark.parametrize("octets", [b"\x08\x00\x00\x00\x00\x00\x00\x01", b"\x03\x00\x01\xff\xff\xff\xff"])
def test_when_sync_is_lost_no_input_is_accepted_and_the_socket_goes_soon(channel: ChannelClient, octets: bytes) -> None:
    client = channel.client
    declare = encode_method_frame(1, QueueDeclare(queue="late"))
    client.send_octets(octets + declare)
    client.expect_close(501)
    client.send_octets(declare)
    client.send(0, ConnectionClose())
    client.expect_nothing()
    assert "late" not in client.world.broker.vhosts["/"].queues
    client.world.advance(2.9)
    client.expect_connected()
    client.world.advance(0.2)
    client.expect_dropped()


@pytest.mark.rule("1.45")
@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (encode_frame(9, 0, b"a"), "type 9, all octets = <<97>>: unknown_frame"),
        (encode_frame(0, 1, b""), "type 0, all octets = <<>>: unknown_frame"),
        (encode_frame(4, 1, b"ab"), "type 4, all octets = <<97,98>>: unknown_frame"),
        (encode_frame(255, 9, bytes(17)), f"type 255, first 16 octets = <<{','.join('0' * 16)}>>: unknown_frame"),
        (encode_frame(1, 0, b""), "type 1, all octets = <<>>: unknown_frame"),
        (encode_frame(1, 1, b"\x00\x3c\x00"), "type 1, all octets = <<0,60,0>>: unknown_frame"),
        (PUBLISH + encode_frame(2, 1, bytes(11)), f"type 2, all octets = <<{','.join('0' * 11)}>>: unknown_frame"),
    ],
)
def test_unknown_frames(channel: ChannelClient, octets: bytes, text: str) -> None:
    channel.client.send_octets(octets)
    expect_error(channel.client, 501, f"FRAME_ERROR - {text}")


# Sequence

NO_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
NO_HEADER = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
NO_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"


@pytest.mark.rule("1.46", "0.6")
@pytest.mark.parametrize(
    ("octets", "text", "ids"),
    [
        (header(1), NO_METHOD, (0, 0)),
        (body(b"a"), NO_METHOD, (0, 0)),
        (body(b""), NO_METHOD, (0, 0)),
        (body(b"a", 9), NO_METHOD, (0, 0)),
        (PUBLISH + header(0) + body(b""), NO_METHOD, (0, 0)),
        (PUBLISH + PUBLISH, NO_HEADER, (60, 40)),
        (PUBLISH + body(b"a"), NO_HEADER, (60, 40)),
        (PUBLISH + encode_method_frame(1, QueueDeclare(queue="q")), NO_HEADER, (60, 40)),
        (PUBLISH + header(2) + PUBLISH, NO_BODY, (60, 40)),
        (PUBLISH + header(2) + header(2), NO_BODY, (60, 40)),
        (PUBLISH + header(2) + body(b"a") + encode_method_frame(1, QueueDeclare(queue="q")), NO_BODY, (60, 40)),
        *(
            (
                PUBLISH + header(0, class_id=class_id),
                f"UNEXPECTED_FRAME - expected content header for class 60, got one for class {class_id} instead",
                (60, 40),
            )
            for class_id in (0, 10, 50, 61, 65535)
        ),
    ],
)
def test_frames_out_of_sequence(channel: ChannelClient, octets: bytes, text: str, ids: tuple[int, int]) -> None:
    channel.queue("q")
    channel.client.send_octets(octets)
    expect_error(channel.client, 505, text, ids)


@pytest.mark.rule("1.47")
@pytest.mark.parametrize("weight", [1, 65535])
def test_a_weight_is_unexpected(channel: ChannelClient, weight: int) -> None:
    channel.client.send_octets(PUBLISH + header(1, weight=weight) + body(b"a"))
    expect_error(channel.client, 505, NO_HEADER, (60, 40))


@pytest.mark.rule("1.47")
def test_a_message_without_body_is_complete_at_its_header(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.client.send_octets(PUBLISH + header(0))
    assert channel.counts("q") == (1, 0)
    channel.consume("q", no_ack=True)
    before = len(channel.client.raw)
    channel.client.send_octets(PUBLISH + header(0))
    assert channel.expect_delivery().body == b""
    assert channel.expect_delivery().body == b""
    frames = bytes(channel.client.raw[before:])
    assert frames.endswith(b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00" + bytes(10) + b"\xce")


@pytest.mark.rule("1.48", "0.6")
@pytest.mark.parametrize("parts", [[b"abc"], [b"a", b"bc"], [b"a", b"", b"bcdef"], [bytes(4000)]])
def test_more_body_than_announced(channel: ChannelClient, parts: list[bytes]) -> None:
    channel.client.send_octets(PUBLISH + header(2) + b"".join(map(body, parts)))
    expect_error(channel.client, 501, "FRAME_ERROR - content body frame exceeds remaining content size", (60, 40))


@pytest.mark.rule("1.48")
@pytest.mark.parametrize("size", [536870913, 1 << 40, (1 << 64) - 1])
def test_more_is_announced_than_any_message_may_have(channel: ChannelClient, size: int) -> None:
    channel.client.send_octets(PUBLISH + header(size))
    text = f"FRAME_ERROR - content body size {size} exceeds maximum allowed size 536870912"
    expect_error(channel.client, 501, text, (60, 40))


@pytest.mark.rule("1.48")
def test_as_much_as_allowed_may_be_announced(channel: ChannelClient) -> None:
    channel.client.send_octets(PUBLISH + header(536870912) + body(b"a"))
    channel.client.expect_nothing()
    channel.client.channel(2)


@pytest.mark.rule("1.49", "10.2")
@pytest.mark.parametrize("parts", [[b"", b"", b"hello"], [b"hel", b"", b"lo"], [b"h", b"e", b"l", b"l", b"o"]])
def test_a_body_may_be_split_anywhere_and_into_empty_frames(channel: ChannelClient, parts: list[bytes]) -> None:
    channel.queue("q")
    channel.client.send_octets(PUBLISH + header(5) + b"".join(map(body, parts)))
    assert channel.drain("q") == [b"hello"]


@pytest.mark.rule("1.49")
def test_frames_of_different_channels_interleave(client: Client) -> None:
    first = client.channel(1)
    client.channel(2)
    first.queue("q")
    second_publish = b"\x01\x00\x02" + PUBLISH[3:]
    client.send_octets(PUBLISH + second_publish + header(4, 2) + header(3) + body(b"o") + body(b"tw", 2))
    client.send_octets(body(b"ne") + encode_method_frame(3, ChannelOpen()) + body(b"o!", 2))
    client.expect(3, ChannelOpenOk)
    assert first.drain("q") == [b"one", b"two!"]


@pytest.mark.rule("1.50")
@pytest.mark.parametrize("size", [4088, 4089, 8176, 40_000])
def test_outgoing_bodies_are_cut_at_frame_max_less_8(world: World, size: int) -> None:
    client = Client(world)
    client.open(frame_max=4096)
    channel, second = client.channel(1), client.channel(2)
    channel.queue("q")
    channel.consume("q", no_ack=True)
    second.consume("q", no_ack=True)
    before = len(client.raw)
    publisher = world.channel()
    client.reads = False
    publisher.publish_all("q", bytes(size), bytes(size))
    client.reads = True
    client.pump()
    kinds: list[tuple[int, int]] = []
    octets = bytes(client.raw[before:])
    sizes = []
    while octets:
        length = int.from_bytes(octets[3:7])
        kinds.append((octets[0], int.from_bytes(octets[1:3])))
        if octets[0] == 3:
            sizes.append(length)
        octets = octets[8 + length :]
    pieces = [4088] * (size // 4088) + ([size % 4088] if size % 4088 else [])
    assert sizes == pieces * 2
    whole = [(1, 0), (2, 0), *((3, 0) for _ in pieces)]
    assert kinds == [(kind, 1) for kind, _ in whole] + [(kind, 2) for kind, _ in whole]


# What cannot be decoded


@pytest.mark.rule("1.51", "0.6")
@pytest.mark.parametrize(
    ("octets", "name", "ids"),
    [
        (encode_frame(1, 1, b"\x00\x32\x00\x0a\x00\x00\x05q"), "queue.declare", (50, 10)),
        (encode_frame(1, 1, b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x00!"), "queue.declare", (50, 10)),
        (encode_frame(1, 1, b"\x00\x3c\x00\x50"), "basic.ack", (60, 80)),
        (encode_frame(1, 1, b"\x00\x3c\x00\x50" + bytes(10)), "basic.ack", (60, 80)),
        (encode_frame(1, 1, b"\x00\x3c\x00\x28"), "basic.publish", (60, 40)),
        (encode_frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x00\x01q"), "basic.publish", (60, 40)),
        (encode_frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\xff\x01q\x00"), "basic.publish", (60, 40)),
        (encode_frame(1, 0, b"\x00\x0a\x00\x32\x00\xc8\x09bye"), "connection.close", (10, 50)),
        (encode_frame(1, 0, b"\x00\x0a\x00\x33\x00"), "connection.close-ok", (10, 51)),
        (encode_frame(1, 9, b"\x00\x14\x00\x0a"), "channel.open", (20, 10)),
    ],
)
def test_undecodable_arguments(channel: ChannelClient, octets: bytes, name: str, ids: tuple[int, int]) -> None:
    channel.client.send_octets(octets)
    expect_error(channel.client, 501, f"FRAME_ERROR - cannot decode {name}", ids)


@pytest.mark.rule("1.51", "0.6")
@pytest.mark.parametrize(
    "method",
    [
        QueueDeclare(queue="\udcff"),
        QueueDelete(queue="q\udc80"),
        ExchangeDeclare(exchange="x", type="\udcc3"),
        QueueBind(queue="q", exchange="amq.topic", routing_key="\udcff"),
        BasicConsume(queue="q", consumer_tag="\udcff"),
    ],
)
def test_a_shortstr_that_is_not_utf8(channel: ChannelClient, method: Method) -> None:
    channel.queue("q")
    channel.send(method)
    ids = (method.class_id, method.method_id)
    expect_error(channel.client, 501, "FRAME_ERROR - Malformed UTF-8 in shortstr", ids)


@pytest.mark.rule("1.51")
def test_exchange_and_routing_key_of_a_publish_are_not_checked(channel: ChannelClient) -> None:
    channel.call(ExchangeDeclare(exchange="x", type="fanout"), ExchangeDeclareOk)
    channel.queue("q")
    channel.call(QueueBind(queue="q", exchange="x"), QueueBindOk)
    before = len(channel.client.raw)
    channel.publish("\udcff\udcfe", b"x", exchange="x")
    channel.publish("\udcff", b"x", exchange="amq.direct")
    delivery = channel.get("q")
    assert delivery is not None
    assert delivery.routing_key == "\udcff\udcfe"
    assert b"\x01x\x02\xff\xfe" in channel.client.raw[before:]
    channel.publish("k", exchange="\udcff")
    channel.expect_close(404, "NOT_FOUND - no exchange '?' in vhost '/'")


@pytest.mark.rule("1.52", "0.6")
@pytest.mark.parametrize("ids", [(60, 41), (61, 40), (0, 0), (65535, 65535), (10, 12), (20, 0), (85, 12)])
@pytest.mark.parametrize("channel_id", [0, 1, 9])
def test_unknown_methods(channel: ChannelClient, ids: tuple[int, int], channel_id: int) -> None:
    channel.client.send_octets(encode_frame(1, channel_id, ids[0].to_bytes(2) + ids[1].to_bytes(2) + b"etc"))
    expect_error(channel.client, 503, f"COMMAND_INVALID - unknown method {ids[0]}.{ids[1]}", ids)


@pytest.mark.rule("1.52")
def test_an_unknown_tag_in_a_table(channel: ChannelClient) -> None:
    payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x03\x01x?"
    channel.client.send_octets(encode_frame(1, 1, payload))
    expect_error(channel.client, 501, "FRAME_ERROR - cannot decode queue.declare", (50, 10))


@pytest.mark.rule("1.52")
@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\x80",
        b"\x80\x00",
        b"\x80\x00\x05text",
        b"\x00\x00more",
        b"\x20\x00\x00\x00\x00\x03\x01x?",
        b"\x20\x00\x00\x00\x00\xff",
        b"\x10\x00",
        b"\x00\x01\x00\x00",
    ],
)
def test_undecodable_properties(channel: ChannelClient, rest: bytes) -> None:
    channel.queue("q")
    channel.client.send_octets(PUBLISH + header(0, rest=rest))
    expect_error(channel.client, 501, "FRAME_ERROR - cannot decode properties", (60, 40))


# Methods where they do not belong


@pytest.mark.rule("1.53", "0.6")
@pytest.mark.parametrize(
    "method",
    [
        ConnectionStartOk(),
        ConnectionSecureOk(),
        ConnectionTuneOk(channel_max=1, frame_max=8192),
        ConnectionOpen(virtual_host="/"),
        ConnectionCloseOk(),
        ConnectionStart(),
        ConnectionTune(),
        ConnectionBlocked(),
        ChannelOpen(),
        QueueDeclare(queue="q"),
        BasicPublish(),
    ],
    ids=lambda method: method.name,
)
def test_a_method_on_channel_0_in_a_running_connection(client: Client, method: Method) -> None:
    client.send(0, method)
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    expect_error(client, 504, text, (method.class_id, method.method_id))


@pytest.fixture
def opening(world: World) -> Client:
    client = Client(world)
    client.login()
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=0))
    return client


@pytest.mark.rule("1.53")
@pytest.mark.parametrize(
    "method",
    [
        ConnectionTuneOk(channel_max=2047, frame_max=131072),
        ConnectionStartOk(),
        ConnectionUpdateSecret(),
        ConnectionCloseOk(),
        QueueDeclare(queue="q"),
    ],
    ids=lambda method: method.name,
)
def test_a_method_on_channel_0_before_open(opening: Client, method: Method) -> None:
    opening.send(0, method)
    text = "CHANNEL_ERROR - unexpected method in connection state opening"
    expect_error(opening, 504, text, (method.class_id, method.method_id))


@pytest.mark.rule("1.53")
@pytest.mark.parametrize(
    "octets",
    [
        encode_method_frame(1, ChannelOpen()),
        encode_method_frame(1, QueueDeclare(queue="q")),
        encode_method_frame(9, ConnectionOpen(virtual_host="/")),
        PUBLISH + header(0),
        header(0),
        body(b"x"),
        encode_frame(8, 1, b""),
    ],
)
def test_a_frame_on_a_channel_before_open_ok_is_unexpected(opening: Client, octets: bytes) -> None:
    opening.send_octets(octets)
    assert opening.expect_close(505).reply_text.startswith("UNEXPECTED_FRAME - ")
    opening.expect_nothing()


@pytest.mark.rule("1.53")
@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (encode_frame(77, 0, b""), 501),
        (encode_frame(1, 0, b"\x00\x0a\x00\x28"), 501),
        (encode_frame(1, 0, b"\x00\x0a\x03\xe7"), 503),
        (body(b"x", 0), 505),
    ],
)
def test_once_tuned_errors_are_answered(opening: Client, octets: bytes, code: int) -> None:
    opening.send_octets(octets)
    opening.expect_close(code)


@pytest.mark.rule("1.54", "0.6")
@pytest.mark.parametrize(
    "method",
    [
        ConnectionStartOk(),
        ConnectionTuneOk(),
        ConnectionOpen(virtual_host="/"),
        ConnectionClose(),
        ConnectionCloseOk(),
        ConnectionUpdateSecret(),
    ],
    ids=lambda method: method.name,
)
def test_connection_methods_on_a_channel(world: World, method: Method) -> None:
    ids = (method.class_id, method.method_id)
    closed = world.client()
    closed.send(1, method)
    expect_error(closed, 504, "CHANNEL_ERROR - expected 'channel.open'", ids)
    channel = world.channel()
    channel.send(method)
    expect_error(channel.client, 503, "COMMAND_INVALID - unimplemented method", ids)


@pytest.mark.rule("1.46", "1.49")
def test_properties_survive_any_cut_of_the_stream(world: World) -> None:
    properties = Properties(content_type="text/plain", headers={"a": [1, b"x"]}, message_id="m")
    channel = world.channel()
    channel.queue("q")
    channel.publish("q", b"whole", properties=properties)
    delivery = channel.get("q")
    assert delivery is not None
    header_frame = encode_frame(2, 1, delivery.header_raw)
    octets = PUBLISH + header_frame + body(b"wh") + body(b"ole")
    for place in range(len(octets)):
        channel.client.send_octets(octets[:place])
        channel.client.send_octets(octets[place:])
        again = channel.get("q")
        assert again is not None
        assert (again.body, again.properties) == (b"whole", properties)
