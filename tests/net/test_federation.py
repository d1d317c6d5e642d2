"""Federation between vhosts of one broker, which is to them as between brokers."""

from __future__ import annotations

import pytest
import trio

from amqp_broker.administration.parameters import clear_parameter, clear_policy, set_parameter, set_policy
from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.vhosts import add_vhost
from amqp_broker.links.board import FEDERATION, Link, LinkState
from amqp_broker.net.links import run_links
from amqp_broker.registry import Json
from amqp_broker.vhost import Vhost
from amqp_codec import (
    BasicGet,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueUnbind,
    QueueUnbindOk,
)
from tests.net.house import House
from tests.support.wire import WireClient, publish_frames, until


@pytest.fixture
async def linked(house: House, nursery: trio.Nursery, autojump_clock: object) -> House:
    """A broker with a second vhost, `up`, and the links that it is told to have."""
    add_vhost(house.broker, "up")
    set_permissions(house.broker, "guest", "up", ".*", ".*", ".*")
    nursery.start_soon(run_links, house.broker)
    return house


def federate(house: House, vhost: str = "/", upstream: str = "up", *, max_hops: int = 1) -> None:
    value: dict[str, Json] = {"uri": f"amqp:///{upstream}", "max-hops": max_hops}
    set_parameter(house.broker, vhost, "federation-upstream", "u", value)
    set_policy(house.broker, vhost, "f", "^fed", {"federation-upstream-set": "all"})


def upstream_queue(vhost: Vhost) -> str | None:
    return next((name for name in vhost.queues if name.startswith("federation: ")), None)


async def running(house: House) -> Link:
    """Wait until the one link runs."""

    def found() -> list[Link]:
        return [link for link in house.broker.links.of_kind(FEDERATION) if link.state is LinkState.RUNNING]

    await until(lambda: bool(found()), 0.05)
    (link,) = found()
    return link


async def exchange(client: WireClient, name: str, *bindings: tuple[str, str]) -> None:
    declare = ExchangeDeclare(exchange=name, type="topic", durable=True)
    await client.call(1, declare, ExchangeDeclareOk)
    for queue, key in bindings:
        await client.declare(queue)
        await client.call(1, QueueBind(queue=queue, exchange=name, routing_key=key), QueueBindOk)


def ready(house: House, queue: str, vhost: str = "/") -> int:
    found = house.broker.vhosts[vhost].queues.get(queue)
    return -1 if found is None else found.message_count


async def test_an_exchange_gets_what_its_upstream_gets_as_far_as_it_is_bound(linked: House) -> None:
    client, there = await linked.client(), await linked.client_of("up")
    await exchange(client, "fed", ("q", "a.*"))
    federate(linked)
    link = await running(linked)
    up = linked.broker.vhosts["up"]
    assert up.exchanges["fed"].type == "topic", "declared as it is here"
    await there.send_octets(publish_frames("a.b", b"1", exchange="fed") + publish_frames("b.b", b"2", exchange="fed"))
    await until(lambda: ready(linked, "q") == 1, 0.05)
    await client.send(1, BasicGet(queue="q", no_ack=True))
    command = await client.receive()
    assert command is not None
    assert command.header is not None
    hops = (command.header.properties.headers or {})["x-received-from"]
    assert isinstance(hops, list)
    hop = hops[0]
    assert isinstance(hop, dict)
    assert (hop["uri"], hop["exchange"], hop["vhost"]) == (b"amqp:///up", b"fed", b"up")
    await until(lambda: link.forwarded == 1, 0.05)
    assert command.body == b"1"


async def test_bindings_are_followed(linked: House) -> None:
    client, there = await linked.client(), await linked.client_of("up")
    await exchange(client, "fed", ("q", "a"))
    federate(linked)
    await running(linked)
    exchange_there = linked.broker.vhosts["up"].exchanges["fed"]
    await client.call(1, QueueBind(queue="q", exchange="fed", routing_key="b"), QueueBindOk)
    await until(lambda: len(exchange_there.bindings) == 2, 0.05)
    await client.call(1, QueueUnbind(queue="q", exchange="fed", routing_key="a"), QueueUnbindOk)
    await until(lambda: len(exchange_there.bindings) == 1, 0.05)
    await there.send_octets(publish_frames("b", b"1", exchange="fed") + publish_frames("a", b"2", exchange="fed"))
    await until(lambda: ready(linked, "q") == 1, 0.05)


async def test_exchanges_that_federate_each_other_pass_a_message_once(linked: House) -> None:
    client, there = await linked.client(), await linked.client_of("up")
    await exchange(client, "fed", ("q", "#"))
    await exchange(there, "fed", ("r", "#"))
    federate(linked, max_hops=5)
    federate(linked, "up", "%2F", max_hops=5)
    links = linked.broker.links
    await until(lambda: [link.state for link in links.of_kind(FEDERATION)] == [LinkState.RUNNING] * 2, 0.05)
    await client.send_octets(publish_frames("k", b"1", exchange="fed"))
    await until(lambda: ready(linked, "r", "up") == 1, 0.05)
    await until(lambda: sum(link.forwarded for link in links.of_kind(FEDERATION)) == 2, 0.05)
    assert (ready(linked, "q"), ready(linked, "r", "up")) == (1, 1)


async def test_what_is_no_more_federated_leaves_nothing_there(linked: House) -> None:
    client = await linked.client()
    await exchange(client, "fed", ("q", "#"))
    up = linked.broker.vhosts["up"]
    federate(linked)
    await running(linked)
    assert upstream_queue(up) is not None
    clear_policy(linked.broker, "/", "f")
    await until(lambda: upstream_queue(up) is None, 0.05)
    assert not list(linked.broker.links.of_kind(FEDERATION))


async def test_an_exchange_that_comes_later_is_federated(linked: House) -> None:
    federate(linked)
    client = await linked.client()
    await exchange(client, "other")
    await exchange(client, "fed")
    assert (await running(linked)).name == "fed"


async def test_without_upstreams_nobody_listens_to_events(linked: House) -> None:
    events = linked.broker.events
    federate(linked)
    await until(lambda: events.is_watched, 0.05)
    clear_parameter(linked.broker, "/", "federation-upstream", "u")
    await until(lambda: not events.is_watched, 0.05)


async def test_a_queue_fetches_while_somebody_consumes_here(linked: House) -> None:
    client, there = await linked.client(), await linked.client_of("up")
    await client.declare("fed")
    await there.declare("fed")
    for body in (b"1", b"2"):
        await there.publish("fed", body)
    federate(linked)
    link = await running(linked)
    await trio.sleep(5)
    assert (ready(linked, "fed"), ready(linked, "fed", "up")) == (0, 2), "nobody wants it"
    await client.consume("fed")
    assert [await client.body(), await client.body()] == [b"1", b"2"]
    await until(lambda: link.forwarded == 2, 0.05)
    assert ready(linked, "fed", "up") == 0
    await client.close()
    up = linked.broker.vhosts["up"].queues["fed"]
    await until(lambda: len(up.consumers) == 0, 0.05)
