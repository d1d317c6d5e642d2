"""Section 6b: transactions."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicQos,
    BasicQosOk,
    BasicReturn,
    ConnectionClose,
    ConnectionCloseOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    Method,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxSelect,
    TxSelectOk,
)
from tests.support.client import ChannelClient, World
from tests.support.delivery import (
    ack,
    cancel,
    closes_channel,
    commit,
    nack,
    publish_closes_channel,
    qos,
    recover,
    reject,
    rollback,
    tx_select,
)
from tests.support.storage import SlowStorage
from tests.support.topology import bind, exchange

PERSISTENT = Properties(delivery_mode=2)


@pytest.fixture
def tx(channel: ChannelClient) -> ChannelClient:
    """A transactional channel."""
    return tx_select(channel)


def receiving(tx: ChannelClient, publisher: ChannelClient, *bodies: bytes) -> str:
    """Have these messages delivered from queue q, unacked."""
    queue = publisher.queue("q")
    tx.consume(queue)
    publisher.publish_all(queue, *bodies)
    tx.expect_bodies(*bodies)
    return queue


def drained(channel: ChannelClient, queue: str = "q") -> list[tuple[bytes, bool]]:
    """Bodies and redelivered flags of what is ready."""
    found = []
    while (delivery := channel.get(queue)) is not None:
        found.append((delivery.body, delivery.redelivered))
    return found


@pytest.mark.rule("6.10")
def test_second_select_changes_nothing(tx: ChannelClient, other: ChannelClient) -> None:
    queue = tx.queue("q")
    tx.publish(queue, b"a")
    assert tx.call(TxSelect(), TxSelectOk) == TxSelectOk()
    assert other.counts(queue) == (0, 0)
    commit(tx)
    assert other.drain(queue) == [b"a"]


@pytest.mark.rule("6.10")
@pytest.mark.parametrize("method", [TxCommit(), TxRollback()])
def test_commit_and_rollback_need_a_transactional_channel(channel: ChannelClient, method: Method) -> None:
    closes_channel(channel, method, 406, "PRECONDITION_FAILED - channel is not transactional")


@pytest.mark.rule("6.11", "6.13")
def test_publishes_are_invisible_until_commit(tx: ChannelClient, other: ChannelClient) -> None:
    queue = tx.queue("q")
    other.consume(queue)
    tx.publish_all(queue, b"a", b"b")
    other.expect_nothing()
    assert tx.counts(queue) == (0, 1)
    assert tx.get(queue) is None
    commit(tx)
    other.expect_bodies(b"a", b"b")


@pytest.mark.rule("6.11")
@pytest.mark.parametrize(("how", "left"), [("ack", []), ("discard", []), ("nack", [b"a", b"b"]), ("reject", [b"a"])])
def test_settlements_wait_for_commit(tx: ChannelClient, other: ChannelClient, how: str, left: list[bytes]) -> None:
    queue = receiving(tx, other, b"a", b"b")
    cancel(tx, "c")
    dead = other.queue("dead")
    if how == "ack":
        ack(tx, 2, multiple=True)
    elif how == "reject":
        reject(tx, 1)
        ack(tx, 2)
    else:
        nack(tx, 2, multiple=True, requeue=how == "nack")
    assert other.counts(queue) == (0, 0)
    commit(tx)
    assert [body for body, _ in drained(other)] == left
    tx.client.drop()
    assert drained(other) == []
    assert other.counts(dead) == (0, 0)


@pytest.mark.rule("6.11")
def test_dead_lettering_waits_for_commit(tx: ChannelClient, other: ChannelClient) -> None:
    other.queue("dead")
    other.queue("q", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    other.publish("q", b"a")
    assert tx.get("q", no_ack=False) is not None
    reject(tx, 1, requeue=False)
    assert other.counts("dead") == (0, 0)
    commit(tx)
    assert other.drain("dead") == [b"a"]


@pytest.mark.rule("6.11")
def test_topology_consuming_and_qos_are_not_transactional(tx: ChannelClient, other: ChannelClient) -> None:
    queue = tx.queue("q")
    exchange(tx, "x", "fanout")
    assert tx.call(QueueBind(queue=queue, exchange="x"), QueueBindOk)
    assert tx.call(BasicQos(prefetch_count=1), BasicQosOk)
    tx.consume(queue, "t")
    other.publish("", b"a", exchange="x")
    other.publish("", b"b", exchange="x")
    tx.expect_bodies(b"a")
    assert tx.call(QueueUnbind(queue=queue, exchange="x"), QueueUnbindOk)
    other.publish("", b"c", exchange="x")
    assert tx.call(BasicCancel(consumer_tag="t"), BasicCancelOk)
    assert tx.call(ExchangeDelete(exchange="x"), ExchangeDeleteOk)
    assert other.counts(queue) == (1, 0)
    assert tx.call(QueueDelete(queue=queue), QueueDeleteOk).message_count == 1
    rollback(tx)
    assert other.queue("q") == "q"
    assert other.counts("q") == (0, 0)


@pytest.mark.rule("6.11")
def test_deliveries_without_ack_and_recover_are_not_transactional(tx: ChannelClient, other: ChannelClient) -> None:
    queue = other.queue("q")
    other.publish_all(queue, b"a", b"b")
    assert tx.get(queue, no_ack=True) is not None
    assert tx.get(queue, no_ack=False) is not None
    recover(tx)
    assert other.counts(queue) == (1, 0)
    rollback(tx)
    assert drained(other) == [(b"b", True)]


@pytest.mark.rule("6.12")
def test_errors_of_publish_appear_at_once(tx: ChannelClient, other: ChannelClient) -> None:
    tx.publish("q", b"a", exchange="nowhere")
    publish_closes_channel(tx, 404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'")
    tx = tx_select(tx.client.channel(2))
    exchange(tx, "inner", internal=True)
    tx.publish("q", b"a", exchange="inner")
    publish_closes_channel(tx, 403, "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'")
    tx = tx_select(tx.client.channel(3))
    tx.publish("q", b"a", properties=Properties(expiration="x"))
    publish_closes_channel(tx, 406, "PRECONDITION_FAILED - invalid expiration 'x': no_integer")


@pytest.mark.rule("6.12")
def test_routing_is_decided_when_the_message_is_published(tx: ChannelClient) -> None:
    for queue in ("then", "later"):
        tx.queue(queue)
    bind(tx, "then", "amq.direct", "k")
    tx.publish("k", b"a", exchange="amq.direct", mandatory=True)
    tx.publish("unbound", b"b", exchange="amq.direct", mandatory=True)
    tx.call(QueueUnbind(queue="then", exchange="amq.direct", routing_key="k"), QueueUnbindOk)
    bind(tx, "later", "amq.direct", "k")
    bind(tx, "later", "amq.direct", "unbound")
    tx.send(TxCommit())
    assert tx.expect_delivery(BasicReturn).body == b"b"
    tx.expect(TxCommitOk)
    assert tx.drain("then") == [b"a"]
    assert tx.drain("later") == []


@pytest.mark.rule("6.13")
def test_returns_come_at_commit_before_commit_ok(tx: ChannelClient) -> None:
    queue = tx.queue("q")
    for key in ("no-1", queue, "no-2"):
        tx.publish(key, key.encode(), mandatory=True)
    tx.publish("no-3", b"not mandatory")
    tx.expect_nothing()
    tx.send(TxCommit())
    for body in (b"no-1", b"no-2"):
        returned = tx.expect_delivery(BasicReturn)
        assert (returned.body, returned.routing_key) == (body, body.decode())
        assert returned.method == BasicReturn(reply_code=312, reply_text="NO_ROUTE", routing_key=body.decode())
    tx.expect(TxCommitOk)
    tx.expect_nothing()


@pytest.mark.rule("6.13", "6.15")
def test_rollback_discards_publishes_and_their_returns(tx: ChannelClient, other: ChannelClient) -> None:
    queue = tx.queue("q")
    tx.publish(queue, b"a")
    tx.publish("nowhere", b"b", mandatory=True)
    rollback(tx)
    tx.expect_nothing()
    commit(tx)
    tx.expect_nothing()
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("6.14")
@pytest.mark.parametrize("multiple", [False, True])
def test_acking_again_before_commit_closes_the_channel(tx: ChannelClient, other: ChannelClient, multiple: bool) -> None:
    receiving(tx, other, b"a", b"b")
    ack(tx, 2, multiple=multiple)
    closes_channel(tx, BasicAck(delivery_tag=2), 406, "PRECONDITION_FAILED - unknown delivery tag 2")


@pytest.mark.rule("6.14")
def test_recover_does_not_bring_back_what_waits_for_commit(tx: ChannelClient, other: ChannelClient) -> None:
    queue = receiving(tx, other, b"a", b"b", b"c")
    cancel(tx, "c")
    ack(tx, 1)
    nack(tx, 2)
    recover(tx)
    assert drained(other) == [(b"c", True)]
    commit(tx)
    assert drained(other) == [(b"b", True)]
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("6.15")
def test_rollback_makes_settled_messages_unacked_again_under_their_tags(
    tx: ChannelClient, other: ChannelClient
) -> None:
    queue = receiving(tx, other, b"1", b"2", b"3", b"4", b"5")
    ack(tx, 4)
    nack(tx, 2, multiple=True)
    reject(tx, 3, requeue=False)
    rollback(tx)
    tx.expect_nothing()
    assert other.counts(queue) == (0, 1)
    ack(tx, 3)
    ack(tx, 4, multiple=True)
    closes_channel(tx, BasicAck(delivery_tag=4), 406, "PRECONDITION_FAILED - unknown delivery tag 4")
    assert drained(other) == [(body, True) for body in (b"1", b"2", b"3", b"4", b"5")]


@pytest.mark.rule("6.15")
@pytest.mark.parametrize("multiple", [False, True])
def test_after_rollback_a_multiple_covers_what_was_settled_before(
    tx: ChannelClient, other: ChannelClient, multiple: bool
) -> None:
    receiving(tx, other, b"1", b"2", b"3", b"4")
    cancel(tx, "c")
    for tag in (3,) if multiple else (3, 1, 2):
        ack(tx, tag, multiple=multiple)
    rollback(tx)
    ack(tx, 2, multiple=True)
    commit(tx)
    nack(tx, 0, multiple=True)
    commit(tx)
    assert drained(other) == [(b"3", True), (b"4", True)]


@pytest.mark.rule("6.15")
def test_after_rollback_unacked_messages_are_in_tag_order(tx: ChannelClient, other: ChannelClient) -> None:
    other.queue("dead")
    queue = other.queue("q", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    other.publish_all(queue, b"1", b"2", b"3", b"4")
    for _ in range(4):
        assert tx.get(queue, no_ack=False) is not None
    for tag in (3, 1):
        ack(tx, tag)
    rollback(tx)
    nack(tx, 0, multiple=True, requeue=False)
    commit(tx)
    assert other.drain("dead") == [b"1", b"2", b"3", b"4"]


@pytest.mark.rule("6.15")
def test_rollback_begins_a_new_transaction(tx: ChannelClient, other: ChannelClient) -> None:
    queue = tx.queue("q")
    tx.publish(queue, b"a")
    rollback(tx)
    tx.publish(queue, b"b")
    assert other.counts(queue) == (0, 0)
    commit(tx)
    tx.publish(queue, b"c")
    assert other.drain(queue) == [b"b"]
    rollback(tx)
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("6.16")
@pytest.mark.parametrize("end", ["close", "error", "drop"])
def test_end_of_the_channel_rolls_back_and_requeues_everything(
    tx: ChannelClient, other: ChannelClient, end: str
) -> None:
    queue = receiving(tx, other, b"1", b"2", b"3", b"4")
    tx.publish(queue, b"published")
    ack(tx, 3)
    reject(tx, 1, requeue=False)
    if end == "close":
        tx.close()
    elif end == "error":
        tx.send(BasicAck(delivery_tag=99))
        tx.expect_close(406)
    else:
        tx.client.drop()
    assert drained(other) == [(b"1", True), (b"2", True), (b"3", True), (b"4", True)]


@pytest.mark.rule("6.17")
def test_commit_publishes_in_order_before_it_settles(tx: ChannelClient, other: ChannelClient) -> None:
    """Seen from a queue of length 2: what is requeued finds the published messages there."""
    other.queue("dead")
    queue = other.queue(
        "q",
        arguments={"x-max-length": 2, "x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"},
    )
    other.publish(queue, b"old")
    assert tx.get(queue, no_ack=False) is not None
    nack(tx, 1)
    tx.publish(queue, b"a")
    tx.publish(queue, b"b")
    commit(tx)
    # Requeued first, "old" would have made room for itself; requeued last, it is the head and goes.
    assert drained(other) == [(b"a", False), (b"b", False)]
    assert other.drain("dead") == [b"old"]


@pytest.mark.rule("6.17")
def test_commit_settles_in_order(tx: ChannelClient, other: ChannelClient) -> None:
    for queue in ("first", "second"):
        arguments = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}
        other.queue(queue, arguments=arguments)
        other.publish(queue, queue.encode())
    other.queue("dead")
    assert tx.get("first", no_ack=False) is not None
    assert tx.get("second", no_ack=False) is not None
    reject(tx, 2, requeue=False)
    reject(tx, 1, requeue=False)
    tx.publish("dead", b"published")
    commit(tx)
    assert other.drain("dead") == [b"published", b"second", b"first"]


@pytest.mark.rule("6.17")
def test_requeue_in_a_commit_comes_back_to_its_consumer(tx: ChannelClient, other: ChannelClient) -> None:
    qos(tx, 1)
    receiving(tx, other, b"a")
    nack(tx, 1)
    tx.expect_nothing()
    tx.send(TxCommit())
    assert tx.expect_delivery().redelivered
    tx.expect(TxCommitOk)


@pytest.mark.rule("6.17")
def test_commit_ok_waits_until_persistent_messages_are_safe() -> None:
    storage = SlowStorage()
    tx = tx_select(World(storage=storage).channel())
    queue = tx.queue("q", durable=True)
    tx.publish(queue, b"a")
    commit(tx)
    tx.publish(queue, b"b", properties=PERSISTENT)
    tx.send(TxCommit())
    tx.expect_nothing()
    storage.sync()
    tx.expect(TxCommitOk)


@pytest.mark.rule("6.18")
def test_rejection_during_commit_closes_the_channel_and_keeps_the_rest(tx: ChannelClient, other: ChannelClient) -> None:
    other.queue("full", arguments={"x-max-length": 0, "x-overflow": b"reject-publish"})
    other.queue("before")
    other.queue("after")
    receiving(tx, other, b"a", b"b")
    ack(tx, 1)
    for queue in ("before", "full", "after"):
        tx.publish(queue, queue.encode())
    closes_channel(tx, TxCommit(), 406, "PRECONDITION_FAILED - partial tx completion")
    assert other.drain("before") == [b"before"]
    assert other.drain("after") == [b"after"]
    assert drained(other) == [(b"b", True)]


def test_commit_serves_the_queues_in_the_order_of_its_publishes(tx: ChannelClient, other: ChannelClient) -> None:
    for queue in ("one", "two"):
        tx.queue(queue)
        other.consume(queue, queue)
    tx.publish("one", b"1")
    tx.publish("two", b"2")
    other.expect_nothing()
    commit(tx)
    assert [delivery.consumer_tag for delivery in other.expect_bodies(b"1", b"2")] == ["one", "two"]


@pytest.mark.rule("6.20")
@pytest.mark.parametrize("mandatory", [False, True])
def test_queue_deleted_before_commit_leaves_the_message_unroutable(tx: ChannelClient, mandatory: bool) -> None:
    queue = tx.queue("q")
    tx.publish(queue, b"a", mandatory=mandatory)
    tx.call(QueueDelete(queue=queue), QueueDeleteOk)
    tx.queue(queue)
    tx.send(TxCommit())
    if mandatory:
        assert tx.expect_delivery(BasicReturn).body == b"a"
    tx.expect(TxCommitOk)
    assert tx.counts(queue) == (0, 0)


@pytest.mark.rule("6.20")
def test_queue_deleted_before_commit_does_not_concern_the_others(tx: ChannelClient) -> None:
    for queue in ("stays", "goes"):
        bind(tx, tx.queue(queue), "amq.fanout")
    tx.publish("", b"a", exchange="amq.fanout", mandatory=True)
    tx.call(QueueDelete(queue="goes"), QueueDeleteOk)
    commit(tx)
    assert tx.drain("stays") == [b"a"]


@pytest.mark.rule("6.15")
def test_settlements_of_a_queue_deleted_before_commit_are_taken(tx: ChannelClient, other: ChannelClient) -> None:
    queue = receiving(tx, other, b"a", b"b")
    cancel(tx, "c")
    ack(tx, 1)
    nack(tx, 2)
    other.call(QueueDelete(queue=queue), QueueDeleteOk)
    rollback(tx)
    nack(tx, 2, multiple=True)
    commit(tx)
    assert other.queue(queue) == queue
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("6.21")
def test_what_follows_a_commit_waits_until_it_is_safe() -> None:
    """Held and worked off in order, which is friendlier than RabbitMQ's 504."""
    storage = SlowStorage()
    tx = tx_select(World(storage=storage).channel())
    second = tx.client.channel(2)
    queue = tx.queue("q", durable=True)
    tx.publish(queue, b"a", properties=PERSISTENT)
    tx.send(TxCommit())
    tx.publish(queue, b"b")
    tx.send(TxCommit())
    tx.send(BasicQos(prefetch_count=1))
    tx.expect_nothing()
    assert second.counts(queue) == (1, 0)
    storage.sync()
    for answer in (TxCommitOk, TxCommitOk, BasicQosOk):
        tx.expect(answer)
    tx.expect_nothing()
    assert second.counts(queue) == (2, 0)


@pytest.mark.rule("6.21")
@pytest.mark.parametrize("end", ["drop", "other channel's error"])
def test_end_of_the_connection_during_a_commit_forgets_what_waits(end: str) -> None:
    storage = SlowStorage()
    world = World(storage=storage)
    tx = tx_select(world.channel())
    queue = tx.queue("q", durable=True)
    tx.publish(queue, b"a", properties=PERSISTENT)
    tx.send(TxCommit())
    tx.publish(queue, b"b")
    tx.send(TxCommit())
    if end == "drop":
        tx.client.drop()
    else:
        tx.client.send(7, BasicQos())
        tx.client.expect_close(504)
    storage.sync()
    tx.expect_nothing()
    assert world.channel().drain(queue) == [b"a"]


@pytest.mark.rule("6.21")
def test_close_of_the_connection_waits_behind_a_commit() -> None:
    storage = SlowStorage()
    world = World(storage=storage)
    tx = tx_select(world.channel())
    queue = tx.queue("q", durable=True)
    tx.publish(queue, b"a", properties=PERSISTENT)
    tx.send(TxCommit())
    tx.publish(queue, b"b", properties=PERSISTENT)
    tx.send(TxCommit())
    tx.client.send(0, ConnectionClose(reply_code=200))
    tx.expect_nothing()
    storage.sync()
    tx.expect(TxCommitOk)
    tx.expect_nothing()
    storage.sync()
    tx.expect(TxCommitOk)
    tx.client.expect(0, ConnectionCloseOk)
    assert world.channel().drain(queue) == [b"a", b"b"]
