"""Rule 5.43: basic.recover."""

from __future__ import annotations

import pytest

from amqp_codec import BasicAck, BasicRecover, BasicRecoverAsync, BasicRecoverOk, Method
from tests.support.client import ChannelClient
from tests.support.delivery import ack, cancel, closes_channel, closes_connection, qos, recover


@pytest.mark.rule("5.43")
def test_recover_requeues_everything_unacked_of_the_channel(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4", b"5")
    for receiver in (channel, other, channel, channel):
        assert receiver.get(queue, no_ack=False) is not None
    ack(channel, 2)
    recover(channel)
    assert channel.counts(queue) == (3, 0)
    assert channel.drain(queue) == [b"1", b"4", b"5"]


@pytest.mark.rule("5.43")
def test_recovered_messages_come_back_redelivered_under_new_tags(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a", b"b")
    channel.send(BasicRecover(requeue=True))
    channel.expect(BasicRecoverOk)
    again = channel.expect_bodies(b"a", b"b")
    assert [(each.tag, each.redelivered) for each in again] == [(3, True), (4, True)]
    closes_channel(channel, BasicAck(delivery_tag=1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.rule("5.43")
def test_recover_frees_prefetch(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a")
    recover(channel)
    channel.expect_bodies(b"a")
    ack(channel, 2)
    channel.expect_bodies(b"b")


@pytest.mark.rule("5.43")
def test_recover_takes_deliveries_of_cancelled_consumers_too(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "t")
    channel.publish(queue, b"a")
    channel.expect_bodies(b"a")
    cancel(channel, "t")
    recover(channel)
    assert channel.drain(queue) == [b"a"]


@pytest.mark.rule("5.43")
def test_recover_with_nothing_unacked_is_answered(channel: ChannelClient) -> None:
    recover(channel)
    channel.expect_nothing()


@pytest.mark.rule("5.43")
def test_recover_async_does_the_same_without_an_answer(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    assert channel.get(queue, no_ack=False) is not None
    channel.send(BasicRecoverAsync(requeue=True))
    channel.expect_nothing()
    first, second = channel.get(queue), channel.get(queue)
    assert first is not None
    assert second is not None
    assert (first.body, first.redelivered) == (b"a", True)
    assert (second.body, second.redelivered) == (b"b", False)


@pytest.mark.rule("5.43")
@pytest.mark.parametrize("method", [BasicRecover(requeue=False), BasicRecoverAsync(requeue=False)])
def test_recover_in_place_closes_the_connection_with_540(channel: ChannelClient, method: Method) -> None:
    closes_connection(channel, method, 540, "NOT_IMPLEMENTED - requeue=false")
