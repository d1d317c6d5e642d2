"""Dead letters that stay in their queue until they have arrived (rule 4.43)."""

from collections.abc import Callable

import pytest

from amqp_broker.config import Config
from amqp_broker.queues.waiting import RETRY_S
from amqp_codec import BasicAck, BasicNack, ConfirmSelect, ConfirmSelectOk, Properties
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient, World
from tests.support.topology import bind, delete_queue, exchange, got, purge, queue_with, quorum_queue, reject


def source(channel: ChannelClient, target: str = "dlx", **arguments: object) -> None:
    """Declare the queue `q` whose dead letters are to arrive at least once."""
    quorum_queue(
        channel,
        "q",
        **{
            "dead_letter_strategy": b"at-least-once",
            "overflow": b"reject-publish",
            "dead_letter_exchange": target.encode(),
            **arguments,
        },
    )


def kill(channel: ChannelClient, *bodies: bytes) -> None:
    channel.publish_all("q", *bodies)
    for _ in bodies:
        reject(channel, got(channel, "q"))


def appear(channel: ChannelClient, name: str = "dead") -> None:
    """Make the way to where the dead letters go."""
    exchange(channel, "dlx", "fanout")
    channel.queue(name)
    bind(channel, name, "dlx")


@pytest.mark.rule("4.43")
def test_letter_arrives_at_once_where_it_can(world: World, channel: ChannelClient) -> None:
    appear(channel)
    source(channel)
    kill(channel, b"1")
    letter = got(channel, "dead")
    assert letter.headers["x-last-death-reason"] == b"rejected"
    assert "x-delivery-count" not in letter.headers
    assert world.broker.timers.next_deadline() is None


@pytest.mark.rule("4.43")
@pytest.mark.parametrize("there", ["nothing", "exchange"])
def test_letter_waits_for_its_exchange_and_its_route(channel: ChannelClient, there: str) -> None:
    if there == "exchange":
        exchange(channel, "dlx", "fanout")
    source(channel)
    kill(channel, b"1", b"2")
    channel.world.advance(10 * RETRY_S)
    assert channel.counts("q") == (0, 0)
    appear(channel)
    channel.world.advance(RETRY_S)
    assert channel.drain("dead") == [b"1", b"2"]
    channel.world.advance(10 * RETRY_S)
    assert channel.drain("dead") == []


@pytest.mark.rule("4.36", "4.43")
@pytest.mark.parametrize(
    "arguments",
    [{"dead_letter_strategy": b"at-most-once"}, {"overflow": b"drop-head"}],
    ids=str,
)
def test_without_strategy_or_overflow_it_is_at_most_once(channel: ChannelClient, arguments: dict[str, object]) -> None:
    source(channel, "dlx", **arguments)
    kill(channel, b"1")
    appear(channel)
    channel.world.advance(10 * RETRY_S)
    assert channel.drain("dead") == []


@pytest.mark.rule("4.43")
def test_each_target_gets_it_once_however_often_another_refuses(channel: ChannelClient) -> None:
    appear(channel, "has room")
    queue_with(channel, "full", {"x-max-length": 1, "x-overflow": b"reject-publish"})
    bind(channel, "full", "dlx")
    channel.publish("full", b"before")
    source(channel)
    kill(channel, b"1")
    channel.world.advance(3 * RETRY_S)
    assert channel.drain("has room") == [b"1"]
    assert channel.drain("full") == [b"before"]
    channel.world.advance(RETRY_S)
    assert channel.drain("full") == [b"1"]
    assert channel.drain("has room") == []


@pytest.mark.rule("4.30", "4.43")
def test_waiting_letters_count_for_the_length_limit(channel: ChannelClient) -> None:
    source(channel, max_length=2)
    kill(channel, b"1")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("q", b"2")
    channel.expect(BasicAck)
    channel.publish("q", b"3")
    channel.expect(BasicNack)
    appear(channel)
    channel.world.advance(RETRY_S)
    channel.publish("q", b"4")
    channel.expect(BasicAck)


@pytest.mark.rule("4.30", "4.43")
def test_waiting_letters_count_for_the_limit_of_octets(channel: ChannelClient) -> None:
    source(channel, max_length_bytes=10)
    kill(channel, b"8 octets")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("q", b"2")
    channel.expect(BasicAck)
    channel.publish("q", b"too many")
    channel.expect(BasicNack)


@pytest.mark.rule("4.43")
def test_expired_and_given_up_messages_wait_too(channel: ChannelClient) -> None:
    source(channel, delivery_limit=0)
    channel.publish("q", b"given up")
    reject(channel, got(channel, "q"), requeue=True)
    channel.publish("q", b"expired", properties=Properties(expiration="1"))
    channel.world.advance(1)
    appear(channel)
    channel.world.advance(RETRY_S)
    reasons = [got(channel, "dead").headers["x-last-death-reason"] for _ in range(2)]
    assert reasons == [b"delivery_limit", b"expired"]


@pytest.mark.rule("4.22", "4.43")
def test_purge_takes_waiting_letters_without_counting_them(channel: ChannelClient) -> None:
    source(channel)
    kill(channel, b"1")
    channel.publish("q", b"2")
    assert purge(channel, "q") == 1
    appear(channel)
    channel.world.advance(10 * RETRY_S)
    assert channel.drain("dead") == []


@pytest.mark.rule("4.21", "4.43")
def test_deleted_queue_takes_its_letters_along(world: World, channel: ChannelClient) -> None:
    source(channel)
    kill(channel, b"1")
    delete_queue(channel, "q")
    appear(channel)
    assert world.broker.timers.next_deadline() is None
    assert channel.drain("dead") == []


@pytest.mark.rule("4.41", "4.43")
def test_letter_that_would_go_round_in_circles_is_dropped(world: World, channel: ChannelClient) -> None:
    source(channel, "", dead_letter_routing_key=b"q", message_ttl=100)
    channel.publish("q", b"1")
    world.advance(1)
    assert channel.counts("q") == (0, 0)
    assert len(world.broker.vhosts["/"].queues["q"].ready) == 0
    assert world.broker.timers.next_deadline() is None


@pytest.mark.rule("4.43", "7.6")
@pytest.mark.parametrize("restart", [Machine.restarted, Machine.crashed], ids=["clean stop", "power cut"])
def test_waiting_letters_are_still_dead_after_a_restart(restart: Callable[[Machine], Machine]) -> None:
    machine = Machine()
    channel = machine.channel()
    source(channel, delivery_limit=0)
    kill(channel, b"rejected")
    channel.publish_all("q", b"given up", b"alive")
    reject(channel, got(channel, "q"), requeue=True)
    channel.queue("kept", durable=True)  # answered when all before it is safe
    machine = restart(machine)
    channel = machine.channel()
    assert channel.counts("q") == (1, 0)
    appear(channel)
    machine.advance(RETRY_S)
    letters = [got(channel, "dead") for _ in range(2)]
    assert [(letter.body, letter.headers["x-last-death-reason"]) for letter in letters] == [
        (b"rejected", b"rejected"),
        (b"given up", b"delivery_limit"),
    ]
    assert channel.drain("q") == [b"alive"]
    assert channel.get("dead") is None
    assert restart(machine).channel().counts("q") == (0, 0)


@pytest.mark.rule("4.43")
def test_waiting_letters_are_left_to_the_disk_beyond_the_window() -> None:
    machine = Machine(config=Config(queue_window_octets=4000))
    channel = machine.channel()
    source(channel)
    bodies = [b"%d" % number + b"." * 500 for number in range(20)]
    kill(channel, *bodies)
    letters = machine.broker.vhosts["/"].queues["q"].undelivered  # type: ignore[attr-defined]
    assert sum(letter.entry.message is not None for letter in letters) < 10
    appear(channel)
    machine.advance(RETRY_S)
    assert channel.drain("dead") == bodies
