"""Delayed message exchange (rules 3.31 and 3.32)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amqp_broker.config import Config
from amqp_broker.queues.delay import DelayLine
from amqp_codec import (
    BasicReturn,
    ByteArray,
    Decimal,
    ExchangeDeclare,
    Int64,
    Properties,
    QueueBind,
    Table,
    Timestamp,
    Value,
)
from tests.simulation.machine import BEGINNING, Machine
from tests.support.client import ChannelClient
from tests.support.delivery import commit, rollback, tx_select
from tests.support.topology import (
    bind,
    bind_exchange,
    confirming,
    delete_exchange,
    exchange,
    expect_ack,
    got,
    refused,
    unbind,
)

Restart = Callable[[Machine], Machine]

after_any_end = pytest.mark.parametrize(
    "restart", [Machine.restarted, Machine.crashed, Machine.killed], ids=["clean stop", "power cut", "kill"]
)

LONGEST_MS = (1 << 32) - 1
HUNDRED_YEARS_MS = 100 * 365 * 86_400_000


def delayed(channel: ChannelClient, name: str = "later", inner: str = "direct", **options: Any) -> str:
    arguments: Table = {"x-delayed-type": inner.encode()}
    arguments.update(options.pop("arguments", {}))
    return exchange(channel, name, "x-delayed-message", arguments=arguments, **options)


def bound(channel: ChannelClient, inner: str = "direct", **options: Any) -> ChannelClient:
    """Have a delayed exchange "later" and a queue "q", bound with the key "k"."""
    delayed(channel, inner=inner, **options)
    channel.queue("q", durable=True)
    bind(channel, "q", "later", "k")
    return channel


def publish(
    channel: ChannelClient,
    body: bytes,
    delay: Value = None,
    *,
    key: str = "k",
    exchange: str = "later",
    delivery_mode: int | None = None,
    mandatory: bool = False,
    **headers: Value,
) -> None:
    table: Table = dict(headers)
    if delay is not None:
        table["x-delay"] = delay
    properties = Properties(headers=table or None, delivery_mode=delivery_mode)
    channel.publish(key, body, exchange=exchange, properties=properties, mandatory=mandatory)


def line_of(channel: ChannelClient, name: str = "later") -> DelayLine:
    keeper = channel.world.broker.vhosts["/"].exchanges[name].keeper
    assert isinstance(keeper, DelayLine)
    return keeper


@pytest.mark.rule("3.31")
@pytest.mark.parametrize(
    "arguments",
    [{}, {"x-delayed-type": b"nonsense"}, {"x-delayed-type": 5}, {"x-delayed-type": None}],
    ids=["absent", "unknown", "number", "void"],
)
def test_the_inner_type_has_to_be_known(channel: ChannelClient, arguments: Table) -> None:
    refused(
        channel,
        ExchangeDeclare(exchange="later", type="x-delayed-message", arguments=arguments),
        406,
        "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type",
    )


@pytest.mark.rule("3.31")
def test_the_inner_type_can_not_be_delayed_itself(channel: ChannelClient) -> None:
    refused(
        channel,
        ExchangeDeclare(exchange="later", type="x-delayed-message", arguments={"x-delayed-type": b"x-delayed-message"}),
        406,
        "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
    )


@pytest.mark.rule("3.31")
def test_a_message_comes_when_its_delay_is_over_and_not_before(channel: ChannelClient) -> None:
    bound(channel)
    publish(channel, b"1", 5000)
    channel.world.advance(4.999)
    assert channel.drain("q") == []
    channel.world.advance(0.001)
    delivery = got(channel, "q")
    assert (delivery.body, delivery.exchange, delivery.routing_key) == (b"1", "later", "k")
    assert delivery.headers == {"x-delay": -5000}


@pytest.mark.rule("3.31")
@pytest.mark.parametrize(
    "delay",
    [None, 0, -1, -5000, HUNDRED_YEARS_MS, Int64(-HUNDRED_YEARS_MS), LONGEST_MS + 1, 0.5, float("nan"), float("inf")],
    ids=str,
)
def test_what_is_no_delay_is_routed_at_once(channel: ChannelClient, delay: Value) -> None:
    bound(channel)
    publish(channel, b"1", delay)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.31")
@pytest.mark.parametrize(
    "delay",
    [b"", b"soon", b"5 s", b"1_000", b"9" * 30, True, Timestamp(5000), Decimal(0, 5000), [5000], {"ms": 5000}],
    ids=repr,
)
def test_what_can_not_be_read_as_a_number_is_routed_at_once(channel: ChannelClient, delay: Value) -> None:
    bound(channel)
    publish(channel, b"1", delay)
    delivery = got(channel, "q")
    assert delivery.body == b"1"
    assert delivery.headers["x-delay"] == delay


@pytest.mark.rule("3.31")
@pytest.mark.parametrize("delay", [Int64(5000), b"5000", b"+5000", ByteArray(b"5000"), 5000.9], ids=repr)
def test_strings_and_floats_are_converted(channel: ChannelClient, delay: Value) -> None:
    bound(channel)
    publish(channel, b"1", delay)
    channel.world.advance(4.999)
    assert channel.drain("q") == []
    channel.world.advance(0.001)
    assert got(channel, "q").headers == {"x-delay": -5000}


@pytest.mark.rule("3.31")
def test_the_longest_delay_is_kept(channel: ChannelClient) -> None:
    bound(channel)
    publish(channel, b"1", Int64(LONGEST_MS))
    channel.world.advance(LONGEST_MS / 1000 - 0.001)
    assert channel.drain("q") == []
    channel.world.advance(0.001)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.31")
def test_bindings_are_those_of_the_moment_the_delay_is_over(channel: ChannelClient) -> None:
    bound(channel)
    publish(channel, b"1", 1000)
    unbind(channel, "q", "later", "k")
    channel.queue("new")
    bind(channel, "new", "later", "k")
    channel.world.advance(1)
    assert channel.drain("q") == []
    assert channel.drain("new") == [b"1"]


@pytest.mark.rule("3.31")
def test_bindings_are_those_of_the_inner_type(channel: ChannelClient) -> None:
    bound(channel, "topic")
    bind(channel, "q", "later", "a.#")
    publish(channel, b"1", 10, key="a.b.c")
    publish(channel, b"now", key="a.b")
    assert channel.drain("q") == [b"now"]
    channel.world.advance(1)
    assert channel.drain("q") == [b"1"]
    delayed(channel, "by headers", "headers")
    text = 'Invalid x-match field value <<"none">>; expected all, any, all-with-x, or any-with-x'
    refused(
        channel,
        QueueBind(queue="q", exchange="by headers", arguments={"x-match": b"none"}),
        406,
        f"PRECONDITION_FAILED - {text}",
    )


@pytest.mark.rule("3.31")
def test_the_inner_type_reads_headers_when_the_delay_is_over(channel: ChannelClient) -> None:
    delayed(channel, inner="headers")
    channel.queue("q")
    bind(channel, "q", "later", "", {"h": 1})
    publish(channel, b"1", 10, h=1)
    publish(channel, b"2", 10, h=2)
    channel.world.advance(1)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.32")
def test_messages_come_in_the_order_of_their_time(channel: ChannelClient) -> None:
    bound(channel)
    for body, delay in ((b"3", 300), (b"1", 100), (b"2a", 200), (b"2b", 200)):
        publish(channel, body, delay)
    channel.consume("q", no_ack=True)
    channel.world.advance(1)
    channel.client.pump()
    channel.expect_bodies(b"1", b"2a", b"2b", b"3")


@pytest.mark.rule("3.32")
def test_a_delayed_publish_is_confirmed_at_once_and_not_returned(channel: ChannelClient) -> None:
    confirming(bound(channel))
    publish(channel, b"1", 1000, mandatory=True)
    expect_ack(channel, 1)
    publish(channel, b"nowhere", 1000, key="nowhere", mandatory=True)
    expect_ack(channel, 2)
    channel.world.advance(1)
    channel.client.pump()
    channel.expect_nothing()
    assert channel.drain("q") == [b"1"]
    publish(channel, b"at once", key="nowhere", mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == b"at once"
    expect_ack(channel, 3)


@pytest.mark.rule("3.31", "3.21")
def test_the_alternate_is_asked_when_the_delay_is_over(channel: ChannelClient) -> None:
    bound(channel, arguments={"alternate-exchange": b"amq.fanout"})
    channel.queue("rest")
    bind(channel, "rest", "amq.fanout")
    publish(channel, b"1", 1000, key="other")
    assert channel.drain("rest") == []
    channel.world.advance(1)
    assert channel.drain("rest") == [b"1"]


@pytest.mark.rule("3.31", "3.22", "5.54")
def test_carbon_copies_are_delayed_too(channel: ChannelClient) -> None:
    bound(channel)
    channel.queue("copy")
    channel.queue("blind")
    bind(channel, "copy", "later", "c")
    bind(channel, "blind", "later", "b")
    publish(channel, b"1", 1000, CC=[b"c"], BCC=[b"b"])
    channel.world.advance(1)
    assert channel.drain("q") == [b"1"]
    assert channel.drain("copy") == [b"1"]
    delivery = got(channel, "blind")
    assert delivery.headers == {"x-delay": -1000, "CC": [b"c"]}


@pytest.mark.rule("3.31", "3.20")
def test_a_delayed_exchange_behind_another_delays(channel: ChannelClient) -> None:
    bound(channel)
    exchange(channel, "front", "fanout")
    bind_exchange(channel, "later", "front")
    channel.queue("direct")
    bind(channel, "direct", "front")
    publish(channel, b"1", 1000, exchange="front")
    assert channel.drain("direct") == [b"1"]
    assert channel.drain("q") == []
    channel.world.advance(1)
    assert got(channel, "q").exchange == "front"
    assert channel.drain("direct") == []


@pytest.mark.rule("3.31")
def test_a_delay_passes_once_through_several_delayed_exchanges(channel: ChannelClient) -> None:
    bound(channel)
    delayed(channel, "first", "fanout")
    bind_exchange(channel, "later", "first")
    publish(channel, b"1", 1000, exchange="first")
    channel.world.advance(1)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.31", "6.13")
def test_in_a_transaction_the_delay_begins_with_commit(channel: ChannelClient) -> None:
    tx_select(bound(channel))
    publish(channel, b"1", 1000)
    publish(channel, b"nowhere", 1000, key="nowhere", mandatory=True)
    channel.world.advance(10)
    commit(channel)
    channel.world.advance(0.999)
    assert channel.drain("q") == []
    channel.world.advance(0.001)
    assert channel.drain("q") == [b"1"]
    publish(channel, b"2", 1000)
    rollback(channel)
    channel.world.advance(10)
    assert channel.drain("q") == []


@pytest.mark.rule("3.31")
def test_a_dead_letter_can_be_delayed(channel: ChannelClient) -> None:
    bound(channel)
    channel.queue("dying", arguments={"x-dead-letter-exchange": b"later", "x-dead-letter-routing-key": b"k"})
    channel.publish("dying", b"1", properties=Properties(headers={"x-delay": 1000}, expiration="0"))
    assert channel.drain("q") == []
    channel.world.advance(1)
    delivery = got(channel, "q")
    assert delivery.headers["x-first-death-reason"] == b"expired"
    assert delivery.headers["x-delay"] == -1000


@pytest.mark.rule("3.32")
def test_deleting_the_exchange_drops_what_waits(channel: ChannelClient) -> None:
    bound(channel)
    publish(channel, b"1", 1000)
    line = line_of(channel)
    assert len(line) == 1
    delete_exchange(channel, "later")
    bound(channel)
    channel.world.advance(10)
    assert channel.drain("q") == []
    assert len(line) == 0


@pytest.mark.rule("3.32", "3.14")
def test_auto_delete_drops_what_waits(channel: ChannelClient) -> None:
    bound(channel, auto_delete=True)
    publish(channel, b"1", 1000)
    unbind(channel, "q", "later", "k")
    bound(channel)
    channel.world.advance(10)
    assert channel.drain("q") == []


@pytest.mark.rule("3.32", "7.11")
@after_any_end
def test_delayed_messages_survive_with_their_instants(restart: Restart) -> None:
    machine = Machine()
    channel = confirming(bound(machine.channel(), durable=True))
    publish(channel, b"late", 3000, delivery_mode=2, CC=[b"c"])
    expect_ack(channel, 1)
    publish(channel, b"soon", 2000, delivery_mode=2)
    expect_ack(channel, 2)
    publish(channel, b"transient", 2000)
    expect_ack(channel, 3)
    machine.advance(1)
    machine = restart(machine)
    channel = machine.channel()
    channel.queue("copy")
    bind(channel, "copy", "later", "c")
    machine.advance(BEGINNING + 1.999 - machine.time)
    assert channel.drain("q") == []
    machine.advance(0.001)
    assert channel.drain("q") == [b"soon"]
    machine.advance(1)
    assert channel.drain("q") == [b"late"]
    assert channel.drain("copy") == [b"late"]
    machine = machine.restarted()
    machine.advance(100)
    assert machine.channel().drain("q") == []


@pytest.mark.rule("3.32")
@after_any_end
def test_what_fell_due_while_the_broker_was_down_comes_at_once(restart: Restart) -> None:
    machine = Machine()
    channel = confirming(bound(machine.channel(), durable=True))
    for number in range(600):
        publish(channel, b"%d" % number, 2000 - number, delivery_mode=2)
    machine.writer.run()
    channel.client.pump()
    machine = restart(machine)
    machine.time += 1000
    machine.advance(0)
    assert machine.channel().drain("q") == [b"%d" % number for number in reversed(range(600))]


@pytest.mark.rule("3.32")
@after_any_end
def test_what_a_deleted_exchange_delayed_stays_gone(restart: Restart) -> None:
    machine = Machine()
    channel = confirming(bound(machine.channel(), durable=True))
    publish(channel, b"1", 2000, delivery_mode=2)
    expect_ack(channel, 1)
    delete_exchange(channel, "later")
    machine = restart(machine)
    channel = bound(machine.channel(), durable=True)
    machine.advance(100)
    assert channel.drain("q") == []
    assert not machine.broker.vhosts["/"].queues.keys() - {"q"}


@pytest.mark.rule("3.32")
def test_waiting_messages_leave_memory() -> None:
    machine = Machine(config=Config(queue_window_octets=200_000))
    channel = bound(machine.channel(), durable=True)
    count = 3000
    delays = [1 + (7919 * number) % 100_000 for number in range(count)]
    for number, delay in enumerate(delays):
        publish(channel, b"%d" % number + bytes(200), 1000 + delay, delivery_mode=2 if number % 3 else None)
    line = line_of(channel)
    assert len(line) == count
    assert line.resident_octets < 300_000
    machine.advance(200)
    bodies = [int(body[:-200]) for body in channel.drain("q")]
    assert bodies == sorted(range(count), key=lambda number: (delays[number], number))
    assert line.resident_octets == 0


@pytest.mark.rule("3.32")
@after_any_end
def test_paged_out_messages_survive(restart: Restart) -> None:
    machine = Machine(config=Config(queue_window_octets=20_000))
    channel = confirming(bound(machine.channel(), durable=True))
    for number in range(500):
        publish(channel, b"%d" % number, 5000 - number, delivery_mode=2)
    machine.writer.run()
    machine = restart(machine)
    machine.advance(4.6)
    machine = machine.restarted()
    machine.advance(1)
    assert machine.channel().drain("q") == [b"%d" % number for number in reversed(range(500))]


@pytest.mark.rule("3.32", "7.4")
def test_no_delayed_message_is_lost_on_its_way(channel: ChannelClient) -> None:
    """A power cut between its arrival in the queue and its leaving the line gives it twice, never not at all."""
    for cut in range(12):
        machine = Machine()
        channel = confirming(bound(machine.channel(), durable=True))
        publish(channel, b"1", 1000, delivery_mode=2)
        expect_ack(channel, 1)
        machine.advance(1)
        for _ in range(cut):
            machine.writer.step()
            machine.advance(0.01)
        machine = machine.crashed()
        machine.advance(1)
        assert machine.channel().drain("q") in ([b"1"], [b"1", b"1"])


@pytest.mark.rule("3.31")
def test_without_a_disk_delayed_messages_wait_in_memory(channel: ChannelClient) -> None:
    bound(channel, durable=True)
    for number in range(2000):
        publish(channel, b"%d" % number, 1000, delivery_mode=2)
    channel.world.advance(1)
    assert channel.drain("q") == [b"%d" % number for number in range(2000)]


@pytest.mark.rule("3.31", "4.24")
def test_a_ttl_begins_when_the_delay_is_over(channel: ChannelClient) -> None:
    bound(channel)
    headers: Table = {"x-delay": 5000}
    channel.publish("k", b"1", exchange="later", properties=Properties(headers=headers, expiration="1000"))
    channel.world.advance(5.5)
    assert channel.counts("q")[0] == 1
    channel.world.advance(1)
    assert channel.counts("q")[0] == 0


@pytest.mark.rule("3.31", "3.8")
def test_arguments_of_a_delayed_exchange_are_not_compared(channel: ChannelClient) -> None:
    delayed(channel, inner="direct")
    delayed(channel, inner="topic")
