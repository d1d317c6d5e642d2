"""Policies: which applies, what it makes of arguments, and when (8a)."""

from __future__ import annotations

from typing import Any

import pytest

from amqp_broker.administration import InvalidValueError, ParameterNotFoundError, VhostNotFoundError
from amqp_broker.administration.parameters import clear_policy, list_policies, set_policy
from amqp_broker.auth.patterns import Pattern
from amqp_broker.broker import Broker
from amqp_broker.policies import Applied, ApplyTo, Policies, Policy, effective_arguments, merged
from amqp_broker.queues.arguments import QueueOptions, QueueType
from amqp_codec import ExchangeDeclare, ExchangeDeclareOk, QueueBind, QueueBindOk, Table
from tests.support.client import ChannelClient, World


def policy(broker: Broker, definition: dict[str, Any], name: str = "p", pattern: str = ".*", **options: Any) -> None:
    set_policy(broker, "/", name, pattern, definition, **options)


def options_of(world: World, queue: str = "q") -> QueueOptions:
    options: QueueOptions = world.broker.vhosts["/"].queues[queue].options
    return options


def one(name: str, priority: float, apply_to: ApplyTo = ApplyTo.ALL, pattern: str = "", **definition: Any) -> Policy:
    return Policy(name, Pattern(pattern), definition or {"max-length": 1}, priority, apply_to)


# Which applies


@pytest.mark.rule("8.1")
def test_the_one_with_the_highest_priority_that_matches_applies_alone(world: World, channel: ChannelClient) -> None:
    policy(world.broker, {"max-length": 1, "expires": 1000}, "low", priority=1)
    policy(world.broker, {"max-length": 2}, "high", priority=2, pattern="^q")
    policy(world.broker, {"max-length": 3}, "other", priority=3, pattern="^x$")
    channel.queue("q")
    channel.queue("r")
    assert (options_of(world).max_length, options_of(world).expires_s) == (2, None)
    assert (options_of(world, "r").max_length, options_of(world, "r").expires_s) == (1, 1.0)


@pytest.mark.rule("8.1")
@pytest.mark.parametrize(
    ("apply_to", "types", "exchanges"),
    [
        (ApplyTo.ALL, {"classic", "quorum", "stream"}, True),
        (ApplyTo.QUEUES, {"classic", "quorum", "stream"}, False),
        (ApplyTo.CLASSIC_QUEUES, {"classic"}, False),
        (ApplyTo.QUORUM_QUEUES, {"quorum"}, False),
        (ApplyTo.STREAMS, {"stream"}, False),
        (ApplyTo.EXCHANGES, set(), True),
    ],
)
def test_apply_to_says_to_what(apply_to: ApplyTo, types: set[str], exchanges: bool) -> None:
    policies = Policies([Policy("p", Pattern(""), {"max-length-bytes": 1}, apply_to=apply_to)])
    assert {str(each) for each in QueueType if policies.of_queue("q", each).policy} == types
    assert (policies.of_exchange("x").policy is not None) is exchanges


@pytest.mark.rule("8.1")
def test_the_pattern_is_searched_anywhere_in_the_name() -> None:
    policies = Policies([one("p", 0, pattern="mid")])
    assert policies.of_queue("amidst", QueueType.CLASSIC).policy
    assert not policies.of_queue("other", QueueType.CLASSIC).policy


@pytest.mark.rule("8.2")
@pytest.mark.parametrize(
    ("definition", "types"),
    [
        ({"ha-mode": "all", "max-length-bytes": 1}, {"classic"}),
        ({"queue-mode": "lazy"}, {"classic"}),
        ({"max-age": "1D"}, {"classic", "stream"}),
        ({"message-ttl": 5}, {"classic", "quorum"}),
        ({"max-length-bytes": 5}, {"classic", "quorum", "stream"}),
    ],
)
def test_a_key_that_a_type_does_not_know_makes_it_no_policy_for_that_type(
    definition: dict[str, Any], types: set[str]
) -> None:
    policies = Policies([one("p", 9, **definition), one("second", 0, apply_to=ApplyTo.EXCHANGES)])
    assert {str(each) for each in QueueType if policies.of_queue("q", each).policy} == types


# What may be set


@pytest.mark.rule("8.3")
@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({}, "no policy provided"),
        ({"max-length": -1}, "-1 is not a valid maximum length"),
        ({"max-length": True}, "true is not a valid maximum length"),
        ({"max-length": "5"}, '<<"5">> is not a valid maximum length'),
        ({"expires": 0}, "0 is not a valid queue expiry"),
        ({"message-ttl": -5}, "-5 is not a valid message TTL"),
        ({"overflow": "no"}, '<<"no">> is not a valid overflow value'),
        ({"dead-letter-exchange": 5}, "5 is not a valid dead letter exchange name"),
        ({"alternate-exchange": []}, "[] is not a valid alternate exchange name"),
        ({"delivery-limit": 1.5}, "1.5 is not a valid delivery limit"),
        ({"max-age": "1X"}, '<<"1X">> is not a valid max age'),
        ({"max-priority": 5}, '[{<<"max-priority">>,5}] are not recognised policy settings'),
        ({"nonsense": 1}, '[{<<"nonsense">>,1}] are not recognised policy settings'),
    ],
)
def test_what_can_not_be_is_refused_in_rabbitmqs_words(definition: dict[str, Any], text: str) -> None:
    broker = Broker()
    with pytest.raises(InvalidValueError) as raised:
        policy(broker, definition)
    assert str(raised.value) == f"Validation failed\n\n{text}\n"
    assert list_policies(broker) == []


@pytest.mark.rule("8.1", "8.4")
@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "("},
        {"priority": "high"},
        {"apply_to": "nothing"},
        {"name": ""},
        {"is_operators": True, "definition": {"dead-letter-exchange": "x"}},
    ],
)
def test_other_nonsense_is_refused_too(options: dict[str, Any]) -> None:
    broker = Broker()
    with pytest.raises(InvalidValueError):
        policy(broker, **{"definition": {"max-length": 1}, **options})
    assert list_policies(broker) == list_policies(broker, is_operators=True) == []


def test_what_is_not_there_can_not_be_changed() -> None:
    with pytest.raises(VhostNotFoundError, match="Virtual host none does not exist"):
        set_policy(Broker(), "none", "p", "", {"max-length": 1})
    with pytest.raises(ParameterNotFoundError, match="Parameter does not exist"):
        clear_policy(Broker(), "/", "p")


# What comes of it


@pytest.mark.rule("8.4")
@pytest.mark.parametrize(
    ("users", "operators", "expected"),
    [
        ({"max-length": 5}, {"max-length": 9}, {"max-length": 5}),
        ({"max-length": 9}, {"max-length": 5}, {"max-length": 5}),
        ({"expires": 9, "message-ttl": 1}, {"expires": 5}, {"expires": 5, "message-ttl": 1}),
        ({"delivery-limit": 9}, {"delivery-limit": 5}, {"delivery-limit": 5}),
        ({"delivery-limit": 9}, {"delivery-limit": -1}, {"delivery-limit": 9}),
        ({"delivery-limit": -1}, {"delivery-limit": 5}, {"delivery-limit": 5}),
        ({"overflow": "drop-head"}, {"overflow": "reject-publish"}, {"overflow": "reject-publish"}),
        ({"dead-letter-exchange": "x"}, {"max-length": 5}, {"dead-letter-exchange": "x", "max-length": 5}),
    ],
)
def test_an_operator_policy_is_merged_with_the_users(
    users: dict[str, Any], operators: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged(Applied(one("u", 0, **users), one("o", 0, **operators))) == expected


@pytest.mark.rule("8.5")
@pytest.mark.parametrize(
    ("queue_type", "arguments", "definition", "expected"),
    [
        ("classic", {"x-max-length": 5}, {"max-length": 9}, {"x-max-length": 5}),
        ("classic", {"x-max-length": 9}, {"max-length": 5}, {"x-max-length": 5}),
        ("classic", {}, {"expires": 5}, {"x-expires": 5}),
        ("classic", {"x-message-ttl": 7}, {"message-ttl": 5}, {"x-message-ttl": 5}),
        ("classic", {"x-max-length-bytes": 7}, {"max-length-bytes": 5}, {"x-max-length-bytes": 5}),
        ("classic", {"x-dead-letter-exchange": b"a"}, {"dead-letter-exchange": "p"}, {"x-dead-letter-exchange": b"a"}),
        ("classic", {}, {"dead-letter-exchange": "p"}, {"x-dead-letter-exchange": b"p"}),
        ("classic", {"x-overflow": b"drop-head"}, {"overflow": "reject-publish"}, {"x-overflow": b"drop-head"}),
        ("quorum", {"x-overflow": b"drop-head"}, {"overflow": "reject-publish"}, {"x-overflow": b"reject-publish"}),
        ("quorum", {"x-delivery-limit": 9}, {"delivery-limit": 5}, {"x-delivery-limit": 5}),
        ("quorum", {"x-delivery-limit": -1}, {"delivery-limit": 5}, {"x-delivery-limit": 5}),
        ("quorum", {"x-delivery-limit": 5}, {"delivery-limit": -1}, {"x-delivery-limit": 5}),
        ("quorum", {"x-consumer-timeout": 9}, {"consumer-timeout": 5}, {"x-consumer-timeout": 5}),
        ("stream", {"x-max-age": b"1D"}, {"max-age": "2D"}, {"x-max-age": b"2D"}),
        ("stream", {"x-max-length-bytes": 1}, {"max-length-bytes": 2}, {"x-max-length-bytes": 2}),
    ],
)
def test_arguments_and_policies_become_one(
    queue_type: str, arguments: Table, definition: dict[str, Any], expected: Table
) -> None:
    assert effective_arguments(arguments, QueueType(queue_type), definition) == expected


@pytest.mark.rule("8.5", "3.21")
def test_an_alternate_exchange_comes_from_the_argument_or_else_from_the_policy(
    world: World, channel: ChannelClient
) -> None:
    channel.call(ExchangeDeclare(exchange="plain", type="direct"), ExchangeDeclareOk)
    arguments: Table = {"alternate-exchange": b"amq.fanout"}
    channel.call(ExchangeDeclare(exchange="own", type="direct", arguments=arguments), ExchangeDeclareOk)
    for queue, exchange in (("policys", "amq.topic"), ("arguments", "amq.fanout")):
        channel.queue(queue)
        channel.call(QueueBind(queue=queue, exchange=exchange, routing_key="#"), QueueBindOk)
    channel.publish("k", b"0", exchange="plain")
    policy(world.broker, {"alternate-exchange": "amq.topic"}, apply_to="exchanges")
    for exchange in ("plain", "own"):
        channel.publish("k", exchange.encode(), exchange=exchange)
    clear_policy(world.broker, "/", "p")
    channel.publish("k", b"2", exchange="plain")
    assert channel.drain("policys") == [b"plain"]
    assert channel.drain("arguments") == [b"own"]


# When


@pytest.mark.rule("8.6", "4.34")
def test_a_length_limit_drops_at_once_and_is_lifted_again(world: World, channel: ChannelClient) -> None:
    channel.queue("dead")
    channel.queue("q")
    channel.publish_all("q", b"1", b"2", b"3")
    definition = {"max-length": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    policy(world.broker, definition, pattern="^q$")
    assert channel.counts("q") == (1, 0)
    assert channel.drain("dead") == [b"1", b"2"]
    channel.publish("q", b"4")
    assert channel.counts("q") == (1, 0)
    clear_policy(world.broker, "/", "p")
    channel.publish("q", b"5")
    assert channel.drain("q") == [b"4", b"5"]


@pytest.mark.rule("8.6")
def test_expiry_of_a_queue_counts_from_the_policy_on_and_can_be_lifted(world: World, channel: ChannelClient) -> None:
    channel.queue("q")
    channel.queue("r")
    world.advance(10)
    policy(world.broker, {"expires": 2000}, pattern="^q$")
    policy(world.broker, {"expires": 2000}, "r", pattern="^r$")
    world.advance(1.9)
    clear_policy(world.broker, "/", "r")
    assert set(world.broker.vhosts["/"].queues) == {"q", "r"}
    world.advance(10)
    assert set(world.broker.vhosts["/"].queues) == {"r"}


@pytest.mark.rule("8.6")
def test_a_ttl_is_for_messages_that_come_afterwards(world: World, channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"before")
    policy(world.broker, {"message-ttl": 1000})
    channel.publish("q", b"under it")
    clear_policy(world.broker, "/", "p")
    channel.publish("q", b"after")
    world.advance(5)
    assert channel.get("q").body == b"before"  # type: ignore[union-attr]
    assert channel.drain("q") == [b"after"]


@pytest.mark.rule("8.6")
def test_a_policy_is_there_for_what_is_declared_later(world: World, channel: ChannelClient) -> None:
    policy(world.broker, {"max-length": 1})
    policy(world.broker, {"max-length-bytes": 9}, is_operators=True)
    channel.queue("q")
    channel.publish_all("q", b"1", b"2")
    assert channel.drain("q") == [b"2"]
    assert options_of(world).max_length_octets == 9


@pytest.mark.rule("8.7")
def test_a_policy_plays_no_part_when_a_queue_is_declared_again(world: World, channel: ChannelClient) -> None:
    channel.queue("q", arguments={"x-max-length": 5})
    policy(world.broker, {"max-length": 1, "expires": 5000})
    channel.queue("q", arguments={"x-max-length": 5})
    assert options_of(world).max_length == 1
