"""Returned messages of a quorum queue that wait for their next try (rule 4.45)."""

from collections.abc import Callable

import pytest

from amqp_broker.config import Config
from amqp_codec import BasicNack, BasicReject, Properties
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient, World
from tests.support.topology import delete_queue, got, purge, quorum_queue


def retry_queue(channel: ChannelClient, kind: bytes, **arguments: object) -> None:
    quorum_queue(channel, "q", **{"delayed_retry_type": kind, "delayed_retry_min": 1000, **arguments})


def give_back(channel: ChannelClient, *, failed: bool) -> None:
    tag = got(channel, "q").tag
    channel.send((BasicReject if failed else BasicNack)(delivery_tag=tag, requeue=True))


def back_after(channel: ChannelClient, seconds: float) -> None:
    """Check that the one message is ready after that time, and not before."""
    if seconds:
        channel.world.advance(seconds - 0.001)
        assert channel.counts("q") == (0, 0)
        channel.world.advance(0.001)
    assert channel.counts("q") == (1, 0)


@pytest.mark.rule("4.45")
@pytest.mark.parametrize(
    ("kind", "waits_failed", "waits_returned"),
    [(b"all", True, True), (b"failed", True, False), (b"returned", False, True), (b"disabled", False, False)],
)
def test_which_returns_wait(channel: ChannelClient, kind: bytes, waits_failed: bool, waits_returned: bool) -> None:
    retry_queue(channel, kind)
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    back_after(channel, 1.0 if waits_failed else 0.0)
    give_back(channel, failed=False)
    back_after(channel, 1.0 if waits_returned else 0.0)


@pytest.mark.rule("4.45")
def test_wait_grows_with_each_failure_up_to_the_longest(channel: ChannelClient) -> None:
    retry_queue(channel, b"all", delayed_retry_max=2500)
    channel.publish("q", b"1")
    for seconds in (1.0, 2.0, 2.5, 2.5):
        give_back(channel, failed=True)
        back_after(channel, seconds)


@pytest.mark.rule("4.45")
def test_wait_without_failures_is_the_shortest(channel: ChannelClient) -> None:
    retry_queue(channel, b"returned")
    channel.publish("q", b"1")
    for _ in range(3):
        give_back(channel, failed=False)
        back_after(channel, 1.0)


@pytest.mark.rule("4.45")
def test_no_shortest_wait_is_no_wait(channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delayed_retry_type=b"all", delayed_retry_max=1000)
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    back_after(channel, 0.0)


@pytest.mark.rule("4.45")
def test_waiting_message_holds_nobody_up(channel: ChannelClient) -> None:
    retry_queue(channel, b"all")
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    channel.publish("q", b"2")
    channel.consume("q", no_ack=True)
    channel.expect_bodies(b"2")
    channel.world.advance(1)
    (again,) = channel.expect_bodies(b"1")
    assert again.headers == {"x-acquired-count": 1, "x-delivery-count": 1}


@pytest.mark.rule("4.45", "4.46")
def test_too_many_failures_end_the_tries(channel: ChannelClient) -> None:
    channel.queue("dead")
    retry_queue(channel, b"all", delivery_limit=1, dead_letter_exchange=b"", dead_letter_routing_key=b"dead")
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    back_after(channel, 1.0)
    give_back(channel, failed=True)
    assert channel.drain("dead") == [b"1"]


@pytest.mark.rule("4.45", "4.46")
def test_end_of_a_channel_is_a_failure(channel: ChannelClient, other: ChannelClient) -> None:
    retry_queue(channel, b"failed")
    channel.publish("q", b"1")
    got(other, "q")
    other.close()
    back_after(channel, 1.0)


@pytest.mark.rule("4.26", "4.45")
def test_what_expires_while_it_waits_is_gone_afterwards(channel: ChannelClient) -> None:
    retry_queue(channel, b"all")
    channel.publish("q", b"1", properties=Properties(expiration="500"))
    give_back(channel, failed=True)
    channel.world.advance(1)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.22", "4.45")
def test_purge_takes_what_waits_too(channel: ChannelClient) -> None:
    retry_queue(channel, b"all")
    channel.publish_all("q", b"1", b"2")
    give_back(channel, failed=True)
    assert purge(channel, "q") == 2
    channel.world.advance(10)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.21", "4.45")
def test_nothing_waits_in_a_deleted_queue(world: World, channel: ChannelClient) -> None:
    retry_queue(channel, b"all")
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    delete_queue(channel, "q")
    assert world.broker.timers.next_deadline() is None


@pytest.mark.rule("4.45", "7.8", "7.11")
@pytest.mark.parametrize("restart", [Machine.restarted, Machine.crashed], ids=["clean stop", "power cut"])
def test_what_waits_is_ready_after_a_restart(restart: Callable[[Machine], Machine]) -> None:
    machine = Machine()
    channel = machine.channel()
    retry_queue(channel, b"all")
    channel.publish("q", b"1")
    give_back(channel, failed=True)
    channel.queue("kept", durable=True)  # answered when all before it is safe
    channel = restart(machine).channel()
    again = got(channel, "q")
    assert again.redelivered
    assert again.headers["x-delivery-count"] == 1


@pytest.mark.rule("4.45")
def test_what_waits_is_left_to_the_disk_beyond_the_window() -> None:
    machine = Machine(config=Config(queue_window_octets=4000))
    channel = machine.channel()
    retry_queue(channel, b"all")
    bodies = [b"%d" % number + b"." * 500 for number in range(20)]
    channel.publish_all("q", *bodies)
    for _ in bodies:
        give_back(channel, failed=True)
    queue = machine.broker.vhosts["/"].queues["q"]
    assert sum(entry.message is not None for entry in queue.delayed) < 10  # type: ignore[attr-defined]
    machine.advance(1)
    assert channel.drain("q") == bodies
