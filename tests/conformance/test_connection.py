"""Chapter 1g to 1i: alarms, secrets, and how a connection ends."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_codec import (
    BasicAck,
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    QueueDeclare,
    QueueDeclareOk,
    TxSelect,
    TxSelectOk,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import CAPABILITIES, ChannelClient, Client, World

PUBLISH = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key="q")))
HEADER_OF_2 = encode_frame(2, 1, b"\x00\x3c\x00\x00" + (2).to_bytes(8) + b"\x00\x00")


# Alarms


def is_read(client: Client) -> bool:
    """Whether the broker would take more octets from a client."""
    return client.connection.may_read


@pytest.fixture
def publisher(channel: ChannelClient) -> ChannelClient:
    """A channel with a queue q."""
    channel.queue("q")
    return channel


@pytest.mark.rule("1.34", "1.35")
@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_an_alarm_blocks_at_the_next_publish(publisher: ChannelClient, resource: str) -> None:
    client, broker = publisher.client, publisher.world.broker
    broker.set_alarm(resource, True)
    client.expect_nothing()
    publisher.queue("still free")
    assert is_read(client)
    publisher.publish("q", b"a")
    assert client.expect(0, ConnectionBlocked).reason == f"low on {resource}"
    client.expect_nothing()
    assert not is_read(client)
    broker.set_alarm(resource, False)
    client.expect(0, ConnectionUnblocked)
    client.expect_nothing()
    assert is_read(client)
    assert publisher.drain("q") == [b"a"]


@pytest.mark.rule("1.34")
@pytest.mark.parametrize(
    "octets", [PUBLISH + HEADER_OF_2, PUBLISH + HEADER_OF_2 + encode_frame(3, 1, b"a")], ids=["header", "body"]
)
def test_a_header_or_a_part_of_the_body_is_enough(publisher: ChannelClient, octets: bytes) -> None:
    publisher.world.broker.set_alarm("memory", True)
    publisher.client.send_octets(PUBLISH)
    assert is_read(publisher.client)
    publisher.client.send_octets(octets[len(PUBLISH) :])
    publisher.client.expect(0, ConnectionBlocked)
    assert not is_read(publisher.client)


@pytest.mark.rule("1.34")
def test_a_body_that_was_under_way_is_enough(publisher: ChannelClient) -> None:
    publisher.client.send_octets(PUBLISH + HEADER_OF_2)
    publisher.world.broker.set_alarm("memory", True)
    publisher.client.expect_nothing()
    publisher.client.send_octets(encode_frame(3, 1, b"a"))
    publisher.client.expect(0, ConnectionBlocked)


@pytest.mark.rule("1.34")
def test_a_connection_opened_during_the_alarm_is_blocked_the_same_way(world: World) -> None:
    world.broker.set_alarm("disk", True)
    channel = world.channel()
    channel.queue("q")
    channel.consume("q")
    assert is_read(channel.client)
    channel.publish("q", b"a")
    assert channel.client.expect(0, ConnectionBlocked).reason == "low on disk"
    channel.expect_bodies(b"a")


@pytest.mark.rule("1.34", "1.36")
def test_a_pure_consumer_is_never_blocked_and_a_blocked_one_still_gets_deliveries(world: World) -> None:
    consumer, both, source = world.channel(), world.channel(), world.channel()
    source.queue("one")
    source.queue("two")
    consumer.consume("one")
    both.consume("two", no_ack=True)
    source.publish_all("one", *(b"m" for _ in range(3)))
    world.broker.set_alarm("memory", True)
    both.publish("two", b"last")
    both.client.expect(0, ConnectionBlocked)
    both.expect_bodies(b"last")
    for delivery in consumer.expect_bodies(b"m", b"m", b"m"):
        consumer.send(BasicAck(delivery_tag=delivery.tag))
    assert is_read(consumer.client)
    source.publish("two", b"from another")
    both.expect_bodies(b"from another")
    assert not is_read(both.client)


@pytest.mark.rule("1.35")
def test_both_alarms_are_one_reason_and_unblocked_comes_with_the_last_to_clear(publisher: ChannelClient) -> None:
    client, broker = publisher.client, publisher.world.broker
    broker.set_alarm("memory", True)
    broker.set_alarm("disk", True)
    publisher.publish("q")
    assert client.expect(0, ConnectionBlocked).reason == "low on memory & disk"
    broker.set_alarm("memory", False)
    client.expect_nothing()
    assert not is_read(client)
    broker.set_alarm("disk", False)
    client.expect(0, ConnectionUnblocked)
    client.expect_nothing()


@pytest.mark.rule("1.35")
def test_a_second_alarm_while_blocked_says_nothing(publisher: ChannelClient) -> None:
    client, broker = publisher.client, publisher.world.broker
    broker.set_alarm("memory", True)
    publisher.publish_all("q", b"1", b"2")
    client.expect(0, ConnectionBlocked)
    broker.set_alarm("memory", True)
    broker.set_alarm("disk", True)
    broker.set_alarm("memory", False)
    client.expect_nothing()
    broker.set_alarm("disk", False)
    client.expect(0, ConnectionUnblocked)
    broker.set_alarm("disk", True)
    client.expect_nothing()
    publisher.publish("q")
    assert client.expect(0, ConnectionBlocked).reason == "low on disk"


@pytest.mark.rule("1.35", "1.18")
def test_a_client_without_the_capability_is_blocked_without_a_word(world: World) -> None:
    client = Client(world)
    client.open(properties={"capabilities": CAPABILITIES | {"connection.blocked": False}})
    channel = client.channel()
    channel.queue("q")
    world.broker.set_alarm("memory", True)
    channel.publish("q")
    client.expect_nothing()
    assert not is_read(client)
    world.broker.set_alarm("memory", False)
    client.expect_nothing()
    assert is_read(client)


@pytest.mark.rule("1.35", "1.40")
def test_a_blocked_connection_that_closes_is_read_again_and_told_nothing_more(publisher: ChannelClient) -> None:
    client, broker = publisher.client, publisher.world.broker
    broker.set_alarm("memory", True)
    publisher.publish("q")
    client.expect(0, ConnectionBlocked)
    client.connection.force_close("enough")
    client.expect_close(320)
    assert is_read(client)
    broker.set_alarm("memory", False)
    client.expect_nothing()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()


# Secrets


@pytest.mark.rule("1.37")
def test_a_new_secret_is_accepted(channel: ChannelClient) -> None:
    client = channel.client
    channel.queue("q")
    channel.consume("q")
    client.call(0, ConnectionUpdateSecret(new_secret=b"s", reason="expired"), ConnectionUpdateSecretOk)
    channel.publish("q", b"still here")
    channel.expect_bodies(b"still here")


# The client closes


@pytest.mark.rule("1.38", "10.7")
def test_with_close_ok_everything_of_the_connection_is_gone(world: World) -> None:
    client, other = world.client(), world.channel()
    first, second = client.channel(1), client.channel(2)
    other.queue("q")
    first.queue("mine", exclusive=True)
    second.queue("also mine", exclusive=True)
    other.publish_all("q", b"a", b"b", b"c")
    assert first.get("q", no_ack=False) is not None
    second.consume("q")
    second.expect_bodies(b"b", b"c")
    client.close()
    client.expect_nothing()
    assert other.counts("q") == (3, 0)
    assert [delivery.redelivered for delivery in (other.get("q"), other.get("q")) if delivery] == [True, True]
    reconnected = world.channel()
    assert reconnected.queue("mine", exclusive=True) == "mine"
    assert reconnected.call(QueueDeclare(queue="also mine"), QueueDeclareOk).queue == "also mine"


@pytest.mark.rule("1.38")
def test_what_was_published_before_close_is_confirmed_before_close_ok(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    close = encode_method_frame(0, ConnectionClose(reply_code=200))
    channel.client.send_octets(PUBLISH + HEADER_OF_2 + encode_frame(3, 1, b"hi") + close)
    assert channel.expect(BasicAck).delivery_tag == 1
    channel.client.expect(0, ConnectionCloseOk)
    channel.expect_nothing()


@pytest.mark.rule("1.38", "1.39")
def test_after_close_ok_nothing_is_looked_at(channel: ChannelClient) -> None:
    client = channel.client
    client.close()
    client.send(1, QueueDeclare(queue="late"))
    client.send(2, ChannelOpen())
    client.send_octets(b"garbage")
    client.expect_nothing()
    assert "late" not in client.world.broker.vhosts["/"].queues


@pytest.mark.rule("1.39")
@pytest.mark.parametrize(("heartbeat", "seconds"), [(0, 30), (1, 1), (7, 7), (30, 30), (31, 30), (600, 30)])
def test_after_close_ok_the_client_has_a_while_to_close_its_socket(world: World, heartbeat: int, seconds: int) -> None:
    client = Client(world)
    client.open(heartbeat=heartbeat)
    client.close()
    said = len(client.raw)
    world.advance(seconds - 0.1)
    client.expect_connected()
    world.advance(0.2)
    client.expect_dropped()
    client.pump()
    assert len(client.raw) == said


# The broker closes


def closing_client(world: World, heartbeat: int = 0) -> Client:
    """A client that has been sent `connection.close` for a mistake."""
    client = Client(world)
    client.open(heartbeat=heartbeat)
    client.send(7, QueueDeclare())
    client.expect_close(504)
    return client


@pytest.mark.rule("1.40")
def test_after_its_close_the_broker_ignores_all_but_close_ok(world: World) -> None:
    client = closing_client(world)
    for method in (ConnectionOpen(virtual_host="/"), ConnectionUpdateSecret(), ConnectionTuneOk(), QueueDeclare()):
        client.send(0, method)
    client.send(1, ChannelOpen())
    client.send(1, QueueDeclare(queue="late"))
    client.send(7, ChannelClose())
    client.send_octets(PUBLISH + HEADER_OF_2 + encode_frame(3, 1, b"hi") + encode_frame(8, 0, b""))
    client.expect_nothing()
    assert "late" not in world.broker.vhosts["/"].queues
    client.expect_connected()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()
    client.expect_nothing()


@pytest.mark.rule("1.40")
def test_a_crossing_close_is_answered_and_close_ok_still_awaited(world: World) -> None:
    client = closing_client(world)
    client.call(0, ConnectionClose(reply_code=200), ConnectionCloseOk)
    client.expect_connected()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()
    client.expect_nothing()


@pytest.mark.rule("1.40", "1.39")
@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize(("heartbeat", "seconds"), [(0, 30), (5, 5), (60, 30)])
def test_a_client_that_does_not_answer_is_dropped(world: World, heartbeat: int, seconds: int, crossing: bool) -> None:
    client = closing_client(world, heartbeat)
    if crossing:
        client.call(0, ConnectionClose(), ConnectionCloseOk)
    world.advance(seconds - 0.1)
    client.expect_connected()
    world.advance(0.2)
    client.expect_dropped()
    client.expect_nothing()


@pytest.mark.rule("1.40")
def test_unacked_messages_are_requeued_at_once(world: World) -> None:
    channel, other = world.channel(), world.channel()
    other.queue("q")
    channel.queue("mine", exclusive=True)
    other.publish_all("q", b"a", b"b")
    channel.consume("q")
    channel.expect_bodies(b"a", b"b")
    channel.client.send(7, QueueDeclare())
    channel.client.expect_close(504)
    assert other.counts("q") == (2, 0)
    assert "mine" not in world.broker.vhosts["/"].queues


@pytest.mark.rule("1.41")
def test_a_lost_socket_gives_everything_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client, other = world.client(), world.channel()
    channel = client.channel()
    other.queue("q")
    channel.queue("mine", exclusive=True)
    other.publish_all("q", b"a", b"b")
    channel.call(TxSelect(), TxSelectOk)
    channel.consume("q")
    first, _second = channel.expect_bodies(b"a", b"b")
    channel.publish("q", b"uncommitted")
    channel.send(BasicAck(delivery_tag=first.tag))
    client.drop()
    assert not caplog.records
    assert "mine" not in world.broker.vhosts["/"].queues
    assert other.drain("q") == [b"a", b"b"]


@pytest.mark.rule("1.41")
def test_half_a_message_is_lost_with_the_socket(publisher: ChannelClient, other: ChannelClient) -> None:
    publisher.client.send_octets(PUBLISH + HEADER_OF_2 + encode_frame(3, 1, b"h"))
    publisher.client.drop()
    assert other.counts("q") == (0, 0)


@pytest.mark.rule("1.42")
def test_a_shutdown_tells_everybody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    clients = [world.client() for _ in range(3)]
    channel = clients[0].channel()
    channel.queue("q")
    channel.publish("q", b"a")
    channel.consume("q")
    channel.expect_bodies(b"a")
    world.broker.shut_down()
    for client in clients:
        close = client.expect_close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
        assert (close.failing_class_id, close.failing_method_id) == (0, 0)
        client.send(0, ConnectionCloseOk())
        client.expect_finished()
    assert not caplog.records
    assert world.broker.vhosts["/"].queues["q"].message_count == 1


@pytest.mark.rule("1.42")
def test_an_operator_closes_one_connection_with_a_reason(world: World) -> None:
    client, other = world.client(), world.client()
    client.connection.force_close("Closed via management plugin")
    client.expect_close(320, "CONNECTION_FORCED - Closed via management plugin")
    other.expect_nothing()
    other.channel()


@pytest.mark.rule("1.42")
def test_a_shutdown_drops_those_who_are_not_in_yet_or_have_left(world: World) -> None:
    silent, starting, left = Client(world), Client(world), world.client()
    starting.login()
    starting.expect(0, ConnectionTune)
    left.close()
    closing = closing_client(world)
    world.broker.shut_down()
    assert [client.is_closed for client in (silent, starting, left, closing)] == [True, True, True, False]
    starting.expect_nothing()
    closing.send(0, ConnectionCloseOk())
    closing.expect_finished()


# Others are not touched, and nothing stays behind

MISTAKES = [
    b"garbage, garbage",
    encode_frame(1, 1, b"\x00\x3c\x00\x28"),
    encode_frame(77, 1, b""),
    encode_frame(3, 1, b""),
    b"\x01\x00\x01\xff\xff\xff\xff",
    PUBLISH + PUBLISH,
    encode_method_frame(1, ChannelOpen()),
    encode_method_frame(9, QueueDeclare()),
    encode_method_frame(0, QueueDeclare()),
]


@pytest.mark.rule("1.41", "1.44")
def test_a_failed_connection_leaves_others_alone(world: World) -> None:
    consumer, publisher = world.channel(), world.channel()
    consumer.queue("q")
    consumer.consume("q", no_ack=True)
    for number, octets in enumerate(MISTAKES):
        bad = world.client()
        bad.channel()
        bad.send_octets(octets)
        assert bad.expect(0, ConnectionClose).reply_code > 500
        publisher.publish("q", str(number).encode())
        consumer.expect_bodies(str(number).encode())
        world.advance(31)
        bad.expect_dropped()
    assert list(world.broker.clients) == [consumer.client.connection, publisher.client.connection]


def live_timers(broker: Broker) -> int:
    """How many timers are planned."""
    return sum(timer.callback is not None for _, _, timer in broker.timers._heap)


def busy_visit(world: World, octets: bytes) -> Client:
    """A connection that leaves something in every place, and then makes a mistake."""
    client = Client(world)
    client.open(heartbeat=60)
    channel = client.channel()
    channel.queue("mine", exclusive=True, arguments={"x-message-ttl": 60_000, "x-expires": 60_000})
    channel.queue("gone with me", auto_delete=True)
    channel.consume("mine", "a")
    channel.consume("gone with me", "b")
    channel.publish_all("mine", b"1", b"2")
    channel.publish("gone with me", b"3")
    client.inbox.clear()
    second = client.channel(2)
    second.call(TxSelect(), TxSelectOk)
    second.publish("mine", b"4")
    client.send_octets(octets)
    return client


@pytest.mark.rule("1.41")
@pytest.mark.parametrize("octets", [b"", *MISTAKES])
def test_nothing_stays_behind_when_connections_end(
    world: World, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "amqp_broker")  # log records would hold on to what they tell of
    broker = world.broker
    vhost = broker.vhosts["/"]
    before = (len(broker.clients), live_timers(broker), len(vhost.queues), len(vhost.exchanges))
    remembered = []
    for _ in range(3):
        client = busy_visit(world, octets)
        remembered.append(weakref.ref(client.connection))
        client.drop()
        del client
        assert (len(broker.clients), live_timers(broker), len(vhost.queues), len(vhost.exchanges)) == before
    world.advance(100)
    gc.collect()
    assert [reference() for reference in remembered] == [None] * 3


def test_many_visits_leave_the_schedule_small(world: World) -> None:
    for number in range(2000):
        client = Client(world)
        if number % 2:
            client.begin()
        client.drop()
    assert not world.broker.clients
    assert len(world.broker.timers._heap) < 200
    assert live_timers(world.broker) == 0


def test_unread_output_is_dropped_with_the_client() -> None:
    world = World(Config(outbox_high_octets=1 << 20))
    slow, source = world.channel(), world.channel()
    slow.queue("q")
    slow.consume("q")
    slow.client.reads = False
    source.publish_all("q", *(bytes(100_000) for _ in range(30)))
    assert slow.client.connection.outbox.size < 1_300_000
    connection = slow.client.connection
    slow.client.drop()
    assert connection.outbox.take() == []
    assert source.counts("q") == (30, 0)
