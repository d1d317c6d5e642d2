"""A vhost comes to a running broker and leaves it."""

from __future__ import annotations

from random import Random

import pytest

from amqp_broker.administration import parameters
from amqp_broker.broker import Broker
from amqp_broker.cluster.meta import Meta
from amqp_broker.cluster.vhosts import HeldVhost
from amqp_broker.config import Config
from amqp_broker.events import Event, EventKind
from amqp_broker.storage.opening import open_journal
from amqp_codec import Int64, Properties
from tests.simulation.machine import SMALL, Writer
from tests.storage.simulated_disk import SimulatedDisk
from tests.support.client import Client, World

KEPT = Properties(delivery_mode=2)


class Node(World):
    """A broker that may own a vhost whose files are on a disk."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.broker = Broker(Config(), now=lambda: self.time, storage=Meta())
        self.broker.restore((), {})
        self.writer: Writer | None = None

    def hold(self, disk: SimulatedDisk) -> HeldVhost:
        opened = open_journal("v", SMALL, disk, lambda: self.time)
        self.writer = Writer(opened.storage.journal, opened.storage.streams)
        return HeldVhost(self.broker, "/", opened)

    def connect(self) -> Client:
        return _Client(self)


class _Client(Client):
    """A client whose answers wait for the disk."""

    def pump(self) -> None:
        assert isinstance(self.world, Node)
        if self.world.writer is not None:
            self.world.writer.run()
        super().pump()


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(Random(1))


@pytest.fixture
def one() -> Node:
    return Node()


def test_what_is_in_it_goes_along_from_one_broker_to_another(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    channel = one.channel()
    channel.queue("q", durable=True)
    channel.publish("q", b"kept", properties=KEPT)
    one.channel()
    held.abandon()
    other = Node()
    other.hold(disk.copy())
    assert other.channel().drain("q") == [b"kept"]


def test_it_comes_with_what_describes_it_and_is_said_of_it(one: Node, disk: SimulatedDisk) -> None:
    one.hold(disk)
    one.channel().queue("q", durable=True)
    other = Node()
    other.broker.vhosts["/"].description = "one of many"
    parameters.set_policy(other.broker, "/", "p", ".*", {"max-length": 1})
    held = other.hold(disk.copy())
    assert held.vhost.description == "one of many"
    channel = other.channel()
    channel.publish_all("q", b"1", b"2")
    assert channel.drain("q") == [b"2"]


def test_it_leaves_with_its_clients_and_stays_by_name(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    parameters.set_policy(one.broker, "/", "p", ".*", {"max-length": 1})
    one.broker.vhosts["/"].description = "one of many"
    client = one.client_of("/")
    client.channel().queue("q", durable=True)
    held.close("vhost '/' is moved")
    client.expect_close(320, "CONNECTION_FORCED - vhost '/' is moved")
    shell = one.broker.vhosts["/"]
    assert shell is not held.vhost
    assert (shell.description, list(shell.queues), bool(shell.policies)) == ("one of many", [], True)
    assert held.vhost.queues


def test_what_was_deleted_meanwhile_does_not_come_back(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    one.broker.delete_vhost("/", "")
    held.close("gone")
    assert one.broker.vhosts == {}


def test_what_was_planned_happens_while_it_is_here_and_not_after(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    seen: list[object] = []

    def note(event: Event) -> None:
        if event.kind is EventKind.QUEUE_DELETED:
            seen.append(event.details["name"])

    one.broker.events.watch(note)
    client = one.client_of("/")
    channel = client.channel()
    channel.queue("early", durable=True, arguments={"x-expires": Int64(1000)})
    channel.queue("late", durable=True, arguments={"x-expires": Int64(5000)})
    one.advance(2)
    held.close("moved")
    client.drop()
    held.abandon()
    one.advance(10)
    assert seen == ["early"]
    assert one.broker.timers.next_deadline() is None


def test_what_its_clients_had_is_redelivered_at_the_next_broker(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    client = one.client_of("/")
    channel = client.channel()
    channel.queue("q", durable=True)
    channel.publish("q", b"1", properties=KEPT)
    assert channel.get("q", no_ack=False) is not None
    held.close("moved")
    client.drop()
    assert held.clients == []
    held.settle()
    held.storage.journal.finish()
    assert one.writer is not None
    one.writer.run()
    assert held.storage.journal.is_finished
    other = Node()
    other.hold(disk.copy())
    delivery = other.channel().get("q")
    assert delivery is not None
    assert delivery.redelivered


def test_publishers_wait_for_the_storage_of_their_own_vhost(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    client = one.client_of("/")
    channel = client.channel()
    channel.queue("q", durable=True)
    writer, one.writer = one.writer, None
    while not held.storage.is_behind:
        assert client.connection.may_read
        channel.publish("q", bytes(1000), properties=KEPT)
    assert not client.connection.may_read
    assert writer is not None
    writer.run()
    assert client.connection.may_read


def test_whoever_waits_for_storage_waits_for_that_of_every_vhost(one: Node, disk: SimulatedDisk) -> None:
    held = one.hold(disk)
    assert one.broker.storages == [one.broker.storage, held.storage]
    before = one.broker.stored_count
    one.broker.vhosts["/"].make_exchange("x", "direct", durable=True, user="")
    assert held.storage.has_unsaved_changes
    channel = one.channel()
    channel.queue("q", durable=True)
    channel.publish("q", b"1", properties=KEPT)
    assert one.broker.stored_count == before + 1
