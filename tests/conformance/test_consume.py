"""Section 5d: consumers, how they begin and end, and who gets what."""

from __future__ import annotations

import re

import pytest

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicPublish,
    Int8,
    Int64,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    UInt8,
    Value,
)
from tests.support.client import CAPABILITIES, ChannelClient, Client, World
from tests.support.delivery import ack, cancel, closes_channel, closes_connection, nack, qos
from tests.support.topology import bind, quorum_queue


def next_tag(channel: ChannelClient) -> str:
    """The consumer tag of the next delivery."""
    return channel.expect_delivery().consumer_tag


# Tags


@pytest.mark.rule("5.19")
def test_empty_tag_is_made_up(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    tags = {channel.consume(queue, "") for _ in range(3)}
    assert len(tags) == 3
    assert all(re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", tag) for tag in tags)
    channel.publish(queue, b"a")
    assert next_tag(channel) in tags


@pytest.mark.rule("5.19")
def test_tag_in_use_closes_the_connection_with_530(channel: ChannelClient) -> None:
    channel.consume(channel.queue("q"), "t")
    method = BasicConsume(queue=channel.queue("another"), consumer_tag="t")
    closes_connection(channel, method, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'")


@pytest.mark.rule("5.19")
def test_tag_is_free_again_after_cancel(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    cancel(channel, "t")
    assert channel.consume(queue, "t") == "t"


@pytest.mark.rule("5.19")
def test_tag_is_free_again_after_its_queue_is_deleted(channel: ChannelClient) -> None:
    channel.consume(channel.queue("q"), "t")
    channel.send(QueueDelete(queue="q"))
    channel.expect(BasicCancel)
    channel.expect(QueueDeleteOk)
    channel.queue("q")
    assert channel.consume("q", "t") == "t"


@pytest.mark.rule("5.19")
def test_two_channels_may_use_the_same_tag(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    second = channel.client.channel(2)
    channel.consume(queue, "t")
    second.consume(queue, "t")
    channel.publish_all(queue, b"a", b"b")
    assert next_tag(channel) == "t"
    assert next_tag(second) == "t"


# consume-ok, queue, arguments


@pytest.mark.rule("5.20")
def test_consume_ok_precedes_the_first_delivery(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    channel.send(BasicConsume(queue=queue, consumer_tag="t"))
    assert channel.expect(BasicConsumeOk) == BasicConsumeOk(consumer_tag="t")
    channel.expect_bodies(b"a", b"b")


@pytest.mark.rule("5.20")
def test_consume_without_wait_is_not_answered(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.send(BasicConsume(queue=queue, consumer_tag="t", no_wait=True))
    channel.expect_nothing()
    channel.publish(queue, b"a")
    assert channel.expect_delivery().method == BasicDeliver(consumer_tag="t", delivery_tag=1, routing_key="q")


@pytest.mark.rule("5.21")
@pytest.mark.parametrize("no_wait", [False, True])
def test_consuming_from_a_missing_queue_closes_the_channel_with_404(channel: ChannelClient, no_wait: bool) -> None:
    method = BasicConsume(queue="nowhere", consumer_tag="t", no_wait=no_wait)
    closes_channel(channel, method, 404, "NOT_FOUND - no queue 'nowhere' in vhost '/'")


@pytest.mark.rule("5.22")
def test_no_local_is_ignored(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, no_local=True)
    channel.publish(queue, b"a")
    channel.expect_bodies(b"a")


@pytest.mark.rule("5.23")
@pytest.mark.parametrize("low", [Int8(-1), -2_000_000_000, Int64(-(1 << 60))])
@pytest.mark.parametrize("high", [UInt8(1), 2_000_000_000, Int64(1 << 60)])
def test_priority_is_any_integer(channel: ChannelClient, low: int, high: int) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "low", arguments={"x-priority": low})
    channel.consume(queue, "none")
    channel.consume(queue, "high", arguments={"x-priority": high})
    served = []
    for tag in ("high", "none", "low"):
        channel.publish(queue, b"a")
        served.append(next_tag(channel))
        cancel(channel, tag)
    assert served == ["high", "none", "low"]


@pytest.mark.rule("5.23")
@pytest.mark.parametrize(
    ("value", "kind"), [(b"1", "longstr"), (True, "bool"), (1.0, "double"), ([1], "array"), (None, "void")]
)
def test_priority_that_is_no_integer_closes_the_channel(channel: ChannelClient, value: Value, kind: str) -> None:
    method = BasicConsume(queue=channel.queue("q"), arguments={"x-priority": value})
    closes_channel(
        channel,
        method,
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got {kind}\"",
    )


@pytest.mark.rule("5.23")
@pytest.mark.parametrize("argument", ["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_argument_of_stream_consumers_closes_the_channel(channel: ChannelClient, argument: str, kind: str) -> None:
    queue = quorum_queue(channel, "q") if kind == "quorum" else channel.queue("q")
    closes_channel(
        channel,
        BasicConsume(queue=queue, arguments={argument: b"first"}),
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue",
    )


@pytest.mark.rule("5.23")
def test_other_arguments_are_ignored(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, arguments={"x-cancel-on-ha-failover": True, "x-anything": b"else", "plain": 1})
    channel.publish(queue, b"a")
    channel.expect_bodies(b"a")


# Priorities and turns


def consume_with_priority(channel: ChannelClient, tag: str, priority: int) -> None:
    channel.consume("q", tag, arguments={"x-priority": priority})


@pytest.mark.rule("5.24")
def test_lower_priority_is_served_only_while_all_higher_ones_are_blocked(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    consume_with_priority(channel, "low", 1)
    qos(channel, 1)
    consume_with_priority(channel, "high", 5)
    consume_with_priority(channel, "higher", 7)
    channel.publish_all(queue, b"a", b"b", b"c", b"d")
    served = channel.expect_bodies(b"a", b"b", b"c", b"d")
    assert [delivery.consumer_tag for delivery in served] == ["higher", "high", "low", "low"]
    ack(channel, served[1].tag)
    channel.publish_all(queue, b"e", b"f")
    assert [next_tag(channel), next_tag(channel)] == ["high", "low"]
    ack(channel, served[0].tag)
    channel.publish(queue, b"g")
    assert next_tag(channel) == "higher"


@pytest.mark.rule("5.24")
def test_waiting_message_goes_to_whichever_consumer_can_take_one_first(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    consume_with_priority(channel, "high", 5)
    consume_with_priority(channel, "low", 1)
    channel.publish_all(queue, b"a", b"b", b"c")
    assert [next_tag(channel), next_tag(channel)] == ["high", "low"]
    channel.expect_nothing()
    ack(channel, 2)
    assert next_tag(channel) == "low"


@pytest.mark.rule("5.24")
def test_waiting_message_goes_to_the_higher_priority_when_both_are_free_again(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    consume_with_priority(channel, "low", 1)
    channel.publish(queue, b"a")
    assert next_tag(channel) == "low"
    consume_with_priority(channel, "high", 5)
    channel.publish_all(queue, b"b", b"c")
    assert next_tag(channel) == "high"
    ack(channel, 2, multiple=True)
    assert next_tag(channel) == "high"
    channel.expect_nothing()


@pytest.mark.rule("5.24")
def test_requeued_message_goes_to_the_higher_priority_that_gave_it_back(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    consume_with_priority(channel, "high", 5)
    consume_with_priority(channel, "low", 1)
    channel.publish_all(queue, b"a", b"b")
    assert [next_tag(channel), next_tag(channel)] == ["high", "low"]
    ack(channel, 2)
    nack(channel, 1)
    assert next_tag(channel) == "high"
    channel.expect_nothing()


@pytest.mark.rule("5.24", "5.25")
def test_equal_priorities_take_turns(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    for tag in ("a", "b"):
        consume_with_priority(channel, tag, 3)
    other.consume(queue, "c", arguments={"x-priority": 3})
    consume_with_priority(channel, "low", 0)
    channel.publish_all(queue, *[b"x"] * 6)
    assert [next_tag(channel) for _ in range(4)] == ["a", "b", "a", "b"]
    assert [next_tag(other) for _ in range(2)] == ["c", "c"]
    channel.expect_nothing()


@pytest.mark.rule("5.25")
@pytest.mark.parametrize("one_connection", [True, False])
def test_consumers_take_turns_on_one_channel_or_several(
    channel: ChannelClient, other: ChannelClient, one_connection: bool
) -> None:
    queue = channel.queue("q")
    second = channel.client.channel(2) if one_connection else other
    channel.consume(queue, "1")
    second.consume(queue, "2")
    channel.consume(queue, "3")
    for turn in range(3):
        for receiver, tag in ((channel, "1"), (second, "2"), (channel, "3")):
            channel.publish(queue, str(turn).encode())
            assert next_tag(receiver) == tag


@pytest.mark.rule("5.25")
def test_backlog_is_handed_out_in_turns(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4")
    qos(channel, 1)
    qos(other, 1)
    channel.consume(queue)
    other.consume(queue)
    channel.expect_bodies(b"1")
    other.expect_bodies(b"2")
    ack(other, 1)
    other.expect_bodies(b"3")
    ack(channel, 1)
    channel.expect_bodies(b"4")


@pytest.mark.rule("5.25")
def test_consumer_that_was_served_goes_to_the_back(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "1")
    channel.consume(queue, "2")
    channel.publish(queue, b"a")
    assert next_tag(channel) == "1"
    channel.consume(queue, "3")
    channel.publish_all(queue, b"b", b"c", b"d")
    assert [next_tag(channel) for _ in range(3)] == ["2", "1", "3"]


# Order


@pytest.mark.rule("5.26")
def test_one_consumer_gets_messages_in_queue_order(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2")
    qos(channel, 2)
    channel.consume(queue)
    channel.publish_all(queue, b"3", b"4", b"5")
    channel.expect_bodies(b"1", b"2")
    ack(channel, 1)
    channel.expect_bodies(b"3")
    channel.publish(queue, b"6")
    ack(channel, 3, multiple=True)
    channel.expect_bodies(b"4", b"5")
    ack(channel, 5, multiple=True)
    channel.expect_bodies(b"6")


@pytest.mark.rule("5.26")
def test_publishes_keep_their_order_through_an_exchange(channel: ChannelClient, other: ChannelClient) -> None:
    bodies = [str(number).encode() for number in range(20)]
    for queue in ("one", "two"):
        bind(channel, channel.queue(queue), "amq.topic", "#")
        other.consume(queue, queue)
    octets = (channel.publish_octets(BasicPublish(exchange="amq.topic", routing_key="k"), body) for body in bodies)
    channel.client.send_octets(b"".join(octets))
    deliveries = [other.expect_delivery() for _ in range(40)]
    for tag in ("one", "two"):
        assert [each.body for each in deliveries if each.consumer_tag == tag] == bodies


# Cancel


@pytest.mark.rule("5.27")
def test_cancel_of_an_unknown_tag_is_answered(channel: ChannelClient) -> None:
    assert channel.call(BasicCancel(consumer_tag="unknown"), BasicCancelOk) == BasicCancelOk(consumer_tag="unknown")
    channel.queue("still-open")


@pytest.mark.rule("5.27")
def test_nothing_is_delivered_after_cancel_ok(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    cancel(channel, "t")
    channel.publish(queue, b"a")
    channel.expect_nothing()
    assert channel.counts(queue) == (1, 0)


@pytest.mark.rule("5.27")
def test_cancelled_consumer_that_was_blocked_gets_nothing_more(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue, "t")
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a")
    cancel(channel, "t")
    ack(channel, 1)
    channel.expect_nothing()
    assert channel.counts(queue) == (1, 0)


@pytest.mark.rule("5.27")
def test_cancel_without_wait_is_not_answered(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    channel.send(BasicCancel(consumer_tag="t", no_wait=True))
    channel.send(BasicCancel(consumer_tag="unknown", no_wait=True))
    channel.expect_nothing()
    assert channel.counts(queue) == (0, 0)


@pytest.mark.rule("5.28")
def test_cancel_leaves_unacked_deliveries_with_the_channel(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    channel.publish_all(queue, b"a", b"b", b"c")
    channel.expect_bodies(b"a", b"b", b"c")
    cancel(channel, "t")
    assert other.counts(queue) == (0, 0)
    ack(channel, 1)
    nack(channel, 2)
    assert other.counts(queue) == (1, 0)
    channel.close()
    got = [other.get(queue), other.get(queue), other.get(queue)]
    assert [delivery and (delivery.body, delivery.redelivered) for delivery in got] == [
        (b"b", True),
        (b"c", True),
        None,
    ]


# No ack, redelivered


@pytest.mark.rule("5.29")
def test_delivery_without_ack_is_never_requeued(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, no_ack=True)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a", b"b")
    channel.client.drop()
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("5.29")
def test_delivery_without_ack_cannot_be_acked(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"a")
    channel.expect_bodies(b"a")
    closes_channel(channel, BasicAck(delivery_tag=1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.rule("5.29")
def test_get_without_ack_is_consumed(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a")
    assert channel.get(queue, no_ack=True) is not None
    closes_channel(channel, BasicAck(delivery_tag=1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("5.30")
@pytest.mark.parametrize("way", ["get", "consumer"])
@pytest.mark.parametrize("back", ["nack", "close", "drop"])
def test_redelivered_marks_just_what_was_out_before(
    channel: ChannelClient, other: ChannelClient, way: str, back: str
) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    if way == "get":
        delivery = channel.get(queue, no_ack=False)
        assert delivery is not None
    else:
        qos(channel, 1)
        channel.consume(queue, "t")
        delivery = channel.expect_delivery()
        cancel(channel, "t")
    assert not delivery.redelivered
    if back == "nack":
        nack(channel, delivery.tag)
    elif back == "close":
        channel.close()
    else:
        channel.client.drop()
    got = [other.get(queue), other.get(queue)]
    assert [each and (each.body, each.redelivered) for each in got] == [(b"a", True), (b"b", False)]


@pytest.mark.rule("5.30")
def test_copy_in_another_queue_is_not_redelivered(channel: ChannelClient) -> None:
    for queue in ("one", "two"):
        bind(channel, channel.queue(queue), "amq.fanout")
    channel.publish("", b"a", exchange="amq.fanout")
    first = channel.get("one", no_ack=False)
    assert first is not None
    nack(channel, first.tag)
    again, copy = channel.get("one"), channel.get("two")
    assert again is not None
    assert copy is not None
    assert (again.redelivered, copy.redelivered) == (True, False)


# Exclusive


IN_USE = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"


@pytest.mark.rule("5.31")
def test_exclusive_consumer_wants_no_other_there(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue)
    closes_channel(other, BasicConsume(queue=queue, exclusive=True), 403, IN_USE)
    closes_channel(channel, BasicConsume(queue=queue, consumer_tag="x", exclusive=True), 403, IN_USE)


@pytest.mark.rule("5.31")
@pytest.mark.parametrize("exclusive", [False, True])
def test_exclusive_consumer_keeps_all_others_out(channel: ChannelClient, other: ChannelClient, exclusive: bool) -> None:
    queue = channel.queue("q")
    channel.consume(queue, exclusive=True)
    closes_channel(other, BasicConsume(queue=queue, exclusive=exclusive), 403, IN_USE)
    second = channel.client.channel(2)
    closes_channel(second, BasicConsume(queue=queue, exclusive=exclusive), 403, IN_USE)
    closes_channel(channel, BasicConsume(queue=queue, consumer_tag="x", exclusive=exclusive), 403, IN_USE)


@pytest.mark.rule("5.31")
def test_exclusive_consumer_leaves_other_uses_alone(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue, exclusive=True)
    other.publish_all(queue, b"a", b"b", b"c")
    channel.expect_bodies(b"a")
    assert other.counts(queue) == (2, 1)
    assert other.queue(queue) == queue
    delivery = other.get(queue)
    assert delivery is not None
    assert delivery.body == b"b"
    assert other.call(QueuePurge(queue=queue), QueuePurgeOk).message_count == 1


@pytest.mark.rule("5.31")
@pytest.mark.parametrize("end", ["cancel", "close", "drop"])
def test_exclusive_use_ends_with_the_consumer(channel: ChannelClient, other: ChannelClient, end: str) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t", exclusive=True)
    if end == "cancel":
        cancel(channel, "t")
    elif end == "close":
        channel.close()
    else:
        channel.client.drop()
    assert other.consume(queue, exclusive=True) == "c"


# The end of a channel


@pytest.mark.parametrize("end", ["close", "drop", "error", "close connection"])
def test_consumers_that_end_together_get_nothing_from_each_other(
    channel: ChannelClient, other: ChannelClient, end: str
) -> None:
    """The next single active consumer would take messages without ack, and they were lost with it."""
    queue = channel.queue("q", arguments={"x-single-active-consumer": True})
    qos(channel, 1)
    channel.consume(queue, "active")
    channel.consume(queue, "next", no_ack=True)
    if end in ("drop", "close connection"):
        channel.client.channel(2).consume(queue, "last", no_ack=True)
    channel.publish_all(queue, b"a", b"b", b"c")
    channel.expect_bodies(b"a")
    if end == "close":
        channel.close()
    elif end == "drop":
        channel.client.drop()
    elif end == "close connection":
        channel.client.close()
    else:
        channel.send(BasicAck(delivery_tag=99))
        channel.expect_close(406)
    assert other.drain(queue) == [b"a", b"b", b"c"]


# Cancelled by the broker


@pytest.mark.rule("5.45")
def test_deleted_queue_cancels_each_of_its_consumers(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    for tag in ("a", "b"):
        channel.consume(queue, tag)
    assert other.call(QueueDelete(queue=queue), QueueDeleteOk) == QueueDeleteOk(message_count=0)
    for tag in ("a", "b"):
        assert channel.expect(BasicCancel) == BasicCancel(consumer_tag=tag, no_wait=True)
    channel.expect_nothing()


@pytest.mark.rule("5.45")
@pytest.mark.parametrize("way", ["auto-delete", "owner gone"])
def test_queue_that_ends_by_itself_tells_nobody_who_has_left(world: World, way: str) -> None:
    channel = world.channel()
    second = channel.client.channel(2)
    if way == "auto-delete":
        queue = channel.queue("q", auto_delete=True)
        channel.consume(queue, "t")
        cancel(channel, "t")
    else:
        queue = channel.queue("q", exclusive=True)
        channel.consume(queue, "t")
        second.consume(queue, "t")
        channel.client.close()
    channel.expect_nothing()


@pytest.mark.rule("5.45")
@pytest.mark.parametrize("properties", [{"capabilities": {**CAPABILITIES, "consumer_cancel_notify": False}}, {}])
def test_client_without_the_capability_is_not_told(
    world: World, other: ChannelClient, properties: dict[str, Value]
) -> None:
    client = Client(world)
    client.open(properties=properties)
    channel = client.channel()
    queue = channel.queue("q")
    channel.consume(queue, "t")
    other.call(QueueDelete(queue=queue), QueueDeleteOk)
    channel.expect_nothing()
    other.queue("q")
    other.publish("q", b"a")
    channel.expect_nothing()
    cancel(channel, "t")


@pytest.mark.rule("5.45")
def test_cancel_after_the_broker_cancelled_is_answered(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    other.call(QueueDelete(queue=queue), QueueDeleteOk)
    channel.expect(BasicCancel)
    cancel(channel, "t")
    channel.expect_nothing()


@pytest.mark.rule("5.45")
def test_cancel_ok_of_the_client_is_ignored(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    other.call(QueueDelete(queue=queue), QueueDeleteOk)
    channel.expect(BasicCancel)
    channel.send(BasicCancelOk(consumer_tag="t"))
    channel.send(BasicCancelOk(consumer_tag="unknown"))
    channel.expect_nothing()
    channel.queue("still-open")


@pytest.mark.rule("5.45")
def test_single_active_consumer_and_those_behind_it_are_all_cancelled(
    channel: ChannelClient, other: ChannelClient
) -> None:
    queue = channel.queue("q", arguments={"x-single-active-consumer": True})
    qos(channel, 1)
    channel.consume(queue, "a")
    channel.consume(queue, "b")
    channel.publish_all(queue, b"1", b"2")
    channel.expect_bodies(b"1")
    other.call(QueueDelete(queue=queue), QueueDeleteOk)
    assert [channel.expect(BasicCancel).consumer_tag for _ in range(2)] == ["a", "b"]
    ack(channel, 1)
    channel.expect_nothing()
