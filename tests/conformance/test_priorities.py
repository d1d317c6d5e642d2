import pytest

from amqp_codec import BasicNack, BasicQos, BasicQosOk, Properties, QueueDeclare, Table
from tests.support.client import ChannelClient
from tests.support.topology import got, queue_with, quorum_queue, refused, reject


def publish(channel: ChannelClient, *messages: tuple[bytes, int | None]) -> None:
    for body, priority in messages:
        channel.publish("q", body, properties=Properties(priority=priority))


@pytest.mark.rule("4.44")
def test_highest_priority_first_and_fifo_within(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 10})
    publish(channel, (b"a0", 0), (b"b5", 5), (b"c10", 10), (b"d5", 5), (b"e0", 0), (b"f10", 10), (b"g1", 1))
    assert channel.drain("q") == [b"c10", b"f10", b"b5", b"d5", b"g1", b"a0", b"e0"]


@pytest.mark.rule("4.44")
def test_no_priority_is_0(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 3})
    publish(channel, (b"none", None), (b"0", 0), (b"none too", None), (b"1", 1))
    assert channel.drain("q") == [b"1", b"none", b"0", b"none too"]


@pytest.mark.rule("4.44")
def test_priority_above_the_highest_is_the_highest(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 3})
    publish(channel, (b"2", 2), (b"3", 3), (b"255", 255), (b"4", 4), (b"3 again", 3))
    bodies = [got(channel, "q") for _ in range(5)]
    assert [each.body for each in bodies] == [b"3", b"255", b"4", b"3 again", b"2"]
    assert [each.properties.priority for each in bodies] == [3, 255, 4, 3, 2]


@pytest.mark.rule("4.44")
@pytest.mark.parametrize("max_priority", [0, 1])
def test_highest_priority_0_acts_as_1(channel: ChannelClient, max_priority: int) -> None:
    queue_with(channel, "q", {"x-max-priority": max_priority})
    publish(channel, (b"0", 0), (b"1", 1), (b"2", 2), (b"none", None))
    assert channel.drain("q") == [b"1", b"2", b"0", b"none"]


@pytest.mark.rule("4.44")
def test_all_255_levels_can_be_used(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 255})
    publish(channel, *((b"%d" % priority, priority) for priority in range(256)))
    assert channel.drain("q") == [b"%d" % priority for priority in reversed(range(256))]


@pytest.mark.rule("4.44")
def test_without_the_argument_priorities_are_ignored(channel: ChannelClient) -> None:
    channel.queue("q")
    publish(channel, (b"0", 0), (b"9", 9), (b"5", 5))
    assert channel.drain("q") == [b"0", b"9", b"5"]


@pytest.mark.rule("4.44", "5.42")
def test_requeued_message_comes_back_to_its_place_among_its_priority(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 3})
    publish(channel, (b"a3", 3), (b"b3", 3), (b"c0", 0), (b"d0", 0))
    taken = [got(channel, "q") for _ in range(4)]
    publish(channel, (b"e3", 3), (b"f0", 0), (b"g1", 1))
    reject(channel, taken[3], requeue=True)
    reject(channel, taken[1], requeue=True)
    reject(channel, taken[2], requeue=True)
    reject(channel, taken[0], requeue=True)
    assert channel.drain("q") == [b"a3", b"b3", b"e3", b"g1", b"c0", b"d0", b"f0"]


@pytest.mark.rule("4.44")
def test_consumer_gets_the_highest_first(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-priority": 3})
    publish(channel, (b"0", 0), (b"1", 1), (b"3", 3))
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume("q")
    first = channel.expect_bodies(b"3")[0]
    publish(channel, (b"2", 2))
    channel.send(BasicNack(delivery_tag=first.tag))
    second = channel.expect_bodies(b"2")[0]
    channel.send(BasicNack(delivery_tag=second.tag))
    channel.expect_bodies(b"1")


@pytest.mark.rule("4.44")
def test_quorum_queue_has_32_strict_levels(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    publish(channel, *((b"%d" % priority, priority) for priority in range(34)), (b"255", 255), (b"none", None))
    expected = [b"31", b"32", b"33", b"255"] + [b"%d" % priority for priority in reversed(range(31))]
    expected.insert(expected.index(b"4") + 1, b"none")
    assert channel.drain("q") == expected


@pytest.mark.rule("4.44")
def test_highest_priority_is_no_argument_of_a_quorum_queue(channel: ChannelClient) -> None:
    arguments: Table = {"x-queue-type": b"quorum", "x-max-priority": 5}
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type "
        "rabbit_quorum_queue"
    )
    refused(channel, QueueDeclare(queue="q", durable=True, arguments=arguments), 406, text)
