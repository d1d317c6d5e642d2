"""Dynamic shovels in a broker: between its own queues, and to another broker over a socket."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from amqp_broker.administration.errors import InvalidValueError
from amqp_broker.administration.parameters import clear_parameter, set_parameter
from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.users import add_user
from amqp_broker.administration.vhosts import add_vhost
from amqp_broker.config import Config
from amqp_broker.links.board import SHOVEL, Link, LinkState
from amqp_broker.message import new_message
from amqp_broker.net.links import run_links
from amqp_broker.net.local import answer_link
from amqp_broker.placement import Found, Inquiry
from amqp_broker.server import Server
from amqp_codec import (
    BasicGet,
    Properties,
    QueueDelete,
    QueueDeleteOk,
    encode_address,
    encode_content_header,
    parse_content_header,
)
from tests.net.house import House
from tests.support.wire import WireClient, publish_frames, until

LOCAL: dict[str, Any] = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
DEADLINE_S = 10
REFUSED = "amqp://127.0.0.1:1: Error connecting to ('127.0.0.1', 1): Connection refused"


@pytest.fixture
async def linked(house: House, nursery: trio.Nursery, autojump_clock: object) -> House:
    """A broker that runs its shovels."""
    nursery.start_soon(run_links, house.broker)
    return house


def put(house: House, **more: Any) -> None:
    value = {**LOCAL, **{key.replace("_", "-"): each for key, each in more.items()}}
    set_parameter(house.broker, "/", "shovel", "s", {key: each for key, each in value.items() if each is not None})


def length(house: House, queue: str) -> int:
    found = house.broker.vhosts["/"].queues.get(queue)
    return -1 if found is None else found.message_count


async def link_in(house: House, state: LinkState) -> Link:
    """Wait until the shovel is in a state."""
    links = house.broker.links
    await until(lambda: (link := links.get((SHOVEL, "/", "s"))) is not None and link.state is state, 0.05)
    link = links.get((SHOVEL, "/", "s"))
    assert link is not None
    return link


async def filled(house: House, count: int, queue: str = "a") -> WireClient:
    """A client that has put messages into a queue of its making."""
    client = await house.client()
    await client.declare(queue)
    for number in range(count):
        await client.publish(queue, b"%d" % number)
    await client.declare(queue)
    return client


async def test_it_moves_what_is_there_and_what_comes(linked: House) -> None:
    client = await filled(linked, 5)
    put(linked)
    await until(lambda: length(linked, "b") == 5, 0.05)
    assert linked.broker.vhosts["/"].queues["b"].durable
    await client.publish("a", b"later")
    await until(lambda: length(linked, "b") == 6, 0.05)
    link = await link_in(linked, LinkState.RUNNING)
    await until(lambda: link.forwarded == 6, 0.05)
    assert length(linked, "a") == 0
    clear_parameter(linked.broker, "/", "shovel", "s")
    await until(lambda: linked.broker.links.get(link.key) is None, 0.05)
    await linked.gone(1)
    await client.publish("a", b"stays")
    assert await client.declare("a", passive=True) == 1


@pytest.mark.parametrize(("delete_after", "moved"), [("queue-length", 4), (3, 3), (0, 0)])
async def test_it_ends_with_its_parameter_after_so_many(linked: House, delete_after: int | str, moved: int) -> None:
    await filled(linked, 4)
    put(linked, src_delete_after=delete_after)
    await until(lambda: ("/", "shovel", "s") not in linked.broker.registry.parameters, 0.05)
    await linked.gone(1)
    assert (length(linked, "a"), length(linked, "b")) == (4 - moved, moved)


@pytest.mark.parametrize("ack_mode", ["on-confirm", "on-publish", "no-ack"])
async def test_each_mode_of_acks_moves_all(linked: House, ack_mode: str) -> None:
    await filled(linked, 50)
    put(linked, ack_mode=ack_mode, src_prefetch_count=7)
    await until(lambda: length(linked, "b") == 50, 0.05)
    assert length(linked, "a") == 0


async def test_a_changed_parameter_is_another_shovel(linked: House) -> None:
    await filled(linked, 1)
    put(linked)
    await until(lambda: length(linked, "b") == 1, 0.05)
    put(linked, src_queue="b", dest_queue="c")
    await until(lambda: (length(linked, "b"), length(linked, "c")) == (0, 1), 0.05)


async def test_from_an_exchange_and_to_an_exchange(linked: House) -> None:
    client = await linked.client()
    await client.declare("target")
    source = {"src_queue": None, "src_exchange": "amq.topic", "src_exchange_key": "#"}
    put(linked, **source, dest_queue=None, dest_exchange="", dest_exchange_key="target")
    await link_in(linked, LinkState.RUNNING)
    await client.send_octets(publish_frames("x.y", b"m", exchange="amq.topic"))
    await until(lambda: length(linked, "target") == 1, 0.05)


async def test_properties_are_added_only_where_that_is_asked_for(linked: House) -> None:
    client = await filled(linked, 1)
    properties = {"app_id": "shovelled", "delivery_mode": 2}
    put(linked, dest_add_forward_headers=True, dest_add_timestamp_header=True, dest_publish_properties=properties)
    await until(lambda: length(linked, "b") == 1, 0.05)
    await client.send(1, BasicGet(queue="b", no_ack=True))
    command = await client.receive()
    assert command is not None
    assert command.header is not None
    seen = command.header.properties
    assert (seen.app_id, seen.delivery_mode) == ("shovelled", 2)
    headers = seen.headers or {}
    assert isinstance(headers["x-shovelled-timestamp"], int)
    hops = headers["x-shovelled"]
    assert isinstance(hops, list)
    hop = hops[0]
    assert isinstance(hop, dict)
    assert (hop["shovel-name"], hop["src-queue"], hop["dest-queue"]) == (b"s", b"a", b"b")


async def test_a_queue_that_goes_ends_one_attempt_and_the_next_makes_it_anew(linked: House) -> None:
    client = await filled(linked, 1)
    put(linked, reconnect_delay=3)
    await until(lambda: length(linked, "b") == 1, 0.05)
    await client.call(1, QueueDelete(queue="b"), QueueDeleteOk)
    await client.publish("a", b"1")
    link = await link_in(linked, LinkState.TERMINATED)
    assert "exchange '' routes nothing with key 'b'" in link.reason
    assert length(linked, "a") == 1, "given back"
    began = trio.current_time()
    await until(lambda: length(linked, "b") == 1, 0.05)
    assert trio.current_time() - began > 2


async def test_a_restart_does_not_wait(linked: House) -> None:
    put(linked, src_predeclared=True, reconnect_delay=100_000)
    link = await link_in(linked, LinkState.TERMINATED)
    assert link.reason == "NOT_FOUND - no queue 'a' in vhost '/'"
    at = link.changed_at
    link.restart()
    await until(lambda: link.changed_at != at, 0.05)
    assert trio.current_time() - at < 1000


async def test_amqp_1_0_is_said_not_to_be_there(linked: House) -> None:
    set_parameter(linked.broker, "/", "shovel", "s", {**LOCAL, "dest-protocol": "amqp10", "dest-address": "/x"})
    assert "AMQP 1.0" in (await link_in(linked, LinkState.TERMINATED)).reason


async def test_who_does_not_answer_is_told_without_a_password(house: House, nursery: trio.Nursery) -> None:
    nursery.start_soon(run_links, house.broker)
    put(house, dest_uri="amqp://guest:wrong@127.0.0.1:1")
    with trio.fail_after(DEADLINE_S):
        assert (await link_in(house, LinkState.TERMINATED)).reason == REFUSED


async def test_over_a_socket(nursery: trio.Nursery) -> None:
    server = Server(Config(port=0))
    await nursery.start(server.run)
    vhost = server.broker.vhosts["/"]
    with trio.fail_after(DEADLINE_S):
        set_parameter(server.broker, "/", "shovel", "t", {**LOCAL, "src-queue": "b", "dest-queue": "c"})
        value = {**LOCAL, "src-uri": server.urls[0], "dest-uri": [server.urls[0]]}
        set_parameter(server.broker, "/", "shovel", "s", value)
        await until(lambda: "a" in vhost.queues)
        header = parse_content_header(encode_content_header(Properties(), 1))
        vhost.queues["a"].enqueue(new_message(encode_address("", "a"), header, b"x"))
        await until(lambda: "c" in vhost.queues and vhost.queues["c"].message_count == 1)
        server.stop()
        await server.stopped.wait()


async def test_nobody_gets_into_a_vhost_by_a_shovel(house: House) -> None:
    broker = house.broker
    add_vhost(broker, "secret")
    add_user(broker, "bob", "pw", ["policymaker"])
    set_permissions(broker, "bob", "/", ".*", ".*", ".*")
    for key in ("src-uri", "dest-uri"):
        with pytest.raises(InvalidValueError, match='user "bob" may not connect to vhost "secret"'):
            set_parameter(broker, "/", "shovel", "s", {**LOCAL, key: "amqp:///secret"}, by="bob")
    set_parameter(broker, "/", "shovel", "s", {**LOCAL, "dest-uri": "amqp:///%2F"}, by="bob")


class Far:
    """The vhost `far` is with another node."""

    def is_here(self, vhost: str) -> bool:
        return vhost != "far"

    def locate(self, vhost: str, _found: Found) -> None:
        raise AssertionError(vhost)

    def forget(self, vhost: str, found: Found) -> None: ...


async def test_into_a_vhost_of_another_node(linked: House, nursery: trio.Nursery) -> None:
    other = House(nursery, Config())
    for each in (linked, other):
        add_vhost(each.broker, "far")
    linked.broker.placement = Far()
    ways: list[trio.abc.Stream | None] = []

    async def reach(vhost: str, name: str) -> trio.abc.Stream:
        assert (vhost, name) == ("far", "Shovel s")
        if not ways:
            ways.append(None)
            raise OSError("it is on no node at present")
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(answer_link, other.broker, Inquiry("link", user=name), theirs)
        ways.append(ours)
        return ours

    linked.broker.reach = reach
    put(linked, dest_uri="amqp:///far", reconnect_delay=1)
    assert (await link_in(linked, LinkState.TERMINATED)).reason == "vhost 'far': it is on no node at present"
    await link_in(linked, LinkState.RUNNING)
    client = await linked.client()
    await client.publish("a", b"1")
    there = other.broker.vhosts["far"]
    await until(lambda: "b" in there.queues and there.queues["b"].message_count == 1, 0.05)
    (connection,) = other.broker.clients
    connection.force_close("the vhost moves")
    assert "the vhost moves" in (await link_in(linked, LinkState.TERMINATED)).reason
    await client.publish("a", b"2")
    await until(lambda: there.queues["b"].message_count == 2, 0.05)
    way = ways[-1]
    assert way is not None
    await way.aclose()
    await link_in(linked, LinkState.TERMINATED)
    await other.gone()


async def test_a_link_into_a_vhost_that_has_just_gone_fails_and_tries_again(linked: House) -> None:
    add_vhost(linked.broker, "far")
    linked.broker.placement = Far()
    put(linked, dest_uri="amqp:///far")
    assert (await link_in(linked, LinkState.TERMINATED)).reason
