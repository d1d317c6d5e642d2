"""Deliveries that are never acked: what a consumer that keeps them too long is told (rules 5.46 and 5.47)."""

import pytest

from amqp_broker.config import Config
from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicReject,
    ChannelOpen,
    ChannelOpenOk,
    Method,
    Table,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
    Value,
)
from tests.support.client import CAPABILITIES, ChannelClient, Client, World
from tests.support.topology import quorum_queue, refused

TIMED_OUT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {} ms. "
    "This timeout value can be configured, see consumers doc guide to learn more"
)
MINUTE = 60.0
HALF_AN_HOUR = 1800.0


def consume(channel: ChannelClient, queue: str, timeout_ms: Value = None, tag: str = "c") -> None:
    arguments: Table = {} if timeout_ms is None else {"x-consumer-timeout": timeout_ms}
    channel.consume(queue, tag, arguments=arguments)


def old_client(world: World) -> ChannelClient:
    """A client that can't be told of a cancelled consumer."""
    client = Client(world)
    client.open(properties={"capabilities": {**CAPABILITIES, "consumer_cancel_notify": False}})
    client.call(1, ChannelOpen(), ChannelOpenOk)
    return ChannelClient(client, 1)


@pytest.mark.rule("5.46")
def test_late_delivery_goes_back_and_its_consumer_is_cancelled(
    world: World, channel: ChannelClient, other: ChannelClient
) -> None:
    quorum_queue(channel, "q")
    consume(channel, "q")
    channel.publish("q", b"1")
    (late,) = channel.expect_bodies(b"1")
    world.advance(HALF_AN_HOUR - 1)
    channel.expect_nothing()
    world.advance(MINUTE + 2)
    assert channel.expect(BasicCancel) == BasicCancel(consumer_tag="c", no_wait=True)
    channel.expect_nothing()
    again = other.get("q")
    assert again is not None
    assert again.redelivered
    assert again.headers == {"x-acquired-count": 1}  # which is no failure (rule 4.46)
    # The channel stays, and an answer that crosses the cancel is no error.
    channel.send(BasicAck(delivery_tag=late.tag))
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("5.46")
@pytest.mark.parametrize(
    "answer",
    [
        BasicAck(delivery_tag=1),
        BasicAck(delivery_tag=0, multiple=True),
        BasicNack(delivery_tag=1, requeue=True),
        BasicReject(delivery_tag=1, requeue=False),
    ],
)
def test_late_answer_changes_nothing(world: World, channel: ChannelClient, answer: Method) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    consume(channel, "q")
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    world.advance(2)
    channel.expect(BasicCancel)
    channel.send(answer)
    assert channel.counts("q") == (1, 0)
    channel.close()
    assert channel.client.channel().counts("q") == (1, 0)


@pytest.mark.rule("5.46")
def test_what_is_not_late_stays_out(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    consume(channel, "q")
    channel.publish("q", b"late")
    world.advance(0.9)
    channel.publish("q", b"in time")
    _, in_time = channel.expect_bodies(b"late", b"in time")
    world.advance(0.5)
    channel.expect(BasicCancel)
    assert channel.drain("q") == [b"late"]
    channel.send(BasicNack(delivery_tag=in_time.tag, requeue=True))
    assert channel.drain("q") == [b"in time"]


@pytest.mark.rule("5.46")
def test_what_a_cancelled_consumer_still_has_comes_back_too(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    consume(channel, "q")
    channel.publish_all("q", b"1", b"2")
    channel.expect_delivery()
    channel.expect_delivery()
    world.advance(0.5)
    channel.send(BasicAck(delivery_tag=1))
    world.advance(1)
    channel.expect(BasicCancel)
    channel.expect_nothing()
    assert channel.drain("q") == [b"2"]


@pytest.mark.rule("5.46")
def test_consumer_that_acks_in_time_stays_however_long(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    consume(channel, "q")
    for _ in range(50):
        channel.publish("q", b"1")
        (delivery,) = channel.expect_bodies(b"1")
        world.advance(0.9)
        channel.send(BasicAck(delivery_tag=delivery.tag))
    assert channel.counts("q") == (0, 1)


@pytest.mark.rule("5.46")
def test_late_delivery_of_one_consumer_is_no_business_of_another(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "slow")
    quorum_queue(channel, "quick")
    consume(channel, "slow", 10_000, "slow")
    consume(channel, "quick", 1000, "quick")
    channel.publish("slow", b"slow")
    channel.publish("quick", b"quick")
    channel.expect_bodies(b"slow", b"quick")
    world.advance(2)
    assert channel.expect(BasicCancel).consumer_tag == "quick"
    channel.expect_nothing()
    assert channel.counts("slow") == (0, 1)
    world.advance(12)
    assert channel.expect(BasicCancel).consumer_tag == "slow"


@pytest.mark.rule("5.46")
def test_delivery_that_a_rollback_gave_back_is_as_old_as_before(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    consume(channel, "q")
    channel.call(TxSelect(), TxSelectOk)
    other = channel.client.channel(2)
    other.publish_all("q", b"1", b"2")
    channel.expect_bodies(b"1", b"2")
    channel.send(BasicAck(delivery_tag=1))
    channel.call(TxRollback(), TxRollbackOk)
    world.advance(2)
    channel.expect(BasicCancel)
    assert other.drain("q") == [b"1", b"2"]


@pytest.mark.rule("5.46")
def test_client_that_cannot_be_told_loses_its_channel(world: World) -> None:
    channel = old_client(world)
    quorum_queue(channel, "q", consumer_timeout=1000)
    consume(channel, "q")
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    world.advance(2)
    channel.expect_close(406, TIMED_OUT.format(1000))
    assert channel.client.channel().drain("q") == [b"1"]


@pytest.mark.rule("5.46")
def test_classic_queue_has_no_timeout(world: World, channel: ChannelClient) -> None:
    channel.queue("q")
    consume(channel, "q", 1000)
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    world.advance(100 * HALF_AN_HOUR)
    channel.expect_nothing()


@pytest.mark.rule("5.46", "10.3")
def test_classic_queue_may_be_given_one_which_costs_the_channel() -> None:
    world = World(Config(classic_consumer_timeout_s=5.0))
    channel = world.channel()
    channel.queue("q")
    consume(channel, "q")
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    world.advance(4.9)
    channel.expect_nothing()
    world.advance(2)
    channel.expect_close(406, TIMED_OUT.format(5000))
    assert channel.client.channel().drain("q") == [b"1"]


@pytest.mark.rule("5.46")
def test_what_needs_no_ack_is_never_late(world: World, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", consumer_timeout=1000)
    channel.consume("q", no_ack=True)
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    world.advance(10)
    channel.expect_nothing()


@pytest.mark.rule("5.47")
@pytest.mark.parametrize(
    ("of_consumer", "of_queue", "expected_s"),
    [(None, None, 40.0), (None, 20_000, 20.0), (60_000, 20_000, 60.0), (10_000, 20_000, 10.0), (0, 20_000, None)],
)
def test_consumers_timeout_before_the_queues_before_the_configured(
    of_consumer: int | None, of_queue: int | None, expected_s: float | None
) -> None:
    world = World(Config(consumer_timeout_s=40.0))
    channel = world.channel()
    quorum_queue(channel, "q", **({} if of_queue is None else {"consumer_timeout": of_queue}))
    consume(channel, "q", of_consumer)
    channel.publish("q", b"1")
    channel.expect_bodies(b"1")
    if expected_s is None:
        world.advance(1000)
        channel.expect_nothing()
        return
    world.advance(expected_s - 0.1)
    channel.expect_nothing()
    world.advance(expected_s / 2)
    channel.expect(BasicCancel)


@pytest.mark.rule("5.47")
def test_no_timeout_at_all() -> None:
    world = World(Config(consumer_timeout_s=0.0))
    channel = world.channel()
    quorum_queue(channel, "q")
    consume(channel, "q")
    assert world.broker.timers.next_deadline() is None


@pytest.mark.rule("5.47")
@pytest.mark.parametrize(
    ("value", "detail"), [(b"soon", '"expected integer, got longstr"'), (-1, "{value_negative,-1}")]
)
def test_timeout_that_is_none_is_refused(channel: ChannelClient, value: Value, detail: str) -> None:
    quorum_queue(channel, "q")
    method = BasicConsume(queue="q", arguments={"x-consumer-timeout": value})
    text = f"PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': {detail}"
    refused(channel, method, 406, text)
