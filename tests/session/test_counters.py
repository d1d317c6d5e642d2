"""What is counted of messages: on queues, channels, exchanges, and for the vhost when channels have gone."""

from __future__ import annotations

import pytest

from amqp_broker.counters import MessageCounters
from amqp_codec import BasicAck, BasicCancel, BasicCancelOk, ConfirmSelect, ConfirmSelectOk
from tests.support.client import ChannelClient, World
from tests.support.delivery import ack, reject


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


def counts(counters: MessageCounters) -> dict[str, int]:
    """What is not zero."""
    return {name: count for name in MessageCounters.__slots__ if (count := getattr(counters, name))}


def of_queue(channel: ChannelClient, name: str) -> dict[str, int]:
    return counts(channel.world.broker.vhosts["/"].queues[name].statistics())


def of_channel(channel: ChannelClient) -> dict[str, int]:
    return counts(channel.client.connection.channels[1].statistics())


def test_a_queue_and_a_channel_count_what_they_did(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.consume(queue)
    first, second, third = channel.expect_bodies(b"1", b"2", b"3")
    ack(channel, second.tag, multiple=True)
    reject(channel, third.tag)
    channel.expect_bodies(b"3")
    assert first.tag == 1
    expected = {"publish": 3, "deliver": 4, "redeliver": 1, "ack": 2}
    assert of_queue(channel, queue) == expected
    assert of_channel(channel) == expected


def test_gets_count_by_kind(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2")
    assert channel.get(queue) is not None
    taken = channel.get(queue, no_ack=False)
    assert taken is not None
    assert channel.get(queue) is None
    ack(channel, taken.tag)
    expected = {"publish": 2, "get": 1, "get_no_ack": 1, "get_empty": 1, "ack": 1}
    assert of_queue(channel, queue) == expected
    assert of_channel(channel) == expected


def test_a_consumer_that_left_stays_counted(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.consume(queue, "c", no_ack=True)
    channel.publish(queue, b"1")
    channel.expect_bodies(b"1")
    channel.call(BasicCancel(consumer_tag="c"), BasicCancelOk)
    assert of_queue(channel, queue) == {"publish": 1, "deliver_no_ack": 1}
    assert of_channel(channel) == {"publish": 1, "deliver_no_ack": 1}


def test_unroutable_and_confirmed_publishes(channel: ChannelClient) -> None:
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("nowhere", b"1")
    channel.publish("nowhere", b"2", mandatory=True)
    assert of_channel(channel) == {"publish": 2, "confirm": 2, "return_unroutable": 1, "drop_unroutable": 1}


def test_an_exchange_counts_in_and_out(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2")
    channel.publish("nowhere", b"3")
    counters = channel.world.broker.vhosts["/"].exchanges[""].counters
    assert (counters.publish_in, counters.publish_out) == (3, 2)


def test_the_vhost_keeps_what_ended_channels_did(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish_all(queue, b"1")
    channel.expect(BasicAck)
    channel.consume(queue, no_ack=True)
    world = channel.world
    channel.client.drop()
    assert counts(world.broker.vhosts["/"].past.messages) == {"publish": 1, "confirm": 1, "deliver_no_ack": 1}
