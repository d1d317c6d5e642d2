"""Section 5c: basic.get."""

from __future__ import annotations

import pytest

from amqp_codec import BasicGet, BasicGetEmpty, BasicGetOk, encode_frame
from tests.support.client import ChannelClient
from tests.support.delivery import ack, qos, reject
from tests.support.topology import bind


@pytest.mark.rule("5.16")
def test_get_ok_tells_address_and_ready_messages_left(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    bind(channel, queue, "amq.direct", "key")
    for body in (b"a", b"b", b"c"):
        channel.publish("key", body, exchange="amq.direct")
    first = channel.get(queue, no_ack=False)
    second = channel.get(queue, no_ack=False)
    assert first is not None
    assert second is not None
    # The first is unacked by now: it is not counted among those left.
    assert (first.body, second.body) == (b"a", b"b")
    assert first.method == BasicGetOk(delivery_tag=1, exchange="amq.direct", routing_key="key", message_count=2)
    assert second.method == BasicGetOk(delivery_tag=2, exchange="amq.direct", routing_key="key", message_count=1)
    reject(channel, first.tag)
    again = channel.get(queue)
    assert again is not None
    assert again.method == BasicGetOk(
        delivery_tag=3, redelivered=True, exchange="amq.direct", routing_key="key", message_count=1
    )


@pytest.mark.rule("5.16")
def test_get_empty_carries_an_empty_shortstr(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.client.raw.clear()
    channel.call(BasicGet(queue=queue), BasicGetEmpty)
    assert bytes(channel.client.raw) == encode_frame(1, 1, b"\x00\x3c\x00\x48\x00")


@pytest.mark.rule("5.17")
def test_get_takes_the_head_past_prefetch_and_blocked_consumers(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    qos(channel, 1, shared=True)
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b", b"c")
    channel.expect_bodies(b"a")
    taken = channel.get(queue, no_ack=False)
    assert taken is not None
    assert taken.body == b"b"
    assert channel.drain(queue) == [b"c"]


@pytest.mark.rule("5.17")
def test_get_ignores_an_exclusive_consumer(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue, exclusive=True)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a")
    assert other.drain(queue) == [b"b"]


@pytest.mark.rule("5.17")
def test_get_ignores_a_single_active_consumer(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q", arguments={"x-single-active-consumer": True})
    qos(channel, 1)
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a")
    assert other.drain(queue) == [b"b"]


@pytest.mark.rule("5.17")
@pytest.mark.parametrize("shared", [False, True])
def test_unacked_gets_do_not_use_up_prefetch(channel: ChannelClient, shared: bool) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    assert channel.get(queue, no_ack=False) is not None
    assert channel.get(queue, no_ack=False) is not None
    qos(channel, 1, shared=shared)
    channel.consume(queue)
    channel.publish_all(queue, b"c", b"d")
    channel.expect_bodies(b"c")
    ack(channel, 1)
    ack(channel, 2)
    channel.expect_nothing()
    ack(channel, 3)
    channel.expect_bodies(b"d")


@pytest.mark.rule("5.18")
def test_gets_and_deliveries_share_one_sequence_of_tags(channel: ChannelClient) -> None:
    for queue in ("acked", "unacked", "got"):
        channel.queue(queue)
    channel.consume("acked", "a")
    channel.consume("unacked", "b", no_ack=True)
    tags = []
    for _ in range(2):
        for queue in ("acked", "unacked"):
            channel.publish(queue, b"a")
            tags.append(channel.expect_delivery().tag)
        for no_ack in (True, False):
            channel.publish("got", b"a")
            delivery = channel.get("got", no_ack=no_ack)
            assert delivery is not None
            tags.append(delivery.tag)
            assert channel.get("got") is None
    assert tags == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.rule("5.18")
def test_each_channel_counts_its_own_tags(channel: ChannelClient) -> None:
    second = channel.client.channel(2)
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b", b"c")
    first_get = channel.get(queue, no_ack=False)
    other_get = second.get(queue, no_ack=False)
    assert first_get is not None
    assert other_get is not None
    assert (first_get.tag, other_get.tag) == (1, 1)
