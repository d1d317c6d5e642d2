"""Message deduplication by exchanges and queues (rules 3.37, 3.38 and 4.59)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amqp_broker.queues.waiting import RETRY_S
from amqp_codec import BasicReturn, ExchangeDeclare, Properties, QueueDeclare, Table, Value
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient
from tests.support.delivery import commit, rollback, tx_select
from tests.support.topology import (
    bind,
    bind_exchange,
    confirming,
    exchange,
    expect_ack,
    expect_nack,
    got,
    has_exchange,
    queue_with,
    quorum_queue,
    refused,
    reject,
)

HEADER = "x-deduplication-header"
ONCE: Table = {"x-message-deduplication": True}


def send(channel: ChannelClient, key: Value, *, to: str = "x", mandatory: bool = False, **more: Value) -> None:
    headers: Table = {HEADER: key, **{name.replace("_", "-"): value for name, value in more.items()}}
    body = repr(key).encode()
    channel.publish("q", body, exchange=to, properties=Properties(headers=headers), mandatory=mandatory)


def filtering(channel: ChannelClient, kind: str = "direct", **arguments: Value) -> None:
    """Have an exchange "x" that lets nothing through twice, and a queue "q" behind it."""
    table: Table = {**ONCE, **{f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}}
    exchange(channel, "x", kind, arguments=table)
    channel.queue("q")
    bind(channel, "q", "x", "q")


@pytest.mark.rule("3.37")
@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers", "x-random"])
def test_an_exchange_lets_nothing_through_twice(channel: ChannelClient, kind: str) -> None:
    filtering(channel, kind)
    for key in (b"a", b"b", b"a", 1, 1, True, b"1", b"b"):
        send(channel, key)
    assert channel.drain("q") == [b"b'a'", b"b'b'", b"1", b"True", b"b'1'"]
    for _ in range(2):
        channel.publish("q", b"no header", exchange="x")
    assert channel.drain("q") == [b"no header"] * 2


@pytest.mark.rule("3.37")
def test_a_duplicate_is_unroutable_but_confirmed(channel: ChannelClient) -> None:
    filtering(confirming(channel))
    send(channel, b"a", mandatory=True)
    expect_ack(channel, 1)
    send(channel, b"a", mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == b"b'a'"
    expect_ack(channel, 2)


@pytest.mark.rule("3.37")
def test_the_alternate_gets_no_duplicates(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={**ONCE, "alternate-exchange": b"amq.fanout"})
    channel.queue("q")
    bind(channel, "q", "amq.fanout")
    send(channel, b"a")
    send(channel, b"a")
    assert channel.drain("q") == [b"b'a'"]


@pytest.mark.rule("3.37")
def test_the_memory_is_bounded_and_forgets_the_oldest(channel: ChannelClient) -> None:
    filtering(channel, cache_size=2)
    for key in (1, 2, 3, 2, 3, 1, 1):
        send(channel, key)
    assert channel.drain("q") == [b"1", b"2", b"3", b"1"]


@pytest.mark.rule("3.37")
def test_the_memory_has_128_places_unless_asked_for_more(channel: ChannelClient) -> None:
    filtering(channel)
    for key in (*range(129), 1, 0):
        send(channel, key)
    assert channel.drain("q") == [b"%d" % key for key in (*range(129), 0)]


@pytest.mark.rule("3.37")
def test_what_is_remembered_can_expire(channel: ChannelClient) -> None:
    filtering(channel, cache_ttl=1000)
    send(channel, 1)
    send(channel, 2, x_cache_ttl=5000)
    send(channel, 3, x_cache_ttl=b"5000")
    channel.world.advance(0.999)
    send(channel, 1)
    channel.world.advance(0.001)
    for key in (1, 2, 3):
        send(channel, key)
    channel.world.advance(4)
    send(channel, 2)
    assert channel.drain("q") == [b"1", b"2", b"3", b"1", b"3", b"2"]


@pytest.mark.rule("3.37")
def test_the_header_can_have_another_name(channel: ChannelClient) -> None:
    filtering(channel, deduplication_header=b"id")
    for _ in range(2):
        channel.publish("q", b"1", exchange="x", properties=Properties(headers={"id": b"7"}))
        send(channel, 2)
    assert channel.drain("q") == [b"1", b"2", b"2"]


@pytest.mark.rule("3.37")
def test_large_values_are_told_apart_and_take_little_room(channel: ChannelClient) -> None:
    filtering(channel)
    large: list[Value] = [b"a" * 100_000, b"a" * 100_000 + b"b", [b"a"] * 5000, {"k": b"a" * 5000}]
    for key in large * 2:
        send(channel, key)
    assert len(channel.drain("q")) == len(large)


@pytest.mark.rule("3.37")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x-message-deduplication": b"true"}, "x-message-deduplication header not a Bool"),
        ({"x-cache-size": b"1"}, "x-cache-size header not a Int"),
        ({"x-cache-size": True}, "x-cache-size header not a Int"),
        ({"x-cache-size": 0}, "x-cache-size header must be at least 1"),
        ({"x-cache-ttl": -1}, "x-cache-ttl header must be at least 0"),
        ({"x-cache-ttl": 1.5}, "x-cache-ttl header not a Int"),
        ({"x-deduplication-header": 1}, "x-deduplication-header header not a String"),
    ],
)
def test_arguments_are_checked(channel: ChannelClient, arguments: Table, text: str) -> None:
    table = {**ONCE, **arguments}
    method = ExchangeDeclare(exchange="x", type="direct", arguments=table)
    refused(channel, method, 406, f"PRECONDITION_FAILED - {text}")
    assert not has_exchange(channel, "x")
    refused(channel, QueueDeclare(queue="q", arguments=table), 406, f"PRECONDITION_FAILED - {text}")
    if "x-message-deduplication" not in arguments:
        queue_with(channel, "plain", arguments)


@pytest.mark.rule("3.37", "6.15")
def test_what_was_rolled_back_was_not_seen(channel: ChannelClient) -> None:
    tx_select(channel)
    filtering(channel)
    send(channel, 1)
    rollback(channel)
    send(channel, 1)
    send(channel, 1)
    commit(channel)
    assert channel.drain("q") == [b"1"]
    send(channel, 2)
    channel.close()
    channel = channel.client.channel()
    send(channel, 2)
    assert channel.drain("q") == [b"2"]


@pytest.mark.rule("3.37", "6.15")
@pytest.mark.parametrize("ends", [commit, rollback])
def test_of_two_the_first_that_is_there_is_the_first(
    channel: ChannelClient, ends: Callable[[ChannelClient], None]
) -> None:
    filtering(channel)
    other = tx_select(channel.client.channel(2))
    send(other, 1)
    other.expect_nothing()
    send(channel, 1)
    ends(other)
    assert channel.drain("q") == [b"1"]
    send(channel, 1)
    assert channel.drain("q") == []


@pytest.mark.rule("3.37", "6.15")
def test_a_transaction_that_comes_second_goes_where_nothing_has_been(channel: ChannelClient) -> None:
    filtering(channel)
    exchange(channel, "front", "fanout")
    bind_exchange(channel, "x", "front")
    channel.queue("other")
    bind(channel, "other", "front")
    tx = tx_select(channel.client.channel(2))
    send(tx, 1, to="front")
    tx.expect_nothing()
    send(channel, 1)
    commit(tx)
    assert channel.drain("q") == [b"1"]
    assert channel.drain("other") == [b"1"]


@pytest.mark.rule("3.37")
def test_what_went_nowhere_or_was_refused_was_not_seen(channel: ChannelClient) -> None:
    exchange(confirming(channel), "x", arguments=ONCE)
    send(channel, 1, mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == b"1"
    expect_ack(channel, 1)
    queue_with(channel, "q", {"x-max-length": 1, "x-overflow": b"reject-publish"})
    bind(channel, "q", "x", "q")
    send(channel, 1)
    expect_ack(channel, 2)
    send(channel, 2)
    expect_nack(channel, 3)
    assert channel.drain("q") == [b"1"]
    send(channel, 2)
    expect_ack(channel, 4)
    assert channel.drain("q") == [b"2"]


@pytest.mark.rule("3.37", "4.43")
def test_a_dead_letter_that_waits_is_no_duplicate_of_itself(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout", arguments=ONCE)
    queue_with(channel, "dead", {"x-max-length": 1, "x-overflow": b"reject-publish"})
    bind(channel, "dead", "x")
    channel.publish("dead", b"before")
    quorum_queue(
        channel, "source", dead_letter_exchange=b"x", dead_letter_strategy=b"at-least-once", overflow=b"reject-publish"
    )

    def kill(number: int) -> None:
        channel.publish("source", b"%d" % number, properties=Properties(headers={HEADER: number}))
        reject(channel, got(channel, "source"))

    kill(1)
    channel.world.advance(2 * RETRY_S)
    assert channel.drain("dead") == [b"before"]
    channel.world.advance(RETRY_S)
    assert channel.drain("dead") == [b"1"]
    kill(1)
    kill(2)
    assert channel.drain("dead") == [b"2"], "the letter before it is a duplicate, and holds it up"


@pytest.mark.rule("3.37", "3.31")
def test_a_delayed_message_is_no_duplicate_of_itself(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-delayed-message", arguments={**ONCE, "x-delayed-type": b"direct"})
    channel.queue("q")
    bind(channel, "q", "x", "q")
    for _ in range(2):
        send(channel, 1, x_delay=1000)
    channel.world.advance(1)
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.37", "3.20")
def test_exchanges_behind_others_filter_too(channel: ChannelClient) -> None:
    filtering(channel)
    bind_exchange(channel, "x", "amq.fanout")
    for _ in range(2):
        send(channel, 1, to="amq.fanout")
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("3.38")
def test_a_deduplication_exchange_is_a_fanout_that_filters(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-message-deduplication", arguments={"x-cache-size": b"2", "x-cache-ttl": 1000})
    channel.queue("q")
    bind(channel, "q", "x", "any key")
    for key in (1, 1, 2, 3, 1):
        send(channel, key)
    channel.world.advance(1)
    send(channel, 3)
    assert channel.drain("q") == [b"1", b"2", b"3", b"1", b"3"]


@pytest.mark.rule("3.38")
@pytest.mark.parametrize("arguments", [{}, {"x-cache-size": 0}, {"x-cache-size": b"many"}, {"x-cache-size": True}])
def test_a_deduplication_exchange_needs_a_size(channel: ChannelClient, arguments: Table) -> None:
    refused(
        channel,
        ExchangeDeclare(exchange="x", type="x-message-deduplication", arguments=arguments),
        406,
        "PRECONDITION_FAILED - Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
    )
    refused(
        channel,
        ExchangeDeclare(
            exchange="x", type="x-message-deduplication", arguments={"x-cache-size": 1, "x-cache-ttl": b""}
        ),
        406,
        "PRECONDITION_FAILED - Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
    )


@pytest.mark.rule("4.59")
def test_a_queue_takes_nothing_twice(channel: ChannelClient) -> None:
    confirming(channel)
    queue_with(channel, "q", {**ONCE, "x-cache-size": 3})
    queue_with(channel, "other", {})
    for queue in ("q", "other"):
        bind(channel, queue, "amq.fanout")
    for number, key in enumerate((1, 1, 2, 3, 4, 1), 1):
        send(channel, key, to="amq.fanout", mandatory=True)
        expect_ack(channel, number)
    assert channel.drain("q") == [b"1", b"2", b"3", b"4", b"1"]
    assert len(channel.drain("other")) == 6


@pytest.mark.rule("3.37", "4.59", "6.5")
@pytest.mark.parametrize("by", ["exchange", "queue", "stream"])
def test_a_duplicate_is_confirmed_no_sooner_than_the_first(by: str) -> None:
    machine = Machine()
    channel, again = machine.channel(), confirming(machine.channel())
    exchange(channel, "x", "direct", durable=True, arguments=ONCE if by == "exchange" else {})
    kind = {"x-queue-type": b"stream"} if by == "stream" else {}
    channel.queue("q", durable=True, arguments=kind if by == "exchange" else {**kind, **ONCE})
    bind(channel, "q", "x", "q")
    machine.is_eager = False
    for each in (channel, again):
        each.publish("q", exchange="x", properties=Properties(headers={HEADER: 1}, delivery_mode=2))
    again.expect_nothing()
    machine.writer.run()
    expect_ack(again, 1)
    assert channel.counts("q") == (1, 0)


@pytest.mark.rule("4.59")
def test_a_consumer_gets_no_duplicate_either(channel: ChannelClient) -> None:
    queue_with(channel, "q", ONCE)
    channel.consume("q", no_ack=True)
    for _ in range(2):
        send(channel, 1, to="")
    channel.expect_bodies(b"1")


@pytest.mark.rule("4.59")
def test_what_was_refused_may_come_again(channel: ChannelClient) -> None:
    confirming(channel)
    queue_with(channel, "q", {**ONCE, "x-max-length": 1, "x-overflow": b"reject-publish"})
    send(channel, 1, to="")
    expect_ack(channel, 1)
    send(channel, 2, to="")
    expect_nack(channel, 2)
    assert channel.drain("q") == [b"1"]
    send(channel, 2, to="")
    expect_ack(channel, 3)
    assert channel.drain("q") == [b"2"]
