"""Queues and messages that end by time; `world.advance` is the only clock (rules 4.23 to 4.28)."""

import pytest

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicReturn,
    Properties,
    Table,
)
from tests.support.client import ChannelClient
from tests.support.topology import (
    confirming,
    expect_ack,
    got,
    purge,
    queue_with,
    quorum_queue,
    reject,
    reopen_after,
)

TO_DEAD: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}
TICK = 0.001


def lives(channel: ChannelClient, queue: str) -> bool:
    """Ask by a mandatory publish, which renews no lease, unlike a passive declare."""
    channel.publish(queue, b"?", mandatory=True)
    channel.client.pump()
    if not channel.client.inbox:
        return True
    channel.expect_delivery(BasicReturn)
    return False


def lives_just(channel: ChannelClient, queue: str, seconds: float) -> None:
    """Check that the queue is there till the end of that time, and not after it."""
    channel.world.advance(seconds - 0.01)
    assert lives(channel, queue)
    channel.world.advance(0.02)
    assert not lives(channel, queue)


def publish_for(channel: ChannelClient, queue: str, body: bytes, expiration: str, priority: int | None = None) -> None:
    channel.publish(queue, body, properties=Properties(expiration=expiration, priority=priority))


# Queues


@pytest.mark.rule("4.23")
def test_unused_queue_expires(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-expires": 10_000})
    lives_just(channel, "q", 10)


@pytest.mark.rule("4.23")
@pytest.mark.parametrize("use", ["declare", "passive", "get"])
@pytest.mark.parametrize("moments", [[4.0], [9.0], [1.0, 2.0], [9.0, 18.0, 27.0]])
def test_each_use_begins_the_time_anew(channel: ChannelClient, use: str, moments: list[float]) -> None:
    queue_with(channel, "q", {"x-expires": 10_000})
    before = 0.0
    for moment in moments:
        channel.world.advance(moment - before)
        before = moment
        if use == "declare":
            queue_with(channel, "q", {"x-expires": 10_000})
        elif use == "passive":
            channel.counts("q")
        else:
            channel.call(BasicGet(queue="q"), BasicGetEmpty)
    lives_just(channel, "q", 10)


@pytest.mark.rule("4.23")
@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": b"quorum"}], ids=["classic", "quorum"])
@pytest.mark.parametrize("leaves_at", [1.0, 9.0, 11.0, 19.0, 100.0])
def test_queue_with_a_consumer_stays_until_its_time_after_that_left(
    channel: ChannelClient, arguments: Table, leaves_at: float
) -> None:
    queue_with(channel, "q", {"x-expires": 10_000, **arguments}, durable=True)
    reader = channel.client.channel(2)
    reader.consume("q", "a")
    reader.consume("q", "b")
    reader.call(BasicCancel(consumer_tag="a"), BasicCancelOk)
    channel.world.advance(leaves_at)
    reader.call(BasicCancel(consumer_tag="b"), BasicCancelOk)
    lives_just(channel, "q", 10)


@pytest.mark.rule("4.23")
def test_waiting_consumer_keeps_the_queue_too(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-expires": 1000, "x-single-active-consumer": True})
    channel.client.channel(2).consume("q")
    channel.client.channel(3).consume("q")
    ChannelClient(channel.client, 2).close()
    channel.world.advance(100)
    assert channel.counts("q") == (0, 1)


@pytest.mark.rule("4.23")
def test_publishing_is_no_use(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-expires": 10_000})
    for _ in range(9):
        channel.world.advance(1)
        assert lives(channel, "q")
    lives_just(channel, "q", 1)


@pytest.mark.rule("4.23")
@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": b"quorum"}], ids=["classic", "quorum"])
def test_messages_of_an_expired_queue_are_not_dead_lettered(channel: ChannelClient, arguments: Table) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {"x-expires": 1000, **TO_DEAD, **arguments}, durable=True)
    channel.publish_all("q", b"unacked", b"ready")
    delivery = got(channel, "q")
    channel.world.advance(1.5)
    assert not lives(channel, "q")
    reject(channel, delivery)
    assert channel.counts("dead") == (0, 0)


@pytest.mark.rule("4.23")
@pytest.mark.parametrize("passive", [True, False])
def test_redeclare_of_a_quorum_queue_is_no_use(channel: ChannelClient, passive: bool) -> None:
    arguments: Table = {"x-expires": 10_000, "x-queue-type": b"quorum"}
    queue_with(channel, "q", arguments, durable=True)
    channel.world.advance(5)
    queue_with(channel, "q", arguments, durable=True, passive=passive)
    lives_just(channel, "q", 5)


@pytest.mark.rule("4.23")
def test_get_from_a_quorum_queue_is_use(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", expires=10_000)
    channel.world.advance(5)
    channel.call(BasicGet(queue="q"), BasicGetEmpty)
    lives_just(channel, "q", 10)


@pytest.mark.rule("4.23")
def test_expired_queue_leaves_its_name_to_a_new_one(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-expires": 1000})
    channel.world.advance(2)
    channel.queue("q")
    channel.world.advance(100)
    assert lives(channel, "q")


# Messages


@pytest.mark.rule("4.24")
@pytest.mark.parametrize(
    ("of_queue", "of_message", "lifetime"),
    [(5000, None, 5), (None, "5000", 5), (5000, "7000", 5), (7000, "5000", 5), (5000, "5000", 5)],
)
@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": b"quorum"}], ids=["classic", "quorum"])
def test_shorter_time_to_live_counts(
    channel: ChannelClient, arguments: Table, of_queue: int | None, of_message: str | None, lifetime: float
) -> None:
    table = {**arguments, "x-message-ttl": of_queue} if of_queue is not None else arguments
    queue_with(channel, "q", table, durable=True)
    channel.publish("q", b"1", properties=Properties(expiration=of_message))
    channel.world.advance(lifetime - TICK)
    assert channel.counts("q") == (1, 0)
    channel.world.advance(2 * TICK)
    assert channel.counts("q") == (0, 0)
    assert channel.drain("q") == []


@pytest.mark.rule("4.24")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}])
def test_instant_of_expiry_stays_across_requeue(channel: ChannelClient, arguments: Table) -> None:
    queue_with(channel, "q", {"x-message-ttl": 10_000, **arguments}, durable=True)
    channel.publish("q", b"1")
    for _ in range(3):
        delivery = got(channel, "q")
        channel.world.advance(3)
        channel.send(BasicNack(delivery_tag=delivery.tag, requeue=True))
    channel.world.advance(1 - TICK)
    assert channel.counts("q") == (1, 0)
    channel.world.advance(2 * TICK)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.25", "4.26")
def test_expired_message_behind_another_stays_until_it_is_the_head(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", TO_DEAD)
    publish_for(channel, "q", b"long", "10000")
    publish_for(channel, "q", b"short", "1000")
    publish_for(channel, "q", b"longest", "20000")
    channel.world.advance(5)
    assert channel.counts("q") == (3, 0)
    assert channel.counts("dead") == (0, 0)
    delivery = got(channel, "q")
    assert delivery.body == b"long"
    channel.world.advance(TICK)
    assert channel.counts("q") == (1, 0)
    assert channel.drain("dead") == [b"short"]
    channel.world.advance(15)
    assert channel.drain("dead") == [b"longest"]
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.26", "5.16")
def test_get_counts_nothing_that_is_due_behind_what_it_took(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"long")
    publish_for(channel, "q", b"due", "0")
    assert channel.call(BasicGet(queue="q"), BasicGetOk).message_count == 0


@pytest.mark.rule("4.25")
def test_expired_message_is_never_got(channel: ChannelClient) -> None:
    channel.queue("q")
    publish_for(channel, "q", b"long", "10000")
    publish_for(channel, "q", b"short", "1000")
    channel.publish("q", b"eternal")
    channel.world.advance(5)
    assert channel.drain("q") == [b"long", b"eternal"]


@pytest.mark.rule("4.25")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}])
def test_expired_message_is_never_delivered(channel: ChannelClient, arguments: Table) -> None:
    queue_with(channel, "q", arguments, durable=True)
    publish_for(channel, "q", b"long", "10000")
    publish_for(channel, "q", b"short", "1000")
    channel.publish("q", b"eternal")
    channel.world.advance(5)
    channel.consume("q", no_ack=True)
    channel.expect_bodies(b"long", b"eternal")


@pytest.mark.rule("4.25")
def test_expired_message_is_not_delivered_even_before_its_timer_ran(channel: ChannelClient) -> None:
    """The clock has moved on, but nobody has looked at the schedule yet."""
    channel.queue("q")
    publish_for(channel, "q", b"short", "1000")
    publish_for(channel, "q", b"short too", "1000")
    channel.publish("q", b"eternal")
    channel.world.time += 5
    assert got(channel, "q").body == b"eternal"
    publish_for(channel, "q", b"short", "1000")
    channel.publish("q", b"last")
    channel.world.time += 5
    channel.consume("q", no_ack=True)
    channel.expect_bodies(b"last")


@pytest.mark.rule("4.25")
def test_head_of_each_priority_expires(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {"x-max-priority": 3, **TO_DEAD})
    publish_for(channel, "q", b"high long", "10000", 3)
    publish_for(channel, "q", b"high short", "3000", 3)
    publish_for(channel, "q", b"low short", "2000", 0)
    publish_for(channel, "q", b"middle shortest", "1000", 1)
    channel.world.advance(1 + TICK)
    assert channel.drain("dead") == [b"middle shortest"]
    channel.world.advance(1)
    assert channel.drain("dead") == [b"low short"]
    channel.world.advance(5)
    assert channel.drain("dead") == []
    assert channel.counts("q") == (2, 0)
    channel.world.advance(3)
    assert channel.drain("dead") == [b"high long", b"high short"]


@pytest.mark.rule("4.26")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}])
def test_expired_head_is_dead_lettered_at_its_instant(channel: ChannelClient, arguments: Table) -> None:
    """Nothing touches the queue that expires; the other tells when the letters came."""
    channel.queue("dead")
    channel.consume("dead", no_ack=True)
    queue_with(channel, "q", {**TO_DEAD, **arguments}, durable=True)
    for seconds in (1, 2, 3):
        publish_for(channel, "q", b"%d" % seconds, f"{seconds}000")
    for seconds in (1, 2, 3):
        channel.world.advance(1 - TICK)
        channel.expect_nothing()
        channel.world.advance(TICK)
        channel.expect_bodies(b"%d" % seconds)


@pytest.mark.rule("4.26")
def test_head_that_changes_is_watched_again(channel: ChannelClient) -> None:
    channel.queue("dead")
    channel.consume("dead", no_ack=True)
    queue_with(channel, "q", TO_DEAD)
    publish_for(channel, "q", b"far", "100000")
    purge(channel, "q")
    publish_for(channel, "q", b"near", "1000")
    channel.world.advance(1)
    channel.expect_bodies(b"near")
    publish_for(channel, "q", b"first", "2000")
    delivery = got(channel, "q")
    publish_for(channel, "q", b"second", "50000")
    reject(channel, delivery, requeue=True)
    channel.world.advance(2)
    channel.expect_bodies(b"first")
    channel.publish("q", b"eternal")
    publish_for(channel, "q", b"behind", "1000")
    got_first = got(channel, "q")  # "second" goes, "eternal" is the head
    assert got_first.body == b"second"
    assert got(channel, "q").body == b"eternal"
    channel.world.advance(1)
    channel.expect_bodies(b"behind")


@pytest.mark.rule("4.26")
def test_consumer_that_takes_the_head_uncovers_what_expires(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("dead")
    channel.consume("dead", no_ack=True)
    queue_with(channel, "q", TO_DEAD)
    channel.publish("q", b"eternal")
    publish_for(channel, "q", b"short", "1000")
    other.call(BasicQos(prefetch_count=1), BasicQosOk)
    other.consume("q")
    other.expect_bodies(b"eternal")
    channel.world.advance(1)
    channel.expect_bodies(b"short")
    other.expect_nothing()


@pytest.mark.rule("4.26")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}])
def test_unacked_message_does_not_expire_until_it_is_requeued(channel: ChannelClient, arguments: Table) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {"x-message-ttl": 1000, **TO_DEAD, **arguments}, durable=True)
    channel.publish("q", b"1")
    delivery = got(channel, "q")
    channel.world.advance(100)
    assert channel.counts("dead") == (0, 0)
    channel.consume("q", "never")
    reject(channel, delivery, requeue=True)
    channel.expect_nothing()
    assert channel.drain("dead") == [b"1"]
    assert channel.counts("q") == (0, 1)


@pytest.mark.rule("4.26")
def test_unacked_message_that_is_acked_late_does_not_expire(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {"x-message-ttl": 1000, **TO_DEAD})
    channel.publish("q", b"1")
    delivery = got(channel, "q")
    channel.world.advance(100)
    channel.send(BasicAck(delivery_tag=delivery.tag))
    channel.world.advance(1)
    channel.expect_nothing()
    assert channel.counts("dead") == (0, 0)


@pytest.mark.rule("4.27")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}])
@pytest.mark.parametrize(("of_queue", "of_message"), [(0, None), (None, "0"), (0, "1000"), (1000, "0")])
def test_ttl_0_is_delivered_at_once_or_never(
    channel: ChannelClient, other: ChannelClient, arguments: Table, of_queue: int | None, of_message: str | None
) -> None:
    confirming(channel)
    channel.queue("dead")
    table: Table = {**TO_DEAD, **arguments}
    if of_queue is not None:
        table["x-message-ttl"] = of_queue
    queue_with(channel, "q", table, durable=True)
    properties = Properties(expiration=of_message)
    channel.publish("q", b"nobody waits", properties=properties)
    expect_ack(channel, 1)
    assert channel.counts("q") == (0, 0)
    assert channel.drain("dead") == [b"nobody waits"]
    other.consume("q")
    channel.publish("q", b"somebody waits", properties=properties)
    expect_ack(channel, 2)
    delivery = other.expect_bodies(b"somebody waits")[0]
    assert channel.drain("dead") == []
    reject(other, delivery, requeue=True)
    other.expect_nothing()
    assert channel.drain("dead") == [b"somebody waits"]


@pytest.mark.rule("4.27")
def test_ttl_0_is_dropped_without_a_dead_letter_exchange(channel: ChannelClient) -> None:
    confirming(channel)
    channel.queue("q")
    publish_for(channel, "q", b"1", "0")
    expect_ack(channel, 1)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.28")
@pytest.mark.parametrize(
    ("expiration", "detail"),
    [
        ("", "no_integer"),
        ("foobar", "no_integer"),
        (" 1", "no_integer"),
        ("-", "no_integer"),
        ("12foobar", '{leftover_string,"foobar"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("1 ", '{leftover_string," "}'),
        ("-10", "{value_negative,-10}"),
        ("315360000001", "{value_too_large,315360000001}"),
        ("99999999999999999999", "{value_too_large,99999999999999999999}"),
    ],
)
@pytest.mark.parametrize("queue", ["q", "missing"])
def test_bad_expiration_is_refused_wherever_it_goes(
    channel: ChannelClient, queue: str, expiration: str, detail: str
) -> None:
    channel.queue("q")
    publish_for(channel, queue, b"1", expiration)
    reopen_after(channel, 406, f"PRECONDITION_FAILED - invalid expiration '{expiration}': {detail}")
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.28")
@pytest.mark.parametrize("expiration", ["1000", "01000", "315360000000"])
def test_good_expiration_is_accepted_and_stays_with_the_message(channel: ChannelClient, expiration: str) -> None:
    channel.queue("q")
    publish_for(channel, "q", b"1", expiration)
    channel.world.advance(0.5)
    assert got(channel, "q").properties.expiration == expiration


@pytest.mark.rule("4.28")
def test_expiration_counts_milliseconds(channel: ChannelClient) -> None:
    channel.queue("q")
    publish_for(channel, "q", b"1", "1500")
    channel.world.advance(1.5 - TICK)
    assert channel.counts("q") == (1, 0)
    channel.world.advance(2 * TICK)
    assert channel.counts("q") == (0, 0)
