"""Chapter 2: channels."""

from __future__ import annotations

import pytest

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_codec import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    TxSelect,
    TxSelectOk,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import ChannelClient, Client, World
from tests.support.storage import SlowStorage

PERSISTENT = Properties(delivery_mode=2)

NONE_DECLARED = "NOT_FOUND - no previously declared queue"


def publish_frames(channel_id: int, routing_key: str, body: bytes) -> bytes:
    """A whole publish, its body in two frames, of which the second has one octet."""
    return (
        encode_frame(1, channel_id, encode_method_payload(BasicPublish(routing_key=routing_key)))
        + encode_frame(2, channel_id, b"\x00\x3c\x00\x00" + len(body).to_bytes(8) + b"\x00\x00")
        + encode_frame(3, channel_id, body[:-1])
        + encode_frame(3, channel_id, body[-1:])
    )


# Open and close


@pytest.mark.rule("2.1")
def test_open_ok_has_one_empty_longstr(client: Client) -> None:
    before = len(client.raw)
    client.call(258, ChannelOpen(), ChannelOpenOk)
    assert client.raw[before:] == b"\x01\x01\x02\x00\x00\x00\x08\x00\x14\x00\x0b\x00\x00\x00\x00\xce"


@pytest.mark.rule("2.1", "0.6")
def test_a_second_open_is_a_channel_error_of_the_connection(channel: ChannelClient) -> None:
    channel.send(ChannelOpen())
    close = channel.client.expect_close(504, "CHANNEL_ERROR - second 'channel.open' seen")
    assert (close.failing_class_id, close.failing_method_id) == (20, 10)


@pytest.mark.rule("2.2", "0.6")
@pytest.mark.parametrize("was_open", [False, True])
@pytest.mark.parametrize(
    "method",
    [
        QueueDeclare(queue="q"),
        BasicAck(delivery_tag=1),
        ChannelFlow(active=True),
        ChannelClose(),
        ChannelCloseOk(),
        ConfirmSelect(),
        BasicConsumeOk(),
    ],
    ids=lambda method: method.name,
)
def test_other_methods_on_a_channel_that_is_not_open(client: Client, method: Method, was_open: bool) -> None:
    if was_open:
        client.channel(3).close()
    client.send(3, method)
    close = client.expect_close(504, "CHANNEL_ERROR - expected 'channel.open'")
    assert (close.failing_class_id, close.failing_method_id) == (method.class_id, method.method_id)
    client.expect_nothing()


@pytest.mark.rule("2.2")
def test_a_publish_on_a_channel_that_is_not_open(client: Client) -> None:
    client.send_octets(publish_frames(3, "q", b"ab"))
    close = client.expect_close(504, "CHANNEL_ERROR - expected 'channel.open'")
    assert (close.failing_class_id, close.failing_method_id) == (60, 40)


@pytest.mark.rule("2.3")
def test_the_limit_counts_open_channels_and_not_their_ids(world: World) -> None:
    client = Client(world)
    client.open(channel_max=3)
    channels = [client.channel(number) for number in (65535, 1, 40_000)]
    channels[1].close()
    client.channel(2)
    client.send(3, ChannelOpen())
    text = "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)"
    close = client.expect_close(530, text)
    assert (close.failing_class_id, close.failing_method_id) == (20, 10)


@pytest.mark.rule("2.3")
def test_the_proposed_limit_can_be_used_up(client: Client) -> None:
    for number in range(1, 2048):
        client.channel(number)
    client.send(2048, ChannelOpen())
    client.expect_close(
        530, "NOT_ALLOWED - number of channels opened (2047) has reached the negotiated channel_max (2047)"
    )


@pytest.mark.rule("2.3")
def test_the_highest_id_is_a_channel_like_any_other(client: Client) -> None:
    channel = client.channel(65535)
    channel.queue("q")
    channel.publish("q", b"x")
    assert channel.drain("q") == [b"x"]


@pytest.mark.rule("2.4")
def test_with_close_ok_messages_are_requeued_and_consumers_gone(world: World) -> None:
    channel, other = world.channel(), world.channel()
    other.queue("q")
    other.publish_all("q", b"a", b"b", b"c")
    assert channel.get("q", no_ack=False) is not None
    channel.consume("q")
    channel.expect_bodies(b"b", b"c")
    channel.close()
    channel.expect_nothing()
    assert other.counts("q") == (3, 0)
    again = channel.client.channel(1)
    taken = [again.get("q") for _ in range(3)]
    assert [(each.body, each.redelivered) for each in taken if each] == [(b"a", True), (b"b", True), (b"c", True)]


@pytest.mark.rule("2.4")
def test_another_consumer_gets_what_a_closing_channel_gives_back(world: World) -> None:
    channel, other = world.channel(), world.channel()
    channel.queue("q")
    channel.consume("q")
    channel.publish_all("q", b"a", b"b")
    channel.expect_bodies(b"a", b"b")
    other.consume("q")
    channel.close()
    channel.expect_nothing()
    other.expect_bodies(b"a", b"b")


@pytest.mark.rule("2.4")
def test_what_was_published_before_close_is_confirmed_before_close_ok(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.client.send_octets(publish_frames(1, "q", b"ab") + encode_method_frame(1, ChannelClose(reply_code=200)))
    assert channel.expect(BasicAck).delivery_tag == 1
    channel.expect(ChannelCloseOk)
    channel.expect_nothing()


@pytest.mark.rule("2.4", "10.5")
def test_closing_and_opening_in_a_tight_loop(client: Client) -> None:
    for _ in range(500):
        channel = client.channel(1)
        channel.queue("q")
        channel.close()
    pipelined = encode_method_frame(1, ChannelOpen()) + encode_method_frame(1, ChannelClose())
    client.send_octets(pipelined * 500)
    for _ in range(500):
        client.expect(1, ChannelOpenOk)
        client.expect(1, ChannelCloseOk)
    client.expect_nothing()


@pytest.fixture
def slow(world: World) -> SlowStorage:
    """The storage of a world in which confirms wait."""
    storage = SlowStorage()
    world.broker = Broker(now=lambda: world.time, storage=storage)
    world.broker.restore((), {})
    return storage


@pytest.mark.rule("2.4")
@pytest.mark.parametrize("reopen", [False, True])
def test_what_storage_finishes_after_close_is_not_told_on_a_reused_id(
    slow: SlowStorage, world: World, reopen: bool
) -> None:
    client = world.client()
    channel = client.channel()
    channel.queue("q", durable=True)
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("q", b"x", properties=PERSISTENT)
    channel.close()
    if reopen:
        client.channel(1)
    slow.sync()
    client.expect_nothing()


@pytest.mark.rule("2.6")
def test_what_storage_finishes_after_a_channel_error_is_not_told(slow: SlowStorage, world: World) -> None:
    channel = world.channel()
    channel.queue("q", durable=True)
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("q", b"x", properties=PERSISTENT)
    channel.publish("q", b"x", exchange="missing")
    channel.expect(ChannelClose)
    slow.sync()
    channel.expect_nothing()
    channel.send(ChannelCloseOk())
    channel.client.channel(1)
    channel.expect_nothing()


# A failed channel


@pytest.fixture
def failed(channel: ChannelClient, other: ChannelClient) -> ChannelClient:
    """A channel that had a message, a consumer and confirms when it failed; the close has been taken."""
    other.queue("q")
    other.queue("left")
    channel.queue("here")
    other.publish_all("q", b"a", b"b")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.consume("q")
    channel.expect_bodies(b"a", b"b")
    channel.publish("left", b"1")
    channel.expect(BasicAck)
    channel.send(QueuePurge(queue="missing"))
    close = channel.expect(ChannelClose)
    assert (close.reply_code, close.reply_text) == (404, "NOT_FOUND - no queue 'missing' in vhost '/'")
    assert (close.failing_class_id, close.failing_method_id) == (50, 30)
    return channel


@pytest.mark.rule("2.5")
def test_consumers_and_unacked_messages_are_released_when_the_error_happens(
    failed: ChannelClient, other: ChannelClient
) -> None:
    assert other.counts("q") == (2, 0)
    taken = [other.get("q"), other.get("q")]
    assert [(each.body, each.redelivered) for each in taken if each] == [(b"a", True), (b"b", True)]


@pytest.mark.rule("2.5", "2.6")
def test_everything_is_ignored_until_close_ok(failed: ChannelClient, other: ChannelClient) -> None:
    for method in (
        QueueDeclare(queue="late"),
        BasicConsume(queue="q"),
        BasicAck(delivery_tag=99),
        BasicQos(prefetch_size=1),
        ChannelFlow(active=False),
        ChannelOpen(),
        ConfirmSelect(),
        BasicConsumeOk(),
    ):
        failed.send(method)
    failed.publish("q", b"ignored")
    failed.publish("q", b"ignored", immediate=True)
    failed.publish("k", b"ignored", exchange="missing too", mandatory=True)
    failed.publish("q", bytes(300_000))
    failed.expect_nothing()
    assert other.counts("q") == (2, 0)
    other.send(QueueDeclare(queue="late", passive=True))
    other.expect_close(404)
    failed.send(ChannelCloseOk())
    failed.client.channel(1).queue("in time")


@pytest.mark.rule("2.5", "1.49")
def test_publishes_on_a_failed_channel_are_parsed_in_any_slicing(failed: ChannelClient) -> None:
    client = failed.client
    second = client.channel(2)
    octets = publish_frames(1, "q", b"ignored") + encode_method_frame(1, ChannelCloseOk())
    octets += encode_method_frame(1, ChannelOpen()) + publish_frames(2, "left", b"2")
    for octet in octets:
        client.send_octets(bytes((octet,)))
    client.expect(1, ChannelOpenOk)
    assert second.drain("left") == [b"1", b"2"]


@pytest.mark.rule("2.5")
def test_an_error_does_not_harm_what_another_channel_is_sending(channel: ChannelClient) -> None:
    client = channel.client
    channel.queue("q")
    frames = publish_frames(2, "q", b"half")
    second = client.channel(2)
    client.send_octets(frames[:-9])
    channel.send(QueuePurge(queue="missing"))
    channel.expect_close(404)
    client.send_octets(frames[-9:])
    assert second.drain("q") == [b"half"]


@pytest.mark.rule("2.5")
def test_a_crossing_close_is_answered_and_close_ok_still_awaited(failed: ChannelClient) -> None:
    failed.call(ChannelClose(reply_code=200), ChannelCloseOk)
    failed.send(QueueDeclare(queue="late"))
    failed.send(ChannelOpen())
    failed.expect_nothing()
    failed.call(ChannelClose(reply_code=200), ChannelCloseOk)
    failed.send(ChannelCloseOk())
    failed.expect_nothing()
    failed.client.channel(1)


@pytest.mark.rule("2.2", "2.5")
def test_after_close_ok_the_channel_is_closed(failed: ChannelClient) -> None:
    failed.send(ChannelCloseOk())
    failed.send(ChannelCloseOk())
    failed.client.expect_close(504, "CHANNEL_ERROR - expected 'channel.open'")


@pytest.mark.rule("2.6")
def test_a_failed_channel_gets_no_deliveries_returns_or_confirms(failed: ChannelClient, other: ChannelClient) -> None:
    before = len(failed.client.raw)
    other.publish_all("q", b"c", b"d")
    failed.publish("nowhere", b"x", mandatory=True)
    failed.publish("q", b"x")
    other.send(QueueDelete(queue="q"))
    other.expect(QueueDeleteOk)
    failed.client.pump()
    assert len(failed.client.raw) == before


@pytest.mark.rule("2.6")
def test_what_was_due_before_the_error_is_sent_before_it(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    mandatory = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key="nowhere", mandatory=True)))
    empty = encode_frame(2, 1, b"\x00\x3c\x00\x00" + bytes(10))
    channel.client.send_octets(
        publish_frames(1, "q", b"ok")
        + mandatory
        + empty
        + encode_method_frame(1, QueuePurge(queue="missing"))
        + publish_frames(1, "q", b"late")
    )
    channel.expect(BasicReturn)
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=2, multiple=True)
    channel.expect_close(404)
    channel.expect_nothing()


@pytest.mark.rule("2.5", "2.6")
def test_two_consumers_of_a_failing_channel_get_nothing_from_one_another(world: World) -> None:
    channel, other = world.channel(), world.channel()
    other.queue("q", arguments={"x-single-active-consumer": True})
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume("q", "first")
    channel.consume("q", "second")
    other.publish_all("q", b"a", b"b")
    channel.expect_bodies(b"a")
    channel.send(QueuePurge(queue="missing"))
    channel.expect_close(404)
    taken = [other.get("q"), other.get("q")]
    assert [(each.body, each.redelivered) for each in taken if each] == [(b"a", True), (b"b", False)]


@pytest.mark.rule("10.5", "2.4", "2.5")
def test_an_error_and_at_once_a_new_channel_on_the_same_id(channel: ChannelClient) -> None:
    client = channel.client
    for _ in range(50):
        octets = encode_method_frame(1, QueuePurge(queue="missing")) + publish_frames(1, "q", b"ignored")
        client.send_octets(octets)
        client.expect(1, ChannelClose)
        client.send_octets(
            encode_method_frame(1, ChannelCloseOk())
            + encode_method_frame(1, ChannelOpen())
            + encode_method_frame(1, QueueDeclare(queue="q"))
        )
        client.expect(1, ChannelOpenOk)
        assert client.expect(1, QueueDeclareOk).message_count == 0


@pytest.mark.rule("2.5", "0.5")
def test_the_other_channels_of_the_connection_go_on(channel: ChannelClient) -> None:
    second = channel.client.channel(2)
    second.queue("q")
    second.consume("q", no_ack=True)
    channel.send(QueuePurge(queue="missing"))
    channel.expect(ChannelClose)
    second.publish("q", b"x")
    second.expect_bodies(b"x")


# Flow, access, order


@pytest.mark.rule("2.7")
def test_flow_may_only_go_on(channel: ChannelClient) -> None:
    assert channel.call(ChannelFlow(active=True), ChannelFlowOk).active is True
    channel.send(ChannelFlow(active=False))
    close = channel.client.expect_close(540, "NOT_IMPLEMENTED - active=false")
    assert (close.failing_class_id, close.failing_method_id) == (20, 20)


@pytest.mark.rule("2.8")
def test_access_is_always_granted_and_tickets_are_ignored(channel: ChannelClient) -> None:
    request = AccessRequest(realm="/data", exclusive=True, passive=True, active=True, write=True, read=True)
    assert channel.call(request, AccessRequestOk).ticket == 1
    channel.call(QueueDeclare(ticket=65535, queue="q"), QueueDeclareOk)
    channel.call(QueueBind(ticket=7, queue="q", exchange="amq.topic", routing_key="k"), QueueBindOk)
    channel.call(QueuePurge(ticket=9, queue="q"), QueuePurgeOk)


@pytest.mark.rule("2.9")
def test_pipelined_methods_run_and_are_answered_in_order(channel: ChannelClient) -> None:
    client = channel.client
    methods: list[Method] = [
        QueueDeclare(queue="a"),
        ExchangeDeclare(exchange="x", type="fanout"),
        QueueBind(queue="a", exchange="x"),
        ConfirmSelect(),
    ]
    octets = b"".join(encode_method_frame(1, method) for method in methods)
    octets += publish_frames(1, "a", b"1") + encode_method_frame(1, QueueDeclare(queue="a", passive=True))
    octets += publish_frames(1, "a", b"2") + encode_method_frame(1, QueuePurge(queue="a"))
    octets += encode_method_frame(1, QueueUnbind(queue="a", exchange="x"))
    octets += encode_method_frame(1, QueueDelete(queue="a"))
    client.send_octets(octets)
    answers = [command.method for command in client.inbox if not isinstance(command.method, BasicAck)]
    assert answers == [
        QueueDeclareOk(queue="a"),
        ExchangeDeclareOk(),
        QueueBindOk(),
        ConfirmSelectOk(),
        QueueDeclareOk(queue="a", message_count=1),
        QueuePurgeOk(message_count=2),
        QueueUnbindOk(),
        QueueDeleteOk(),
    ]


# no-wait


@pytest.mark.rule("2.10")
def test_no_wait_does_the_same_work_without_an_answer(channel: ChannelClient, other: ChannelClient) -> None:
    def done(method: Method) -> None:
        channel.send(method)
        channel.expect_nothing()

    vhost = channel.world.broker.vhosts["/"]
    done(QueueDeclare(queue="q", no_wait=True))
    done(QueueDeclare(queue="q", passive=True, no_wait=True))
    done(ExchangeDeclare(exchange="x", type="fanout", no_wait=True))
    done(ExchangeDeclare(exchange="y", type="fanout", no_wait=True))
    done(ExchangeDeclare(exchange="y", passive=True, no_wait=True))
    done(QueueBind(queue="q", exchange="y", no_wait=True))
    done(ExchangeBind(destination="y", source="x", no_wait=True))
    other.publish("k", b"1", exchange="x")
    assert other.counts("q") == (1, 0)
    done(QueuePurge(queue="q", no_wait=True))
    assert other.counts("q") == (0, 0)
    done(BasicConsume(queue="q", consumer_tag="c", no_ack=True, no_wait=True))
    other.publish("k", b"2", exchange="x")
    channel.expect_bodies(b"2")
    done(BasicCancel(consumer_tag="c", no_wait=True))
    assert other.counts("q") == (0, 0)
    done(ExchangeUnbind(destination="y", source="x", no_wait=True))
    other.publish("k", b"3", exchange="x")
    assert other.counts("q") == (0, 0)
    done(ExchangeDelete(exchange="x", no_wait=True))
    assert "x" not in vhost.exchanges
    done(QueueDelete(queue="q", no_wait=True))
    assert "q" not in vhost.queues
    done(ConfirmSelect(no_wait=True))
    channel.publish("nowhere")
    channel.expect(BasicAck)


@pytest.mark.rule("2.10")
@pytest.mark.parametrize(
    ("method", "code"),
    [
        (QueueDeclare(queue="missing", passive=True, no_wait=True), 404),
        (QueueDeclare(queue="amq.q", no_wait=True), 403),
        (QueueBind(queue="missing", exchange="amq.topic", no_wait=True), 404),
        (QueuePurge(queue="missing", no_wait=True), 404),
        (QueueDelete(queue="", no_wait=True), 404),
        (ExchangeDeclare(exchange="x", type="nonsense", no_wait=True), 406),
        (ExchangeDelete(exchange="amq.topic", no_wait=True), 403),
        (ExchangeBind(destination="missing", source="amq.topic", no_wait=True), 404),
        (BasicConsume(queue="missing", no_wait=True), 404),
    ],
)
def test_no_wait_does_not_hide_errors(channel: ChannelClient, method: Method, code: int) -> None:
    channel.send(method)
    close = channel.expect_close(code)
    assert (close.failing_class_id, close.failing_method_id) == (method.class_id, method.method_id)


@pytest.mark.rule("2.10")
def test_no_wait_does_not_hide_that_confirms_and_transactions_exclude_each_other(channel: ChannelClient) -> None:
    channel.call(TxSelect(), TxSelectOk)
    channel.send(ConfirmSelect(no_wait=True))
    channel.expect_close(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")


# Limits


@pytest.mark.rule("2.11")
def test_consumers_per_channel_may_be_limited() -> None:
    channel = World(Config(max_consumers_per_channel=2)).channel()
    channel.queue("q")
    channel.consume("q", "a")
    channel.consume("q", "b")
    second = channel.client.channel(2)
    second.consume("q", "a")
    channel.send(BasicCancel(consumer_tag="a", no_wait=True))
    channel.consume("q", "c")
    channel.send(BasicConsume(queue="q"))
    close = channel.client.expect_close(530, "NOT_ALLOWED - reached maximum (2) of consumers per channel")
    assert (close.failing_class_id, close.failing_method_id) == (60, 20)


@pytest.mark.rule("2.11")
def test_by_default_they_are_not(channel: ChannelClient) -> None:
    channel.queue("q")
    for number in range(1000):
        channel.consume("q", str(number))


# The last queue declared


@pytest.mark.rule("2.12")
@pytest.mark.parametrize("name", ["", "named"])
@pytest.mark.parametrize("passive", [False, True])
def test_an_empty_name_is_the_last_queue_declared(world: World, name: str, passive: bool) -> None:
    channel = world.channel()
    channel.queue("earlier")
    queue = channel.queue(name)
    if passive:
        channel.queue("between")
        channel.call(QueueDeclare(queue=queue, passive=True), QueueDeclareOk)
    channel.call(QueueBind(exchange="amq.topic", routing_key="k"), QueueBindOk)
    channel.publish("k", b"1", exchange="amq.topic")
    assert channel.drain("") == [b"1"]
    assert channel.call(QueueDeclare(passive=True), QueueDeclareOk).queue == queue
    channel.consume("", no_ack=True)
    channel.publish("k", b"2", exchange="amq.topic")
    channel.expect_bodies(b"2")
    channel.send(BasicCancel(consumer_tag="c", no_wait=True))
    channel.call(QueueUnbind(exchange="amq.topic", routing_key="k"), QueueUnbindOk)
    channel.publish("k", b"3", exchange="amq.topic")
    channel.publish(queue, b"4")
    assert channel.call(QueuePurge(), QueuePurgeOk).message_count == 1
    channel.publish(queue, b"5")
    assert channel.call(QueueDelete(), QueueDeleteOk).message_count == 1
    assert "earlier" in world.broker.vhosts["/"].queues


@pytest.mark.rule("2.12", "0.6")
@pytest.mark.parametrize(
    "method",
    [
        QueueBind(exchange="amq.topic", routing_key="k"),
        QueueUnbind(exchange="amq.topic", routing_key="k"),
        BasicGet(),
        BasicConsume(),
        QueuePurge(),
        QueueDelete(),
    ],
    ids=lambda method: method.name,
)
def test_without_a_declared_queue_an_empty_name_means_nothing(world: World, method: Method) -> None:
    client = world.client()
    client.channel(2).queue("of another channel")
    channel = client.channel(1)
    channel.send(method)
    close = channel.expect_close(404, NONE_DECLARED)
    assert (close.failing_class_id, close.failing_method_id) == (method.class_id, method.method_id)


@pytest.mark.rule("2.12")
def test_a_new_channel_on_the_same_id_remembers_nothing(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.close()
    again = channel.client.channel(1)
    again.send(QueuePurge())
    again.expect_close(404, NONE_DECLARED)


@pytest.mark.rule("2.12")
def test_the_last_queue_may_be_gone(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(QueueDelete(queue="q"), QueueDeleteOk)
    channel.send(BasicGet())
    channel.expect_close(404, "NOT_FOUND - no queue 'q' in vhost '/'")


@pytest.mark.rule("2.12")
def test_a_declare_that_fails_is_not_remembered(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.send(QueueDeclare(queue="q", auto_delete=True))
    channel.expect_close(406)
    again = channel.client.channel(1)
    again.send(QueuePurge())
    again.expect_close(404, NONE_DECLARED)


@pytest.mark.rule("2.13")
def test_with_queue_and_key_empty_the_key_is_the_queue_s_name_too(channel: ChannelClient) -> None:
    queue = channel.queue("")
    channel.call(QueueBind(exchange="amq.direct"), QueueBindOk)
    channel.publish(queue, b"by name", exchange="amq.direct")
    channel.publish("", b"by nothing", exchange="amq.direct")
    assert channel.drain(queue) == [b"by name"]
    channel.call(QueueUnbind(exchange="amq.direct"), QueueUnbindOk)
    channel.publish(queue, b"by name", exchange="amq.direct")
    assert channel.drain(queue) == []


@pytest.mark.rule("2.13")
def test_with_a_named_queue_an_empty_key_stays_empty(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(QueueBind(queue="q", exchange="amq.direct"), QueueBindOk)
    channel.publish("q", b"by name", exchange="amq.direct")
    channel.publish("", b"by nothing", exchange="amq.direct")
    assert channel.drain("q") == [b"by nothing"]
    channel.call(QueueUnbind(queue="q", exchange="amq.direct"), QueueUnbindOk)
    channel.publish("", b"by nothing", exchange="amq.direct")
    assert channel.drain("q") == []


@pytest.mark.rule("2.13")
def test_with_only_the_queue_empty_the_key_stays_what_it_is(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.call(QueueBind(exchange="amq.direct", routing_key="k"), QueueBindOk)
    channel.publish("k", b"k", exchange="amq.direct")
    channel.publish("q", b"q", exchange="amq.direct")
    assert channel.drain("q") == [b"k"]
