"""What time costs: idle queues and waiting messages cost nothing, a change costs one step in the schedule.

The steps are counted, not timed: how often the schedule was asked to plan, and how often it ran something.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amqp_broker.queues.entry import QueueEntry
from amqp_broker.storage.interface import MemoryStorage
from amqp_broker.timers import SLICE, Timer, Timers
from amqp_codec import BasicAck, Properties
from tests.support.client import ChannelClient, World
from tests.support.topology import delete_queue, has_queue, purge, queue_with, quorum_queue


class CountedTimers(Timers):
    """A schedule that counts.

    Attributes:
        planned: timers made.
        called: callbacks that ran.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.planned = 0
        self.called = 0

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.planned += 1

        def counted() -> None:
            self.called += 1
            callback()

        return super().at(when, counted)


class CountedWorld(World):
    """A broker whose schedule counts."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        super().__init__(storage=storage)
        self.counted = CountedTimers(lambda: self.time)
        self.broker.timers = self.counted
        self.broker.vhosts["/"]._timers = self.counted

    def steps(self, action: Callable[[], object]) -> int:
        """How many timers an action plans and runs."""
        before = self.counted.planned + self.counted.called
        action()
        return self.counted.planned + self.counted.called - before


@pytest.fixture
def world() -> CountedWorld:
    return CountedWorld()


MANY = 2000


@pytest.mark.rule("4.24", "4.26")
def test_messages_that_wait_for_their_expiry_have_one_timer_together(
    world: CountedWorld, channel: ChannelClient
) -> None:
    queue_with(channel, "q", {"x-message-ttl": 1_000_000})
    assert world.steps(lambda: channel.publish_all("q", *[b"m"] * MANY)) <= 1
    assert world.steps(lambda: world.advance(900)) == 0


@pytest.mark.rule("4.26")
def test_messages_that_expire_together_take_one_step(world: CountedWorld, channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-message-ttl": 1000})
    channel.publish_all("q", *[b"m"] * MANY)
    assert world.steps(lambda: world.advance(2)) == 1
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.25")
def test_expiry_behind_the_head_plans_nothing(world: CountedWorld, channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"head")

    def publish() -> None:
        for number in range(MANY):
            channel.publish("q", b"m", properties=Properties(expiration=str(MANY - number)))

    assert world.steps(publish) == 0
    assert world.steps(lambda: world.advance(10)) == 0


@pytest.mark.rule("4.23")
def test_queue_that_is_used_plans_its_end_once_however_often(world: CountedWorld, channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-expires": 1_000_000})
    assert world.steps(lambda: [channel.get("q") for _ in range(MANY)]) == 0
    assert world.steps(lambda: world.advance(999)) == 0


@pytest.mark.rule("4.23")
def test_idle_queues_take_a_step_each_at_their_end_and_none_before(world: CountedWorld, channel: ChannelClient) -> None:
    for number in range(200):
        queue_with(channel, f"q{number}", {"x-expires": 1000})
    assert world.steps(lambda: world.advance(0.9)) == 0
    assert world.steps(lambda: world.advance(0.2)) == 200
    assert not has_queue(channel, "q7")


@pytest.mark.rule("4.45")
def test_returns_that_wait_have_one_timer_together(world: CountedWorld, channel: ChannelClient) -> None:
    quorum_queue(channel, "q", delayed_retry_type=b"all", delayed_retry_min=60_000)
    channel.publish_all("q", *[b"m"] * MANY)
    for _ in range(MANY):
        channel.get("q", no_ack=False)
    assert world.steps(channel.close) <= 1
    assert world.steps(lambda: world.advance(59)) == 0
    assert world.steps(lambda: world.advance(2)) == 1


@pytest.mark.rule("5.46")
def test_deliveries_plan_nothing_and_looks_come_by_the_minute(world: CountedWorld, channel: ChannelClient) -> None:
    quorum_queue(channel, "q")
    channel.consume("q")
    assert world.steps(lambda: channel.publish_all("q", *[b"m"] * MANY)) == 0
    channel.client.inbox.clear()
    assert world.steps(lambda: channel.send(BasicAck(delivery_tag=0, multiple=True))) == 0
    assert world.steps(lambda: world.advance(600)) == 20


# Long work


class CountingStorage(MemoryStorage):
    """Counts what it is to forget.

    Attributes:
        forgotten: messages.
        deleted: the queues it gave up.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        self.deleted = 0

    def forget(self, entry: QueueEntry, *, is_replaced: bool = False) -> None:
        self.forgotten += 1

    def queue_deleted(self, queue_id: int) -> None:
        self.deleted += 1


@pytest.fixture(params=["classic", "priorities", "quorum"])
def full(request: pytest.FixtureRequest) -> tuple[CountingStorage, ChannelClient]:
    """A channel, and a queue `q` of more messages than are forgotten in one go."""
    storage = CountingStorage()
    channel = World(storage=storage).channel()
    if request.param == "quorum":
        quorum_queue(channel, "q")
    else:
        queue_with(channel, "q", {"x-max-priority": 3} if request.param == "priorities" else {})
    for number in range(3 * SLICE + 1):
        channel.publish("q", b"m", properties=Properties(priority=number % 3))
    return storage, channel


def turns(channel: ChannelClient) -> int:
    """Let the schedule run until nothing is left to do now; gives the number of times."""
    timers, count = channel.world.broker.timers, 0
    while (deadline := timers.next_deadline()) is not None and deadline <= channel.world.time:
        timers.run()
        count += 1
    return count


@pytest.mark.rule("4.22")
def test_purge_of_many_is_seen_at_once_and_done_in_slices(full: tuple[CountingStorage, ChannelClient]) -> None:
    storage, channel = full
    assert purge(channel, "q") == 3 * SLICE + 1
    assert storage.forgotten == SLICE
    channel.publish("q", b"after")
    assert channel.counts("q") == (1, 0)
    assert purge(channel, "q") == 1
    channel.publish("q", b"kept")
    assert turns(channel) == 4
    assert storage.forgotten == 3 * SLICE + 2
    assert channel.drain("q") == [b"kept"]


@pytest.mark.rule("4.19", "4.21")
def test_delete_of_many_is_seen_at_once_and_done_in_slices(full: tuple[CountingStorage, ChannelClient]) -> None:
    storage, channel = full
    assert delete_queue(channel, "q") == 3 * SLICE + 1
    assert (storage.forgotten, storage.deleted) == (SLICE, 0)
    assert not has_queue(channel, "q")
    channel.queue("q")
    channel.publish("q", b"new")
    assert turns(channel) == 3
    assert (storage.forgotten, storage.deleted) == (3 * SLICE + 1, 1)
    assert channel.drain("q") == [b"new"]


@pytest.mark.rule("4.21")
def test_delete_after_a_purge_waits_for_its_slices(full: tuple[CountingStorage, ChannelClient]) -> None:
    storage, channel = full
    purge(channel, "q")
    channel.publish("q", b"after")
    assert delete_queue(channel, "q") == 1
    assert storage.deleted == 0
    turns(channel)
    assert (storage.forgotten, storage.deleted) == (3 * SLICE + 2, 1)
