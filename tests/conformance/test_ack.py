"""Section 5f: ack, nack and reject, and what the end of a channel gives back."""

from __future__ import annotations

import itertools

import pytest

from amqp_codec import BasicAck, BasicNack, BasicReject, ChannelClose, ChannelCloseOk, ConnectionClose, Method
from tests.support.client import ChannelClient
from tests.support.delivery import ack, cancel, closes_channel, nack, qos, reject, tx_select


def settlements(tag: int, *, multiple: bool = False) -> list[Method]:
    """Every way to settle a tag."""
    single: list[Method] = [BasicReject(delivery_tag=tag), BasicReject(delivery_tag=tag, requeue=True)]
    return [
        BasicAck(delivery_tag=tag, multiple=multiple),
        BasicNack(delivery_tag=tag, multiple=multiple),
        BasicNack(delivery_tag=tag, multiple=multiple, requeue=True),
        *([] if multiple else single),
    ]


def consuming(channel: ChannelClient, *bodies: bytes) -> str:
    """Have these messages delivered from queue q."""
    queue = channel.queue("q")
    channel.consume(queue)
    channel.publish_all(queue, *bodies)
    channel.expect_bodies(*bodies)
    return queue


def drained(channel: ChannelClient, queue: str = "q") -> list[tuple[bytes, bool]]:
    """Bodies and redelivered flags of what is ready."""
    found = []
    while (delivery := channel.get(queue)) is not None:
        found.append((delivery.body, delivery.redelivered))
    return found


# Unknown tags


@pytest.mark.rule("5.39")
@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("method", [*settlements(7), *settlements(7, multiple=True)])
def test_tag_never_issued_closes_the_channel(channel: ChannelClient, method: Method, transactional: bool) -> None:
    consuming(channel, b"a")
    if transactional:
        tx_select(channel)
    closes_channel(channel, method, 406, "PRECONDITION_FAILED - unknown delivery tag 7")


@pytest.mark.rule("5.39")
@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("first", settlements(1))
@pytest.mark.parametrize("second", [*settlements(1), *settlements(1, multiple=True)])
def test_tag_already_settled_closes_the_channel(
    channel: ChannelClient, first: Method, second: Method, transactional: bool
) -> None:
    consuming(channel, b"a")
    cancel(channel, "c")
    if transactional:
        tx_select(channel)
    channel.send(first)
    closes_channel(channel, second, 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.rule("5.39")
@pytest.mark.parametrize("method", settlements(1))
def test_tag_of_a_delivery_without_ack_closes_the_channel(channel: ChannelClient, method: Method) -> None:
    queue = channel.queue("q")
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"a")
    channel.expect_bodies(b"a")
    closes_channel(channel, method, 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.rule("5.39")
@pytest.mark.parametrize("method", settlements(1))
def test_tag_of_another_channel_closes_the_channel(channel: ChannelClient, method: Method) -> None:
    queue = consuming(channel, b"a")
    second = channel.client.channel(2)
    closes_channel(second, method, 406, "PRECONDITION_FAILED - unknown delivery tag 1")
    assert second.client.channel(3).counts(queue) == (0, 1)
    ack(channel, 1)
    channel.expect_nothing()


# Multiple


@pytest.mark.rule("5.40")
def test_multiple_settles_all_up_to_its_tag(channel: ChannelClient, other: ChannelClient) -> None:
    consuming(channel, b"1", b"2", b"3", b"4", b"5")
    ack(channel, 3, multiple=True)
    channel.client.drop()
    assert drained(other) == [(b"4", True), (b"5", True)]


@pytest.mark.rule("5.40")
@pytest.mark.parametrize("order", list(itertools.permutations((1, 3, 4))))
def test_multiple_passes_over_holes(channel: ChannelClient, other: ChannelClient, order: tuple[int, ...]) -> None:
    consuming(channel, b"1", b"2", b"3", b"4", b"5", b"6", b"7")
    for tag in order:
        ack(channel, tag)
    ack(channel, 6, multiple=True)
    channel.expect_nothing()
    channel.client.drop()
    assert drained(other) == [(b"7", True)]


@pytest.mark.rule("5.40")
@pytest.mark.parametrize("tag", [1, 2, 3])
def test_multiple_up_to_a_hole_closes_the_channel(channel: ChannelClient, other: ChannelClient, tag: int) -> None:
    consuming(channel, b"1", b"2", b"3", b"4")
    ack(channel, tag)
    closes_channel(
        channel, BasicAck(delivery_tag=tag, multiple=True), 406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"
    )
    # Nothing below the hole was settled by the failed attempt.
    assert [body for body, _ in drained(other)] == [body for body in (b"1", b"2", b"3", b"4") if body != b"%d" % tag]


@pytest.mark.rule("5.40")
@pytest.mark.parametrize("how", ["ack", "nack", "discard"])
def test_multiple_of_tag_0_settles_all_there_are(channel: ChannelClient, other: ChannelClient, how: str) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3")
    for _ in range(3):
        assert channel.get(queue, no_ack=False) is not None
    ack(channel, 2)
    if how == "ack":
        ack(channel, 0, multiple=True)
    else:
        nack(channel, 0, multiple=True, requeue=how == "nack")
    assert drained(other) == ([(b"1", True), (b"3", True)] if how == "nack" else [])
    closes_channel(channel, BasicAck(delivery_tag=3), 406, "PRECONDITION_FAILED - unknown delivery tag 3")


@pytest.mark.rule("5.40")
@pytest.mark.parametrize("method", settlements(0, multiple=True))
def test_multiple_of_tag_0_is_fine_when_there_are_none(channel: ChannelClient, method: Method) -> None:
    channel.send(method)
    channel.expect_nothing()
    channel.queue("still-open")


@pytest.mark.rule("5.40")
@pytest.mark.parametrize("method", settlements(0))
@pytest.mark.parametrize("count", [0, 1])
def test_single_tag_0_closes_the_channel(channel: ChannelClient, method: Method, count: int) -> None:
    consuming(channel, *[b"a"] * count)
    closes_channel(channel, method, 406, "PRECONDITION_FAILED - unknown delivery tag 0")


@pytest.mark.rule("5.40")
def test_multiple_spans_the_queues_and_consumers_of_the_channel(channel: ChannelClient, other: ChannelClient) -> None:
    for queue in ("one", "two"):
        channel.queue(queue)
        channel.consume(queue, queue)
    for queue in ("one", "two", "one", "two"):
        channel.publish(queue, queue.encode())
        channel.expect_delivery()
    cancel(channel, "one")
    cancel(channel, "two")
    nack(channel, 3, multiple=True)
    assert drained(other, "one") == [(b"one", True), (b"one", True)]
    assert drained(other, "two") == [(b"two", True)]


# Requeue, discard


@pytest.mark.rule("5.41")
@pytest.mark.parametrize("way", ["nack", "reject"])
def test_requeued_message_is_ready_again(channel: ChannelClient, way: str) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a")
    assert channel.get(queue, no_ack=False) is not None
    (nack if way == "nack" else reject)(channel, 1, requeue=True)
    assert drained(channel) == [(b"a", True)]


@pytest.mark.rule("5.41")
@pytest.mark.parametrize("way", ["nack", "reject"])
@pytest.mark.parametrize("dead_lettered", [False, True])
def test_message_refused_for_good_is_dead_lettered_or_dropped(
    channel: ChannelClient, way: str, dead_lettered: bool
) -> None:
    channel.queue("dead")
    arguments = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"} if dead_lettered else {}
    queue = channel.queue("q", arguments=arguments)
    channel.publish(queue, b"a")
    assert channel.get(queue, no_ack=False) is not None
    (nack if way == "nack" else reject)(channel, 1, requeue=False)
    assert drained(channel) == []
    assert drained(channel, "dead") == ([(b"a", False)] if dead_lettered else [])


@pytest.mark.rule("5.41")
def test_multiple_nack_refuses_all_for_good(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue = channel.queue("q", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    channel.publish_all(queue, b"1", b"2", b"3")
    for _ in range(3):
        assert channel.get(queue, no_ack=False) is not None
    nack(channel, 2, multiple=True, requeue=False)
    assert drained(channel, "dead") == [(b"1", False), (b"2", False)]


@pytest.mark.rule("5.41")
def test_reject_concerns_its_own_tag_only(channel: ChannelClient, other: ChannelClient) -> None:
    consuming(channel, b"1", b"2", b"3")
    reject(channel, 2, requeue=False)
    channel.client.drop()
    assert drained(other) == [(b"1", True), (b"3", True)]


@pytest.mark.rule("5.42")
@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 4))))
def test_requeued_messages_take_their_original_places(channel: ChannelClient, order: tuple[int, ...]) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4", b"5")
    for _ in range(4):
        assert channel.get(queue, no_ack=False) is not None
    for tag in order:
        nack(channel, tag)
    assert drained(channel) == [(b"1", True), (b"2", True), (b"4", True), (b"5", False)]


@pytest.mark.rule("5.42")
def test_several_requeued_at_once_keep_their_order(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4")
    for _ in range(3):
        assert channel.get(queue, no_ack=False) is not None
    nack(channel, 3, multiple=True)
    assert [body for body, _ in drained(channel)] == [b"1", b"2", b"3", b"4"]


@pytest.mark.rule("5.42")
def test_requeued_message_keeps_its_place_among_older_ones_of_other_consumers(
    channel: ChannelClient, other: ChannelClient
) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4")
    for receiver in (channel, other, channel):
        assert receiver.get(queue, no_ack=False) is not None
    nack(channel, 2, multiple=True)
    nack(other, 1)
    assert [body for body, _ in drained(channel)] == [b"1", b"2", b"3", b"4"]


@pytest.mark.rule("5.42")
def test_message_requeued_by_its_only_consumer_comes_back_to_it(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    channel.consume(queue)
    channel.publish_all(queue, b"a", b"b")
    channel.expect_bodies(b"a")
    for tag in (1, 2, 3):
        nack(channel, tag)
        assert channel.expect_bodies(b"a")[0].redelivered


@pytest.mark.rule("5.42")
def test_message_requeued_under_prefetch_1_goes_to_the_consumer_that_is_free(
    channel: ChannelClient, other: ChannelClient
) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    qos(other, 1)
    channel.consume(queue)
    other.consume(queue)
    channel.publish_all(queue, b"a", b"b", b"c")
    channel.expect_bodies(b"a")
    other.expect_bodies(b"b")
    channel.expect_nothing()
    ack(other, 1)
    other.expect_bodies(b"c")
    ack(other, 2)
    nack(channel, 1)
    assert other.expect_bodies(b"a")[0].redelivered
    channel.expect_nothing()


@pytest.mark.rule("5.42")
def test_message_requeued_while_the_others_are_busy_comes_back(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    qos(channel, 1)
    qos(other, 1)
    channel.consume(queue)
    other.consume(queue)
    channel.publish_all(queue, b"1", b"2", b"3")
    channel.expect_bodies(b"1")
    other.expect_bodies(b"2")
    nack(channel, 1)
    assert channel.expect_bodies(b"1")[0].redelivered
    ack(other, 1)
    other.expect_bodies(b"3")


# The end of a channel or connection


@pytest.mark.rule("5.44")
@pytest.mark.parametrize("end", ["close channel", "close connection", "channel error", "connection error", "drop"])
def test_end_requeues_everything_unacked_to_its_place(channel: ChannelClient, other: ChannelClient, end: str) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"1", b"2", b"3", b"4", b"5")
    qos(channel, 2)
    channel.consume(queue, "t")
    channel.expect_bodies(b"1", b"2")
    assert channel.get(queue, no_ack=False) is not None
    assert channel.get(queue, no_ack=False) is not None
    ack(channel, 3)
    if end == "close channel":
        channel.close()
    elif end == "close connection":
        channel.client.close()
    elif end == "channel error":
        channel.send(BasicAck(delivery_tag=99))
        channel.expect(ChannelClose)
    elif end == "connection error":
        channel.client.send(99, BasicAck())
        channel.client.expect(0, ConnectionClose)
    else:
        channel.client.drop()
    assert drained(other) == [(b"1", True), (b"2", True), (b"4", True), (b"5", False)]


@pytest.mark.rule("5.44")
def test_requeue_precedes_the_answer_to_close(channel: ChannelClient) -> None:
    """One connection sees the order: the other channel's delivery comes before close-ok."""
    queue = channel.queue("q")
    second = channel.client.channel(2)
    assert second.get(queue) is None
    channel.publish(queue, b"a")
    assert channel.get(queue, no_ack=False) is not None
    second.consume(queue)
    channel.send(ChannelClose(reply_code=200))
    assert second.expect_delivery().redelivered
    channel.expect(ChannelCloseOk)


@pytest.mark.rule("5.44")
def test_end_of_a_connection_requeues_what_all_its_channels_have(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    second = channel.client.channel(2)
    channel.publish_all(queue, b"1", b"2", b"3", b"4")
    for receiver in (channel, second, channel, second):
        assert receiver.get(queue, no_ack=False) is not None
    channel.client.drop()
    assert [body for body, _ in drained(other)] == [b"1", b"2", b"3", b"4"]
