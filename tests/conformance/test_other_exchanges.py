"""Exchanges that hash, throw dice or remember: rules 3.16 and 3.33 to 3.36."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from amqp_broker.config import Config
from amqp_codec import (
    BasicReturn,
    ExchangeBind,
    ExchangeDeclare,
    Properties,
    QueueBind,
    Table,
    Value,
)
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient, World
from tests.support.delivery import commit, tx_select
from tests.support.topology import (
    bind,
    bind_exchange,
    confirming,
    delete_exchange,
    exchange,
    expect_ack,
    has_exchange,
    quorum_queue,
    refused,
    unbind,
)

Restart = Callable[[Machine], Machine]

after_any_end = pytest.mark.parametrize(
    "restart", [Machine.restarted, Machine.crashed], ids=["clean stop", "power cut"]
)

QUEUES = ("q1", "q2", "q3", "q4")


def where(channel: ChannelClient, keys: list[str], source: str = "x", **properties: object) -> list[str]:
    """Publish a message per key; gives the queue that each reached, and checks that it is one."""
    for number, key in enumerate(keys):
        channel.publish(key, b"%d" % number, exchange=source, properties=Properties(**properties))  # type: ignore[arg-type]
    reached = {body: queue for queue in QUEUES for body in channel.drain(queue)}
    assert len(reached) == len(keys)
    return [reached[b"%d" % number] for number in range(len(keys))]


def bound_queues(channel: ChannelClient, *keys: str, durable: bool = False) -> None:
    for queue, key in zip(QUEUES, keys, strict=False):
        bind(channel, channel.queue(queue, durable=durable), "x", key)
    for queue in QUEUES[len(keys) :]:
        channel.queue(queue, durable=durable)


KEYS = [f"key {number}" for number in range(400)]


# Limit


@pytest.mark.rule("3.16")
def test_the_number_of_exchanges_can_be_limited() -> None:
    world = World(Config(max_exchanges=9))
    channel = world.channel()
    exchange(channel, "first")
    exchange(channel, "second")
    text = "cannot declare exchange 'third' in vhost '/': exchange limit of 9 is reached"
    refused(channel, ExchangeDeclare(exchange="third", type="direct"), 406, f"PRECONDITION_FAILED - {text}")
    exchange(channel, "first")
    delete_exchange(channel, "first")
    exchange(channel, "third")


# Consistent hash


@pytest.mark.rule("3.33")
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "The binding key must be an integer: <<>>"),
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        ("٣", 'The binding key must be an integer: <<"٣"/utf8>>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
    ],
)
def test_a_binding_key_is_a_weight(channel: ChannelClient, key: str, text: str) -> None:
    exchange(channel, "x", "x-consistent-hash")
    exchange(channel, "y", "fanout")
    channel.queue("q1")
    refused(channel, QueueBind(queue="q1", exchange="x", routing_key=key), 406, f"PRECONDITION_FAILED - {text}")
    refused(channel, ExchangeBind(destination="y", source="x", routing_key=key), 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("3.33")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"hash-property": b"priority"}, "Unsupported property: priority"),
        (
            {"hash-property": b"message_id", "hash-header": b"h"},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-header": 5}, "invalid argument 'hash-header': expected longstr"),
        ({"hash-property": [b"message_id"]}, "invalid argument 'hash-property': expected longstr"),
    ],
)
def test_what_is_hashed_has_to_be_known(channel: ChannelClient, arguments: Table, text: str) -> None:
    method = ExchangeDeclare(exchange="x", type="x-consistent-hash", arguments=arguments)
    refused(channel, method, 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("3.33")
def test_equal_keys_go_to_one_queue_and_weights_share_them_out(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash")
    bound_queues(channel, "1", "1", "2")
    first = where(channel, KEYS)
    assert where(channel, KEYS) == first
    counts = Counter(first)
    assert 60 < counts["q1"] < 140
    assert 60 < counts["q2"] < 140
    assert 150 < counts["q3"] < 250


@pytest.mark.rule("3.33")
def test_a_new_destination_takes_messages_from_the_others_only(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash")
    bound_queues(channel, "10", "10", "10")
    before = where(channel, KEYS)
    bind(channel, "q4", "x", "10")
    after = where(channel, KEYS)
    moved = {new for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {"q4"}
    unbind(channel, "q4", "x", "10")
    assert where(channel, KEYS) == before


@pytest.mark.rule("3.33")
def test_only_the_first_binding_of_a_destination_counts(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash")
    bound_queues(channel, "1", "1")
    before = where(channel, KEYS)
    bind(channel, "q1", "x", "9999")
    assert where(channel, KEYS) == before
    unbind(channel, "q1", "x", "1")
    assert Counter(where(channel, KEYS))["q1"] > 390


@pytest.mark.rule("3.33")
@after_any_end
def test_the_choice_is_the_same_after_a_restart(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "x", "x-consistent-hash", durable=True)
    bound_queues(channel, "3", "1", "2", "1", durable=True)
    before = where(channel, KEYS)
    assert where(restart(machine).channel(), KEYS) == before


@pytest.mark.rule("3.33")
def test_a_header_can_be_hashed(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash", arguments={"hash-header": b"h"})
    bound_queues(channel, "1", "1", "1")
    values: list[Value] = [*range(100), *(b"%d" % number for number in range(100))]
    reached = [where(channel, ["a"], headers={"h": value})[0] for value in values]
    assert [where(channel, ["b"], headers={"h": value})[0] for value in values] == reached
    assert len(set(reached[:100])) == len(set(reached[100:])) == 3
    assert reached[:100] != reached[100:]
    assert len(set(where(channel, KEYS))) == 1
    assert set(where(channel, KEYS, headers={"other": 1})) == set(where(channel, ["a"]))


@pytest.mark.rule("3.33")
@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
def test_a_property_can_be_hashed(channel: ChannelClient, name: str) -> None:
    exchange(channel, "x", "x-consistent-hash", arguments={"hash-property": name.encode()})
    bound_queues(channel, "1", "1", "1")
    values = range(50) if name == "timestamp" else [str(number) for number in range(50)]
    given: list[dict[str, object]] = [{name: value} for value in values]
    reached = [where(channel, ["a"], "x", **each)[0] for each in given]
    assert [where(channel, ["b"], "x", **each)[0] for each in given] == reached
    assert len(set(reached)) == 3
    assert len(set(where(channel, KEYS))) == 1


@pytest.mark.rule("3.33")
def test_without_bindings_a_hash_leads_nowhere(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash")
    exchange(channel, "y", "x-modulus-hash")
    exchange(channel, "z", "x-random")
    for source in ("x", "y", "z"):
        channel.publish("k", b"1", exchange=source, mandatory=True)
        assert channel.expect_delivery(BasicReturn).body == b"1"


@pytest.mark.rule("3.33", "3.20")
def test_a_hash_can_lead_to_exchanges(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-consistent-hash")
    for queue in QUEUES:
        channel.queue(queue)
    for queue in QUEUES[:2]:
        exchange(channel, queue, "fanout")
        bind(channel, queue, queue)
        bind_exchange(channel, queue, "x", "1")
    assert set(where(channel, KEYS)) == {"q1", "q2"}


# Random


@pytest.mark.rule("3.34")
def test_a_random_exchange_chooses_one_binding_whatever_the_keys(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-random")
    bound_queues(channel, "a", "b", "")
    counts = Counter(where(channel, ["k"] * 900))
    assert set(counts) == {"q1", "q2", "q3"}
    assert min(counts.values()) > 200


@pytest.mark.rule("3.34")
def test_a_local_random_exchange_refuses_keys_and_other_queues(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-local-random")
    channel.queue("q1")
    quorum_queue(channel, "quorum")
    exchange(channel, "y", "fanout")
    text = "Non empty binding 'k' key not permitted"
    refused(channel, QueueBind(queue="q1", exchange="x", routing_key="k"), 406, f"PRECONDITION_FAILED - {text}")
    text = "Queue type rabbit_quorum_queue not valid for this exchange type"
    refused(channel, QueueBind(queue="quorum", exchange="x"), 406, f"PRECONDITION_FAILED - {text}")
    text = "Destination not found"
    refused(channel, ExchangeBind(destination="y", source="x"), 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("3.34")
def test_a_local_random_exchange_chooses_a_classic_queue(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-local-random")
    bound_queues(channel, "", "")
    assert set(where(channel, ["k"] * 100)) == {"q1", "q2"}


# Modulus hash


@pytest.mark.rule("3.35")
@after_any_end
def test_a_modulus_is_stable_whatever_the_order_of_bindings(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "x", "x-modulus-hash", durable=True)
    bound_queues(channel, "", "", "any", "", durable=True)
    before = where(channel, KEYS)
    assert min(Counter(before).values()) > 50
    unbind(channel, "q1", "x")
    bind(channel, "q1", "x", "other")
    assert where(channel, KEYS) == before
    assert where(restart(machine).channel(), KEYS) == before


@pytest.mark.rule("3.35")
def test_several_bindings_weigh_a_queue(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-modulus-hash")
    bound_queues(channel, "1", "1")
    for key in ("2", "3"):
        bind(channel, "q2", "x", key)
    assert Counter(where(channel, KEYS))["q2"] > 250


@pytest.mark.rule("3.35")
def test_all_routing_keys_are_hashed(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-modulus-hash")
    bound_queues(channel, "", "", "")
    reached = {where(channel, ["k"], headers={"CC": [b"%d" % number]})[0] for number in range(50)}
    assert len(reached) == 3


# Recent history


@pytest.mark.rule("3.36")
def test_a_new_binding_gets_the_last_messages(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-recent-history")
    for number in range(25):
        channel.publish("k", b"%d" % number, exchange="x")
    channel.queue("q1")
    bind(channel, "q1", "x")
    assert channel.drain("q1") == [b"%d" % number for number in range(5, 25)]
    bind(channel, "q1", "x")
    assert channel.drain("q1") == []
    channel.publish("k", b"new", exchange="x")
    assert channel.drain("q1") == [b"new"]


@pytest.mark.rule("3.36")
def test_the_length_of_a_history_is_an_argument(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-recent-history", arguments={"x-recent-history-length": 2})
    for number in range(5):
        channel.publish("k", b"%d" % number, exchange="x")
    channel.publish("k", b"secret", exchange="x", properties=Properties(headers={"x-recent-history-no-store": True}))
    channel.queue("q1")
    bind(channel, "q1", "x")
    assert channel.drain("q1") == [b"3", b"4"]


@pytest.mark.rule("3.36")
@pytest.mark.parametrize(("length", "shown"), [(0, "0"), (-1, "-1"), (b"5", '<<"5">>'), (True, "true"), (2.5, "2.5")])
def test_the_length_of_a_history_is_a_positive_integer(channel: ChannelClient, length: Value, shown: str) -> None:
    text = f"Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
    refused(
        channel,
        ExchangeDeclare(exchange="x", type="x-recent-history", arguments={"x-recent-history-length": length}),
        406,
        f"PRECONDITION_FAILED - {text}",
    )
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.36", "3.20")
def test_a_bound_exchange_gets_the_last_messages_too(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-recent-history")
    exchange(channel, "y", "topic")
    channel.queue("q1")
    bind(channel, "q1", "y", "a.*")
    for key in ("a.b", "b.c", "a.c"):
        channel.publish(key, key.encode(), exchange="x")
    bind_exchange(channel, "y", "x")
    assert channel.drain("q1") == [b"a.b", b"a.c"]


@pytest.mark.rule("3.36", "5.4", "3.21")
def test_a_history_is_no_destination(channel: ChannelClient) -> None:
    confirming(channel)
    exchange(channel, "x", "x-recent-history", arguments={"alternate-exchange": b"amq.fanout"})
    channel.publish("k", b"1", exchange="x", mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == b"1"
    expect_ack(channel, 1)
    channel.queue("q1")
    bind(channel, "q1", "amq.fanout")
    channel.publish("k", b"2", exchange="x", mandatory=True)
    expect_ack(channel, 2)
    assert channel.drain("q1") == [b"2"]
    channel.queue("q2")
    bind(channel, "q2", "x")
    assert channel.drain("q2") == [b"1", b"2"]


@pytest.mark.rule("3.36", "6.13")
def test_a_transaction_is_history_once_it_is_committed(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-recent-history")
    tx_select(channel)
    channel.publish("k", b"1", exchange="x")
    for queue in ("q1", "q2"):
        channel.queue(queue)
    bind(channel, "q1", "x")
    assert channel.drain("q1") == []
    commit(channel)
    bind(channel, "q2", "x")
    assert channel.drain("q2") == [b"1"]


@pytest.mark.rule("3.36")
@after_any_end
def test_a_durable_history_survives(restart: Restart) -> None:
    machine = Machine()
    channel = confirming(machine.channel())
    exchange(channel, "x", "x-recent-history", durable=True, arguments={"x-recent-history-length": 3})
    for number in range(1, 7):
        mode = 1 if number == 5 else 2
        channel.publish("k", b"%d" % number, exchange="x", properties=Properties(delivery_mode=mode))
        expect_ack(channel, number)
    channel = restart(machine).channel()
    channel.queue("q1")
    bind(channel, "q1", "x")
    assert channel.drain("q1")[-2:] == [b"4", b"6"]


@pytest.mark.rule("3.36")
def test_a_history_has_no_more_octets_than_a_queue_in_memory() -> None:
    world = World(Config(queue_window_octets=10_000))
    channel = world.channel()
    exchange(channel, "x", "x-recent-history", arguments={"x-recent-history-length": 1_000_000_000})
    for number in range(100):
        channel.publish("k", b"%04d" % number + bytes(996), exchange="x")
    channel.queue("q1")
    bind(channel, "q1", "x")
    assert [int(body[:4]) for body in channel.drain("q1")] == [94, 95, 96, 97, 98, 99]


# Federation's upstream


def hop(name: bytes, vhost: bytes = b"/") -> Table:
    return {"cluster-name": name, "vhost": vhost, "uri": b"amqp://there"}


@pytest.mark.rule("3.39")
@pytest.mark.parametrize(
    ("hops", "crosses"),
    [
        (None, True),
        (b"no list", True),
        ([], True),
        ([hop(b"other")], True),
        ([hop(b"down", b"elsewhere"), 1], False),
        ([hop(b"other"), hop(b"another")], False),
        ([hop(b"down")], False),
        ([hop(b"down", b"elsewhere")], True),
        ([{}], True),
    ],
)
def test_what_came_far_or_from_there_does_not_cross_a_link(channel: ChannelClient, hops: Value, crosses: bool) -> None:
    arguments: Table = {"x-max-hops": 2, "x-downstream-name": b"down", "x-downstream-vhost": b"/"}
    exchange(channel, "x", "x-federation-upstream", arguments=arguments)
    channel.queue("q1")
    bind(channel, "q1", "x")
    headers: Table = {} if hops is None else {"x-received-from": hops}
    channel.publish("any key", b"message", exchange="x", properties=Properties(headers=headers))
    assert channel.drain("q1") == ([b"message"] if crosses else [])


@pytest.mark.rule("3.39")
def test_a_link_that_does_not_tell_where_it_leads_is_only_counted(channel: ChannelClient) -> None:
    exchange(channel, "x", "x-federation-upstream", arguments={"x-max-hops": 2})
    channel.queue("q1")
    bind(channel, "q1", "x")
    channel.publish("k", b"message", exchange="x", properties=Properties(headers={"x-received-from": [{}]}))
    assert channel.drain("q1") == [b"message"]


@pytest.mark.rule("3.39")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Argument x-max-hops missing"),
        ({"x-max-hops": b"1"}, "Argument x-max-hops must be of type long"),
        ({"x-max-hops": True}, "Argument x-max-hops must be of type long"),
    ],
)
def test_a_link_says_how_many_hops_it_allows(channel: ChannelClient, arguments: Table, text: str) -> None:
    declare = ExchangeDeclare(exchange="x", type="x-federation-upstream", arguments=arguments)
    refused(channel, declare, 406, f"PRECONDITION_FAILED - {text}")
    assert not has_exchange(channel, "x")
