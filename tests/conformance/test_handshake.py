"""Chapter 1a to 1d and 1f: from the protocol header to `open-ok`."""

from __future__ import annotations

import logging

import pytest

from amqp_broker.config import Config
from amqp_codec import (
    PROTOCOL_HEADER,
    BasicPublish,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    QueueDeclare,
    Table,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import CAPABILITIES, Client, World
from tests.support.handshake import START_OK, opening_client, tuned_client

# Protocol header


@pytest.mark.rule("1.1", "1.4")
@pytest.mark.parametrize("header", [b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09"])
def test_both_spellings_of_the_header_start_a_connection(newcomer: Client, header: bytes) -> None:
    newcomer.send_octets(header)
    start = newcomer.expect(0, ConnectionStart)
    assert (start.version_major, start.version_minor) == (0, 9)
    newcomer.send(0, START_OK)
    newcomer.expect(0, ConnectionTune)


@pytest.mark.rule("1.2")
@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x00\x0a\x01",
        b"AMQP\x00\x00\x08\x00",
        b"AMQP\x01\x01\x08\x00",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQPAMQP",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        bytes(8),
    ],
)
def test_another_header_is_answered_by_ours_and_the_end(newcomer: Client, header: bytes) -> None:
    newcomer.send_octets(header)
    assert newcomer.raw == PROTOCOL_HEADER
    newcomer.expect_finished()
    newcomer.send_octets(PROTOCOL_HEADER + encode_method_frame(0, START_OK))
    newcomer.world.advance(31)
    assert newcomer.raw == PROTOCOL_HEADER
    assert newcomer.is_closed


@pytest.mark.rule("1.1", "1.2", "10.2")
def test_the_header_may_come_octet_by_octet(world: World) -> None:
    for header, answer in ((PROTOCOL_HEADER, b"\x01\x00\x00"), (b"AMQP\x00\x00\x09\x02", PROTOCOL_HEADER)):
        client = Client(world)
        for octet in header[:-1]:
            client.send_octets(bytes((octet,)))
            assert client.raw == b""
        client.send_octets(header[-1:])
        assert client.raw.startswith(answer)


@pytest.mark.rule("1.3")
def test_a_silent_visit_is_not_logged(newcomer: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        newcomer.drop()
    assert caplog.records == []
    assert not newcomer.world.broker.clients


@pytest.mark.rule("1.3")
@pytest.mark.parametrize("stage", ["nothing", "part", "header", "login", "tune"])
def test_the_handshake_has_ten_seconds_in_all(world: World, stage: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(world)
    world.advance(4)
    if stage == "part":
        client.send_octets(b"AMQP")
    elif stage == "header":
        client.send_octets(PROTOCOL_HEADER)
    elif stage != "nothing":
        client.login()
        if stage == "tune":
            client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=60))
    said = len(client.raw)
    world.advance(5.9)
    client.expect_connected()
    world.advance(0.2)
    client.expect_dropped()
    assert bytes(client.raw[said:]) in (b"", b"\x08\x00\x00\x00\x00\x00\x00\xce")
    assert len(caplog.records) == (0 if stage == "nothing" else 1)


@pytest.mark.rule("1.3")
def test_an_open_connection_has_no_deadline(world: World) -> None:
    client = world.client()
    world.advance(100_000)
    client.expect_connected()
    client.channel()


# Server and client properties


@pytest.mark.rule("1.16")
def test_server_properties(newcomer: Client) -> None:
    properties = newcomer.begin().server_properties
    assert properties["product"] == b"RabbitMQ"
    assert properties["version"] == b"4.2.0"
    assert set(properties) == {
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    }
    assert all(type(value) is bytes and value for name, value in properties.items() if name != "capabilities")


@pytest.mark.rule("1.16")
def test_the_operator_may_name_the_broker() -> None:
    world = World(Config(product="Other", version="3.13.7", cluster_name="there"))
    properties = Client(world).begin().server_properties
    assert [properties[name] for name in ("product", "version", "cluster_name")] == [b"Other", b"3.13.7", b"there"]


@pytest.mark.rule("1.17")
def test_server_capabilities(newcomer: Client) -> None:
    capabilities = newcomer.begin().server_properties["capabilities"]
    assert isinstance(capabilities, dict)
    assert set(capabilities) == {
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    }
    assert all(value is True for value in capabilities.values())


@pytest.mark.rule("1.18")
def test_client_properties_are_kept_and_the_name_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    properties: Table = {"capabilities": CAPABILITIES, "connection_name": b"orders", "n": 1, "t": {"a": [b"b", None]}}
    client = Client(world)
    client.open(properties=properties)
    assert client.connection.client_properties == properties
    client.send(1, QueueDeclare())
    client.expect_close(504)
    assert "orders" in caplog.text


@pytest.mark.rule("1.18")
@pytest.mark.parametrize("name", [5, None, b"a\nb", b"\xff"])
def test_odd_connection_names_do_no_harm(world: World, name: object, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(world)
    client.open(properties={"connection_name": name})  # type: ignore[dict-item]
    client.send(1, QueueDeclare())
    client.expect_close(504)
    assert "\n" not in caplog.messages[-1]


# tune


@pytest.mark.rule("1.19")
def test_what_the_server_proposes(newcomer: Client) -> None:
    newcomer.login()
    assert newcomer.expect(0, ConnectionTune) == ConnectionTune(channel_max=2047, frame_max=131072, heartbeat=60)


@pytest.mark.rule("1.19")
def test_proposals_are_configurable() -> None:
    client = Client(World(Config(channel_max=5, frame_max_octets=0, heartbeat_s=0)))
    client.login()
    assert client.expect(0, ConnectionTune) == ConnectionTune(channel_max=5, frame_max=0, heartbeat=0)


def tune_error(world: World, **values: int) -> tuple[str, tuple[int, int]]:
    client = tuned_client(world)
    agreed = {"channel_max": 2047, "frame_max": 131072, "heartbeat": 0} | values
    client.send(0, ConnectionTuneOk(**agreed))
    close = client.expect_close(530)
    client.send(0, ConnectionOpen(virtual_host="/"))
    client.expect_nothing()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()
    return close.reply_text, (close.failing_class_id, close.failing_method_id)


@pytest.mark.rule("1.21", "1.23")
@pytest.mark.parametrize(("value", "shown"), [(2048, "2048"), (4096, "4096"), (65535, "65535"), (0, "0 (no limit)")])
def test_more_channels_than_offered_are_refused(world: World, value: int, shown: str) -> None:
    text = f"NOT_ALLOWED - negotiated channel_max = {shown} is higher than the maximum allowed value (2047)"
    assert tune_error(world, channel_max=value) == (text, (10, 30))


@pytest.mark.rule("1.22", "1.23")
@pytest.mark.parametrize(("value", "shown"), [(131073, "131073"), (0xFFFFFFFF, "4294967295"), (0, "0 (no limit)")])
def test_larger_frames_than_offered_are_refused(world: World, value: int, shown: str) -> None:
    text = f"NOT_ALLOWED - negotiated frame_max = {shown} is higher than the maximum allowed value (131072)"
    assert tune_error(world, frame_max=value) == (text, (10, 30))


@pytest.mark.rule("1.22", "1.23")
@pytest.mark.parametrize("value", [1, 100, 4095])
def test_smaller_frames_than_any_client_needs_are_refused(world: World, value: int) -> None:
    text = f"NOT_ALLOWED - negotiated frame_max = {value} is lower than the minimum allowed value (4096)"
    assert tune_error(world, frame_max=value) == (text, (10, 30))


@pytest.mark.rule("1.20", "1.22")
@pytest.mark.parametrize("frame_max", [4096, 8191, 8192, 131071, 131072])
@pytest.mark.parametrize("channel_max", [1, 2046, 2047])
def test_values_in_range_are_taken_from_the_client(world: World, frame_max: int, channel_max: int) -> None:
    client = Client(world)
    client.open(frame_max=frame_max, channel_max=channel_max)
    channel = client.channel(channel_max)
    channel.queue("q")
    before = len(client.raw)
    world.channel().publish("q", bytes(200_000))
    assert channel.drain("q") == [bytes(200_000)]
    sizes = []
    octets = bytes(client.raw[before:])
    while octets:
        size = 8 + int.from_bytes(octets[3:7])
        sizes.append(size)
        octets = octets[size:]
    assert max(sizes) == frame_max


@pytest.mark.rule("1.20")
def test_a_heartbeat_above_the_proposed_one_is_taken(world: World) -> None:
    client = Client(world)
    client.open(heartbeat=1000)
    world.advance(1999)
    client.expect_connected()
    world.advance(1002)
    client.expect_dropped()


@pytest.mark.rule("1.21", "1.22")
def test_without_a_limit_of_the_server_0_means_no_limit() -> None:
    client = Client(World(Config(channel_max=0, frame_max_octets=0)))
    client.open(channel_max=0, frame_max=0)
    for channel_id in range(1, 2100):
        client.channel(channel_id)
    channel = client.channel(65535)
    channel.queue("q")
    before = len(client.raw)
    channel.publish("q", bytes(1 << 20))
    channel.drain("q")
    assert b"\x03\xff\xff\x00\x10\x00\x00" in client.raw[before:]


# open; what users and vhosts add to it stands in test_permissions


@pytest.mark.rule("1.30")
def test_open_ok_has_one_empty_shortstr(world: World) -> None:
    client = opening_client(world)
    before = len(client.raw)
    client.call(0, ConnectionOpen(virtual_host="/", reserved_1="ignored", reserved_2=True), ConnectionOpenOk)
    assert client.raw[before:] == b"\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x29\x00\xce"


@pytest.mark.rule("1.30", "1.32")
@pytest.mark.parametrize("vhost", ["", "nowhere", "%2F", "%2f", "//", "/ ", "nö"])
def test_a_vhost_that_is_not_there(world: World, vhost: str) -> None:
    client = opening_client(world)
    client.send(0, ConnectionOpen(virtual_host=vhost))
    close = client.expect_close(530, f"NOT_ALLOWED - vhost {vhost} not found")
    assert (close.failing_class_id, close.failing_method_id) == (10, 40)


@pytest.mark.rule("1.32")
def test_vhost_names_are_case_sensitive(world: World) -> None:
    world.broker.vhosts["Orders"] = world.broker.vhosts["/"]
    client = opening_client(world)
    client.call(0, ConnectionOpen(virtual_host="Orders"), ConnectionOpenOk)
    other = opening_client(world)
    other.send(0, ConnectionOpen(virtual_host="orders"))
    other.expect_close(530, "NOT_ALLOWED - vhost orders not found")


@pytest.mark.rule("1.30")
def test_the_limit_of_the_node_comes_before_the_vhost() -> None:
    world = World(Config(max_connections=2))
    first, _second = world.client(), world.client()
    third = opening_client(world)
    third.send(0, ConnectionOpen(virtual_host="nowhere"))
    third.expect_close(530, "NOT_ALLOWED - connection refused: node connection limit (2) is reached")
    first.close()
    opening_client(world).call(0, ConnectionOpen(virtual_host="/"), ConnectionOpenOk)


# Pipelining


@pytest.mark.rule("10.1")
@pytest.mark.parametrize("values", [(2047, 131072, 60), (10, 4096, 0), (1, 8192, 65535)])
def test_tune_ok_and_open_may_come_in_one_segment(world: World, values: tuple[int, int, int]) -> None:
    client = tuned_client(world)
    tune = ConnectionTuneOk(channel_max=values[0], frame_max=values[1], heartbeat=values[2])
    client.send_octets(encode_method_frame(0, tune) + encode_method_frame(0, ConnectionOpen(virtual_host="/")))
    client.expect(0, ConnectionOpenOk)


HANDSHAKE: list[Method] = [
    START_OK,
    ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=0),
    ConnectionOpen(virtual_host="/"),
]
WHOLE_VISIT = (
    PROTOCOL_HEADER
    + b"".join(encode_method_frame(0, method) for method in HANDSHAKE)
    + encode_method_frame(1, ChannelOpen())
    + encode_method_frame(1, QueueDeclare(queue="q"))
    + encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key="q")))
    + encode_frame(2, 1, b"\x00\x3c\x00\x00" + (5).to_bytes(8) + b"\x00\x00")
    + encode_frame(3, 1, b"hel")
    + encode_frame(8, 0, b"")
    + encode_frame(3, 1, b"lo")
    + encode_method_frame(1, QueueDeclare(queue="q", passive=True))
    + encode_method_frame(0, ConnectionClose(reply_code=200))
)
ANSWERS = [
    "ConnectionStart",
    "ConnectionTune",
    "ConnectionOpenOk",
    "ChannelOpenOk",
    "QueueDeclareOk",
    "QueueDeclareOk",
    "ConnectionCloseOk",
]


def visit(pieces: list[bytes]) -> list[str]:
    client = Client(World())
    for piece in pieces:
        client.send_octets(piece)
    assert getattr(client.inbox[-2].method, "message_count", None) == 1
    return [type(command.method).__name__ for command in client.inbox]


@pytest.mark.rule("10.1", "10.2")
def test_everything_may_come_in_one_segment() -> None:
    assert visit([WHOLE_VISIT]) == ANSWERS


@pytest.mark.rule("10.2")
def test_everything_may_come_octet_by_octet() -> None:
    assert visit([WHOLE_VISIT[place : place + 1] for place in range(len(WHOLE_VISIT))]) == ANSWERS


@pytest.mark.rule("10.2")
def test_everything_may_be_split_at_any_octet() -> None:
    for place in range(len(WHOLE_VISIT)):
        assert visit([WHOLE_VISIT[:place], WHOLE_VISIT[place:]]) == ANSWERS
