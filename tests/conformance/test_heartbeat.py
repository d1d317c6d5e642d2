"""Chapter 1e: heartbeats, by the test's own clock."""

from __future__ import annotations

import pytest

from amqp_codec import HEARTBEAT_FRAME, ChannelClose, ChannelCloseOk, ConnectionUpdateSecret, ConnectionUpdateSecretOk
from amqp_codec import encode_frame as frame
from tests.support.client import Client, World


def beating(world: World, heartbeat: int) -> Client:
    client = Client(world)
    client.open(heartbeat=heartbeat)
    return client


def sent_while(client: Client, seconds: float) -> bytes:
    """What the broker writes while time passes."""
    before = len(client.raw)
    client.world.advance(seconds)
    client.pump()
    return bytes(client.raw[before:])


def stays_alive(client: Client, seconds: int) -> None:
    """Let time pass while the client beats every second."""
    for _ in range(seconds):
        client.send_octets(HEARTBEAT_FRAME)
        client.world.advance(1)


@pytest.mark.rule("1.24")
def test_0_turns_both_directions_off(world: World) -> None:
    client = beating(world, 0)
    assert sent_while(client, 100_000) == b""
    client.expect_connected()


@pytest.mark.rule("1.24")
@pytest.mark.parametrize("heartbeat", [1, 10, 60, 61, 600, 65535])
def test_the_client_s_value_is_used_for_both_directions(world: World, heartbeat: int) -> None:
    client = beating(world, heartbeat)
    assert sent_while(client, heartbeat / 2 - 0.01) == b""
    assert sent_while(client, 0.02) == HEARTBEAT_FRAME
    assert sent_while(client, heartbeat * 1.4) != b""
    client.expect_connected()
    world.advance(heartbeat * 1.2)
    client.expect_dropped()


@pytest.mark.rule("1.25")
def test_at_the_first_look_a_heartbeat_is_sent_in_any_case(world: World) -> None:
    client = beating(world, 10)
    client.call(0, ConnectionUpdateSecret(), ConnectionUpdateSecretOk)
    assert sent_while(client, 4.9) == b""
    client.call(0, ConnectionUpdateSecret(), ConnectionUpdateSecretOk)
    assert sent_while(client, 0.2) == HEARTBEAT_FRAME


@pytest.mark.rule("1.25")
def test_a_silent_broker_beats_every_half_interval(world: World) -> None:
    client = beating(world, 10)
    world.advance(5.1)
    for _ in range(20):
        client.send_octets(HEARTBEAT_FRAME)
        assert sent_while(client, 5) == HEARTBEAT_FRAME


@pytest.mark.rule("1.25")
def test_any_octets_stand_for_a_heartbeat(world: World) -> None:
    client = beating(world, 10)
    channel = client.channel()
    channel.queue("q")
    channel.consume("q", no_ack=True)
    assert sent_while(client, 5.1) == HEARTBEAT_FRAME
    other = world.channel()
    for _ in range(20):
        client.send_octets(HEARTBEAT_FRAME)
        world.advance(2)
        other.publish("q", b"x")
        assert HEARTBEAT_FRAME not in sent_while(client, 3)
        channel.expect_bodies(b"x")
    client.send_octets(HEARTBEAT_FRAME)
    assert sent_while(client, 5) == HEARTBEAT_FRAME


@pytest.mark.rule("1.26", "1.27")
@pytest.mark.parametrize("pauses", [[], [0.3], [0.9], [1.0], [1.0, 0.5], [1.0, 0.99], [1.9] * 5, [0.1] * 33])
def test_silence_of_two_to_three_intervals_drops_the_client(world: World, pauses: list[float]) -> None:
    client = beating(world, 1)
    for pause_s in pauses:
        world.advance(pause_s)
        client.send_octets(HEARTBEAT_FRAME)
    client.pump()
    before = len(client.raw)
    world.advance(1.99)
    client.expect_connected()
    client.pump()
    assert bytes(client.raw[before:]).replace(HEARTBEAT_FRAME, b"") == b""
    before = len(client.raw)
    client.reads = False
    world.advance(1.02)
    client.expect_dropped()
    assert len(client.raw) == before
    client.expect_nothing()


@pytest.mark.rule("1.26")
def test_half_a_frame_is_a_sign_of_life(world: World) -> None:
    client = beating(world, 2)
    octets = frame(1, 1, bytes(4096))
    for place in range(60):
        client.send_octets(octets[place : place + 1])
        world.advance(1.9)
        client.expect_connected()
    world.advance(6)
    client.expect_dropped()


@pytest.mark.rule("1.26")
def test_other_frames_are_signs_of_life(world: World) -> None:
    client = beating(world, 1)
    channel = client.channel()
    channel.queue("q")
    for _ in range(50):
        channel.publish("q", b"x")
        world.advance(0.9)
    assert channel.counts("q") == (50, 0)


@pytest.mark.rule("1.26", "1.41")
def test_what_a_silent_client_held_is_given_back(world: World) -> None:
    client = beating(world, 1)
    channel, other = client.channel(), world.channel()
    other.queue("q")
    channel.queue("mine", exclusive=True)
    other.publish_all("q", b"a", b"b")
    assert channel.get("q", no_ack=False) is not None
    channel.consume("q", "c")
    channel.expect_bodies(b"b")
    world.advance(3.1)
    assert other.counts("q") == (2, 0)
    assert "mine" not in world.broker.vhosts["/"].queues
    assert list(world.broker.clients) == [other.client.connection]


@pytest.mark.rule("1.28")
@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        (frame(8, 1, b""), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        (frame(8, 7, b""), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        (frame(8, 0, b"x"), 501, "FRAME_ERROR - type 8, all octets = <<120>>: unknown_frame"),
        (frame(8, 1, b"xy"), 501, "FRAME_ERROR - type 8, all octets = <<120,121>>: unknown_frame"),
    ],
)
def test_a_heartbeat_elsewhere_or_with_payload(client: Client, octets: bytes, code: int, text: str) -> None:
    client.channel(1)
    client.send_octets(octets)
    close = client.expect_close(code, text)
    assert (close.failing_class_id, close.failing_method_id) == (0, 0)


@pytest.mark.rule("1.28")
def test_heartbeats_between_the_frames_of_a_message(world: World) -> None:
    channel = world.channel()
    channel.queue("q")
    publish = b"\x00\x3c\x00\x28\x00\x00\x00\x01q\x00"
    header = b"\x00\x3c\x00\x00" + (2).to_bytes(8) + b"\x00\x00"
    frames = [frame(1, 1, publish), frame(2, 1, header), frame(3, 1, b"a"), frame(3, 1, b"b")]
    channel.client.send_octets(HEARTBEAT_FRAME + HEARTBEAT_FRAME.join(frames) + HEARTBEAT_FRAME)
    assert channel.drain("q") == [b"ab"]


@pytest.mark.rule("1.29")
def test_while_blocked_silence_says_nothing_and_sending_goes_on(world: World) -> None:
    client = beating(world, 2)
    channel = client.channel()
    channel.queue("q")
    world.broker.set_alarm("memory", True)
    channel.publish("q", b"x")
    client.inbox.clear()
    for _ in range(50):
        assert HEARTBEAT_FRAME in sent_while(client, 2)
    client.expect_connected()
    world.broker.set_alarm("memory", False)
    client.inbox.clear()
    world.advance(3.9)
    client.expect_connected()
    world.advance(2.2)
    client.expect_dropped()


@pytest.mark.rule("1.29")
def test_an_alarm_alone_pauses_nothing(world: World) -> None:
    client = beating(world, 2)
    world.broker.set_alarm("memory", True)
    world.advance(6.1)
    client.expect_dropped()


@pytest.mark.rule("1.24", "2.5")
def test_a_failed_channel_has_no_say_in_heartbeats(world: World) -> None:
    client = beating(world, 2)
    channel = client.channel()
    channel.publish("k", exchange="missing")
    channel.expect(ChannelClose)
    stays_alive(client, 30)
    channel.send(ChannelCloseOk())
    client.channel(1)
