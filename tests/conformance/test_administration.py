"""What changes for those who are connected when users, permissions, vhosts and limits do (1.30, 1.33, 8b and 8c)."""

from __future__ import annotations

import pytest

from amqp_broker.administration import (
    AdministrationError,
    ProtectedError,
    TooManyVhostsError,
    UserExistsError,
    UserNotFoundError,
    VhostNotFoundError,
    permissions,
    users,
    vhosts,
)
from amqp_broker.config import Config
from amqp_broker.events import Event, EventKind
from amqp_broker.queues.arguments import QueueType
from amqp_codec import (
    BasicGet,
    BasicGetEmpty,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    ConnectionTuneOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
)
from tests.support.client import Client, World


@pytest.fixture
def bob(world: World) -> Client:
    """A client of user bob, who may do everything in `/`."""
    users.add_user(world.broker, "bob", "pw")
    permissions.set_permissions(world.broker, "bob", "/", ".*", ".*", ".*")
    return login(world, "bob", "pw", "/")


def login(world: World, user: str, password: str, vhost: str) -> Client:
    client = Client(world)
    client.login(response=f"\0{user}\0{password}".encode())
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    client.call(0, ConnectionOpen(virtual_host=vhost), ConnectionOpenOk)
    return client


def is_refused(world: World, user: str, password: str) -> bool:
    client = Client(world)
    client.login(response=f"\0{user}\0{password}".encode())
    client.pump()
    return not isinstance(client.inbox[0].method, ConnectionTune)


@pytest.mark.rule("1.11", "8.16")
def test_a_user_logs_in_with_the_password_of_the_moment(world: World) -> None:
    broker = world.broker
    users.add_user(broker, "ann", "first")
    assert not is_refused(world, "ann", "first")
    users.change_password(broker, "ann", "second")
    assert is_refused(world, "ann", "first")
    assert not is_refused(world, "ann", "second")
    users.clear_password(broker, "ann")
    assert is_refused(world, "ann", "second")
    assert is_refused(world, "ann", "")


@pytest.mark.rule("1.33")
def test_connections_of_a_deleted_user_are_closed(world: World, bob: Client, client: Client) -> None:
    bob.channel().queue("mine", exclusive=True)
    users.delete_user(world.broker, "bob")
    bob.expect_close(320, "CONNECTION_FORCED - user 'bob' is deleted")
    assert "mine" not in world.broker.vhosts["/"].queues
    client.expect_nothing()
    assert is_refused(world, "bob", "pw")
    users.add_user(world.broker, "bob", "pw")
    assert permissions.list_permissions(world.broker, user="bob") == []


@pytest.mark.rule("8.13")
def test_a_permission_that_is_taken_away_is_gone_with_the_next_command(world: World, bob: Client) -> None:
    channel = bob.channel()
    channel.queue("q")
    channel.publish("q", b"1")
    permissions.set_permissions(world.broker, "bob", "/", ".*", "", ".*")
    channel.publish("q", b"2")
    where = "exchange 'amq.default' in vhost '/'"
    channel.expect_close(403, f"ACCESS_REFUSED - write access to {where} refused for user 'bob'")
    channel = bob.channel(2)
    permissions.clear_permissions(world.broker, "bob", "/")
    channel.send(BasicGet(queue="q"))
    channel.expect_close(403, "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'bob'")
    assert world.channel().counts("q") == (1, 0)


@pytest.mark.rule("8.13")
def test_a_permission_that_is_given_counts_at_once(world: World, bob: Client) -> None:
    permissions.set_permissions(world.broker, "bob", "/", "", "", "")
    channel = bob.channel()
    permissions.set_permissions(world.broker, "bob", "/", "^q$", "", "^q$")
    channel.queue("q")
    channel.call(BasicGet(queue="q"), BasicGetEmpty)


# Routing keys


@pytest.mark.rule("8.14", "5.55")
def test_routing_keys_are_restricted_where_there_is_a_record(world: World, bob: Client) -> None:
    world.channel().queue("q")
    channel = bob.channel()
    channel.call(ExchangeDeclare(exchange="t", type="topic"), ExchangeDeclareOk)
    channel.call(QueueBind(queue="q", exchange="t", routing_key="#"), QueueBindOk)
    channel.call(QueueBind(queue="q", exchange="amq.topic", routing_key="#"), QueueBindOk)
    channel.publish("x.1", b"before", exchange="t")
    permissions.set_topic_permissions(world.broker, "bob", "/", "t", r"^{username}\.", "^{vhost}$")
    channel.publish("bob.1", b"own", exchange="t")
    channel.publish("x.1", b"elsewhere", exchange="amq.topic")
    channel.publish("x.1", b"refused", exchange="t")
    text = "ACCESS_REFUSED - write access to topic 'x.1' in exchange 't' in vhost '/' refused for user 'bob'"
    channel.expect_close(403, text)
    channel = bob.channel(2)
    channel.publish("bob.1", b"copied", exchange="t", properties=Properties(headers={"CC": [b"x.1"]}))
    channel.expect_close(403, text)
    channel = bob.channel(3)
    channel.call(QueueBind(queue="q", exchange="t", routing_key="/"), QueueBindOk)
    channel.send(QueueBind(queue="q", exchange="t", routing_key="x"))
    channel.expect_close(403, text.replace("write", "read").replace("x.1", "x"))
    permissions.clear_topic_permissions(world.broker, "bob", "/")
    channel = bob.channel(4)
    channel.publish("x.1", b"again", exchange="t")
    assert world.channel().drain("q") == [b"before", b"own", b"elsewhere", b"again"]


# Vhosts


@pytest.mark.rule("1.33")
def test_a_new_vhost_can_be_used_at_once_and_a_deleted_one_is_gone(world: World, client: Client) -> None:
    broker = world.broker
    assert vhosts.add_vhost(broker, "v", default_queue_type="quorum")
    assert not vhosts.add_vhost(broker, "v", description="changed")
    permissions.set_permissions(broker, "guest", "v", ".*", ".*", ".*")
    there = world.client_of("v")
    channel = there.channel()
    channel.queue("q", durable=True)
    channel.consume("q")
    channel.publish("q", b"x")
    assert broker.vhosts["v"].queues["q"].options.type is QueueType.QUORUM
    vhosts.delete_vhost(broker, "v")
    channel.expect_delivery()
    there.expect_close(320, "CONNECTION_FORCED - vhost 'v' is deleted")
    client.expect_nothing()
    assert permissions.list_permissions(broker, vhost="v") == []
    late = Client(world)
    late.login()
    late.expect(0, ConnectionTune)
    late.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    late.send(0, ConnectionOpen(virtual_host="v"))
    late.expect_close(530, "NOT_ALLOWED - vhost v not found")


def test_a_protected_vhost_can_not_be_deleted(world: World) -> None:
    vhosts.set_protection(world.broker, "/", True)
    with pytest.raises(ProtectedError):
        vhosts.delete_vhost(world.broker, "/")
    assert list(world.broker.vhosts) == ["/"]


@pytest.mark.rule("8.8", "8.9", "1.30", "4.18")
def test_limits_are_for_what_is_new(world: World, client: Client) -> None:
    channel = client.channel()
    channel.queue("q")
    vhosts.set_vhost_limits(world.broker, "/", {"max-connections": 0, "max-queues": 1})
    channel.queue("q")
    channel.send(QueueDeclare(queue="r"))
    channel.expect_close(406)
    late = Client(world)
    late.login()
    late.expect(0, ConnectionTune)
    late.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    late.send(0, ConnectionOpen(virtual_host="/"))
    late.expect_close(
        530, "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (0) is reached"
    )
    vhosts.clear_vhost_limits(world.broker, "/", "max-connections")
    world.client()
    assert vhosts.vhost_limits(world.broker, "/") == {"max-queues": 1}


@pytest.mark.rule("8.8", "8.9")
def test_the_number_of_vhosts_can_be_limited() -> None:
    world = World(Config(max_vhosts=2))
    vhosts.add_vhost(world.broker, "a")
    with pytest.raises(TooManyVhostsError, match="cannot create vhost 'b': vhost limit of 2 is reached"):
        vhosts.add_vhost(world.broker, "b")
    assert list(world.broker.vhosts) == ["/", "a"]
    vhosts.add_vhost(world.broker, "a", description="changed")
    vhosts.delete_vhost(world.broker, "a")
    vhosts.add_vhost(world.broker, "b")


# What operators are told


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserNotFoundError("u"), 'User "u" does not exist'),
        (UserExistsError("u"), 'User "u" already exists'),
        (VhostNotFoundError("v"), "Virtual host v does not exist"),
    ],
)
def test_errors_have_rabbitmqs_words(error: AdministrationError, text: str) -> None:
    assert str(error) == text


def test_nothing_changes_where_something_is_wrong(world: World) -> None:
    broker = world.broker
    before = [change.encode() for change in broker.definitions()]
    with pytest.raises(UserExistsError):
        users.add_user(broker, "guest", "other")
    for change in (
        lambda: users.delete_user(broker, "none"),
        lambda: users.change_password(broker, "none", "x"),
        lambda: users.add_user(broker, "", "x"),
        lambda: users.add_user(broker, "u" * 256, "x"),
        lambda: users.add_user(broker, "u", "x", ["t"] * 33),
        lambda: users.set_user_limits(broker, "guest", {"max-channels": "x"}),
        lambda: users.set_user_limits(broker, "guest", {"max-everything": 1}),
        lambda: permissions.set_permissions(broker, "none", "/", "", "", ""),
        lambda: permissions.set_permissions(broker, "guest", "none", "", "", ""),
        lambda: permissions.set_permissions(broker, "guest", "/", "", "", "("),
        lambda: permissions.set_topic_permissions(broker, "guest", "/", "x", "(", ""),
        lambda: vhosts.add_vhost(broker, "v", default_queue_type="none"),
        lambda: vhosts.delete_vhost(broker, "none"),
        lambda: vhosts.set_vhost_limits(broker, "/", {"max-queues": None}),
    ):
        with pytest.raises(AdministrationError):
            change()
    assert [change.encode() for change in broker.definitions()] == before


def test_observers_hear_who_changed_what(world: World) -> None:
    broker = world.broker
    told: list[Event] = []
    broker.events.watch(told.append)
    users.add_user(broker, "ann", "pw", ["own"], by="guest")
    permissions.set_permissions(broker, "ann", "/", "a", "b", "c", by="guest")
    users.delete_user(broker, "ann", by="guest")
    kinds = [event.kind for event in told]
    assert kinds == [
        EventKind.USER_CREATED,
        EventKind.USER_TAGS_SET,
        EventKind.PERMISSION_CREATED,
        EventKind.USER_DELETED,
    ]
    assert {event.details["user_who_performed_action"] for event in told} == {"guest"}
    assert "pw" not in str(told)
