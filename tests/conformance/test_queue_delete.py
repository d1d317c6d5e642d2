import pytest

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    Properties,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    Table,
)
from tests.support.client import ChannelClient, World
from tests.support.storage import SlowStorage
from tests.support.topology import (
    bind,
    confirming,
    delete_queue,
    exchange,
    expect_ack,
    got,
    has_queue,
    purge,
    queue_with,
    quorum_queue,
    reaches,
    refused,
)

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)
NOT_EMPTY = "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
IN_USE = "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
DEAD_LETTERED: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}


# Delete


@pytest.mark.rule("4.19")
def test_delete_of_a_missing_queue_succeeds(channel: ChannelClient) -> None:
    assert delete_queue(channel, "q") == 0
    assert delete_queue(channel, "amq.gen-missing", if_empty=True, if_unused=True) == 0
    channel.queue("q")
    assert delete_queue(channel, "q") == 0
    assert delete_queue(channel, "q") == 0
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.19")
def test_delete_counts_ready_messages_only(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish_all("q", b"1", b"2", b"3")
    got(channel, "q")
    assert delete_queue(channel, "q") == 2


@pytest.mark.rule("2.10", "4.19")
def test_delete_without_waiting_has_no_answer(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.send(QueueDelete(queue="q", no_wait=True))
    channel.send(QueueDelete(queue="q", no_wait=True))
    channel.expect_nothing()
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.19")
def test_exclusivity_is_checked_before_the_conditions(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("q", exclusive=True)
    other.publish("q", b"1")
    refused(channel, QueueDelete(queue="q", if_empty=True, if_unused=True), 405, LOCKED)


@pytest.mark.rule("4.19")
def test_emptiness_is_checked_before_use(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("q")
    other.call(BasicQos(prefetch_count=1), BasicQosOk)
    other.consume("q")
    channel.publish_all("q", b"1", b"2")
    refused(channel, QueueDelete(queue="q", if_empty=True, if_unused=True), 406, NOT_EMPTY)
    refused(channel, QueueDelete(queue="q", if_unused=True), 406, IN_USE)


@pytest.mark.rule("4.20")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_queue_with_ready_messages_is_not_deleted_if_empty(channel: ChannelClient, queue_type: str) -> None:
    queue_with(channel, "q", {"x-queue-type": queue_type.encode()}, durable=True)
    channel.publish("q", b"1")
    refused(channel, QueueDelete(queue="q", if_empty=True), 406, NOT_EMPTY)
    got(channel, "q")
    assert delete_queue(channel, "q", if_empty=True) == 0
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.20")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_queue_with_consumers_is_not_deleted_if_unused(channel: ChannelClient, queue_type: str) -> None:
    queue_with(channel, "q", {"x-queue-type": queue_type.encode()}, durable=True)
    channel.client.channel(2).consume("q")
    refused(channel, QueueDelete(queue="q", if_unused=True), 406, IN_USE)
    second = channel.client.channel(3)
    second.consume("q")
    second.close()
    refused(channel, QueueDelete(queue="q", if_unused=True), 406, IN_USE)
    ChannelClient(channel.client, 2).call(BasicCancel(consumer_tag="c"), BasicCancelOk)
    channel.publish("q", b"1")
    assert delete_queue(channel, "q", if_unused=True) == 1
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.21")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_delete_drops_messages_without_dead_lettering(channel: ChannelClient, queue_type: str) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {**DEAD_LETTERED, "x-queue-type": queue_type.encode()}, durable=True)
    channel.publish_all("q", b"unacked", b"ready")
    delivery = got(channel, "q")
    delete_queue(channel, "q")
    channel.send(BasicNack(delivery_tag=delivery.tag))
    channel.world.advance(10)
    assert channel.counts("dead") == (0, 0)


@pytest.mark.rule("4.21")
def test_delete_removes_the_bindings(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("q")
    bind(channel, "q", "x")
    delete_queue(channel, "q")
    channel.queue("q")
    assert reaches(channel, "x", "", ["q"]) == set()


@pytest.mark.rule("4.21", "5.45")
def test_delete_cancels_the_consumers(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("q")
    other.consume("q", "a")
    other.consume("q", "b")
    channel.consume("q", "c")
    channel.send(QueueDelete(queue="q"))
    assert channel.expect(BasicCancel) == BasicCancel(consumer_tag="c", no_wait=True)
    channel.expect(QueueDeleteOk)
    cancelled = [other.expect(BasicCancel), other.expect(BasicCancel)]
    assert cancelled == [BasicCancel(consumer_tag=tag, no_wait=True) for tag in ("a", "b")]
    other.expect_nothing()
    other.send(BasicCancelOk(consumer_tag="a"))
    assert other.call(BasicCancel(consumer_tag="b"), BasicCancelOk).consumer_tag == "b"
    channel.queue("q")
    channel.publish("q", b"1")
    other.expect_nothing()
    assert channel.counts("q") == (1, 0)
    other.consume("q", "a")


@pytest.mark.rule("4.21")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_messages_of_a_deleted_queue_can_still_be_settled(channel: ChannelClient, queue_type: str) -> None:
    queue_with(channel, "q", {"x-queue-type": queue_type.encode()}, durable=True)
    channel.publish_all("q", b"1", b"2", b"3", b"4")
    deliveries = [got(channel, "q") for _ in range(4)]
    delete_queue(channel, "q")
    channel.queue("q")
    channel.send(BasicAck(delivery_tag=deliveries[0].tag))
    channel.send(BasicNack(delivery_tag=deliveries[1].tag, requeue=True))
    channel.send(BasicNack(delivery_tag=deliveries[2].tag, requeue=False))
    channel.expect_nothing()
    assert channel.counts("q") == (0, 0)
    channel.close()
    assert channel.client.channel(1).counts("q") == (0, 0)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    refused(channel, BasicAck(delivery_tag=1), 406, text)


@pytest.mark.rule("4.21", "6.8")
def test_confirms_of_messages_in_a_deleted_queue_are_acks() -> None:
    storage = SlowStorage()
    world = World(storage=storage)
    channel, other = confirming(world.channel()), world.channel()
    channel.queue("q", durable=True)
    channel.publish("q", b"1", properties=Properties(delivery_mode=2))
    channel.expect_nothing()
    assert delete_queue(other, "q") == 1
    storage.sync()
    expect_ack(channel, 1)


# Purge


@pytest.mark.rule("4.22")
@pytest.mark.parametrize(
    "arguments", [{}, {"x-max-priority": 3}, {"x-queue-type": b"quorum"}], ids=["classic", "priority", "quorum"]
)
def test_purge_drops_ready_messages_only(channel: ChannelClient, arguments: Table) -> None:
    channel.queue("dead")
    queue_with(channel, "q", {**arguments, **DEAD_LETTERED}, durable=True)
    assert purge(channel, "q") == 0
    channel.publish_all("q", b"unacked", b"1", b"2", b"3")
    delivery = got(channel, "q")
    assert purge(channel, "q") == 3
    assert channel.counts("q") == (0, 0)
    channel.publish("q", b"new")
    channel.send(BasicNack(delivery_tag=delivery.tag, requeue=True))
    assert channel.drain("q") == [b"unacked", b"new"]
    assert channel.counts("dead") == (0, 0)


@pytest.mark.rule("4.22")
def test_purge_frees_the_room_of_a_limited_queue(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-length-bytes": 4, "x-overflow": b"reject-publish"})
    channel.publish_all("q", b"1234", b"refused")
    assert purge(channel, "q") == 1
    channel.publish_all("q", b"5678")
    assert channel.drain("q") == [b"5678"]


@pytest.mark.rule("2.10", "4.22")
def test_purge_without_waiting_has_no_answer(channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    channel.publish("q", b"1")
    channel.send(QueuePurge(queue="q", no_wait=True))
    channel.expect_nothing()
    assert channel.counts("q") == (0, 0)
    refused(channel, QueuePurge(queue="r"), 404, "NOT_FOUND - no queue 'r' in vhost '/'")
