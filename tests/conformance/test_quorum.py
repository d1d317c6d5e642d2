import pytest

from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    Int64,
    Properties,
    Table,
)
from tests.support.client import ChannelClient, Delivery, World
from tests.support.storage import SlowStorage
from tests.support.topology import got, queue_with, quorum_queue, refused, reject

TO_DEAD: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}


def counters(delivery: Delivery) -> tuple[bool, int | None, int | None]:
    """Redelivered, `x-acquired-count` and `x-delivery-count`, None where the header is absent."""
    counts: list[int | None] = []
    for name in ("x-acquired-count", "x-delivery-count"):
        value = delivery.headers.get(name)
        assert value is None or type(value) is Int64
        counts.append(value)
    return delivery.redelivered, counts[0], counts[1]


def requeue(channel: ChannelClient, delivery: Delivery) -> None:
    channel.send(BasicNack(delivery_tag=delivery.tag, requeue=True))


# Delivery limit


@pytest.mark.rule("4.46")
@pytest.mark.parametrize(("limit", "returns"), [(None, 21), (0, 1), (1, 2), (3, 4), (b"no integer", 21)])
def test_message_is_given_up_when_its_count_exceeds_the_limit(
    channel: ChannelClient, limit: int | bytes | None, returns: int
) -> None:
    channel.queue("dead")
    table: Table = {**TO_DEAD, "x-queue-type": b"quorum"}
    if limit is not None:
        table["x-delivery-limit"] = limit
    queue_with(channel, "q", table, durable=True)
    channel.publish("q", b"1")
    for _ in range(returns):
        assert channel.counts("dead") == (0, 0)
        reject(channel, got(channel, "q"), requeue=True)
    assert channel.counts("q") == (0, 0)
    letter = got(channel, "dead")
    assert letter.body == b"1"
    assert letter.headers["x-last-death-reason"] == b"delivery_limit"


@pytest.mark.rule("4.46")
def test_given_up_message_is_dropped_without_a_dead_letter_exchange(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delivery_limit=0)
    channel.publish_all("q", b"1", b"2")
    reject(channel, got(channel, "q"), requeue=True)
    assert channel.drain("q") == [b"2"]


@pytest.mark.rule("4.46")
def test_no_limit_is_no_limit(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delivery_limit=-1)
    channel.publish("q", b"1")
    for _ in range(100):
        reject(channel, got(channel, "q"), requeue=True)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("4.46")
def test_nack_and_recover_do_not_count_as_failures(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delivery_limit=0)
    channel.publish("q", b"1")
    for _ in range(5):
        requeue(channel, got(channel, "q"))
        got(channel, "q")
        channel.call(BasicRecover(requeue=True), BasicRecoverOk)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("4.46")
@pytest.mark.parametrize("ending", ["reject", "close channel", "error", "close connection", "drop"])
def test_reject_and_the_end_of_a_channel_count_as_failures(
    channel: ChannelClient, other: ChannelClient, ending: str
) -> None:
    quorum_queue(channel, "q", delivery_limit=1)
    channel.publish("q", b"1")
    delivery = got(other, "q")
    if ending == "reject":
        reject(other, delivery, requeue=True)
    elif ending == "close channel":
        other.close()
    elif ending == "error":
        other.send(BasicAck(delivery_tag=77))
        other.expect_close(406)
    elif ending == "close connection":
        other.client.close()
    else:
        other.client.drop()
    assert counters(got(channel, "q")) == (True, 1, 1)
    channel.close()
    channel.client.channel(1)
    assert channel.counts("q") == (0, 0)


# Counters


@pytest.mark.rule("4.47")
def test_first_delivery_carries_no_counters(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    channel.publish("q", b"bare")
    channel.publish("q", b"with headers", properties=Properties(headers={"mine": 1}))
    bare = got(channel, "q")
    assert counters(bare) == (False, None, None)
    assert bare.properties.headers is None
    assert got(channel, "q").headers == {"mine": 1}


@pytest.mark.rule("4.47")
@pytest.mark.parametrize("by_consumer", [True, False])
def test_redeliveries_tell_how_often_before(channel: ChannelClient, by_consumer: bool) -> None:
    quorum_queue(channel, "q")
    channel.publish("q", b"1", properties=Properties(headers={"mine": 1}, message_id="m"))
    if by_consumer:
        channel.consume("q")
    seen = []
    for fails in (False, True, False, True, False):
        delivery = channel.expect_delivery() if by_consumer else got(channel, "q")
        seen.append(counters(delivery))
        assert delivery.headers["mine"] == 1
        assert delivery.properties.message_id == "m"
        if fails:
            reject(channel, delivery, requeue=True)
        else:
            requeue(channel, delivery)
    assert seen == [(False, None, None), (True, 1, None), (True, 2, 1), (True, 3, 1), (True, 4, 2)]


@pytest.mark.rule("4.47")
def test_classic_queue_counts_nothing(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"1")
    for _ in range(30):
        reject(channel, got(channel, "q"), requeue=True)
    assert counters(got(channel, "q")) == (True, None, None)


@pytest.mark.rule("4.47")
def test_each_queue_counts_for_itself(channel: ChannelClient) -> None:
    for queue in ("q", "r"):
        quorum_queue(channel, queue)
    channel.publish("q", b"1", properties=Properties(headers={"CC": [b"r"]}))
    requeue(channel, got(channel, "q"))
    assert counters(got(channel, "r")) == (False, None, None)
    assert counters(got(channel, "q")) == (True, 1, None)


# Order of returned messages


@pytest.mark.rule("4.48")
def test_returned_messages_come_first_in_the_order_of_their_return(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    channel.publish_all("q", b"1", b"2", b"3", b"4")
    taken = [got(channel, "q") for _ in range(3)]
    channel.publish("q", b"urgent", properties=Properties(priority=31))
    for number in (1, 2, 0):
        requeue(channel, taken[number])
    assert channel.drain("q") == [b"2", b"3", b"1", b"urgent", b"4"]


@pytest.mark.rule("4.48")
def test_returned_messages_ignore_their_priority(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    for body, priority in ((b"high", 9), (b"low", 1)):
        channel.publish("q", body, properties=Properties(priority=priority))
    taken = [got(channel, "q") for _ in range(2)]
    requeue(channel, taken[1])
    requeue(channel, taken[0])
    assert channel.drain("q") == [b"low", b"high"]


@pytest.mark.rule("4.48")
def test_without_delivery_limit_returned_messages_go_to_the_tail(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delivery_limit=-1)
    channel.publish_all("q", b"1", b"2", b"3")
    taken = [got(channel, "q") for _ in range(2)]
    requeue(channel, taken[1])
    reject(channel, taken[0], requeue=True)
    channel.publish("q", b"4")
    assert channel.drain("q") == [b"3", b"2", b"1", b"4"]


# Persistence and global prefetch


@pytest.mark.rule("4.49")
@pytest.mark.parametrize("mode", [None, 1, 2])
def test_every_message_is_kept_and_keeps_its_delivery_mode(mode: int | None) -> None:
    storage = SlowStorage()
    channel = World(storage=storage).channel()
    quorum_queue(channel, "q")
    channel.queue("classic", durable=True)
    properties = Properties(delivery_mode=mode)
    channel.publish("q", b"quorum", properties=properties)
    channel.publish("classic", b"classic", properties=properties)
    assert storage.stored == ([b"quorum", b"classic"] if mode == 2 else [b"quorum"])
    assert got(channel, "q").properties.delivery_mode == mode


@pytest.mark.rule("4.49")
def test_limit_of_the_channel_holds_for_quorum_queues(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    quorum_queue(channel, "r")
    channel.publish_all("q", b"1", b"2", b"3")
    channel.publish_all("r", b"4", b"5")
    channel.call(BasicQos(prefetch_count=2, global_=True), BasicQosOk)
    channel.consume("q", "a")
    first = channel.expect_bodies(b"1", b"2")[0]
    channel.consume("r", "b")
    channel.expect_nothing()
    channel.send(BasicAck(delivery_tag=first.tag))
    assert channel.expect_delivery().body in (b"3", b"4")
    channel.expect_nothing()


@pytest.mark.rule("4.50")
def test_no_get_with_single_active_consumer(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", single_active_consumer=True)
    channel.publish("q", b"1")
    text = (
        "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not "
        "supported by quorum queues with single active consumer"
    )
    refused(channel, BasicGet(queue="q"), 405, text)
    queue_with(channel, "classic", {"x-single-active-consumer": True})
    channel.publish("classic", b"1")
    assert channel.drain("classic") == [b"1"]


@pytest.mark.rule("4.50")
def test_exclusive_consumers_share_a_quorum_queue(channel: ChannelClient, other: ChannelClient) -> None:
    for name, single in (("q", False), ("r", True)):
        quorum_queue(channel, name, single_active_consumer=single)
        channel.consume(name, f"{name}-a", exclusive=True)
        other.call(BasicConsume(queue=name, consumer_tag=f"{name}-b", exclusive=True), BasicConsumeOk)
        assert channel.counts(name) == (0, 2)


@pytest.mark.rule("4.25", "4.48")
def test_message_behind_returned_ones_does_not_expire_before_them(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    channel.publish("q", b"returned")
    first = got(channel, "q")
    requeue(channel, first)
    channel.publish("q", b"due", properties=Properties(expiration="0"))
    assert channel.counts("q") == (2, 0)
    assert channel.drain("q") == [b"returned"]
    assert channel.counts("q") == (0, 0)
