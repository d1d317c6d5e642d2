"""Section 5g: direct reply-to."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    Method,
    Properties,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueUnbind,
)
from tests.support.client import ChannelClient
from tests.support.delivery import (
    ack,
    cancel,
    closes_channel,
    closes_connection,
    commit,
    confirm_select,
    publish_closes_channel,
    qos,
    tx_select,
)
from tests.support.topology import exchange

REPLY_TO = "amq.rabbitmq.reply-to"
REQUEST = Properties(reply_to=REPLY_TO, correlation_id="c-1")


def consume_replies(channel: ChannelClient, tag: str = "replies") -> str:
    return channel.consume(REPLY_TO, tag, no_ack=True)


def request(requester: ChannelClient, replier: ChannelClient) -> str:
    """Send a request; gives the name it asks to have the reply sent to."""
    queue = replier.queue("requests")
    requester.publish(queue, b"request", properties=REQUEST)
    delivery = replier.get(queue)
    assert delivery is not None
    assert delivery.properties.reply_to is not None
    return delivery.properties.reply_to


@pytest.fixture
def requester(channel: ChannelClient) -> ChannelClient:
    """A channel that consumes replies."""
    consume_replies(channel)
    return channel


# 5.48: consume


@pytest.mark.rule("5.48")
@pytest.mark.parametrize("no_wait", [False, True])
def test_replies_can_be_consumed_without_ack_only(channel: ChannelClient, no_wait: bool) -> None:
    method = BasicConsume(queue=REPLY_TO, no_wait=no_wait)
    closes_channel(channel, method, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")


@pytest.mark.rule("5.48")
def test_channel_has_one_consumer_of_replies(requester: ChannelClient) -> None:
    method = BasicConsume(queue=REPLY_TO, consumer_tag="second", no_ack=True)
    closes_channel(requester, method, 406, "PRECONDITION_FAILED - reply consumer already set")


@pytest.mark.rule("5.48")
def test_each_channel_has_its_own(requester: ChannelClient, other: ChannelClient) -> None:
    second = requester.client.channel(2)
    consume_replies(second)
    names = request(requester, other), request(second, other)
    assert names[0] != names[1]
    for name in names:
        other.publish(name, name.encode())
    assert requester.expect_delivery().body == names[0].encode()
    assert second.expect_delivery().body == names[1].encode()


@pytest.mark.rule("5.48")
def test_cancel_allows_a_new_one(requester: ChannelClient, other: ChannelClient) -> None:
    cancel(requester, "replies")
    assert consume_replies(requester, "again") == "again"
    other.publish(request(requester, other), b"reply")
    assert requester.expect_delivery().consumer_tag == "again"


@pytest.mark.rule("5.48")
def test_rules_of_consumer_tags_hold_for_it(requester: ChannelClient) -> None:
    second = requester.client.channel(2)
    assert second.consume(REPLY_TO, "", no_ack=True).startswith("amq.ctag-")
    method = BasicConsume(queue=requester.queue("q"), consumer_tag="replies")
    closes_connection(requester, method, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'replies'")


@pytest.mark.rule("5.48")
def test_its_tag_may_not_be_one_in_use(channel: ChannelClient) -> None:
    channel.consume(channel.queue("q"), "taken")
    method = BasicConsume(queue=REPLY_TO, consumer_tag="taken", no_ack=True)
    closes_connection(channel, method, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'taken'")


# 5.49: requests


@pytest.mark.rule("5.49")
def test_request_without_a_consumer_of_replies_closes_the_channel(requester: ChannelClient) -> None:
    """One on another channel of the same connection does not help."""
    second = requester.client.channel(2)
    queue = second.queue("requests")
    second.publish(queue, b"request", properties=REQUEST)
    publish_closes_channel(second, 406, "PRECONDITION_FAILED - fast reply consumer does not exist")
    assert requester.counts(queue) == (0, 0)


@pytest.mark.rule("5.49")
def test_request_after_cancel_closes_the_channel(requester: ChannelClient) -> None:
    cancel(requester, "replies")
    requester.publish("requests", properties=REQUEST)
    publish_closes_channel(requester, 406, "PRECONDITION_FAILED - fast reply consumer does not exist")


@pytest.mark.rule("5.49")
@pytest.mark.parametrize("reply_to", ["", "amq.rabbitmq.reply-to.x", "AMQ.rabbitmq.reply-to", "another"])
def test_other_reply_to_needs_no_consumer_and_passes_unchanged(channel: ChannelClient, reply_to: str) -> None:
    queue = channel.queue("requests")
    channel.publish(queue, properties=Properties(reply_to=reply_to))
    delivery = channel.get(queue)
    assert delivery is not None
    assert delivery.properties.reply_to == reply_to


# 5.50: replies


@pytest.mark.rule("5.50")
def test_reply_to_becomes_a_name_that_cannot_be_guessed(requester: ChannelClient, other: ChannelClient) -> None:
    names = [request(requester, other)]
    for number in range(2, 30):
        channel = requester.client.channel(number)
        consume_replies(channel)
        names.append(request(channel, other))
    assert len(set(names)) == len(names)
    for name in names:
        assert name.startswith(REPLY_TO + ".")
        assert len(name) - len(REPLY_TO) > 20
        assert len(name.encode()) <= 255


@pytest.mark.rule("5.50")
def test_only_reply_to_of_a_request_is_changed(requester: ChannelClient, other: ChannelClient) -> None:
    queue = other.queue("requests")
    sent = Properties(
        content_type="text/plain",
        headers={"n": 1, "BCC": [b"x"]},
        delivery_mode=2,
        reply_to=REPLY_TO,
        expiration="90000",
        user_id="guest",
    )
    requester.publish(queue, b"request", properties=sent)
    delivery = other.get(queue)
    assert delivery is not None
    assert (delivery.properties.reply_to or "").startswith(REPLY_TO + ".")
    delivery.properties.reply_to, sent.headers = REPLY_TO, {"n": 1}
    assert delivery.properties == sent


@pytest.mark.rule("5.50")
def test_reply_is_delivered_to_the_requester(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    for number in (1, 2):
        other.publish(name, b"reply", properties=Properties(correlation_id="c-1", delivery_mode=2))
        reply = requester.expect_delivery()
        assert reply.method == BasicDeliver(
            consumer_tag="replies", delivery_tag=number, redelivered=False, exchange="", routing_key=name
        )
        assert reply.body == b"reply"
        assert reply.properties == Properties(correlation_id="c-1", delivery_mode=2)
    requester.expect_nothing()


@pytest.mark.rule("5.50")
def test_large_reply_is_delivered_whole(requester: ChannelClient, other: ChannelClient) -> None:
    body = bytes(range(256)) * 2000
    other.publish(request(requester, other), body)
    assert requester.expect_delivery().body == body


@pytest.mark.rule("5.50")
def test_replies_need_no_prefetch_and_cannot_be_acked(requester: ChannelClient, other: ChannelClient) -> None:
    qos(requester, 1)
    name = request(requester, other)
    other.publish(name, b"1")
    other.publish(name, b"2")
    requester.expect_bodies(b"1", b"2")
    closes_channel(requester, BasicAck(delivery_tag=1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.rule("5.50")
def test_replies_share_the_tags_of_the_channel(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    queue = requester.queue("q")
    requester.consume(queue, "ordinary")
    other.publish(queue, b"1")
    other.publish(name, b"2")
    other.publish(queue, b"3")
    assert [each.tag for each in requester.expect_bodies(b"1", b"2", b"3")] == [1, 2, 3]
    ack(requester, 3, multiple=True)
    requester.expect_nothing()


@pytest.mark.rule("5.50")
def test_reply_in_a_transaction_is_delivered_at_commit(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    tx_select(other)
    other.publish(name, b"reply")
    requester.expect_nothing()
    commit(other)
    requester.expect_bodies(b"reply")


# 5.51: nobody there


def gone(requester: ChannelClient, other: ChannelClient, way: str) -> str:
    """The name of a requester that has gone this way."""
    name = request(requester, other)
    # Replied to before, so that a remembered route would still lead there.
    other.publish(name, b"reply")
    requester.expect_bodies(b"reply")
    if way == "cancel":
        cancel(requester, "replies")
    elif way == "close":
        requester.close()
    elif way == "error":
        requester.send(BasicAck(delivery_tag=99))
        requester.expect_close(406)
    else:
        requester.client.drop()
    return name


@pytest.mark.rule("5.51")
@pytest.mark.parametrize("mandatory", [False, True])
@pytest.mark.parametrize("way", ["cancel", "close", "error", "drop"])
def test_reply_to_somebody_gone_is_dropped_and_acked(
    requester: ChannelClient, other: ChannelClient, way: str, mandatory: bool
) -> None:
    name = gone(requester, other, way)
    confirm_select(other)
    other.publish(name, b"late", mandatory=mandatory)
    assert other.expect(BasicAck) == BasicAck(delivery_tag=1)
    other.expect_nothing()
    requester.expect_nothing()


@pytest.mark.rule("5.51")
def test_late_reply_by_way_of_an_alternate_exchange_is_dropped(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    detour = exchange(other, "detour", arguments={"alternate-exchange": b""})
    other.publish(name, b"reply", exchange=detour)
    requester.expect_bodies(b"reply")
    cancel(requester, "replies")
    other.publish(name, b"late", exchange=detour)
    requester.expect_nothing()


@pytest.mark.rule("5.51")
def test_reply_to_a_forged_name_is_dropped_and_acked(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    forged = name[:-1] + ("A" if name[-1] != "A" else "B")
    confirm_select(other)
    other.publish(forged, b"forged")
    assert other.expect(BasicAck) == BasicAck(delivery_tag=1)
    requester.expect_nothing()


@pytest.mark.rule("5.51")
@pytest.mark.parametrize("mandatory", [False, True])
def test_reply_that_arrives_is_acked(requester: ChannelClient, other: ChannelClient, mandatory: bool) -> None:
    name = request(requester, other)
    confirm_select(other)
    other.publish(name, b"reply", mandatory=mandatory)
    assert other.expect(BasicAck) == BasicAck(delivery_tag=1)
    other.expect_nothing()
    requester.expect_bodies(b"reply")


@pytest.mark.rule("5.51")
def test_reply_to_a_client_that_does_not_read_is_acked(requester: ChannelClient, other: ChannelClient) -> None:
    name = request(requester, other)
    requester.client.reads = False
    confirm_select(other)
    for number in range(1, 40):
        other.publish(name, bytes(1 << 20))
        assert other.expect(BasicAck) == BasicAck(delivery_tag=number)
    assert requester.client.connection.outbox.size < 34 << 20


# 5.52: declare and bind


@pytest.mark.rule("5.52")
@pytest.mark.parametrize("passive", [False, True])
def test_declare_tells_whether_the_requester_lives(
    requester: ChannelClient, other: ChannelClient, passive: bool
) -> None:
    name = request(requester, other)
    answer = QueueDeclareOk(queue=name, message_count=0, consumer_count=1)
    assert other.call(QueueDeclare(queue=name, passive=passive), QueueDeclareOk) == answer
    cancel(requester, "replies")
    closes_channel(other, QueueDeclare(queue=name, passive=passive), 404, f"NOT_FOUND - no queue '{name}' in vhost '/'")


@pytest.mark.rule("5.52")
@pytest.mark.parametrize("passive", [False, True])
def test_declare_of_the_bare_name_is_always_fine(channel: ChannelClient, passive: bool) -> None:
    answer = QueueDeclareOk(queue=REPLY_TO, message_count=0, consumer_count=1)
    assert channel.call(QueueDeclare(queue=REPLY_TO, passive=passive), QueueDeclareOk) == answer


@pytest.mark.rule("5.52")
@pytest.mark.parametrize("kind", [QueueBind, QueueUnbind])
def test_binding_is_refused(requester: ChannelClient, other: ChannelClient, kind: type[Method]) -> None:
    text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
    for at, name in enumerate((REPLY_TO, request(requester, other)), start=10):
        channel = other.client.channel(at)
        closes_channel(channel, kind(queue=name, exchange="amq.direct", routing_key="k"), 403, text)
