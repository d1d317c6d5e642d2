"""Section 6a: publisher confirms."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicAck,
    BasicDeliver,
    BasicNack,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Properties,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    TxSelect,
    TxSelectOk,
)
from tests.support.client import ChannelClient, World
from tests.support.delivery import ack, closes_channel, confirm_select, publish_closes_channel
from tests.support.storage import SlowStorage
from tests.support.topology import bind, quorum_queue

PERSISTENT = Properties(delivery_mode=2)
FULL = {"x-max-length": 0, "x-overflow": b"reject-publish"}


def publish_in_one_read(channel: ChannelClient, *routing_keys: str, mandatory: bool = False) -> None:
    """Publish to several queues, all in the same octets."""
    methods = (BasicPublish(routing_key=key, mandatory=mandatory) for key in routing_keys)
    channel.client.send_octets(b"".join(channel.publish_octets(method, b"a") for method in methods))


def confirmed(channel: ChannelClient) -> list[tuple[int, bool]]:
    """Take all confirms that have come: each number with True for an ack, in the order they are settled.

    A number that is settled twice, or passed over by a multiple although it was settled, is an error.
    """
    open_numbers = {*range(1, 1000)}
    settled = []
    while channel.client.inbox:
        method = channel.client.inbox.popleft().method
        assert isinstance(method, BasicAck | BasicNack)
        assert method.delivery_tag in open_numbers
        first = min(open_numbers) if method.multiple else method.delivery_tag
        for number in range(first, method.delivery_tag + 1):
            if number in open_numbers:
                open_numbers.remove(number)
                settled.append((number, isinstance(method, BasicAck)))
    return settled


@pytest.fixture
def storage() -> SlowStorage:
    return SlowStorage()


@pytest.fixture
def slow(storage: SlowStorage) -> ChannelClient:
    """A channel in confirm mode of a broker whose disk waits for the test."""
    return confirm_select(World(storage=storage).channel())


@pytest.mark.rule("6.1")
def test_numbers_begin_at_1_with_the_first_publish_after_select(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    channel.expect_nothing()
    assert channel.call(ConfirmSelect(), ConfirmSelectOk) == ConfirmSelectOk()
    channel.expect_nothing()
    for number in (1, 2, 3):
        channel.publish(queue, b"c")
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)
    channel.expect_nothing()


@pytest.mark.rule("6.1")
def test_second_select_does_not_reset_the_numbers(channel: ChannelClient) -> None:
    confirm_select(channel)
    channel.publish("nowhere")
    assert channel.expect(BasicAck).delivery_tag == 1
    confirm_select(channel)
    channel.publish("nowhere")
    assert channel.expect(BasicAck).delivery_tag == 2


@pytest.mark.rule("6.1")
def test_select_without_wait_is_not_answered(channel: ChannelClient) -> None:
    channel.send(ConfirmSelect(no_wait=True))
    channel.expect_nothing()
    channel.publish("nowhere")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.1")
def test_each_channel_has_numbers_of_its_own(channel: ChannelClient) -> None:
    second = confirm_select(channel.client.channel(2))
    plain = channel.client.channel(3)
    confirm_select(channel)
    for _ in range(2):
        channel.publish("nowhere")
        channel.expect(BasicAck)
    plain.publish("nowhere")
    second.publish("nowhere")
    assert second.expect(BasicAck) == BasicAck(delivery_tag=1)
    channel.expect_nothing()


@pytest.mark.rule("6.2", "6.3")
def test_every_publish_is_settled_once_whatever_becomes_of_it(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.queue("full", arguments=FULL)
    confirm_select(channel)
    keys = ["q", "full", "nowhere", "q", "q", "full", "full", "nowhere", "q"]
    publish_in_one_read(channel, *keys)
    publish_in_one_read(channel, *keys)
    publish_in_one_read(channel, "full")
    publish_in_one_read(channel, "q")
    assert confirmed(channel) == [
        (number, key != "full") for number, key in enumerate([*keys, *keys, "full", "q"], start=1)
    ]


@pytest.mark.rule("6.2")
def test_publish_that_fails_the_channel_is_not_confirmed(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    confirm_select(channel)
    good, bad = BasicPublish(routing_key=queue), BasicPublish(exchange="nowhere")
    channel.client.send_octets(channel.publish_octets(good, b"a") + channel.publish_octets(bad, b"b"))
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)
    publish_closes_channel(channel, 404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'")


@pytest.mark.rule("6.2")
@pytest.mark.parametrize("end", ["close", "error"])
def test_confirm_that_is_late_does_not_reach_the_next_channel_of_that_id(
    slow: ChannelClient, storage: SlowStorage, end: str
) -> None:
    queue = slow.queue("q", durable=True)
    slow.publish(queue, b"a", properties=PERSISTENT)
    slow.expect_nothing()
    if end == "close":
        slow.close()
    else:
        slow.send(BasicAck(delivery_tag=9))
        slow.expect_close(406)
    slow.call(ChannelOpen(), ChannelOpenOk)
    confirm_select(slow)
    storage.sync()
    slow.expect_nothing()


@pytest.mark.rule("6.3")
def test_multiple_covers_all_up_to_its_number(channel: ChannelClient) -> None:
    confirm_select(channel)
    publish_in_one_read(channel, "nowhere", "nowhere", "nowhere")
    assert confirmed(channel) == [(1, True), (2, True), (3, True)]


@pytest.mark.rule("6.3")
def test_multiple_never_covers_a_publish_that_is_not_safe_yet(slow: ChannelClient, storage: SlowStorage) -> None:
    queue = slow.queue("q", durable=True)
    slow.publish("nowhere")
    assert confirmed(slow) == [(1, True)]
    slow.publish(queue, b"a", properties=PERSISTENT)
    publish_in_one_read(slow, "nowhere", "nowhere")
    assert 2 not in dict(confirmed(slow))
    storage.sync()
    slow.client.pump()
    assert slow.client.inbox
    last = slow.client.inbox[-1].method
    assert isinstance(last, BasicAck)
    assert last.delivery_tag == 4


@pytest.mark.rule("6.4")
def test_unroutable_message_is_acked_at_once(slow: ChannelClient) -> None:
    slow.publish("nowhere", properties=PERSISTENT)
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.4", "6.5")
def test_what_needs_no_disk_is_acked_while_another_channel_waits_for_it(
    slow: ChannelClient, storage: SlowStorage
) -> None:
    second = confirm_select(slow.client.channel(2))
    durable, transient = slow.queue("durable", durable=True), slow.queue("transient")
    slow.publish(durable, b"a", properties=PERSISTENT)
    storage.sync()
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)
    second.publish(durable, b"b", properties=PERSISTENT)
    second.expect_nothing()
    slow.publish("nowhere", properties=PERSISTENT)
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=2)
    slow.publish(transient, b"c", properties=PERSISTENT)
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=3)
    storage.sync()
    assert second.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.4")
def test_return_precedes_ack_when_unroutable(channel: ChannelClient) -> None:
    channel.queue("q")
    confirm_select(channel)
    publish_in_one_read(channel, "q", "no-1", "q", "no-2", "no-3", "q", mandatory=True)
    order: list[object] = []
    acked = 0
    numbers = {"no-1": 2, "no-2": 4, "no-3": 5}
    while channel.client.inbox:
        method = channel.client.inbox.popleft().method
        if isinstance(method, BasicReturn):
            assert numbers[method.routing_key] > acked, "the return trails its ack"
            order.append(method.routing_key)
        else:
            assert isinstance(method, BasicAck)
            acked = method.delivery_tag
    assert order == ["no-1", "no-2", "no-3"]
    assert acked == 6


@pytest.mark.rule("6.4")
def test_returns_keep_their_places_among_acks_of_separate_reads(channel: ChannelClient) -> None:
    confirm_select(channel)
    for number in (1, 2):
        channel.publish("nowhere", mandatory=True)
        assert channel.expect_delivery(BasicReturn).routing_key == "nowhere"
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)
    channel.expect_nothing()


@pytest.mark.rule("6.5")
@pytest.mark.parametrize(
    ("durable", "mode", "waits"), [(True, 2, True), (True, 1, False), (True, None, False), (False, 2, False)]
)
def test_only_a_persistent_message_in_a_durable_queue_waits_for_the_disk(
    slow: ChannelClient, storage: SlowStorage, durable: bool, mode: int | None, waits: bool
) -> None:
    queue = slow.queue("q", durable=durable)
    slow.publish(queue, b"a", properties=Properties(delivery_mode=mode))
    if waits:
        slow.expect_nothing()
        storage.sync()
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.5")
def test_message_of_a_quorum_queue_waits_for_the_disk(slow: ChannelClient, storage: SlowStorage) -> None:
    slow.publish(quorum_queue(slow, "q"), b"a")
    slow.expect_nothing()
    storage.sync()
    slow.expect(BasicAck)


@pytest.mark.rule("6.5")
def test_ack_waits_for_every_target_queue(slow: ChannelClient, storage: SlowStorage) -> None:
    for queue, durable in (("transient", False), ("durable", True)):
        bind(slow, slow.queue(queue, durable=durable), "amq.fanout")
    slow.publish("", b"a", exchange="amq.fanout", properties=PERSISTENT)
    slow.expect_nothing()
    storage.sync()
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.5")
def test_message_delivered_but_not_acked_still_waits_for_the_disk(slow: ChannelClient, storage: SlowStorage) -> None:
    queue = slow.queue("q", durable=True)
    slow.consume(queue)
    slow.publish(queue, b"a", properties=PERSISTENT)
    slow.expect_bodies(b"a")
    storage.sync()
    slow.expect(BasicAck)


@pytest.mark.rule("6.5")
def test_message_delivered_and_acked_is_confirmed(slow: ChannelClient, storage: SlowStorage) -> None:
    queue = slow.queue("q", durable=True)
    slow.consume(queue)
    slow.publish(queue, b"a", properties=PERSISTENT)
    slow.expect_bodies(b"a")
    ack(slow, 1)
    storage.sync()
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)
    slow.expect_nothing()


@pytest.mark.rule("6.6")
def test_message_delivered_without_ack_is_acked(slow: ChannelClient) -> None:
    queue = slow.queue("q", durable=True)
    slow.consume(queue, no_ack=True)
    slow.publish(queue, b"a", properties=PERSISTENT)
    slow.expect(BasicDeliver)
    assert slow.expect(BasicAck) == BasicAck(delivery_tag=1)


@pytest.mark.rule("6.6")
@pytest.mark.parametrize("where", ["message", "queue"])
@pytest.mark.parametrize("consumed", [False, True])
def test_expired_message_is_acked(channel: ChannelClient, where: str, consumed: bool) -> None:
    queue = channel.queue("q", arguments={"x-message-ttl": 0} if where == "queue" else {})
    confirm_select(channel)
    if consumed:
        channel.consume(queue)
    channel.publish(queue, b"a", properties=Properties(expiration="0" if where == "message" else None))
    if consumed:
        channel.expect(BasicDeliver)
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)
    assert channel.counts(queue) == (0, int(consumed))


@pytest.mark.rule("6.6")
def test_message_dropped_from_the_head_is_acked(channel: ChannelClient) -> None:
    queue = channel.queue("q", arguments={"x-max-length": 1})
    confirm_select(channel)
    publish_in_one_read(channel, queue, queue, queue)
    assert confirmed(channel) == [(1, True), (2, True), (3, True)]
    assert channel.counts(queue) == (1, 0)


@pytest.mark.rule("6.6")
@pytest.mark.parametrize("how", ["expired", "dropped", "purged", "deleted"])
def test_message_gone_before_it_was_safe_is_acked(slow: ChannelClient, storage: SlowStorage, how: str) -> None:
    queue = slow.queue("q", durable=True, arguments={"x-max-length": 1} if how == "dropped" else {})
    slow.publish(queue, b"a", properties=Properties(delivery_mode=2, expiration="50"))
    slow.expect_nothing()
    if how == "expired":
        slow.world.advance(0.1)
    elif how == "purged":
        assert slow.call(QueuePurge(queue=queue), QueuePurgeOk).message_count == 1
    elif how == "deleted":
        assert slow.call(QueueDelete(queue=queue), QueueDeleteOk).message_count == 1
    else:
        slow.publish(queue, b"b")
    storage.sync()
    slow.client.pump()
    assert confirmed(slow)[0] == (1, True)


@pytest.mark.rule("6.7")
@pytest.mark.parametrize("overflow", [b"reject-publish", b"reject-publish-dlx"])
def test_refused_message_is_nacked(channel: ChannelClient, overflow: bytes) -> None:
    queue = channel.queue("q", arguments={"x-max-length": 1, "x-overflow": overflow})
    confirm_select(channel)
    channel.publish(queue, b"a")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)
    channel.publish(queue, b"b")
    assert channel.expect(BasicNack) == BasicNack(delivery_tag=2, multiple=False, requeue=False)
    channel.expect_nothing()


@pytest.mark.rule("6.7")
def test_one_queue_that_refuses_makes_it_a_nack(channel: ChannelClient) -> None:
    for queue, arguments in (("first", {}), ("full", FULL), ("last", {})):
        bind(channel, channel.queue(queue, arguments=arguments), "amq.fanout")
    confirm_select(channel)
    channel.publish("", b"a", exchange="amq.fanout")
    assert channel.expect(BasicNack) == BasicNack(delivery_tag=1)
    channel.expect_nothing()
    assert channel.counts("first") == channel.counts("last") == (1, 0)


@pytest.mark.rule("6.8")
def test_single_publish_is_confirmed_without_further_traffic(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    confirm_select(channel)
    for number in range(1, 4):
        channel.publish(queue, b"a")
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)


@pytest.mark.rule("6.8")
def test_publishes_before_half_a_frame_are_confirmed(channel: ChannelClient) -> None:
    confirm_select(channel)
    octets = channel.publish_octets(BasicPublish(routing_key="nowhere"), b"a")
    channel.client.send_octets(octets + octets[:-3])
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)
    channel.client.send_octets(octets[-3:])
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=2)


@pytest.mark.rule("6.8")
def test_publishes_before_a_close_in_the_same_read_are_confirmed(channel: ChannelClient) -> None:
    confirm_select(channel)
    bad = channel.publish_octets(BasicPublish(exchange="nowhere"))
    good = channel.publish_octets(BasicPublish(routing_key="nowhere"))
    channel.client.send_octets(good + bad)
    channel.expect(BasicAck)
    channel.expect(ChannelClose)


@pytest.mark.rule("6.9")
def test_confirm_channel_cannot_become_transactional(channel: ChannelClient) -> None:
    confirm_select(channel)
    closes_channel(channel, TxSelect(), 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")


@pytest.mark.rule("6.9")
@pytest.mark.parametrize("no_wait", [False, True])
def test_transactional_channel_cannot_confirm(channel: ChannelClient, no_wait: bool) -> None:
    channel.call(TxSelect(), TxSelectOk)
    closes_channel(
        channel, ConfirmSelect(no_wait=no_wait), 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    )
