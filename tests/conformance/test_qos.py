"""Section 5e: the two kinds of prefetch."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicDeliver,
    BasicQos,
    BasicQosOk,
    TxCommit,
    TxCommitOk,
)
from tests.support.client import ChannelClient
from tests.support.delivery import ack, cancel, closes_connection, nack, qos, reject, rollback, tx_select


def test_prefetch_counts_only_what_is_unacked(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 2)
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b", b"c", b"d")
    channel.expect_bodies(b"a", b"b")
    ack(channel, 2)
    channel.expect_bodies(b"c")
    ack(channel, 3, multiple=True)
    channel.expect_bodies(b"d")


@pytest.mark.rule("5.32")
@pytest.mark.parametrize("shared", [False, True])
def test_prefetch_size_closes_the_connection_with_540(channel: ChannelClient, shared: bool) -> None:
    method = BasicQos(prefetch_size=4096, prefetch_count=1, global_=shared)
    closes_connection(channel, method, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (4096)")


@pytest.mark.rule("5.33")
def test_limit_is_for_consumers_started_afterwards(channel: ChannelClient) -> None:
    for queue in ("before", "one", "two"):
        channel.queue(queue)
        channel.publish_all(queue, b"1", b"2", b"3")
    channel.consume("before", "before")
    channel.expect_bodies(b"1", b"2", b"3")
    qos(channel, 1)
    channel.expect_nothing()
    channel.consume("one", "one")
    channel.expect_bodies(b"1")
    qos(channel, 2)
    channel.expect_nothing()
    channel.consume("two", "two")
    channel.expect_bodies(b"1", b"2")
    qos(channel, 0)
    channel.expect_nothing()
    # Each keeps what it began with.
    ack(channel, 4)
    channel.expect_bodies(b"2")
    channel.publish_all("before", b"4", b"5")
    channel.expect_bodies(b"4", b"5")
    channel.queue("three")
    channel.publish_all("three", b"1", b"2", b"3")
    channel.consume("three", "three")
    channel.expect_bodies(b"1", b"2", b"3")


@pytest.mark.rule("5.33")
def test_each_consumer_has_a_limit_of_its_own(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 2)
    channel.consume(queue, "a")
    channel.consume(queue, "b")
    channel.publish_all(queue, b"1", b"2", b"3", b"4", b"5")
    deliveries = channel.expect_bodies(b"1", b"2", b"3", b"4")
    assert [each.consumer_tag for each in deliveries] == ["a", "b", "a", "b"]
    ack(channel, 2)
    assert channel.expect_bodies(b"5")[0].consumer_tag == "b"


@pytest.mark.rule("5.33")
def test_limit_of_one_channel_is_none_of_another(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    second = channel.client.channel(2)
    second.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    second.expect_bodies(b"1", b"2", b"3")


@pytest.mark.rule("5.33")
def test_consumer_limit_removes_a_channel_limit(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1")
    qos(channel, 1)
    channel.expect_bodies(b"2", b"3")


@pytest.mark.rule("5.34", "5.36")
def test_channel_limit_is_shared_by_all_consumers_of_the_channel(channel: ChannelClient, other: ChannelClient) -> None:
    for queue in ("one", "two"):
        channel.queue(queue)
    channel.consume("one", "existing")
    qos(channel, 3, shared=True)
    channel.consume("two", "later")
    other.publish_all("one", b"1", b"2")
    other.publish_all("two", b"3", b"4")
    channel.expect_bodies(b"1", b"2", b"3")
    # Room made by a message of one queue serves a consumer of the other.
    ack(channel, 1)
    channel.expect_bodies(b"4")
    other.publish("one", b"5")
    channel.expect_nothing()
    reject(channel, 4, requeue=False)
    channel.expect_bodies(b"5")
    other.consume("one")
    other.publish("one", b"6")
    other.expect_bodies(b"6")


@pytest.mark.rule("5.25", "5.34")
@pytest.mark.parametrize("multiple", [False, True])
def test_channel_limit_leaves_no_consumer_of_a_queue_behind(channel: ChannelClient, multiple: bool) -> None:
    qos(channel, 1, shared=True)
    channel.queue("q")
    for tag in ("a", "b", "c"):
        channel.consume("q", tag)
    channel.publish_all("q", *[b"x"] * 9)
    tags = []
    for number in range(1, 10):
        tags.append(channel.expect_bodies(b"x")[0].consumer_tag)
        ack(channel, number, multiple=multiple)
    assert sorted(tags) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


@pytest.mark.rule("5.34")
@pytest.mark.parametrize("multiple", [False, True])
def test_channel_limit_leaves_no_queue_behind(channel: ChannelClient, multiple: bool) -> None:
    qos(channel, 1, shared=True)
    for queue in ("a", "b", "c"):
        channel.queue(queue)
        channel.publish_all(queue, *[queue.encode()] * 9)
    channel.consume("a", "a")
    bodies = [channel.expect_delivery().body]
    channel.consume("b", "b")
    channel.consume("c", "c")
    ack(channel, 1)
    for tag in range(2, 10):
        bodies.append(channel.expect_delivery().body)
        ack(channel, tag, multiple=multiple)
    assert sorted(bodies) == [b"a"] * 3 + [b"b"] * 3 + [b"c"] * 3


@pytest.mark.rule("5.34")
def test_channel_limit_of_zero_is_none(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1")
    qos(channel, 0, shared=True)
    channel.expect_bodies(b"2", b"3")


@pytest.mark.rule("5.34")
def test_delivery_satisfies_both_limits(channel: ChannelClient) -> None:
    for queue in ("one", "two"):
        channel.queue(queue)
        channel.publish_all(queue, b"1", b"2", b"3")
    qos(channel, 2)
    qos(channel, 3, shared=True)
    channel.consume("one", "one")
    channel.expect_bodies(b"1", b"2")
    channel.consume("two", "two")
    channel.expect_bodies(b"1")
    ack(channel, 3)
    channel.expect_bodies(b"2")
    # Now the channel is full: each consumer's own limit lets it have one more only when there is room.
    ack(channel, 1)
    assert channel.expect_bodies(b"3")[0].consumer_tag == "two"
    ack(channel, 4)
    assert channel.expect_bodies(b"3")[0].consumer_tag == "one"


@pytest.mark.rule("5.34")
def test_unacked_messages_count_when_the_limit_is_set_and_are_not_recalled(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1", b"2", b"3")
    qos(channel, 2, shared=True)
    channel.publish_all(queue, b"4", b"5")
    channel.expect_nothing()
    ack(channel, 1)
    channel.expect_nothing()
    ack(channel, 2)
    channel.expect_bodies(b"4")
    qos(channel, 1, shared=True)
    ack(channel, 3)
    channel.expect_nothing()
    ack(channel, 4)
    channel.expect_bodies(b"5")


@pytest.mark.rule("5.34")
def test_raising_the_channel_limit_lets_waiting_messages_through(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3", b"4")
    channel.expect_bodies(b"1")
    qos(channel, 3, shared=True)
    channel.expect_bodies(b"2", b"3")


@pytest.mark.rule("5.34")
def test_unacked_deliveries_of_a_cancelled_consumer_count_for_the_channel(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1, shared=True)
    channel.consume(queue, "a")
    channel.publish_all(queue, b"1", b"2")
    channel.expect_bodies(b"1")
    cancel(channel, "a")
    channel.consume(queue, "b")
    channel.expect_nothing()
    ack(channel, 1)
    assert channel.expect_bodies(b"2")[0].consumer_tag == "b"


@pytest.mark.rule("5.34")
def test_room_made_by_nack_lets_the_next_through(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 2, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1", b"2")
    nack(channel, 2, multiple=True)
    assert [each.redelivered for each in channel.expect_bodies(b"1", b"2")] == [True, True]
    nack(channel, 3, requeue=False)
    assert not channel.expect_bodies(b"3")[0].redelivered


@pytest.mark.rule("5.35")
def test_consumer_limit_is_none_for_a_consumer_without_ack(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue, no_ack=True)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1", b"2", b"3")


@pytest.mark.rule("5.35")
def test_deliveries_without_ack_do_not_use_up_the_channel_limit(channel: ChannelClient) -> None:
    for queue in ("one", "two"):
        channel.queue(queue)
    qos(channel, 1, shared=True)
    channel.consume("one", "one", no_ack=True)
    channel.consume("two", "two")
    channel.publish_all("one", b"1", b"2")
    channel.expect_bodies(b"1", b"2")
    channel.publish("two", b"3")
    channel.expect_bodies(b"3")


@pytest.mark.rule("5.35")
def test_channel_limit_once_reached_holds_back_consumers_without_ack(channel: ChannelClient) -> None:
    for queue in ("one", "two"):
        channel.queue(queue)
    qos(channel, 1, shared=True)
    channel.consume("one", "one", no_ack=True)
    channel.consume("two", "two")
    channel.publish("two", b"1")
    channel.expect_bodies(b"1")
    channel.publish_all("one", b"2", b"3")
    channel.expect_nothing()
    ack(channel, 1)
    channel.expect_bodies(b"2", b"3")


@pytest.mark.rule("5.37")
@pytest.mark.parametrize("shared", [False, True])
def test_qos_is_answered_before_what_it_lets_through(channel: ChannelClient, shared: bool) -> None:
    queue = channel.queue("q")
    qos(channel, 1, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"1", b"2")
    channel.expect_bodies(b"1")
    channel.send(BasicQos(prefetch_count=0, global_=shared))
    channel.expect(BasicQosOk)
    channel.expect_bodies(b"2")


@pytest.mark.rule("5.37")
@pytest.mark.parametrize("count", [256, 32_768, 65_535])
@pytest.mark.parametrize("shared", [False, True])
def test_prefetch_has_16_bits_without_a_sign(channel: ChannelClient, count: int, shared: bool) -> None:
    queue = channel.queue("q")
    qos(channel, count, shared=shared)
    channel.consume(queue)
    channel.publish_all(queue, *[b"x"] * 257)
    channel.expect_bodies(*[b"x"] * min(count, 257))


@pytest.mark.rule("5.38")
@pytest.mark.parametrize("shared", [False, True])
def test_ack_in_a_transaction_frees_prefetch_on_commit(channel: ChannelClient, shared: bool) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3")
    tx_select(channel)
    qos(channel, 1, shared=shared)
    channel.consume(queue)
    channel.expect_bodies(b"1")
    ack(channel, 1)
    channel.expect_nothing()
    rollback(channel)
    channel.expect_nothing()
    ack(channel, 1)
    channel.expect_nothing()
    channel.send(TxCommit())
    came = [type(command.method) for command in channel.client.inbox]
    assert sorted(came, key=str) == [BasicDeliver, TxCommitOk]
