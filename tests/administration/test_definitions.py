"""Definition files: all or nothing, RabbitMQ's own and older ones, and back again (rules 8.16 and 7.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from amqp_broker.administration import users, vhosts
from amqp_broker.administration.exporting import export_definitions
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import import_definitions, importing_definitions
from amqp_broker.administration.left import Left
from amqp_broker.administration.reading import read_document
from amqp_broker.auth.passwords import HashAlgorithm, PasswordHash
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_codec import Int64, QueueDelete, QueueDeleteOk
from tests.support.client import ChannelClient, World

RECORDED = Path(__file__).with_name("rabbitmq-4.3.6.json")
"""What a RabbitMQ 4.3.6 exported."""

Items = dict[str, Any]


def recorded() -> Items:
    document: Items = json.loads(RECORDED.read_text())
    return document


def in_order(document: Any) -> Items:
    """A document in which the order of items plays no part."""
    return {
        key: sorted(value, key=lambda item: json.dumps(item, sort_keys=True)) if isinstance(value, list) else value
        for key, value in document.items()
    }


def fresh() -> Broker:
    """A broker without anything."""
    broker = Broker()
    vhosts.delete_vhost(broker, "/")
    users.delete_user(broker, "guest")
    return broker


def test_what_rabbitmq_exported_comes_back_as_it_was() -> None:
    broker, document = fresh(), recorded()
    import_definitions(broker, document)
    exported = in_order(export_definitions(broker))
    own = ("rabbit_version", "rabbitmq_version", "product_version", "original_cluster_name", "explanation")
    expected = in_order(document)
    expected["exchanges"] = [each for each in expected["exchanges"] if not each["name"].startswith("amq.")]
    assert exported.keys() == expected.keys()
    assert {key: exported[key] for key in exported if key not in own} == {
        key: expected[key] for key in expected if key not in own
    }
    assert users.authenticate_user(broker, "hashed", "test12")


def test_a_second_import_changes_nothing() -> None:
    broker = fresh()
    import_definitions(broker, recorded())
    before = export_definitions(broker)
    import_definitions(broker, recorded())
    assert in_order(export_definitions(broker)) == in_order(before)


def everything(broker: Broker) -> list[tuple[int, bytes]]:
    return [(change.kind, change.encode()) for change in broker.definitions()]


def spoil(section: str, item: Items) -> Callable[[Items], None]:
    def change(document: Items) -> None:
        document.setdefault(section, []).append(item)

    return change


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        (spoil("bindings", {"vhost": "/", "source": "x1", "destination": 5}), "$.bindings[3].destination", "is 5"),
        (spoil("bindings", {"vhost": "/", "destination": "q1"}), "$.bindings[3]", "source is missing"),
        (
            spoil(
                "bindings",
                {"vhost": "/", "source": "xh", "destination": "q1", "arguments": {"x-match": "some"}},
            ),
            "$.bindings[3]",
            "x-match",
        ),
        (spoil("queues", {"name": "q"}), "$.queues[8]", "vhost is missing"),
        (spoil("queues", {"name": "q", "vhost": "none"}), "$.queues[8]", "Virtual host none does not exist"),
        (spoil("queues", {"name": 5, "vhost": "/"}), "$.queues[8].name", "should be text, is 5"),
        (spoil("queues", {"name": "q", "vhost": "/", "durable": "maybe"}), "$.queues[8].durable", "true or false"),
        (
            spoil("queues", {"name": "q", "vhost": "/", "arguments": {"x-max-length": -1}}),
            "$.queues[8]",
            "invalid arg 'x-max-length'",
        ),
        (spoil("queues", {"name": "q", "vhost": "/", "arguments": {"n": 1 << 70}}), "$.queues[8].arguments", "64 bits"),
        (spoil("exchanges", {"name": "x", "vhost": "/", "type": "none"}), "$.exchanges[4]", "unknown exchange type"),
        (spoil("users", {"name": "u", "password_hash": "???"}), "$.users[4]", "not base64"),
        (spoil("users", {"name": "u", "hashing_algorithm": "rot13"}), "$.users[4]", "rot13"),
        (spoil("users", {"name": "u", "tags": 5}), "$.users[4].tags", "a list of texts"),
        (
            spoil("permissions", {"user": "none", "vhost": "/", "configure": "", "write": "", "read": ""}),
            "$.permissions[5]",
            'User "none" does not exist',
        ),
        (
            spoil("permissions", {"user": "mgr", "vhost": "/", "configure": "", "write": "", "read": "*"}),
            "$.permissions[5]",
            "invalid regular expression '*'",
        ),
        (
            spoil("policies", {"name": "p", "vhost": "/", "pattern": "", "definition": {"max-length": -1}}),
            "$.policies[1]",
            "-1 is not a valid maximum length",
        ),
        (spoil("policies", {"name": "p", "vhost": "/", "pattern": "("}), "$.policies[1]", "pattern"),
        (spoil("queues", {"name": "q" * 256, "vhost": "/"}), "$.queues[8]", "longer than 255 octets"),
        (spoil("queues", {"name": "\ud800", "vhost": "/"}), "$.queues[8]", r"\ud800 alone is no character"),
        (spoil("users", {"name": "u", "password": "\udbff"}), "$.users[4]", r"\udbff alone is no character"),
        (spoil("users", {"name": "u", "tags": ["\ud800"]}), "$.users[4]", "no character"),
        (spoil("exchanges", {"name": "x" * 256, "vhost": "/"}), "$.exchanges[4]", "longer than 255 octets"),
        (
            spoil(
                "bindings",
                {
                    "vhost": "/",
                    "source": "amq.topic",
                    "destination": "amq.fanout",
                    "destination_type": "exchange",
                    "routing_key": "k" * 256,
                },
            ),
            "$.bindings[3]",
            "longer than 255 octets",
        ),
        (lambda document: document.update(vhosts=5), "$.vhosts", "should be a list, is 5"),
        (lambda document: document["vhosts"].append("v"), "$.vhosts[2]", "should be an object"),
    ],
)
def test_one_wrong_item_leaves_everything_as_it_was(
    change: Callable[[Items], None], path: str, words: str, world: World, channel: ChannelClient
) -> None:
    channel.queue("there", durable=True)
    before = everything(world.broker)
    document = recorded()
    change(document)
    with pytest.raises(InvalidDefinitionsError) as raised:
        import_definitions(world.broker, document)
    assert raised.value.path == path
    assert words in raised.value.reason
    assert everything(world.broker) == before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{"users": [\n]', "line 2, column 2"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(data: bytes, words: str) -> None:
    with pytest.raises(InvalidDefinitionsError, match=words):
        read_document(data)


@pytest.mark.parametrize("document", [b"5", b"null", b"[]"])
def test_what_is_no_object_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidDefinitionsError, match="should be an object"):
        import_definitions(Broker(), read_document(document))


def test_a_byte_order_mark_and_unknown_keys_are_let_pass() -> None:
    broker = Broker()
    import_definitions(broker, read_document(b'\xef\xbb\xbf{"users": [{"name": "u", "x": 1}], "new": [1]}'))
    assert broker.users.get("u") is not None


def test_definitions_of_a_rabbitmq_3_are_understood() -> None:
    """Clear passwords, MD5, tags with commas, administrator, no metadata, numbers as text, arguments as empty list."""
    md5 = PasswordHash.of(b"x", HashAlgorithm.MD5).text
    document: Items = {
        "rabbit_version": "3.5.7",
        "users": [
            {
                "name": "old",
                "password_hash": md5,
                "tags": "management, policymaker",
            },
            {"name": "clear", "password": "pw", "administrator": True},
            {"name": "none", "password_hash": "", "tags": ""},
        ],
        "vhosts": [
            {"name": "v"},
            {"name": "w", "limits": [["max-queues", 3]], "metadata": {"default_queue_type": "undefined"}},
        ],
        "policies": [
            {
                "vhost": "v",
                "name": "ha",
                "pattern": "^",
                "priority": "5",
                "definition": {"ha-mode": "all", "max-length": "7", "dead-letter-routing-key": "1", "their-key": 1},
            }
        ],
        "parameters": [
            {"component": "vhost-limits", "name": "limits", "vhost": "v", "value": []},
            {
                "component": "operator_policy",
                "name": "o",
                "vhost": "w",
                "value": {"pattern": "^q", "definition": [["message-ttl", 9000]], "priority": 0},
            },
            {"component": "sharding", "name": "s", "vhost": "v", "value": {"a": 1}},
        ],
        "queues": [{"name": "q", "vhost": "v", "durable": "true", "auto_delete": "false", "arguments": []}],
        "exchanges": [
            {"name": "d", "vhost": "v", "type": "x-delayed-exchange", "arguments": {"x-delayed-type": "topic"}}
        ],
        "bindings": [{"vhost": "v", "source": "d", "destination": "q"}],
    }
    broker = Broker()
    import_definitions(broker, document)
    assert users.authenticate_user(broker, "old", "x")
    assert users.authenticate_user(broker, "clear", "pw")
    tags = {str(item["name"]): item["tags"] for item in users.list_users(broker)}
    assert tags == {
        "guest": ["administrator"],
        "old": ["management", "policymaker"],
        "clear": ["administrator"],
        "none": [],
    }
    assert broker.vhosts["w"].max_queues == 3
    queue = broker.vhosts["v"].queues["q"]
    assert (queue.durable, queue.options.max_length) == (True, 7)
    exported: Any = export_definitions(broker)
    assert exported["policies"][0]["priority"] == 5
    values = {(item["component"], item["vhost"]): item["value"] for item in exported["parameters"]}
    assert values["operator_policy", "w"]["definition"] == {"message-ttl": 9000}
    assert exported["policies"][0]["definition"]["their-key"] == 1
    assert exported["exchanges"][0]["type"] == "x-delayed-message"
    assert exported["bindings"][0]["routing_key"] == ""


def test_numbers_tables_and_lists_in_arguments_survive() -> None:
    broker = Broker()
    arguments: Items = {"x-max-length": 5, "own": {"list": [1, "a", None, True, 1.5], "table": {"n": -1}}}
    document: Items = {"queues": [{"name": "q", "vhost": "/", "arguments": arguments}]}
    import_definitions(broker, document)
    kept = broker.vhosts["/"].queues["q"].arguments
    assert isinstance(kept["x-max-length"], Int64)
    exported: Any = export_definitions(broker)
    assert exported["queues"][0]["arguments"] == {**arguments, "x-queue-type": "classic"}


def test_what_is_there_stays_where_the_file_says_otherwise(world: World, channel: ChannelClient) -> None:
    channel.queue("q", durable=True, arguments={"x-max-length": 5})
    channel.publish("q", b"1")
    document: Items = {"queues": [{"name": "q", "vhost": "/", "durable": False, "arguments": {"x-max-length": 9}}]}
    import_definitions(world.broker, document)
    assert channel.counts("q") == (1, 0)
    assert world.broker.vhosts["/"].queues["q"].options.max_length == 5


def test_bindings_to_what_is_only_transient_are_checked_with_it(world: World, channel: ChannelClient) -> None:
    channel.queue("transient")
    channel.queue("mine", exclusive=True)
    document: Items = {"bindings": [{"vhost": "/", "source": "amq.fanout", "destination": "transient"}]}
    import_definitions(world.broker, document)
    channel.publish("", b"x", exchange="amq.fanout")
    assert channel.counts("transient") == (1, 0)
    exported: Any = export_definitions(world.broker)
    assert [item["name"] for item in exported["queues"]] == ["transient"]


def test_one_vhost_goes_into_another_by_any_name() -> None:
    broker = fresh()
    import_definitions(broker, recorded())
    exported: Any = export_definitions(broker, "/")
    assert exported["rabbitmq_definition_format"] == "single_virtual_host"
    assert not any("vhost" in item for key in ("queues", "exchanges", "bindings", "policies") for item in exported[key])
    import_definitions(broker, exported, "copy")
    copied: Any = export_definitions(broker, "copy")
    for key in ("queues", "exchanges", "bindings", "policies", "parameters", "metadata", "limits"):
        assert in_order({key: copied[key]}) == in_order({key: exported[key]})
    other = Broker()
    import_definitions(other, exported)
    assert "q1" in other.vhosts["/"].queues


def test_a_large_file_with_its_last_line_wrong_changes_nothing() -> None:
    broker = Broker()
    queues: Any = [{"name": f"q{number}", "vhost": "/", "durable": True} for number in range(5000)]
    document: Items = {"queues": queues, "bindings": [{"vhost": "/", "source": "amq.fanout", "destination": []}]}
    before = everything(broker)
    with pytest.raises(InvalidDefinitionsError, match=r"\$\.bindings\[0\]\.destination: should be text"):
        import_definitions(broker, document)
    assert everything(broker) == before
    import_definitions(broker, {"queues": queues})
    assert len(broker.vhosts["/"].queues) == 5000


# Step by step


def steps_of(world: World, document: Items) -> Generator[Left | None, None, Left | None]:
    return importing_definitions(world.broker, document)


def test_nothing_is_changed_before_every_item_has_been_looked_at(world: World) -> None:
    queues: Any = [{"name": f"q{number}", "vhost": "/"} for number in range(10)]
    before = everything(world.broker)
    steps = steps_of(world, {"queues": queues})
    for _ in range(10):
        next(steps)
        assert everything(world.broker) == before
    next(steps)
    assert list(world.broker.vhosts["/"].queues) == ["q0"]


def test_what_somebody_deletes_meanwhile_is_deleted_and_the_rest_imported(
    world: World, channel: ChannelClient, caplog: pytest.LogCaptureFixture
) -> None:
    channel.queue("doomed")
    binding = {"vhost": "/", "source": "amq.fanout", "destination": "doomed", "destination_type": "queue"}
    document: Items = {
        "queues": [{"name": "q", "vhost": "/"}],
        "bindings": [binding, {**binding, "destination": "q"}],
    }
    steps = steps_of(world, document)
    for _ in range(4):  # one more than the rehearsal
        next(steps)
    channel.call(QueueDelete(queue="doomed"), QueueDeleteOk)
    for _ in steps:
        pass
    assert [each.destination.name for each in world.broker.vhosts["/"].exchange("amq.fanout").bindings.values()] == [
        "q"
    ]
    assert "$.bindings[0] is left out: an end of the binding is not there" in caplog.text


def test_a_vhost_deleted_meanwhile_takes_its_policies_with_it(world: World) -> None:
    vhosts.add_vhost(world.broker, "v")
    policy = {"vhost": "v", "name": "p", "pattern": "", "definition": {"max-length": 1}}
    steps = steps_of(world, {"policies": [policy], "queues": [{"name": "q", "vhost": "/"}]})
    for _ in range(3):
        next(steps)
    vhosts.delete_vhost(world.broker, "v")
    for _ in steps:
        pass
    assert "q" in world.broker.vhosts["/"].queues


@pytest.mark.rule("4.18", "8.8")
@pytest.mark.parametrize(
    ("limits", "section", "text"),
    [
        (Config(max_queues=2), "queues", "cannot declare queue 'c': queue limit in cluster (2) is reached"),
        (Config(max_vhosts=2), "vhosts", "cannot create vhost 'c': vhost limit of 2 is reached"),
    ],
)
def test_a_file_with_more_than_the_broker_may_have_changes_nothing(limits: Config, section: str, text: str) -> None:
    world = World(limits)
    world.channel().queue("/")
    document: Items = {section: [{"name": name, "vhost": "/"} for name in ("/", "b", "c")]}
    before = everything(world.broker)
    with pytest.raises(InvalidDefinitionsError, match=re.escape(f"$.{section}[2]: {text}")):
        import_definitions(world.broker, document)
    assert everything(world.broker) == before
    del document[section][0]
    with pytest.raises(InvalidDefinitionsError, match=re.escape(f"$.{section}[1]: {text}")):
        import_definitions(world.broker, document)
    document[section].pop()
    import_definitions(world.broker, document)


@pytest.mark.parametrize("limit", ["there", "in the file"])
def test_a_file_with_more_queues_than_there_may_be_changes_nothing(
    limit: str, world: World, channel: ChannelClient
) -> None:
    channel.queue("there")
    document: Items = {"queues": [{"name": name, "vhost": "/"} for name in ("there", "q1", "q2")]}
    if limit == "there":
        vhosts.set_vhost_limits(world.broker, "/", {"max-queues": 2})
    else:
        value = {"max-queues": 2}
        document["parameters"] = [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": value}]
    before = everything(world.broker)
    with pytest.raises(InvalidDefinitionsError, match=r"\$\.queues\[2\]: .*queue limit in vhost '/' \(2\) is reached"):
        import_definitions(world.broker, document)
    assert everything(world.broker) == before
    document["queues"].pop()
    import_definitions(world.broker, document)
    assert set(world.broker.vhosts["/"].queues) == {"there", "q1"}


def test_a_default_queue_type_of_the_vhost_counts_when_a_file_is_looked_at(world: World) -> None:
    vhosts.add_vhost(world.broker, "/", default_queue_type="quorum")
    queue: Any = {"name": "q", "vhost": "/", "arguments": {"x-max-priority": 3}}
    before = everything(world.broker)
    with pytest.raises(InvalidDefinitionsError, match=r"\$\.queues\[0\]"):
        import_definitions(world.broker, {"queues": [queue]})
    assert everything(world.broker) == before


def test_bindings_of_what_rabbitmq_does_not_export_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Its file has those of internal exchanges and of exclusive queues, but not these."""
    broker = Broker()
    ends = [("inner", "amq.fanout", "exchange"), ("amq.fanout", "inner", "exchange"), ("amq.fanout", "mine", "queue")]
    bindings: Any = [
        {"vhost": "/", "source": source, "destination": name, "destination_type": kind, "routing_key": "k"}
        for source, name, kind in [*ends, ("amq.topic", "amq.fanout", "exchange")]
    ]
    import_definitions(broker, {"bindings": bindings})
    assert [each["source"] for each in export_definitions(broker)["bindings"]] == ["amq.topic"]  # type: ignore[index, call-overload, union-attr]
    assert len(caplog.messages) == 3
