"""What is administered at one broker holds at all of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.administration.errors import VhostElsewhereError
from amqp_broker.broker import Broker
from amqp_broker.cluster.meta import PREFIX, Meta, carry_out
from amqp_broker.config import Config
from amqp_codec import QueueDeclare, QueueDeclareOk
from tests.cluster.simulated_log import SimulatedTable
from tests.support.client import World


class Node(World):
    """A broker whose administration is shared."""

    def __init__(self, table: SimulatedTable) -> None:
        self.table = table
        self.meta = Meta()
        table.watch(self.told)
        self.starting = True
        table.tell()
        self.time = 1_000_000.0
        self.broker = Broker(Config(), now=lambda: self.time, storage=self.meta)
        self.broker.restore(self.meta.definitions(), {})
        self.starting = False

    def told(self, key: str, value: bytes | None, revision: int) -> None:
        changes = self.meta.told(key, value, revision)
        if not self.starting:
            for change in changes:
                carry_out(self.broker, change)

    def put(self) -> None:
        """Put all there is; what has no answer is tried again the next time."""
        puts = self.meta.take()
        if puts is not None:
            puts.execute(self.table)
            for change in self.meta.done(puts):
                carry_out(self.broker, change)

    def state(self) -> set[str]:
        return {repr((change.kind, sorted(change.table.items(), key=str))) for change in self.broker.definitions()}


@pytest.fixture
def table() -> SimulatedTable:
    return SimulatedTable(Random(1))


def settle(*nodes: Node) -> None:
    while any(node.meta.has_unsaved_changes for node in nodes):
        for node in nodes:
            node.put()
        nodes[0].table.tell()  # what a put has missed is known then
    nodes[0].table.tell()


@pytest.fixture
def two(table: SimulatedTable) -> tuple[Node, Node]:
    one = Node(table)
    settle(one)
    other = Node(table)
    settle(one, other)
    return one, other


def test_a_second_broker_begins_with_what_the_first_has(two: tuple[Node, Node]) -> None:
    one, other = two
    assert one.state() == other.state()
    assert len(one.state()) >= 4


CHANGES: list[Callable[[Broker], object]] = [
    lambda broker: vhosts.add_vhost(broker, "größe", description="d", tags=["a"], is_tracing=True),
    lambda broker: users.add_user(broker, "ann", "secret", ["monitoring"]),
    lambda broker: permissions.set_permissions(broker, "ann", "größe", "", ".*", "^a"),
    lambda broker: permissions.set_topic_permissions(broker, "ann", "größe", "amq.topic", "a", "b"),
    lambda broker: parameters.set_policy(broker, "größe", "p", ".*", {"max-length": 5}),
    lambda broker: vhosts.set_vhost_limits(broker, "größe", {"max-connections": 7}),
    lambda broker: parameters.set_global_parameter(broker, "cluster_name", "many"),
    lambda broker: users.set_user_limits(broker, "ann", {"max-channels": 3}),
    lambda broker: users.change_password(broker, "ann", "other"),
    lambda broker: permissions.clear_topic_permissions(broker, "ann", "größe"),
    lambda broker: permissions.clear_permissions(broker, "ann", "größe"),
    lambda broker: parameters.clear_policy(broker, "größe", "p"),
    lambda broker: users.delete_user(broker, "ann"),
    lambda broker: vhosts.delete_vhost(broker, "größe"),
]


def test_each_change_holds_at_the_other_and_after_a_start(two: tuple[Node, Node]) -> None:
    one, other = two
    for change in CHANGES:
        change(one.broker)
        settle(one, other)
        late = Node(one.table)
        assert one.state() == other.state() == late.state()
        one.table.watches.pop()


STRANGE = [
    ("meta.queue.Lw==", b"\x01\0\0\0\0"),
    ("meta.user", b"x"),
    ("meta.user.YW5u", b""),
    ("meta.user.YW5u", b"\xff\0\0\0\0"),
    ("meta.user.YW5u", b"\x01\0\0\0\x09"),
    ("meta.permissions.YW5u", None),
]


@pytest.mark.parametrize(("key", "value"), STRANGE)
def test_what_a_later_version_says_is_left_alone(
    two: tuple[Node, Node], caplog: pytest.LogCaptureFixture, key: str, value: bytes | None
) -> None:
    one, other = two
    before = one.state()
    one.table.delete(key) if value is None else one.table.put(key, value)
    settle(one, other)
    assert one.state() == other.state() == Node(one.table).state() == before
    assert f"{key}: what the cluster says there is not for this version" in caplog.text
    one.table.watches.pop()
    users.add_user(one.broker, "ann", "pw")  # what it says of a thing that we know is replaced
    settle(one, other)
    assert one.state() == other.state() != before


def test_a_value_under_the_key_of_another_thing_is_left_alone(two: tuple[Node, Node]) -> None:
    one, other = two
    before = other.state()
    users.add_user(one.broker, "ann", "pw")
    settle(one, other)
    (value,) = (value for key, (value, _) in one.table.values.items() if key == "meta.user.YW5u")
    assert value is not None
    users.delete_user(one.broker, "ann")
    settle(one, other)
    one.table.put("meta.user.Ym9i", value)
    settle(one, other)
    assert other.state() == before


def test_limits_and_policies_take_effect_at_the_other(two: tuple[Node, Node]) -> None:
    one, other = two
    vhosts.set_vhost_limits(one.broker, "/", {"max-queues": 3})
    parameters.set_policy(one.broker, "/", "p", ".*", {"max-length": 5})
    settle(one, other)
    assert other.broker.vhosts["/"].max_queues == 3
    assert other.broker.vhosts["/"].policies


def test_what_belongs_to_something_told_later_is_not_lost(two: tuple[Node, Node]) -> None:
    one, other = two
    told = other.told
    news: list[tuple[str, bytes | None, int]] = []
    other.table.watches[1]._watcher = lambda *each: news.append(each)
    for change in CHANGES[:6]:
        change(one.broker)
    settle(one, other)
    for each in reversed(news):
        told(*each)
    assert one.state() == other.state()
    assert other.broker.vhosts["größe"].max_connections == 7


def test_a_user_that_is_deleted_leaves_no_rights_to_a_namesake(two: tuple[Node, Node]) -> None:
    one, other = two
    for change in CHANGES[:4]:
        change(one.broker)
    settle(one, other)
    users.delete_user(other.broker, "ann")
    settle(one, other)
    assert not [key for key, (value, _) in one.table.values.items() if "permissions.YW5u" in key and value is not None]
    users.add_user(one.broker, "ann", "x")
    settle(one, other)
    user = other.broker.users.get("ann")
    assert user is not None
    assert not user.permissions


def test_what_two_change_at_once_is_the_same_everywhere(two: tuple[Node, Node]) -> None:
    one, other = two
    for first, second in ((one, other), (other, one)):
        parameters.set_global_parameter(one.broker, "x", "one's")
        parameters.set_global_parameter(other.broker, "x", "other's")
        first.put()
        one.table.tell()
        second.put()
        settle(one, other)
        assert one.state() == other.state()
        wanted = "other's" if second is other else "one's"
        assert one.broker.registry.parameters[None, "", "x"] == wanted


def test_an_earlier_change_of_anothers_does_not_come_back(two: tuple[Node, Node]) -> None:
    """It was told while one of our own was under way: ours came after it."""
    one, other = two
    parameters.set_global_parameter(other.broker, "x", "theirs")
    other.put()
    seen: list[object] = []
    one.broker.registry.on_parameters_changed = lambda: seen.append(one.broker.registry.parameters[None, "", "x"])
    parameters.set_global_parameter(one.broker, "x", "ours")
    one.put()
    settle(one, other)
    assert seen == ["ours"]
    assert other.broker.registry.parameters[None, "", "x"] == "ours"


def test_a_put_that_arrives_late_undoes_nothing(two: tuple[Node, Node]) -> None:
    """Its author has made it again meanwhile, and another change after that."""
    one, other = two
    one.table.weather.late = 1.0
    parameters.set_global_parameter(one.broker, "x", "first")
    one.put()
    late = one.table.under_way.pop()
    one.table.weather.late = 0.0
    settle(one, other)
    parameters.set_global_parameter(one.broker, "x", "second")
    settle(one, other)
    one.table.under_way.append(late)
    while one.table.under_way:
        one.table.put("other", b"")
    settle(one, other)
    assert one.broker.registry.parameters[None, "", "x"] == "second"
    assert other.state() == one.state() == Node(one.table).state()


@pytest.mark.parametrize(("is_put", "is_at_once"), [(True, False), (False, False), (False, True)])
def test_rights_given_to_a_user_who_was_being_deleted_are_not_a_namesakes(
    two: tuple[Node, Node], is_put: bool, is_at_once: bool
) -> None:
    one, other = two
    users.add_user(one.broker, "ann", "x")
    settle(one, other)
    permissions.set_permissions(one.broker, "ann", "/", "", ".*", "")
    if is_put:
        one.put()
    users.delete_user(other.broker, "ann")
    other.put()
    one.table.tell()
    if not is_at_once:
        settle(one, other)
        assert one.state() == other.state() == Node(one.table).state()
        one.table.watches.pop()
    users.add_user(one.broker, "ann", "y")
    settle(one, other)
    assert one.state() == other.state() == Node(one.table).state()
    user = other.broker.users.get("ann")
    assert user is not None
    assert not user.permissions


def test_nothing_is_safe_before_the_table_has_it(two: tuple[Node, Node]) -> None:
    one, _ = two
    told: list[str] = []
    one.table.is_cut = True
    users.add_user(one.broker, "ann", "x")
    one.meta.when_durable(lambda: told.append("safe"))
    one.put()
    assert not told
    assert one.meta.has_unsaved_changes
    one.table.is_cut = False
    one.put()
    assert told == ["safe"]
    assert not one.meta.has_unsaved_changes


def test_a_change_without_an_answer_is_made_again(two: tuple[Node, Node]) -> None:
    one, other = two
    one.table.weather.unanswered = 0.5
    for change in CHANGES:
        change(one.broker)
        settle(one, other)
        assert one.state() == other.state()


@pytest.mark.parametrize(
    ("delete", "name", "what"), [(users.delete_user, "guest", "user 'guest'"), (vhosts.delete_vhost, "/", "vhost '/'")]
)
def test_connections_of_what_is_deleted_elsewhere_are_closed(
    two: tuple[Node, Node], delete: Callable[[Broker, str], None], name: str, what: str
) -> None:
    one, other = two
    client = other.client_of("/")
    delete(one.broker, name)
    settle(one, other)
    client.expect_close(320, f"CONNECTION_FORCED - {what} is deleted")


def test_connections_go_by_permissions_that_are_set_elsewhere(two: tuple[Node, Node]) -> None:
    one, other = two
    channel = other.channel()
    declare = QueueDeclare(queue="q", exclusive=True)
    channel.send(declare)
    channel.expect(QueueDeclareOk)  # from here on the channel remembers that it may
    permissions.set_permissions(one.broker, "guest", "/", "", "", "")
    settle(one, other)
    channel.send(declare)
    channel.expect_close(403)


def test_other_keys_are_left_alone(two: tuple[Node, Node]) -> None:
    one, _ = two
    assert one.meta.told("node.a", b"x", 1000) == []
    assert all(key.startswith(PREFIX) for key in one.table.values)


def test_what_would_be_in_a_vhost_that_is_elsewhere_is_refused(two: tuple[Node, Node]) -> None:
    one, _ = two
    with pytest.raises(VhostElsewhereError):
        one.broker.vhosts["/"].make_exchange("x", "direct", durable=True, user="")


def test_nobody_sees_a_new_vhost_half_described(two: tuple[Node, Node]) -> None:
    one, _ = two
    vhosts.add_vhost(one.broker, "v", description="d", default_queue_type="quorum")
    puts = one.meta.take()
    assert puts is not None
    assert [put.key for put in puts.puts].count(puts.puts[0].key) == len(puts.puts) == 1


def test_a_node_knows_how_much_of_the_table_it_knows(two: tuple[Node, Node]) -> None:
    one, other = two
    assert one.meta.revision == one.meta.told_revision == other.meta.told_revision
    before = one.meta.revision
    vhosts.add_vhost(one.broker, "v")
    one.put()
    assert one.meta.revision > before == one.meta.told_revision
    settle(one, other)
    assert one.meta.told_revision == other.meta.told_revision == one.meta.revision
