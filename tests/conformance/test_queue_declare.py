import re

import pytest

from amqp_codec import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicGet,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    Float32,
    Int8,
    Int16,
    Int64,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    Table,
    UInt8,
    UInt32,
    Value,
)
from tests.support.client import ChannelClient, World
from tests.support.topology import bind, connection_refused, delete_queue, got, has_queue, queue_with, reaches, refused


def locked(name: str) -> str:
    return (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration."
    )


def inequivalent(key: str, received: str, current: str) -> str:
    where = "queue 'q' in vhost '/'"
    return f"PRECONDITION_FAILED - inequivalent arg '{key}' for {where}: received {received} but current is {current}"


# Names


@pytest.mark.rule("4.1")
def test_empty_name_makes_one_up(channel: ChannelClient) -> None:
    names = {channel.queue("") for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)
    assert all(has_queue(channel, name) for name in names)


@pytest.mark.rule("4.1")
def test_made_up_name_may_be_asked_for_with_arguments(channel: ChannelClient) -> None:
    for queue_type in (b"classic", b""):
        name = queue_with(channel, "", {"x-queue-type": queue_type, "x-max-length": 1}, exclusive=True)
        assert name.startswith("amq.gen-")


@pytest.mark.rule("4.1")
@pytest.mark.parametrize("queue_type", ["quorum", "stream"])
def test_only_classic_queues_have_made_up_names(channel: ChannelClient, queue_type: str) -> None:
    method = QueueDeclare(queue="", durable=True, arguments={"x-queue-type": queue_type.encode()})
    text = f"PRECONDITION_FAILED - Cannot declare a server-named queue for type {queue_type}"
    refused(channel, method, 406, text)


@pytest.mark.rule("4.3")
def test_reserved_names_are_refused_even_for_a_queue_that_exists(channel: ChannelClient) -> None:
    existing = channel.queue("")
    for name in ("amq.", "amq.new", existing):
        text = f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"
        refused(channel, QueueDeclare(queue=name), 403, text)
    assert channel.counts(existing) == (0, 0)
    assert channel.queue("amq") == "amq"


@pytest.mark.rule("4.3")
def test_passive_declare_of_a_reserved_name_only_asks(channel: ChannelClient) -> None:
    text = "NOT_FOUND - no queue 'amq.gen-x' in vhost '/'"
    refused(channel, QueueDeclare(queue="amq.gen-x", passive=True), 404, text)


# What declare-ok tells


@pytest.mark.rule("4.4")
def test_declare_ok_carries_name_and_counts(channel: ChannelClient) -> None:
    assert channel.call(QueueDeclare(queue="q"), QueueDeclareOk) == QueueDeclareOk(queue="q")
    channel.publish_all("q", b"1", b"2", b"3")
    for passive in (False, True):
        answer = channel.call(QueueDeclare(queue="q", passive=passive), QueueDeclareOk)
        assert answer == QueueDeclareOk(queue="q", message_count=3, consumer_count=0)


@pytest.mark.rule("4.4")
def test_only_ready_messages_count(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish_all("q", b"1", b"2", b"3")
    got(channel, "q")
    assert channel.counts("q") == (2, 0)
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume("q")
    channel.expect_bodies(b"2")
    assert channel.counts("q") == (1, 1)


@pytest.mark.rule("4.4")
def test_all_consumers_count_also_those_that_get_nothing(channel: ChannelClient, other: ChannelClient) -> None:
    queue_with(channel, "q", {"x-single-active-consumer": True})
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume("q", "active")
    channel.publish_all("q", b"1", b"2")
    channel.expect_bodies(b"1")
    other.consume("q", "waiting", no_ack=True)
    assert channel.counts("q") == (1, 2)


# Passive


@pytest.mark.rule("4.5")
def test_passive_declare_of_a_missing_queue_is_an_error_and_makes_none(channel: ChannelClient) -> None:
    for _ in range(2):
        text = "NOT_FOUND - no queue 'q' in vhost '/'"
        refused(channel, QueueDeclare(queue="q", passive=True), 404, text)


@pytest.mark.rule("4.5")
def test_passive_declare_ignores_flags_and_arguments(channel: ChannelClient) -> None:
    channel.queue("q")
    method = QueueDeclare(
        queue="q",
        passive=True,
        durable=True,
        exclusive=True,
        auto_delete=True,
        arguments={"x-max-length": -1, "x-queue-type": b"quorum", "x-message-ttl": b"?"},
    )
    assert channel.call(method, QueueDeclareOk).queue == "q"
    channel.client.close()
    assert has_queue(channel.world.channel(), "q")  # and it did not become exclusive


@pytest.mark.rule("4.5", "4.7")
def test_passive_declare_of_anothers_exclusive_queue_is_refused(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("q", exclusive=True)
    refused(channel, QueueDeclare(queue="q", passive=True), 405, locked("q"))


# Exclusive


@pytest.mark.rule("4.6")
def test_exclusive_queue_belongs_to_all_channels_of_its_connection(channel: ChannelClient) -> None:
    channel.queue("q", exclusive=True)
    second = channel.client.channel(2)
    second.publish_all("q", b"1", b"2")
    assert second.counts("q") == (2, 0)
    second.queue("q", exclusive=True)
    channel.close()
    second.consume("q")
    second.expect_bodies(b"1", b"2")


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("ending", ["close", "drop", "forced"])
def test_exclusive_queue_ends_with_its_connection(channel: ChannelClient, other: ChannelClient, ending: str) -> None:
    channel.queue("q", exclusive=True)
    other.publish("q", b"1")
    if ending == "close":
        channel.client.close()
    elif ending == "drop":
        channel.client.drop()
    else:
        connection_refused(channel, BasicQos(prefetch_size=1), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")
    assert not has_queue(other, "q")
    other.queue("q")
    assert other.counts("q") == (0, 0)


@pytest.mark.rule("4.6")
def test_exclusive_queue_is_not_auto_delete(channel: ChannelClient) -> None:
    channel.queue("q", exclusive=True)
    second = channel.client.channel(2)
    second.consume("q")
    second.close()
    assert has_queue(channel, "q")
    method = QueueDeclare(queue="q", exclusive=True, auto_delete=True)
    refused(channel, method, 406, inequivalent("auto_delete", "'true'", "'false'"))


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("first", [True, False])
def test_durable_flag_of_an_exclusive_queue_is_ignored(channel: ChannelClient, first: bool) -> None:
    channel.queue("q", exclusive=True, durable=first)
    channel.queue("q", exclusive=True, durable=not first)
    channel.queue("q", exclusive=True, durable=first)
    assert not channel.world.broker.vhosts["/"].queues["q"].durable


@pytest.mark.rule("4.7")
@pytest.mark.parametrize(
    "method",
    [
        QueueDeclare(queue="q"),
        QueueDeclare(queue="q", exclusive=True),
        QueueDeclare(queue="q", passive=True),
        QueueDeclare(queue="q", durable=True, auto_delete=True, arguments={"x-max-length": b"?"}),
        QueueBind(queue="q", exchange="amq.fanout"),
        QueueUnbind(queue="q", exchange="amq.direct", routing_key="bound"),
        BasicGet(queue="q"),
        BasicConsume(queue="q"),
        QueuePurge(queue="q"),
        QueueDelete(queue="q"),
        QueueDelete(queue="q", if_empty=True, if_unused=True),
    ],
    ids=str,
)
def test_anothers_exclusive_queue_is_locked(channel: ChannelClient, other: ChannelClient, method: Method) -> None:
    other.queue("q", exclusive=True)
    bind(other, "q", "amq.direct", "bound")
    channel.publish("q", b"published")
    refused(channel, method, 405, locked("q"))
    assert reaches(other, "amq.fanout", "", []) == set()
    assert other.drain("q") == [b"published"]


@pytest.mark.rule("4.7")
def test_publishing_to_anothers_exclusive_queue_is_allowed(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("q", exclusive=True)
    bind(other, "q", "amq.direct", "k")
    channel.publish("q", b"1")
    channel.publish("k", b"2", exchange="amq.direct")
    channel.expect_nothing()
    assert other.drain("q") == [b"1", b"2"]


@pytest.mark.rule("4.8")
def test_redeclare_with_the_other_exclusive_flag_is_locked(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("mine", exclusive=True)
    refused(channel, QueueDeclare(queue="mine", exclusive=False), 405, locked("mine"))
    channel.queue("shared")
    refused(channel, QueueDeclare(queue="shared", exclusive=True), 405, locked("shared"))
    refused(other, QueueDeclare(queue="shared", exclusive=True), 405, locked("shared"))
    channel.client.close()
    assert has_queue(other, "shared")


# Auto-delete


@pytest.mark.rule("4.9")
def test_auto_delete_queue_goes_with_its_last_consumer(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("q", auto_delete=True)
    channel.consume("q", "a")
    channel.consume("q", "b")
    other.consume("q", "c")
    cancel(channel, "a")
    other.close()
    assert channel.counts("q") == (0, 1)
    cancel(channel, "b")
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.9")
@pytest.mark.parametrize("ending", ["cancel", "close channel", "error", "close connection", "drop"])
def test_auto_delete_happens_before_the_answer(channel: ChannelClient, other: ChannelClient, ending: str) -> None:
    other.queue("q", auto_delete=True)
    other.consume("q", "a")
    other.consume("q", "b")
    other.publish("q", b"unacked")
    other.expect_bodies(b"unacked")
    if ending == "cancel":
        cancel(other, "a")
        cancel(other, "b")
    elif ending == "close channel":
        other.close()
    elif ending == "error":
        other.send(QueueDeclare(queue="missing", passive=True))
        other.expect_close(404)
    elif ending == "close connection":
        other.client.close()
    else:
        other.client.drop()
    assert not has_queue(channel, "q")


def cancel(channel: ChannelClient, tag: str) -> None:
    assert channel.call(BasicCancel(consumer_tag=tag), BasicCancelOk).consumer_tag == tag


@pytest.mark.rule("4.9")
def test_auto_delete_queue_without_a_consumer_so_far_stays(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("q", auto_delete=True)
    other.publish_all("q", b"1", b"2")
    assert other.drain("q") == [b"1", b"2"]
    other.client.close()
    assert has_queue(channel, "q")


@pytest.mark.rule("4.9")
def test_refused_consumer_is_no_consumer(channel: ChannelClient) -> None:
    channel.queue("q", auto_delete=True)
    method = BasicConsume(queue="q", consumer_tag="c", arguments={"x-priority": b"high"})
    channel.send(method)
    channel.expect_close(406)
    channel.client.channel(1)
    assert has_queue(channel, "q")


@pytest.mark.rule("4.9")
def test_exclusive_auto_delete_queue_goes_with_its_consumer_too(channel: ChannelClient) -> None:
    channel.queue("q", auto_delete=True, exclusive=True)
    channel.consume("q")
    cancel(channel, "c")
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.10")
def test_transient_shared_queue_is_allowed(channel: ChannelClient, other: ChannelClient) -> None:
    channel.queue("q", durable=False, exclusive=False)
    channel.publish("q", b"1")
    channel.client.close()
    assert other.drain("q") == [b"1"]


# Redeclare


@pytest.mark.rule("4.11")
def test_redeclare_is_compared_in_order(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-length": 5})
    everything: Table = {"x-max-length": 6}
    declare = QueueDeclare(queue="q", exclusive=True, durable=True, auto_delete=True, arguments=everything)
    refused(channel, declare, 405, locked("q"))
    declare.exclusive = False
    refused(channel, declare, 406, inequivalent("durable", "'true'", "'false'"))
    declare.durable = False
    refused(channel, declare, 406, inequivalent("auto_delete", "'true'", "'false'"))
    declare.auto_delete = False
    refused(channel, declare, 406, inequivalent("x-max-length", "'6'", "'5'"))
    queue_with(channel, "q", {"x-max-length": 5})


@pytest.mark.rule("4.11")
def test_flags_are_compared_both_ways(channel: ChannelClient) -> None:
    channel.queue("q", durable=True, auto_delete=True)
    refused(channel, QueueDeclare(queue="q", auto_delete=True), 406, inequivalent("durable", "'false'", "'true'"))
    refused(channel, QueueDeclare(queue="q", durable=True), 406, inequivalent("auto_delete", "'false'", "'true'"))


@pytest.mark.rule("4.11", "3.9")
@pytest.mark.parametrize(
    ("key", "value", "shown", "kind", "different"),
    [
        ("x-expires", 1000, "1000", "signedint", 1001),
        ("x-message-ttl", Int64(10), "10", "long", 11),
        ("x-max-length", UInt8(10), "10", "unsignedbyte", 11),
        ("x-max-length-bytes", Int16(10), "10", "short", 11),
        ("x-overflow", b"reject-publish", "reject-publish", "longstr", b"drop-head"),
        ("x-dead-letter-exchange", b"dlx", "dlx", "longstr", b""),
        ("x-max-priority", Int8(5), "5", "byte", 6),
        ("x-single-active-consumer", True, "true", "bool", False),
        ("x-queue-mode", b"lazy", "lazy", "longstr", b"default"),
        ("x-queue-version", 2, "2", "signedint", 1),
        ("x-queue-leader-locator", b"balanced", "balanced", "longstr", b"client-local"),
    ],
)
def test_arguments_known_to_the_type_are_compared(
    channel: ChannelClient, key: str, value: Value, shown: str, kind: str, different: Value
) -> None:
    queue_with(channel, "q", {key: value})
    queue_with(channel, "q", {key: value, "x-unknown": 1})
    typed = f"the value '{shown}' of type '{kind}'"
    refused(channel, QueueDeclare(queue="q"), 406, inequivalent(key, "none", typed))
    other = different.decode() if isinstance(different, bytes) else str(different).lower()
    text = inequivalent(key, f"'{other}'", f"'{shown}'")
    refused(channel, QueueDeclare(queue="q", arguments={key: different}), 406, text)
    delete_queue(channel, "q")
    channel.queue("q")
    text = inequivalent(key, typed, "none")
    refused(channel, QueueDeclare(queue="q", arguments={key: value}), 406, text)


@pytest.mark.rule("4.11")
def test_dead_letter_routing_key_is_compared(channel: ChannelClient) -> None:
    arguments: Table = {"x-dead-letter-exchange": b"dlx", "x-dead-letter-routing-key": b"a"}
    queue_with(channel, "q", arguments)
    changed: Table = {**arguments, "x-dead-letter-routing-key": b"b"}
    text = inequivalent("x-dead-letter-routing-key", "'b'", "'a'")
    refused(channel, QueueDeclare(queue="q", arguments=changed), 406, text)


@pytest.mark.rule("4.11")
@pytest.mark.parametrize("key", ["x-delivery-limit", "x-quorum-initial-group-size", "x-dead-letter-strategy"])
def test_arguments_known_to_quorum_queues_only_are_compared_there_and_nowhere_else(
    channel: ChannelClient, key: str
) -> None:
    value: Value = b"at-most-once" if key == "x-dead-letter-strategy" else 3
    channel.queue("classic")
    queue_with(channel, "classic", {key: value})
    quorum: Table = {"x-queue-type": b"quorum"}
    queue_with(channel, "q", quorum, durable=True)
    shown, kind = ("at-most-once", "longstr") if isinstance(value, bytes) else ("3", "signedint")
    text = inequivalent(key, f"the value '{shown}' of type '{kind}'", "none")
    refused(channel, QueueDeclare(queue="q", durable=True, arguments={**quorum, key: value}), 406, text)


@pytest.mark.rule("4.11", "4.15")
def test_unknown_arguments_are_accepted_and_never_compared(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-ha-policy": b"all", "mine": 1, "x-name": [1, {"a": None}]})
    queue_with(channel, "q", {"x-ha-policy": b"none", "x-more": True})
    channel.queue("q")
    assert channel.world.broker.vhosts["/"].queues["q"].arguments["x-ha-policy"] == b"all"


@pytest.mark.rule("4.11")
def test_no_type_means_classic(channel: ChannelClient) -> None:
    channel.queue("q")
    for queue_type in (b"classic", b""):
        queue_with(channel, "q", {"x-queue-type": queue_type})
    queue_with(channel, "r", {"x-queue-type": b"classic"})
    channel.queue("r")
    text = inequivalent("x-queue-type", "'quorum'", "'classic'")
    refused(channel, QueueDeclare(queue="q", arguments={"x-queue-type": b"quorum"}), 406, text)
    text = inequivalent("durable", "'true'", "'false'")
    refused(channel, QueueDeclare(queue="q", durable=True, arguments={"x-queue-type": b"quorum"}), 406, text)


@pytest.mark.rule("3.10")
@pytest.mark.parametrize("value", [Int8(10), UInt8(10), Int16(10), UInt32(10), Int64(10)])
def test_integers_of_all_widths_are_equal(channel: ChannelClient, value: int) -> None:
    queue_with(channel, "q", {"x-max-length": 10})
    queue_with(channel, "q", {"x-max-length": value})
    queue_with(channel, "r", {"x-max-length": value})
    queue_with(channel, "r", {"x-max-length": 10})


@pytest.mark.rule("3.10")
@pytest.mark.parametrize(("value", "shown"), [(10.0, "10.0"), (Float32(10.0), "10.0"), (b"10", "10"), (True, "true")])
def test_values_of_different_classes_are_not_equal(channel: ChannelClient, value: Value, shown: str) -> None:
    current = 1 if value is True else 10
    queue_with(channel, "q", {"x-max-length": current})
    text = inequivalent("x-max-length", f"'{shown}'", f"'{current}'")
    refused(channel, QueueDeclare(queue="q", arguments={"x-max-length": value}), 406, text)


@pytest.mark.rule("3.10")
def test_float_and_double_are_equal(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-queue-mode": 1.5})
    queue_with(channel, "q", {"x-queue-mode": Float32(1.5)})
    text = inequivalent("x-queue-mode", "'2.5'", "'1.5'")
    refused(channel, QueueDeclare(queue="q", arguments={"x-queue-mode": 2.5}), 406, text)


@pytest.mark.rule("4.12")
def test_arguments_of_an_existing_queue_are_compared_and_not_validated(channel: ChannelClient) -> None:
    channel.queue("q")
    for value, shown in ((b"many", "the value 'many' of type 'longstr'"), (-5, "the value '-5' of type 'signedint'")):
        text = inequivalent("x-max-length", shown, "none")
        refused(channel, QueueDeclare(queue="q", arguments={"x-max-length": value}), 406, text)
    text = inequivalent("x-queue-type", "'nope'", "'classic'")
    refused(channel, QueueDeclare(queue="q", arguments={"x-queue-type": b"nope"}), 406, text)
    queue_with(channel, "q", {"x-delivery-limit": b"no argument of a classic queue"})


@pytest.mark.rule("4.12")
def test_refused_declare_makes_no_queue(world: World) -> None:
    channel = world.channel()
    bad: Table = {"x-max-length": -1}
    text = "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}"
    refused(channel, QueueDeclare(queue="q", arguments=bad), 406, text)
    assert not has_queue(channel, "q")
    channel.send(QueueDeclare(queue="q", no_wait=True, arguments=bad))
    channel.expect_close(406, text)
    channel.send(ChannelCloseOk())


@pytest.mark.rule("4.11")
@pytest.mark.parametrize(
    ("queue_type", "first", "second"),
    [
        (b"classic", "x-max-priority", "x-single-active-consumer"),
        (b"classic", "x-dead-letter-exchange", "x-queue-mode"),
        (b"quorum", "x-single-active-consumer", "x-message-ttl"),
    ],
)
def test_of_two_differences_the_first_in_rabbitmqs_order_is_told(
    channel: ChannelClient, queue_type: bytes, first: str, second: str
) -> None:
    values: Table = {"x-max-priority": 1, "x-single-active-consumer": True, "x-message-ttl": 1}
    both: Table = {key: values.get(key, b"some") for key in (second, first)}
    queue_with(channel, "q", {"x-queue-type": queue_type}, durable=True)
    channel.send(QueueDeclare(queue="q", durable=True, arguments={"x-queue-type": queue_type, **both}))
    close = channel.expect(ChannelClose)
    assert close.reply_text.startswith(f"PRECONDITION_FAILED - inequivalent arg '{first}' for queue 'q'")
