"""Backends that answer late: what waits for them, what is done again, what is remembered."""

from __future__ import annotations

import pytest

from amqp_broker.auth.backend import Resource, Topic
from amqp_broker.auth.permissions import Access
from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    QueuePurgeOk,
    encode_method_frame,
)
from tests.support.backends import SlowBackend
from tests.support.client import ChannelClient, Client, World

BOB = b"\0bob\0pw"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def backend(world: World) -> SlowBackend:
    return SlowBackend(world.broker)


def answer(client: Client, backend: SlowBackend) -> list[object]:
    """Answer all, and let the client read what comes of it."""
    answered = backend.answer_all()
    client.pump()
    return answered


def bob(world: World, backend: SlowBackend) -> ChannelClient:
    client = Client(world)
    client.login(response=BOB)
    answer(client, backend)
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    client.send(0, ConnectionOpen(virtual_host="/"))
    answer(client, backend)
    client.expect(0, ConnectionOpenOk)
    return client.channel()


def test_the_handshake_waits_for_the_answer_and_reads_nothing_meanwhile(world: World, backend: SlowBackend) -> None:
    client = Client(world)
    client.login(response=BOB)
    client.expect_nothing()
    assert not client.connection.may_read
    answer(client, backend)
    client.expect(0, ConnectionTune)
    assert client.connection.may_read


def test_what_was_sent_ahead_of_the_answer_is_done_after_it(world: World, backend: SlowBackend) -> None:
    client = Client(world)
    client.login(response=BOB)
    answer(client, backend)
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    octets = encode_method_frame(0, ConnectionOpen(virtual_host="/")) + encode_method_frame(1, ChannelOpen())
    client.send_octets(octets)
    client.expect_nothing()
    assert answer(client, backend) == ["/"]
    client.expect(0, ConnectionOpenOk)
    client.expect(1, ChannelOpenOk)


@pytest.mark.rule("1.11")
def test_a_refusal_that_comes_late_is_the_same_refusal(world: World, backend: SlowBackend) -> None:
    client = Client(world)
    client.login(response=b"\0bob\0wrong")
    answer(client, backend)
    client.expect_close(
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
    )


def test_an_answer_that_comes_too_late_finds_nobody(world: World, backend: SlowBackend) -> None:
    client = Client(world)
    client.login(response=BOB)
    world.advance(11)
    assert client.is_closed
    backend.answer_all()
    assert not world.broker.clients


@pytest.mark.rule("1.30")
def test_a_vhost_may_be_refused_late(world: World, backend: SlowBackend) -> None:
    backend.refuses.add("/")
    client = Client(world)
    client.login(response=BOB)
    answer(client, backend)
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    client.send(0, ConnectionOpen(virtual_host="/"))
    answer(client, backend)
    close = client.expect_close(530, "NOT_ALLOWED - access to vhost '/' refused for user 'bob'")
    assert (close.failing_class_id, close.failing_method_id) == (10, 40)


def test_replies_keep_their_order_while_a_method_waits(world: World, backend: SlowBackend) -> None:
    channel = bob(world, backend)
    channel.send(QueueDeclare(queue="q"))
    channel.send(QueuePurge(queue="q"))
    channel.send(QueueDeclare(queue="q", passive=True))
    channel.expect_nothing()
    other = channel.client.channel(2)
    asked = answer(channel.client, backend)
    assert Resource("/", "queue", "q", Access.CONFIGURE) in asked
    channel.expect(QueueDeclareOk)
    channel.expect(QueuePurgeOk)
    channel.expect(QueueDeclareOk)
    other.expect_nothing()
    assert channel.client.connection.held_octets == 0


def test_a_generated_name_is_made_up_once(world: World, backend: SlowBackend) -> None:
    channel = bob(world, backend)
    channel.send(QueueDeclare())
    (asked,) = answer(channel.client, backend)
    first = channel.expect(QueueDeclareOk).queue
    assert isinstance(asked, Resource)
    assert asked.name == first
    channel.send(QueueDeclare())
    answer(channel.client, backend)
    assert channel.expect(QueueDeclareOk).queue != first


def test_publishes_are_asked_about_once_and_done_once(world: World, backend: SlowBackend) -> None:
    channel = bob(world, backend)
    channel.send(QueueDeclare(queue="q"))
    answer(channel.client, backend)
    channel.expect(QueueDeclareOk)
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    for _ in range(3):
        channel.publish("q", b"x")
    channel.expect_nothing()
    assert answer(channel.client, backend) == [Resource("/", "exchange", "amq.default", Access.WRITE)]
    ack = channel.expect(BasicAck)
    assert (ack.delivery_tag, ack.multiple) == (3, True)
    assert world.broker.vhosts["/"].queues["q"].message_count == 3
    channel.publish("q", b"x")
    assert not backend.asked


@pytest.mark.rule("8.11")
def test_what_is_refused_late_closes_the_channel(world: World, backend: SlowBackend) -> None:
    backend.refuses.add("q")
    channel = bob(world, backend)
    channel.send(BasicGet(queue="q"))
    answer(channel.client, backend)
    channel.expect_close(403, "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'bob'")


def test_a_passive_declare_asks_for_one_right_after_the_other(world: World, backend: SlowBackend) -> None:
    backend.refuses.add("q")
    channel = bob(world, backend)
    channel.send(QueueDeclare(queue="q", passive=True))
    asked = answer(channel.client, backend)
    accesses = [resource.access for resource in asked if isinstance(resource, Resource)]
    assert accesses == [Access.WRITE, Access.READ, Access.CONFIGURE]
    channel.expect_close(403)


def declared_topic(world: World, backend: SlowBackend) -> ChannelClient:
    channel = bob(world, backend)
    channel.send(ExchangeDeclare(exchange="t", type="topic"))
    answer(channel.client, backend)
    channel.expect(ExchangeDeclareOk)
    return channel


@pytest.mark.rule("8.14", "5.1")
def test_keys_of_a_topic_exchange_are_asked_about_once_each(world: World, backend: SlowBackend) -> None:
    channel = declared_topic(world, backend)
    for key in ("a.1", "a.2", "a.1", "a.2"):
        channel.publish(key, b"x", exchange="t")
    topics = [asked for asked in answer(channel.client, backend) if isinstance(asked, Topic)]
    assert [topic.routing_key for topic in topics] == ["a.1", "a.2"]
    backend.refuses.add("b")
    channel.publish("b", b"x", exchange="t")
    answer(channel.client, backend)
    channel.expect_close(
        403, "ACCESS_REFUSED - write access to topic 'b' in exchange 't' in vhost '/' refused for user 'bob'"
    )


@pytest.mark.rule("8.14", "3.19")
def test_a_binding_key_is_read(world: World, backend: SlowBackend) -> None:
    channel = declared_topic(world, backend)
    channel.send(QueueDeclare(queue="q"))
    answer(channel.client, backend)
    channel.expect(QueueDeclareOk)
    channel.send(QueueBind(queue="q", exchange="t", routing_key="a.#"))
    assert Topic("/", "t", "a.#", Access.READ) in answer(channel.client, backend)
    channel.expect(QueueBindOk)


def test_a_close_waits_for_what_came_before_it(world: World, backend: SlowBackend) -> None:
    channel = bob(world, backend)
    channel.send(QueueDeclare(queue="q"))
    channel.client.send(0, ConnectionClose(reply_code=200))
    channel.expect_nothing()
    answer(channel.client, backend)
    channel.expect(QueueDeclareOk)
    channel.client.expect(0, ConnectionCloseOk)


def consuming(world: World, backend: SlowBackend) -> ChannelClient:
    channel = bob(world, backend)
    channel.send(QueueDeclare(queue="q"))
    answer(channel.client, backend)
    channel.expect(QueueDeclareOk)
    channel.send(BasicConsume(queue="q", consumer_tag="c"))
    answer(channel.client, backend)
    channel.expect(BasicConsumeOk)
    return channel


@pytest.mark.rule("1.37")
def test_a_new_secret_ends_subscriptions_that_are_no_longer_allowed(world: World, backend: SlowBackend) -> None:
    channel = consuming(world, backend)
    backend.refuses.add("q")
    channel.client.send(0, ConnectionUpdateSecret(new_secret=b"new", reason=""))
    answer(channel.client, backend)
    channel.client.expect(0, ConnectionUpdateSecretOk)
    assert channel.expect(BasicCancel).consumer_tag == "c"
    channel.publish("q", b"x")
    assert answer(channel.client, backend) == [Resource("/", "exchange", "amq.default", Access.WRITE)]


@pytest.mark.rule("1.37")
def test_a_new_secret_that_is_refused_closes_the_connection(world: World, backend: SlowBackend) -> None:
    channel = bob(world, backend)
    channel.client.send(0, ConnectionUpdateSecret(new_secret=b"wrong", reason=""))
    answer(channel.client, backend)
    channel.client.expect_close(530, "NOT_ALLOWED - New secret was refused by one of the backends")


def test_a_login_that_expires_is_closed_unless_it_is_renewed(world: World, backend: SlowBackend) -> None:
    backend.expires_at = world.time + 60
    channel = bob(world, backend)
    world.advance(59)
    backend.expires_at = world.time + 60
    channel.client.send(0, ConnectionUpdateSecret(new_secret=b"new", reason=""))
    answer(channel.client, backend)
    channel.client.expect(0, ConnectionUpdateSecretOk)
    world.advance(59)
    channel.client.pump()
    channel.expect_nothing()
    world.advance(2)
    channel.client.pump()
    channel.client.expect_close(320, "CONNECTION_FORCED - credential expired")
