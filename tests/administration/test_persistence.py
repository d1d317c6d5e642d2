"""What is administered survives every end of the broker (rules 7.1 and 7.14)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.broker import Broker
from amqp_broker.config import Config, DefaultUser
from amqp_broker.registry import Json
from amqp_broker.storage.definitions import Change, Definitions
from amqp_broker.storage.interface import MemoryStorage
from tests.simulation.machine import Machine

Restart = Callable[[Machine], Machine]

after_any_end = pytest.mark.parametrize(
    "restart", [Machine.restarted, Machine.killed, Machine.crashed], ids=["stop", "kill", "power"]
)

SHOVEL: Json = {
    "src-uri": ["amqp://"],
    "src-queue": "a",
    "src-queue-args": {"n": 1.5, "none": None},
    "dest-uri": "amqp://h",
}


def everything(broker: Broker) -> dict[str, list[dict[str, Json]]]:
    """All that is administered, as the management API has it."""
    return {
        "users": users.list_users(broker),
        "permissions": permissions.list_permissions(broker),
        "topic permissions": permissions.list_topic_permissions(broker),
        "vhosts": vhosts.list_vhosts(broker),
        "policies": parameters.list_policies(broker),
        "operator policies": parameters.list_policies(broker, is_operators=True),
        "parameters": parameters.list_parameters(broker),
        "global parameters": parameters.list_global_parameters(broker),
    }


def some_of_each(broker: Broker) -> None:
    vhosts.add_vhost(broker, "v", description="ü", tags=["a", "b"], default_queue_type="quorum", is_tracing=True)
    vhosts.add_vhost(broker, "gone")
    users.add_user(broker, "bob", "secret", ["management", "own"])
    users.add_user(broker, "gone", "secret")
    users.set_user_limits(broker, "bob", {"max-connections": 3, "max-channels": -1})
    for vhost in ("v", "gone"):
        permissions.set_permissions(broker, "bob", vhost, "^a", "", "(b|c)")
        permissions.set_topic_permissions(broker, "bob", vhost, "amq.topic", "^{username}", ".*")
        parameters.set_policy(broker, vhost, "p", "^q", {"max-length": 5}, priority=3, apply_to="queues")
        parameters.set_policy(broker, vhost, "o", "", {"expires": 5000}, is_operators=True)
        parameters.set_parameter(broker, vhost, "shovel", "s", SHOVEL)
        vhosts.set_vhost_limits(broker, vhost, {"max-queues": 7})
    permissions.set_permissions(broker, "gone", "v", ".*", ".*", ".*")
    vhosts.set_protection(broker, "v", True)
    parameters.set_global_parameter(broker, "gp", {"a": [1, "b"]})
    parameters.set_global_parameter(broker, "cluster_name", "mine")


@pytest.mark.rule("7.1")
@after_any_end
def test_everything_is_there_again(restart: Restart) -> None:
    machine = Machine()
    some_of_each(machine.broker)
    vhosts.delete_vhost(machine.broker, "gone")
    users.delete_user(machine.broker, "gone")
    before = everything(machine.broker)
    assert "gone" not in str(before)
    machine.writer.run()
    for _ in range(2):
        machine = restart(machine)
        assert everything(machine.broker) == before
        assert users.authenticate_user(machine.broker, "bob", "secret")
        assert machine.broker.vhosts["v"].max_queues == 7


@pytest.mark.rule("7.1")
@after_any_end
def test_what_was_taken_away_stays_away(restart: Restart) -> None:
    machine = Machine()
    broker = machine.broker
    before = everything(broker)
    some_of_each(broker)
    machine.writer.run()
    machine = restart(machine)
    broker = machine.broker
    permissions.clear_permissions(broker, "bob", "v")
    permissions.clear_topic_permissions(broker, "bob", "v")
    parameters.clear_policy(broker, "v", "p")
    parameters.clear_policy(broker, "v", "o", is_operators=True)
    parameters.clear_parameter(broker, "v", "shovel", "s")
    parameters.clear_global_parameter(broker, "gp")
    parameters.clear_global_parameter(broker, "cluster_name")
    vhosts.clear_vhost_limits(broker, "v")
    vhosts.set_protection(broker, "v", False)
    for name in ("v", "gone"):
        vhosts.delete_vhost(broker, name)
        machine.writer.run()
    for name in ("bob", "gone"):
        users.delete_user(broker, name)
    machine.writer.run()
    assert everything(restart(machine).broker) == before


@pytest.mark.rule("7.1", "1.33")
@after_any_end
def test_a_deleted_vhost_takes_along_its_topology_and_messages(restart: Restart) -> None:
    machine = Machine()
    vhosts.add_vhost(machine.broker, "v")
    permissions.set_permissions(machine.broker, "guest", "v", ".*", ".*", ".*")
    client = machine.client_of("v")
    channel = client.channel()
    channel.queue("q", durable=True)
    channel.publish_all("q", b"1", b"2")
    machine.writer.run()
    vhosts.delete_vhost(machine.broker, "v")
    client.expect_close(320, "CONNECTION_FORCED - vhost 'v' is deleted")
    machine.writer.run()
    machine = restart(machine)
    assert list(machine.broker.vhosts) == ["/"]
    vhosts.add_vhost(machine.broker, "v")
    permissions.set_permissions(machine.broker, "guest", "v", ".*", ".*", ".*")
    channel = machine.client_of("v").channel()
    channel.queue("q", durable=True)
    assert channel.drain("q") == []


@pytest.mark.rule("7.14")
def test_what_a_new_broker_has_is_configured() -> None:
    machine = Machine(
        config=Config(
            default_user="admin",
            default_password="pw",
            default_vhost="main",
            default_permissions=("^a", "^b", "^c"),
            default_user_tags=("administrator", "own"),
        )
    )
    broker = machine.broker
    assert [(item["name"], item["tags"]) for item in users.list_users(broker)] == [("admin", ["administrator", "own"])]
    assert permissions.list_permissions(broker) == [
        {"user": "admin", "vhost": "main", "configure": "^a", "write": "^b", "read": "^c"}
    ]
    assert list(broker.vhosts) == ["main"]
    assert users.authenticate_user(broker, "admin", "pw")


@pytest.mark.rule("7.14")
@after_any_end
def test_further_users_are_let_into_vhosts_when_these_are_made(restart: Restart) -> None:
    dev = DefaultUser(name="dev", password="first", tags=("management",), permissions=("^a", "^b", "^c"))
    config = Config(default_users=(dev, DefaultUser(name="guest", vhost_pattern="^v")))
    machine = Machine(config=config)
    assert users.authenticate_user(machine.broker, "dev", "first")
    users.change_password(machine.broker, "dev", "second")
    vhosts.add_vhost(machine.broker, "v")
    permissions.clear_permissions(machine.broker, "dev", "/")
    vhosts.add_vhost(machine.broker, "/", description="not new")
    machine.writer.run()
    broker = restart(machine).broker
    assert users.authenticate_user(broker, "dev", "second")
    assert [(item["name"], item["tags"]) for item in users.list_users(broker)] == [
        ("dev", ["management"]),
        ("guest", ["administrator"]),
    ]
    rights = [tuple(item.values()) for item in permissions.list_permissions(broker)]
    assert sorted(rights) == [
        ("dev", "v", "^a", "^b", "^c"),
        ("guest", "/", ".*", ".*", ".*"),
        ("guest", "v", ".*", ".*", ".*"),
    ]


@pytest.mark.rule("7.14")
@after_any_end
def test_who_deleted_all_users_and_vhosts_has_none(restart: Restart) -> None:
    machine = Machine()
    users.delete_user(machine.broker, "guest")
    vhosts.delete_vhost(machine.broker, "/")
    machine.writer.run()
    for _ in range(2):
        machine = restart(machine)
        assert users.list_users(machine.broker) == []
        assert machine.broker.vhosts == {}


@pytest.mark.rule("7.14")
def test_a_beginning_that_was_cut_short_is_made_again() -> None:
    """Whatever part of the first changes a crash leaves, the next start ends with the same."""
    told: list[Change] = []
    storage = MemoryStorage()
    storage.changed = told.append  # type: ignore[assignment]
    config = Config(default_users=(DefaultUser(name="dev"),))
    Broker(config, storage=storage).restore((), {})
    assert len(told) == 6
    for count in range(len(told) + 1):
        kept = Definitions()
        for change in told[:count]:
            kept.apply(change)
        broker = Broker(config, storage=MemoryStorage())
        broker.restore(kept, {})
        assert {str(item["name"]) for item in users.list_users(broker)} == {"guest", "dev"}
        assert users.authenticate_user(broker, "guest", "guest")
        rights = {(str(item["user"]), str(item["vhost"])) for item in permissions.list_permissions(broker)}
        assert rights == {("guest", "/"), ("dev", "/")}
        assert list(broker.vhosts) == ["/"]
        assert len(parameters.list_global_parameters(broker)) == 1
