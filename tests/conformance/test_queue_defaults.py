"""What a vhost says about its queues in general: their names, their type, their number (rules 4.2, 4.16 and 4.18)."""

import re

import pytest

from amqp_broker.administration import vhosts
from amqp_broker.config import Config
from amqp_broker.queues.arguments import QueueType
from amqp_codec import QueueDeclare, QueueDeclareOk, Table
from tests.support.client import ChannelClient, World
from tests.support.topology import delete_queue, queue_with, refused

QUORUM: Table = {"x-queue-type": b"quorum"}


def type_of(channel: ChannelClient, name: str) -> QueueType:
    return channel.world.broker.vhosts["/"].queues[name].options.type


# Generated names


@pytest.mark.rule("4.2")
@pytest.mark.parametrize("prefix", [b"orders", b"", b"p" * 64, "größe".encode()])
def test_prefix_of_a_generated_name(channel: ChannelClient, prefix: bytes) -> None:
    name = queue_with(channel, "", {"x-name-prefix": prefix})
    assert re.fullmatch(re.escape(prefix.decode()) + r"-[A-Za-z0-9_-]{22}", name)


@pytest.mark.rule("4.2")
def test_prefix_is_not_kept(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-name-prefix": b"orders", "x-max-length": 1})
    assert channel.world.broker.vhosts["/"].queues["q"].arguments == {"x-max-length": 1}


@pytest.mark.rule("4.2")
@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        (b"p" * 65, f"Queue name prefix '{'p' * 65}' exceeds the 64-byte limit"),
        (5, "invalid arg 'x-name-prefix': {unacceptable_type,signedint}"),
    ],
)
def test_wrong_prefix_is_refused(channel: ChannelClient, prefix: bytes | int, text: str) -> None:
    method = QueueDeclare(arguments={"x-name-prefix": prefix})
    refused(channel, method, 406, f"PRECONDITION_FAILED - {text}")


# Default type


@pytest.fixture
def quorum_vhost(world: World) -> None:
    world.broker.vhosts["/"].default_queue_type = QueueType.QUORUM


@pytest.mark.rule("4.16")
@pytest.mark.usefixtures("quorum_vhost")
def test_queue_that_asks_for_no_type_gets_the_default(channel: ChannelClient) -> None:
    channel.queue("q", durable=True)
    assert type_of(channel, "q") is QueueType.QUORUM
    channel.queue("q", durable=True)
    queue_with(channel, "q", QUORUM, durable=True)


@pytest.mark.rule("4.16")
def test_default_of_all_vhosts_is_configured() -> None:
    channel = World(Config(default_queue_type="quorum")).channel()
    channel.queue("q", durable=True)
    assert type_of(channel, "q") is QueueType.QUORUM


@pytest.mark.rule("4.16")
@pytest.mark.usefixtures("quorum_vhost")
@pytest.mark.parametrize(
    "flags",
    [{"durable": False}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}],
)
def test_flags_that_the_default_has_not_make_a_classic_queue(channel: ChannelClient, flags: dict[str, bool]) -> None:
    channel.queue("q", **flags)
    assert type_of(channel, "q") is QueueType.CLASSIC


@pytest.mark.rule("4.16")
@pytest.mark.usefixtures("quorum_vhost")
def test_type_that_is_asked_for_beats_the_default(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-queue-type": b"classic"}, durable=True)
    assert type_of(channel, "q") is QueueType.CLASSIC


@pytest.mark.rule("4.1", "4.16")
@pytest.mark.usefixtures("quorum_vhost")
def test_generated_name_depends_on_the_resulting_type(channel: ChannelClient) -> None:
    assert channel.queue("").startswith("amq.gen-")
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type quorum"
    refused(channel, QueueDeclare(durable=True), 406, text)


@pytest.mark.rule("4.11", "4.16")
def test_classic_queue_of_before_differs_from_a_new_default(world: World, channel: ChannelClient) -> None:
    channel.queue("q", durable=True)
    world.broker.vhosts["/"].default_queue_type = QueueType.QUORUM
    text = (
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': "
        "received 'quorum' but current is 'classic'"
    )
    refused(channel, QueueDeclare(queue="q", durable=True), 406, text)


# Limit


def limit_reached(name: str, limit: int) -> str:
    return f"PRECONDITION_FAILED - cannot declare queue '{name}': queue limit in vhost '/' ({limit}) is reached"


@pytest.mark.rule("4.18", "8.8")
def test_queue_over_the_limit_is_refused(world: World, channel: ChannelClient) -> None:
    world.broker.vhosts["/"].max_queues = 2
    channel.queue("a")
    channel.queue("b", exclusive=True)
    refused(channel, QueueDeclare(queue="c"), 406, limit_reached("c", 2))
    # Nor is it looked at what is wrong with it besides.
    method = QueueDeclare(queue="d", arguments={"x-max-length": -1})
    refused(channel, method, 406, limit_reached("d", 2))


@pytest.mark.rule("4.18")
def test_queues_that_are_there_are_declared_again_at_the_limit(world: World, channel: ChannelClient) -> None:
    channel.queue("a")
    channel.queue("b")
    world.broker.vhosts["/"].max_queues = 1
    channel.queue("a")
    assert channel.call(QueueDeclare(queue="b", passive=True), QueueDeclareOk).queue == "b"


@pytest.mark.rule("4.18")
def test_deleted_queue_makes_room(world: World, channel: ChannelClient) -> None:
    world.broker.vhosts["/"].max_queues = 1
    channel.queue("a")
    delete_queue(channel, "a")
    channel.queue("b")


@pytest.mark.rule("4.18", "8.8")
def test_queues_of_all_vhosts_can_be_limited() -> None:
    world = World(Config(max_queues=2))
    channel = world.channel()
    vhosts.add_vhost(world.broker, "other")
    channel.queue("a")
    world.broker.vhosts["other"].declare_queue(
        "b",
        durable=True,
        exclusive_owner=None,
        auto_delete=False,
        arguments={},
        connection=None,
        authorize=lambda *_: None,
    )
    text = "PRECONDITION_FAILED - cannot declare queue 'c': queue limit in cluster (2) is reached"
    refused(channel, QueueDeclare(queue="c"), 406, text)
    channel.queue("a")
    delete_queue(channel, "a")
    channel.queue("c")


@pytest.mark.rule("4.18", "8.8")
@pytest.mark.parametrize("limit", [None, -1])
def test_no_limit(world: World, channel: ChannelClient, limit: int | None) -> None:
    world.broker.vhosts["/"].max_queues = limit
    assert len({channel.queue("") for _ in range(20)}) == 20


@pytest.mark.rule("4.18", "8.8")
def test_limit_of_none_at_all(world: World, channel: ChannelClient) -> None:
    world.broker.vhosts["/"].max_queues = 0
    refused(channel, QueueDeclare(queue="a"), 406, limit_reached("a", 0))
