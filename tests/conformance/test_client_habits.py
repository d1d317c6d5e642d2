"""What client libraries build on the broker, in the way in which they do it (chapter 10)."""

from __future__ import annotations

import re

import pytest

from amqp_broker.config import Config
from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicNack,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    Properties,
    Table,
)
from tests.support.client import ChannelClient, World
from tests.support.topology import bind, exchange, got, has_queue, queue_with, quorum_queue, refused, reject

# bunny


@pytest.mark.rule("5.39", "10.3")
def test_unknown_delivery_tag_is_told_in_bunnys_words(channel: ChannelClient) -> None:
    channel.send(BasicAck(delivery_tag=82))
    close = channel.expect(ChannelClose)
    assert (close.reply_code, close.failing_class_id, close.failing_method_id) == (406, 60, 80)
    assert re.fullmatch(r"PRECONDITION_FAILED - unknown delivery tag 82", close.reply_text)


@pytest.mark.rule("5.5", "10.3")
def test_message_that_is_too_large_is_told_in_bunnys_words() -> None:
    channel = World(Config(max_message_octets=10)).channel()
    channel.queue("q")
    channel.publish("q", b"eleven octs")
    close = channel.expect(ChannelClose)
    assert (close.reply_code, close.failing_class_id, close.failing_method_id) == (406, 60, 40)
    assert close.reply_text == "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"


# Celery and kombu


@pytest.mark.rule("4.23", "4.24", "10.4")
@pytest.mark.parametrize("exclusive", [True, False], ids=["current", "older"])
def test_control_queue_of_a_worker_comes_and_goes(
    world: World, channel: ChannelClient, other: ChannelClient, exclusive: bool
) -> None:
    arguments: Table = {"x-expires": 10_000, "x-message-ttl": 300_000}
    name = queue_with(channel, "celery@host.celery.pidbox", arguments, exclusive=exclusive, auto_delete=True)
    exchange(channel, "celery.pidbox", "fanout")
    bind(channel, name, "celery.pidbox")
    channel.consume(name, no_ack=True)
    other.publish("", b"ping", exchange="celery.pidbox")
    channel.expect_bodies(b"ping")
    world.advance(60)
    other.publish("", b"pong", exchange="celery.pidbox")
    channel.expect_bodies(b"pong")
    channel.client.close()
    assert not has_queue(other, name)


@pytest.mark.rule("4.7", "10.4")
def test_second_worker_of_the_same_name_gets_405_on_consume(channel: ChannelClient, other: ChannelClient) -> None:
    name = channel.queue("celery@host.celery.pidbox", exclusive=True, auto_delete=True)
    text = (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration."
    )
    refused(other, BasicConsume(queue=name), 405, text)
    channel.consume(name)


@pytest.mark.rule("4.23", "10.4")
def test_event_queue_that_nobody_reads_goes_by_itself(world: World, channel: ChannelClient) -> None:
    arguments: Table = {"x-expires": 60_000, "x-message-ttl": 5000}
    name = queue_with(channel, "celeryev.1", arguments, auto_delete=True)
    channel.publish(name, b"event")
    world.advance(6)
    assert channel.world.broker.vhosts["/"].queues[name].message_count == 0
    world.advance(60)
    assert not has_queue(channel, name)


# dramatiq and taskiq


def dramatiq_queues(channel: ChannelClient) -> None:
    """Queues `default`, `default.DQ` for delays and `default.XQ` for the dead, as dramatiq declares them."""
    dead: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"default.XQ", "x-max-priority": 10}
    queue_with(channel, "default", dead, durable=True)
    queue_with(channel, "default.DQ", dead, durable=True)
    queue_with(channel, "default.XQ", {"x-message-ttl": 604_800_000}, durable=True)


@pytest.mark.rule("4.35", "4.36", "4.44", "10.6")
def test_dramatiq_gives_up_a_task_by_nack(channel: ChannelClient) -> None:
    dramatiq_queues(channel)
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    for priority, body in ((0, b"low"), (9, b"high")):
        channel.publish("default", body, properties=Properties(delivery_mode=2, priority=priority))
    channel.consume("default")
    (task,) = channel.expect_bodies(b"high")
    channel.send(BasicNack(delivery_tag=task.tag, requeue=False))
    channel.expect_bodies(b"low")
    letter = got(channel, "default.XQ")
    assert letter.body == b"high"
    assert letter.properties.priority == 9


@pytest.mark.rule("4.24", "4.37", "10.6")
@pytest.mark.parametrize("by_message", [True, False], ids=["expiration", "x-message-ttl"])
def test_taskiq_delays_a_task_by_a_queue_whose_dead_go_to_work(
    world: World, channel: ChannelClient, by_message: bool
) -> None:
    channel.queue("work", durable=True)
    arguments: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"work"}
    if not by_message:
        arguments["x-message-ttl"] = 5000
    queue_with(channel, "work.delay", arguments, durable=True)
    channel.consume("work", no_ack=True)
    channel.publish(
        "work.delay",
        b"task",
        properties=Properties(delivery_mode=2, message_id="1", expiration="5000" if by_message else None),
    )
    world.advance(4.9)
    channel.expect_nothing()
    world.advance(0.2)
    (task,) = channel.expect_bodies(b"task")
    assert (task.exchange, task.routing_key) == ("", "work")
    assert task.properties.expiration is None
    assert task.properties.message_id == "1"


@pytest.mark.rule("4.41", "10.6")
def test_retry_by_a_round_trip_through_a_delay_queue_goes_on(world: World, channel: ChannelClient) -> None:
    """Rejected into the delay queue, expired back to work: a circle that a rejection keeps open."""
    queue_with(channel, "work", {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"retry"}, durable=True)
    back: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"work", "x-message-ttl": 1000}
    queue_with(channel, "retry", back, durable=True)
    channel.publish("work", b"task")
    for attempt in range(1, 6):
        task = got(channel, "work")
        reject(channel, task)
        world.advance(1)
        deaths = got(channel, "work")
        table = deaths.headers["x-death"]
        assert isinstance(table, list)
        assert [(death["queue"], death["count"]) for death in table if isinstance(death, dict)] == [
            (b"retry", attempt),
            (b"work", attempt),
        ]
        channel.send(BasicNack(delivery_tag=deaths.tag, requeue=True))


@pytest.mark.rule("10.6", "4.46")
def test_retry_limit_of_a_quorum_queue_ends_it(channel: ChannelClient) -> None:
    channel.queue("dead")
    quorum_queue(channel, "q", delivery_limit=3, dead_letter_exchange=b"", dead_letter_routing_key=b"dead")
    channel.publish("q", b"task")
    for _ in range(4):
        reject(channel, got(channel, "q"), requeue=True)
    assert channel.drain("dead") == [b"task"]
