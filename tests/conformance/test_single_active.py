import pytest

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicNack,
    BasicQos,
    BasicQosOk,
    Table,
)
from tests.support.client import ChannelClient, World
from tests.support.topology import queue_with, refused, reject

BOTH_TYPES = pytest.mark.parametrize("queue_type", [b"classic", b"quorum"])


def single_active(channel: ChannelClient, queue_type: bytes = b"classic") -> None:
    arguments: Table = {"x-single-active-consumer": True, "x-queue-type": queue_type}
    queue_with(channel, "q", arguments, durable=True)


def consume(channel: ChannelClient, tag: str, priority: int = 0, prefetch_count: int = 0) -> None:
    channel.call(BasicQos(prefetch_count=prefetch_count), BasicQosOk)
    channel.consume("q", tag, arguments={"x-priority": priority})


def cancel(channel: ChannelClient, tag: str) -> None:
    channel.call(BasicCancel(consumer_tag=tag), BasicCancelOk)


@pytest.mark.rule("4.57")
@BOTH_TYPES
def test_first_consumer_gets_everything(world: World, channel: ChannelClient, queue_type: bytes) -> None:
    single_active(channel, queue_type)
    first, second = world.channel(), world.channel()
    consume(first, "a")
    consume(second, "b")
    consume(first, "c")
    channel.publish_all("q", b"1", b"2", b"3")
    assert {each.consumer_tag for each in first.expect_bodies(b"1", b"2", b"3")} == {"a"}
    second.expect_nothing()
    assert channel.counts("q") == (0, 3)


@pytest.mark.rule("4.57")
@BOTH_TYPES
@pytest.mark.parametrize("ending", ["cancel", "close channel", "error", "close connection", "drop"])
def test_next_takes_over_when_the_active_one_goes(
    world: World, channel: ChannelClient, queue_type: bytes, ending: str
) -> None:
    single_active(channel, queue_type)
    first, second, third = world.channel(), world.channel(), world.channel()
    for number, each in enumerate((first, second, third)):
        consume(each, f"tag-{number}", prefetch_count=1)
    channel.publish_all("q", b"1", b"2")
    first.expect_bodies(b"1")
    if ending == "cancel":
        cancel(first, "tag-0")
        second.expect_bodies(b"2")
    else:
        if ending == "close channel":
            first.close()
        elif ending == "error":
            first.send(BasicAck(delivery_tag=99))
            first.expect_close(406)
        elif ending == "close connection":
            first.client.close()
        else:
            first.client.drop()
        delivery = second.expect_bodies(b"1")[0]
        assert delivery.redelivered
        second.send(BasicAck(delivery_tag=delivery.tag))
        second.expect_bodies(b"2")
    third.expect_nothing()
    second.close()
    third.expect_bodies(b"2")


@pytest.mark.rule("4.57")
@BOTH_TYPES
def test_next_is_the_one_of_the_highest_priority_then_the_first_that_came(
    world: World, channel: ChannelClient, queue_type: bytes
) -> None:
    single_active(channel, queue_type)
    consume(channel, "active", 9)
    others = {}
    for tag, priority in (("low", -1), ("none", 0), ("high 1", 5), ("high 2", 5), ("none 2", 0)):
        others[tag] = world.channel()
        consume(others[tag], tag, priority)
    publisher = world.channel()
    cancel(channel, "active")
    for expected in ("high 1", "high 2", "none", "none 2", "low"):
        publisher.publish("q", expected.encode())
        for tag, each in others.items():
            if tag == expected:
                delivery = each.expect_bodies(expected.encode())[0]
                each.send(BasicAck(delivery_tag=delivery.tag))
            else:
                each.expect_nothing()
        cancel(others[expected], expected)


@pytest.mark.rule("4.57")
def test_newcomer_of_higher_priority_waits_in_a_classic_queue(channel: ChannelClient, other: ChannelClient) -> None:
    single_active(channel)
    consume(channel, "a")
    consume(other, "b", 10)
    other.publish_all("q", b"1", b"2")
    channel.expect_bodies(b"1", b"2")
    other.expect_nothing()


@pytest.mark.rule("4.57")
@BOTH_TYPES
def test_blocked_active_consumer_is_not_replaced(
    channel: ChannelClient, other: ChannelClient, queue_type: bytes
) -> None:
    single_active(channel, queue_type)
    consume(channel, "a", prefetch_count=1)
    consume(other, "b")
    other.publish_all("q", b"1", b"2", b"3")
    delivery = channel.expect_bodies(b"1")[0]
    other.expect_nothing()
    assert other.counts("q") == (2, 2)
    channel.send(BasicAck(delivery_tag=delivery.tag))
    channel.expect_bodies(b"2")
    other.expect_nothing()


@pytest.mark.rule("4.57")
@BOTH_TYPES
def test_deliveries_of_a_cancelled_consumer_can_still_be_settled(
    channel: ChannelClient, other: ChannelClient, queue_type: bytes
) -> None:
    single_active(channel, queue_type)
    consume(channel, "a")
    consume(other, "b", prefetch_count=1)
    other.publish_all("q", b"1", b"2", b"3")
    deliveries = channel.expect_bodies(b"1", b"2", b"3")
    cancel(channel, "a")
    other.expect_nothing()
    channel.send(BasicAck(delivery_tag=deliveries[0].tag))
    channel.send(BasicNack(delivery_tag=deliveries[1].tag, requeue=True))
    assert other.expect_bodies(b"2")[0].redelivered
    channel.send(BasicAck(delivery_tag=deliveries[2].tag))
    channel.expect_nothing()


@pytest.mark.rule("4.57")
@BOTH_TYPES
@pytest.mark.parametrize("no_ack", [True, False])
def test_consumers_that_end_together_do_not_follow_each_other(
    channel: ChannelClient, other: ChannelClient, queue_type: bytes, no_ack: bool
) -> None:
    """What waits is for those who stay: nothing is lost to a consumer whose channel is just ending."""
    single_active(channel, queue_type)
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume("q", "blocked")
    channel.consume("q", "would follow", no_ack=no_ack)
    channel.client.channel(2).consume("q", "would follow too", no_ack=no_ack)
    consume(other, "stays")
    other.publish_all("q", b"1", b"2")
    channel.expect_bodies(b"1")
    channel.client.close()
    deliveries = other.expect_bodies(b"1", b"2")
    assert [each.redelivered for each in deliveries] == [True, False]


@pytest.mark.rule("4.57")
@BOTH_TYPES
def test_what_waits_goes_to_the_next_when_the_active_one_ends_with_nothing_out(
    channel: ChannelClient, other: ChannelClient, queue_type: bytes
) -> None:
    """The active consumer got nothing, as another queue has used up the limit of its channel."""
    single_active(channel, queue_type)
    channel.queue("r")
    channel.call(BasicQos(prefetch_count=1, global_=True), BasicQosOk)
    channel.consume("r", "on r")
    channel.consume("q", "on q")
    consume(other, "next")
    other.publish("r", b"elsewhere")
    other.publish_all("q", b"1", b"2")
    channel.expect_bodies(b"elsewhere")
    other.expect_nothing()
    channel.close()
    assert [each.redelivered for each in other.expect_bodies(b"1", b"2")] == [False, False]


@pytest.mark.rule("4.58", "5.31")
def test_exclusive_consumer_is_refused_by_a_classic_queue(channel: ChannelClient) -> None:
    single_active(channel)
    text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    refused(channel, BasicConsume(queue="q", consumer_tag="a", exclusive=True), 403, text)
    consume(channel, "a")
    refused(channel, BasicConsume(queue="q", consumer_tag="b", exclusive=True), 403, text)


@pytest.mark.rule("4.58")
def test_higher_priority_takes_over_at_once_when_nothing_is_unacked(
    channel: ChannelClient, other: ChannelClient
) -> None:
    single_active(channel, b"quorum")
    consume(channel, "a", 1)
    other.publish("q", b"1")
    delivery = channel.expect_bodies(b"1")[0]
    channel.send(BasicAck(delivery_tag=delivery.tag))
    consume(other, "same", 1)
    other.publish("q", b"2")
    delivery = channel.expect_bodies(b"2")[0]
    channel.send(BasicAck(delivery_tag=delivery.tag))
    consume(other, "higher", 2)
    other.publish_all("q", b"3", b"4")
    assert {each.consumer_tag for each in other.expect_bodies(b"3", b"4")} == {"higher"}
    channel.expect_nothing()


@pytest.mark.rule("4.58")
@pytest.mark.parametrize("settling", ["ack", "discard", "requeue"])
@pytest.mark.parametrize("prefetch_count", [0, 2])
def test_higher_priority_takes_over_once_nothing_is_unacked(
    channel: ChannelClient, other: ChannelClient, settling: str, prefetch_count: int
) -> None:
    single_active(channel, b"quorum")
    consume(channel, "a", prefetch_count=prefetch_count)
    other.publish_all("q", b"1", b"2")
    deliveries = channel.expect_bodies(b"1", b"2")
    consume(other, "higher", 1)
    other.publish("q", b"3")
    channel.expect_nothing()
    other.expect_nothing()
    channel.send(BasicAck(delivery_tag=deliveries[0].tag))
    channel.expect_nothing()
    other.expect_nothing()
    if settling == "ack":
        channel.send(BasicAck(delivery_tag=deliveries[1].tag))
    else:
        reject(channel, deliveries[1], requeue=settling == "requeue")
    channel.expect_nothing()
    other.expect_bodies(*((b"2", b"3") if settling == "requeue" else (b"3",)))
    assert other.counts("q") == (0, 2)
    other.close()
    channel.client.pump()
    assert channel.client.inbox[0].channel_id == channel.id  # what the other had comes back to the first


@pytest.mark.rule("4.58")
def test_first_goes_on_when_the_one_of_higher_priority_leaves_early(
    world: World, channel: ChannelClient, other: ChannelClient
) -> None:
    single_active(channel, b"quorum")
    consume(channel, "a")
    other.publish("q", b"1")
    channel.expect_bodies(b"1")
    consume(other, "higher", 1)
    other.publish("q", b"2")
    channel.expect_nothing()
    cancel(other, "higher")
    channel.expect_bodies(b"2")
    world.channel().publish("q", b"3")
    channel.expect_bodies(b"3")


@pytest.mark.rule("4.58")
def test_first_that_leaves_makes_room_for_the_one_of_higher_priority(
    channel: ChannelClient, other: ChannelClient
) -> None:
    single_active(channel, b"quorum")
    consume(channel, "a")
    other.publish("q", b"1")
    channel.expect_bodies(b"1")
    consume(other, "higher", 1)
    cancel(channel, "a")
    other.publish("q", b"2")
    other.expect_bodies(b"2")
    channel.close()
    other.expect_bodies(b"1")
