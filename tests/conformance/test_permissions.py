"""What a user may do: the patterns, the texts, their place among the other checks, and limits (8c, 1.30, 2.3, 5.6)."""

from __future__ import annotations

import pytest

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.auth.permissions import ALL, Access, Permissions
from amqp_broker.auth.users import User
from amqp_broker.config import Config
from amqp_broker.vhost import Vhost
from amqp_codec import (
    BasicConsume,
    BasicGet,
    BasicGetEmpty,
    BasicPublish,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    ConnectionTuneOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    Properties,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    encode_content_header,
    encode_frame,
    encode_method_frame,
)
from tests.support.client import ChannelClient, Client, World
from tests.support.topology import bind

BOB = b"\0bob\0pw"


def add_bob(world: World, configure: str = "", write: str = "", read: str = "", **options: object) -> User:
    user = User(
        name="bob",
        password=b"pw",
        permissions={"/": Permissions(configure, write, read)},
        **options,  # type: ignore[arg-type]
    )
    world.broker.users.add(user)
    return user


def login_bob(world: World) -> Client:
    client = Client(world)
    client.login(response=BOB)
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    return client


def bob(world: World) -> ChannelClient:
    client = login_bob(world)
    client.call(0, ConnectionOpen(virtual_host="/"), ConnectionOpenOk)
    return client.channel()


def refused(access: str, kind: str, name: str) -> str:
    return f"ACCESS_REFUSED - {access} access to {kind} '{name}' in vhost '/' refused for user 'bob'"


OPERATIONS = [
    (ExchangeDeclare(exchange="x", type="direct"), [("configure", "exchange", "x")]),
    (ExchangeDeclare(exchange="new", type="direct"), [("configure", "exchange", "new")]),
    (
        ExchangeDeclare(exchange="new", type="direct", arguments={"alternate-exchange": b"x"}),
        [("configure", "exchange", "new"), ("read", "exchange", "new"), ("write", "exchange", "x")],
    ),
    (ExchangeDelete(exchange="x"), [("configure", "exchange", "x")]),
    (QueueDeclare(queue="q"), [("configure", "queue", "q")]),
    (QueueDeclare(queue="new"), [("configure", "queue", "new")]),
    (
        QueueDeclare(queue="new", arguments={"x-dead-letter-exchange": b"x"}),
        [("configure", "queue", "new"), ("read", "queue", "new"), ("write", "exchange", "x")],
    ),
    (QueueDelete(queue="q"), [("configure", "queue", "q")]),
    (QueueBind(queue="q", exchange="x"), [("write", "queue", "q"), ("read", "exchange", "x")]),
    (QueueUnbind(queue="q", exchange="x"), [("write", "queue", "q"), ("read", "exchange", "x")]),
    (ExchangeBind(destination="x", source="y"), [("write", "exchange", "x"), ("read", "exchange", "y")]),
    (ExchangeUnbind(destination="x", source="y"), [("write", "exchange", "x"), ("read", "exchange", "y")]),
    (BasicGet(queue="q"), [("read", "queue", "q")]),
    (BasicConsume(queue="q"), [("read", "queue", "q")]),
    (QueuePurge(queue="q"), [("read", "queue", "q")]),
]


@pytest.mark.rule("8.11", "3.19")
@pytest.mark.parametrize(
    ("method", "needed", "missing"),
    [(method, needed, index) for method, needed in OPERATIONS for index in range(len(needed) + 1)],
)
def test_an_operation_needs_just_its_rights(
    world: World, channel: ChannelClient, method: Method, needed: list[tuple[str, str, str]], missing: int
) -> None:
    """All rights but one: refused, in the order of the list, and nothing changed; all rights: done."""
    for name in ("x", "y"):
        channel.call(ExchangeDeclare(exchange=name, type="direct"), ExchangeDeclareOk)
    channel.queue("q")
    channel.publish("q", b"stays")
    before = list(world.broker.vhosts["/"].exchanges), list(world.broker.vhosts["/"].queues)
    granted = needed[:missing]
    patterns = {
        access: "|".join(f"^{name}$" for got, _, name in granted if got == access)
        for access in ("configure", "write", "read")
    }
    add_bob(world, **patterns)
    asking = bob(world)
    asking.send(method)
    if missing < len(needed):
        asking.expect_close(403, refused(*needed[missing]))
        assert (list(world.broker.vhosts["/"].exchanges), list(world.broker.vhosts["/"].queues)) == before
        assert channel.counts("q") == (1, 0)
    else:
        asking.client.pump()
        assert type(asking.client.inbox[0].method).__name__.startswith(type(method).__name__)


@pytest.mark.rule("8.11")
@pytest.mark.parametrize("right", ["configure", "write", "read"])
@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_a_passive_declare_needs_any_one_right(world: World, channel: ChannelClient, right: str, kind: str) -> None:
    channel.queue("thing")
    channel.call(ExchangeDeclare(exchange="thing", type="direct"), ExchangeDeclareOk)
    add_bob(world, **{right: "^thing$"})
    asking = bob(world)
    method: Method = QueueDeclare(queue="thing", passive=True)
    answer: type[Method] = QueueDeclareOk
    if kind == "exchange":
        method, answer = ExchangeDeclare(exchange="thing", type="direct", passive=True), ExchangeDeclareOk
    asking.call(method, answer)
    add_bob(world)
    asking = bob(world)
    asking.send(method)
    asking.expect_close(403, refused("configure", kind, "thing"))


@pytest.mark.rule("8.10")
@pytest.mark.parametrize(
    ("pattern", "allowed", "refusals"),
    [
        ("", [], ["q", "anything"]),
        ("^$", [], ["q"]),
        (".*", ["q", "anything"], []),
        ("q", ["q", "a-q-b"], ["x"]),
        ("^q$", ["q"], ["qq"]),
    ],
)
def test_patterns_are_searched_and_an_empty_one_matches_nothing(
    pattern: str, allowed: list[str], refusals: list[str]
) -> None:
    permissions = Permissions(pattern, pattern, pattern)
    for access in Access:
        assert all(permissions.allow(access, name) for name in allowed)
        assert not any(permissions.allow(access, name) for name in refusals)


@pytest.mark.rule("8.10", "8.11", "5.8")
def test_publishing_to_a_queue_by_name_needs_write_on_amq_default(world: World, channel: ChannelClient) -> None:
    channel.queue("q")
    add_bob(world, write="^q$")
    asking = bob(world)
    asking.publish("q", b"x")
    asking.expect_close(403, refused("write", "exchange", "amq.default"))
    assert channel.counts("q") == (0, 0)
    add_bob(world, write=r"^amq\.default$")
    bob(world).publish("q", b"x")
    assert channel.counts("q") == (1, 0)


@pytest.mark.rule("8.11")
def test_a_route_that_others_use_does_not_let_one_in(world: World, channel: ChannelClient) -> None:
    """The route cache is shared, rights are not."""
    channel.queue("q")
    channel.publish("q", b"known route")
    add_bob(world)
    asking = bob(world)
    asking.publish("q", b"x")
    asking.expect_close(403, refused("write", "exchange", "amq.default"))


@pytest.mark.rule("8.12")
@pytest.mark.parametrize(
    ("method", "refusal"),
    [
        (QueueDelete(queue="missing"), ("configure", "queue", "missing")),
        (QueuePurge(queue="missing"), ("read", "queue", "missing")),
        (BasicGet(queue="missing"), ("read", "queue", "missing")),
        (BasicConsume(queue="missing"), ("read", "queue", "missing")),
        (QueueDeclare(queue="missing", passive=True), ("configure", "queue", "missing")),
        (ExchangeDeclare(exchange="missing", type="x", passive=True), ("configure", "exchange", "missing")),
        (ExchangeDelete(exchange="missing"), ("configure", "exchange", "missing")),
        (QueueBind(queue="missing", exchange="gone"), ("write", "queue", "missing")),
        (ExchangeBind(destination="missing", source="gone"), ("write", "exchange", "missing")),
    ],
)
def test_rights_are_asked_before_existence(world: World, method: Method, refusal: tuple[str, str, str]) -> None:
    add_bob(world)
    asking = bob(world)
    asking.send(method)
    asking.expect_close(403, refused(*refusal))


@pytest.mark.rule("8.12")
def test_generated_names_need_configure(world: World) -> None:
    add_bob(world, configure=r"^amq\.gen-")
    assert bob(world).queue("").startswith("amq.gen-")
    add_bob(world, configure="^mine")
    asking = bob(world)
    asking.send(QueueDeclare())
    close = asking.expect_close(403)
    assert close.reply_text.startswith("ACCESS_REFUSED - configure access to queue 'amq.gen-")


@pytest.mark.rule("8.13")
def test_a_new_channel_knows_of_a_revocation(world: World, channel: ChannelClient) -> None:
    channel.queue("q")
    user = add_bob(world, read="q")
    asking = bob(world)
    asking.call(BasicGet(queue="q"), BasicGetEmpty)
    user.permissions["/"] = Permissions("", "", "")
    later = asking.client.channel(2)
    later.send(BasicGet(queue="q"))
    later.expect_close(403, refused("read", "queue", "q"))


@pytest.mark.rule("5.1")
def test_the_right_to_publish_stands_between_size_and_existence(world: World) -> None:
    add_bob(world)
    asking = bob(world)
    asking.publish("k", b"x", exchange="missing")
    asking.expect_close(403, refused("write", "exchange", "missing"))
    asking = bob(world)
    too_large = 16 * 1024 * 1024 + 1
    frames = encode_method_frame(1, BasicPublish(exchange="missing"))
    frames += encode_frame(2, 1, encode_content_header(Properties(), too_large))
    while too_large:
        size = min(too_large, 131_064)
        frames += encode_frame(3, 1, bytes(size))
        too_large -= size
    asking.client.send_octets(frames)
    asking.expect_close(406)


@pytest.mark.rule("5.1", "5.6")
def test_user_id_is_the_last_thing_checked_and_only_impersonators_may_differ(
    world: World, channel: ChannelClient
) -> None:
    channel.queue("q")
    add_bob(world, write=".*")
    asking = bob(world)
    asking.publish("q", b"x", properties=Properties(user_id="bob"))
    asking.publish("q", b"x", properties=Properties(user_id="alice"))
    asking.expect_close(406, "PRECONDITION_FAILED - user_id property set to 'alice' but authenticated user was 'bob'")
    add_bob(world, write=".*", tags=frozenset({"impersonator"}))
    bob(world).publish("q", b"x", properties=Properties(user_id="alice"))
    assert channel.counts("q") == (2, 0)


@pytest.mark.rule("8.15")
@pytest.mark.parametrize("tag", ["administrator", "monitoring", "policymaker", "management", "impersonator", "own"])
def test_a_tag_gives_no_right_in_amqp_but_to_another_user_id(world: World, channel: ChannelClient, tag: str) -> None:
    channel.queue("q")
    add_bob(world, write="^amq.default$", tags=(tag,))
    asking = bob(world)
    asking.send(QueuePurge(queue="q"))
    asking.expect_close(403, refused("read", "queue", "q"))
    asking = bob(world)
    asking.publish("q", b"x", properties=Properties(user_id="alice"))
    if tag != "impersonator":
        asking.expect_close(406)
    assert channel.counts("q") == (int(tag == "impersonator"), 0)


# Who gets in, and how many


@pytest.mark.rule("1.30", "8.10")
def test_a_user_without_a_record_for_the_vhost_is_not_let_in(world: World) -> None:
    user = add_bob(world)
    user.permissions.clear()
    client = login_bob(world)
    client.send(0, ConnectionOpen(virtual_host="/"))
    client.expect_close(530, "NOT_ALLOWED - access to vhost '/' refused for user 'bob'")


@pytest.mark.rule("1.30")
def test_each_limit_has_its_text_and_its_place(world: World) -> None:
    """Broken from the last check to the first: each takes precedence over those before."""
    broker = world.broker
    user = add_bob(world)

    def text() -> str:
        client = login_bob(world)
        client.send(0, ConnectionOpen(virtual_host=vhost))
        return client.expect_close(530).reply_text

    vhost = "/"
    user.permissions.clear()
    assert text() == "NOT_ALLOWED - access to vhost '/' refused for user 'bob'"
    user.max_connections = 0
    assert text() == "NOT_ALLOWED - connection refused for user 'bob': user connection limit (0) is reached"
    broker.vhosts["/"].max_connections = 0
    assert text() == "NOT_ALLOWED - access to vhost '/' refused for user 'bob': connection limit (0) is reached"
    vhost = "missing"
    assert text() == "NOT_ALLOWED - vhost missing not found"


@pytest.mark.rule("1.30")
def test_limits_count_what_is_open_there(world: World) -> None:
    broker = world.broker
    other = broker.vhosts["other"] = Vhost("other", broker.config, broker.timers, broker.storage, broker.events)
    user = add_bob(world, max_connections=2)
    user.permissions["other"] = ALL
    other.max_connections = 1
    first = login_bob(world)
    first.call(0, ConnectionOpen(virtual_host="other"), ConnectionOpenOk)
    refused_there = login_bob(world)
    refused_there.send(0, ConnectionOpen(virtual_host="other"))
    refused_there.expect_close(530)
    second = bob(world)
    third = login_bob(world)
    third.send(0, ConnectionOpen(virtual_host="/"))
    third.expect_close(530, "NOT_ALLOWED - connection refused for user 'bob': user connection limit (2) is reached")
    second.client.close()
    bob(world)


@pytest.mark.rule("2.3")
def test_a_users_channels_are_counted_over_all_connections(world: World) -> None:
    add_bob(world, max_channels=2)
    bob(world)
    second = bob(world)
    second.client.send(2, ChannelOpen())
    second.client.expect_close(
        530,
        "NOT_ALLOWED - number of channels opened for user 'bob' has reached the maximum allowed user limit of 2",
    )
    bob(world).client.drop()
    bob(world)


@pytest.mark.rule("2.3", "8.8")
def test_the_nodes_channels_are_counted_over_all_connections() -> None:
    world = World(Config(max_channels=2, node_name="rabbit@here"))
    one = world.channel()
    other = Client(world)
    other.open()
    other.channel(1)
    other.send(2, ChannelOpen())
    text = "number of channels opened on node 'rabbit@here' has reached the maximum allowed limit of 2"
    other.expect_close(530, f"NOT_ALLOWED - {text}")
    one.client.channel(2)


@pytest.mark.rule("2.3")
def test_the_limit_counts_open_channels_not_numbers(world: World) -> None:
    client = Client(world)
    client.open(channel_max=2)
    client.channel(1)
    client.channel(65_535).close()
    client.channel(40_000)
    client.send(7, ChannelOpen())
    client.expect_close(530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")
    unlimited = world.client()
    unlimited.call(9, ChannelOpen(), ChannelOpenOk)


@pytest.mark.rule("4.42")
def test_rights_for_a_dead_letter_exchange_are_asked_for_when_the_queue_is_declared_and_never_again(
    world: World, channel: ChannelClient
) -> None:
    add_bob(world, ".*", ".*", ".*")
    theirs = bob(world)
    channel.queue("dead")
    bind(channel, "dead", "amq.fanout")
    theirs.queue("q", arguments={"x-dead-letter-exchange": b"amq.fanout", "x-message-ttl": 0})
    set_permissions(world.broker, "bob", "/", "", "^amq.default$", "")
    theirs.publish("q", b"1")
    assert channel.drain("dead") == [b"1"]
