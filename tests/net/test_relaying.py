"""What a node of a cluster publishes itself reaches the node that has the default vhost."""

from __future__ import annotations

from typing import cast

import pytest
import trio
import trio.testing

from amqp_broker.event_exchange import EVENT_EXCHANGE
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.net import relaying
from amqp_broker.net.relaying import Relay, answer_messages
from amqp_broker.placement import NOBODY, Inquiry
from amqp_codec import BasicGet, BasicGetOk, Properties, QueueBind, QueueBindOk, QueueDeclare, QueueDeclareOk
from tests.net.house import House
from tests.support.wire import until

WAITING = 20
PROPERTIES = Properties(headers={"größe": "é"}, delivery_mode=2)


class TheOther:
    """A cluster whose other node has the default vhost, and answers only now and then.

    Attributes:
        owner: who has it; None for nobody.
        fails: how many visits come to nothing: the first in the asking, the second in the answer, and so on.
        is_silent: it takes what it is sent, and says nothing.
    """

    def __init__(self, house: House, nursery: trio.Nursery) -> None:
        self.owner: str | None = "other"
        self.fails = 0
        self.is_silent = False
        self._house = house
        self._nursery = nursery

    async def wait_owner(self, _vhost: str) -> str:
        await until(lambda: self.owner is not None, 0.1)
        assert self.owner is not None
        return self.owner

    async def visit(
        self, node: str, subject: str, peer: object = NOBODY, user: str | None = None
    ) -> trio.abc.HalfCloseableStream:
        assert (node, subject, peer, user) == ("other", "publish", NOBODY, None)
        self.fails -= 1
        if self.fails >= 0 and self.fails % 2 == 0:
            raise OSError("no route to host")
        ours, theirs = trio.testing.memory_stream_pair()
        if self.is_silent:
            return ours
        if self.fails >= 0:
            await theirs.aclose()
        else:
            self._nursery.start_soon(answer_messages, self._house.broker, Inquiry(subject), theirs)
        return ours


@pytest.fixture
async def other(house: House, nursery: trio.Nursery) -> TheOther:
    house.broker.enable_event_exchange()
    return TheOther(house, nursery)


@pytest.fixture
async def relay(other: TheOther, house: House, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Relay:
    monkeypatch.setattr(relaying, "WAITING", WAITING)
    monkeypatch.setattr(relaying, "AT_ONCE", 5)
    relay = Relay(house.broker, cast("Cluster", other))
    nursery.start_soon(relay.run)
    return relay


async def bound(house: House) -> None:
    client = await house.client()
    await client.call(1, QueueDeclare(queue="q"), QueueDeclareOk)
    await client.call(1, QueueBind(queue="q", exchange=EVENT_EXCHANGE, routing_key="k.#"), QueueBindOk)


def count(house: House) -> int:
    return house.broker.vhosts["/"].queues["q"].message_count


@pytest.mark.parametrize("fails", [0, 1, 4])
@pytest.mark.parametrize("owner", ["other", "rabbit@localhost", None])
async def test_all_come_however_often_it_fails(
    autojump_clock: object, house: House, other: TheOther, relay: Relay, fails: int, owner: str | None
) -> None:
    await bound(house)
    other.owner, other.fails = owner, fails
    for number in range(12):
        relay.add(EVENT_EXCHANGE, f"k.{number}", PROPERTIES, b"%d" % number)
    relay.add("another", "k", PROPERTIES, b"")
    await trio.sleep(1)
    other.owner = other.owner or "other"
    await until(lambda: count(house) == 12, 0.1)


async def test_a_node_that_does_not_answer_is_asked_again(
    autojump_clock: object, house: House, other: TheOther, relay: Relay
) -> None:
    await bound(house)
    other.is_silent = True
    relay.add(EVENT_EXCHANGE, "k", PROPERTIES, b"")
    await trio.sleep(1)
    other.is_silent = False
    await until(lambda: count(house) == 1, 0.1)
    assert trio.current_time() >= relaying.ANSWER_S


async def test_of_what_could_not_be_sent_the_oldest_are_forgotten(
    autojump_clock: object, house: House, other: TheOther, relay: Relay, nursery: trio.Nursery
) -> None:
    await bound(house)
    other.fails = 1
    for number in range(WAITING):
        relay.add(EVENT_EXCHANGE, f"k.{number}", PROPERTIES, b"")
    await trio.testing.wait_all_tasks_blocked()  # five of them are with us again in a moment
    for number in range(WAITING, WAITING + 3):
        relay.add(EVENT_EXCHANGE, f"k.{number}", PROPERTIES, b"")
    await until(lambda: count(house) == WAITING, 0.1)
    client = await house.client()
    keys = []
    for _ in range(WAITING):
        await client.send(1, BasicGet(queue="q", no_ack=True))
        command = await client.receive()
        assert command is not None
        assert isinstance(command.method, BasicGetOk)
        keys.append(int(command.method.routing_key.removeprefix("k.")))
    assert keys == list(range(3, WAITING + 3))


@pytest.mark.parametrize("said", [b"", b"x"])
async def test_a_node_that_stays_silent_is_not_waited_for(autojump_clock: object, house: House, said: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(said)
    with pytest.raises(trio.TooSlowError):
        await answer_messages(house.broker, Inquiry("publish"), theirs)
    assert trio.current_time() < 60


async def test_names_may_have_octets_that_are_no_text(
    autojump_clock: object, house: House, other: TheOther, relay: Relay
) -> None:
    await bound(house)
    relay.add(EVENT_EXCHANGE, "k.\udcff", PROPERTIES, b"")
    relay.add("\udcff", "k", PROPERTIES, b"")
    relay.add(EVENT_EXCHANGE, "k.2", PROPERTIES, b"")
    await until(lambda: count(house) == 2, 0.1)


async def test_more_than_may_wait_are_forgotten(
    autojump_clock: object, house: House, other: TheOther, relay: Relay
) -> None:
    await bound(house)
    other.owner = None
    for number in range(WAITING + 5):
        relay.add(EVENT_EXCHANGE, f"k.{number}", PROPERTIES, b"")
    await trio.sleep(1)
    other.owner = "rabbit@localhost"
    await until(lambda: count(house) == WAITING, 0.1)
