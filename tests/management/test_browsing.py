"""Looking at messages, moving them, sending dead letters back, and where a message would go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.users import add_user
from amqp_codec import Properties
from tests.management.support import api_of
from tests.support.client import ChannelClient, World
from tests.support.topology import bind, exchange, reject


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


@pytest.fixture
async def api(channel: ChannelClient) -> AsyncIterator[httpx.AsyncClient]:
    async with api_of(channel.world.broker) as client:
        yield client


async def bodies(api: httpx.AsyncClient, name: str, query: str = "") -> list[str]:
    return [message["payload"] for message in (await api.get(f"queues/%2F/{name}/messages{query}")).json()]


@pytest.mark.parametrize("kind", [b"classic", b"quorum"])
async def test_looking_leaves_no_trace(channel: ChannelClient, api: httpx.AsyncClient, kind: bytes) -> None:
    channel.queue("q", durable=True, arguments={"x-queue-type": kind})
    channel.publish_all("q", b"1", b"2", b"3")
    first = channel.get("q", no_ack=False)
    assert first is not None
    before = (await api.get("queues/%2F/q?columns=messages,messages_ready,message_stats")).json()
    assert await bodies(api, "q", "?count=1") == ["2"]
    assert await bodies(api, "q") == ["2", "3"]
    assert (await api.get("queues/%2F/q?columns=messages,messages_ready,message_stats")).json() == before
    reject(channel, first, requeue=True)
    assert await bodies(api, "q") == ["1", "2", "3"]
    delivered = [channel.get("q") for _ in range(3)]
    assert [(each.body, each.redelivered) for each in delivered if each] == [(b"1", True), (b"2", False), (b"3", False)]


async def test_priorities_are_looked_at_in_the_order_of_delivery(
    channel: ChannelClient, api: httpx.AsyncClient
) -> None:
    channel.queue("q", arguments={"x-max-priority": 5})
    for priority in (1, 5, 3):
        channel.publish("q", b"%d" % priority, properties=Properties(priority=priority))
    assert await bodies(api, "q") == ["5", "3", "1"]


async def test_a_stream_is_read_from_either_end(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("s", durable=True, arguments={"x-queue-type": b"stream"})
    channel.publish_all("s", *(b"%d" % number for number in range(5)))
    assert await bodies(api, "s", "?count=2") == ["3", "4"]
    assert await bodies(api, "s", "?count=2&from=first") == ["0", "1"]
    assert await bodies(api, "s", "?count=2&from=3") == ["3", "4"]
    assert (await api.get("queues/%2F/s/messages?from=x")).status_code == 400
    assert (await api.post("queues/%2F/s/move", json={"destination": "s"})).status_code == 400


async def test_messages_move_in_order(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("from")
    channel.queue("to")
    channel.publish_all("from", b"1", b"2", b"3")
    moved = await api.post("queues/%2F/from/move", json={"destination": "to", "count": 2})
    assert moved.json() == {"moved": 2}
    assert channel.drain("to") == [b"1", b"2"]
    assert channel.drain("from") == [b"3"]
    assert (await api.post("queues/%2F/from/move", json={"destination": "none"})).status_code == 404
    assert (await api.post("queues/%2F/from/move", json={"destination": "from"})).status_code == 400


async def test_what_a_queue_refuses_stays_where_it_was(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("from")
    channel.queue("to", arguments={"x-max-length": 1, "x-overflow": b"reject-publish"})
    channel.publish_all("from", b"1", b"2", b"3")
    assert (await api.post("queues/%2F/from/move", json={"destination": "to"})).json() == {"moved": 1}
    second = channel.get("from")
    assert second is not None
    assert (second.body, second.redelivered) == (b"2", False)


async def test_dead_letters_go_back_to_where_they_died(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("work", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    channel.queue("dead")
    channel.publish("work", b"1", properties=Properties(headers={"mine": b"x"}))
    channel.publish_all("work", b"2", b"3")
    for _ in range(3):
        delivery = channel.get("work", no_ack=False)
        assert delivery is not None
        reject(channel, delivery)
    letters = (await api.get("queues/%2F/dead/messages")).json()
    assert [each["properties"]["headers"]["x-death"][0]["queue"] for each in letters] == ["work"] * 3
    positions = [letters[2]["position"], letters[0]["position"], "4711"]
    sent = await api.post("queues/%2F/dead/send-back", json={"positions": positions})
    assert sent.json() == {"sent": 2, "missing": 1}
    back = [channel.get("work") for _ in range(2)]
    assert [(each.body, each.headers) for each in back if each] == [(b"3", {}), (b"1", {"mine": b"x"})]
    assert channel.drain("dead") == [b"2"]


async def test_only_dead_letters_have_a_way_back(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("q")
    channel.publish("q", b"1")
    position = (await api.get("queues/%2F/q/messages")).json()[0]["position"]
    refused = await api.post("queues/%2F/q/send-back", json={"positions": [position]})
    assert (refused.status_code, refused.json()["reason"]) == (400, "this message is no dead letter")


async def test_a_route_is_told_before_anything_is_published(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    exchange(channel, "x", "topic", arguments={"x-message-deduplication": True})
    for name in ("a", "b"):
        channel.queue(name)
    bind(channel, "a", "x", "eu.#")
    bind(channel, "b", "x", "#")
    asked = {"routing_key": "eu.x", "headers": {"x-deduplication-header": "1"}}
    for _ in range(2):  # asking is not seeing: it is no duplicate the second time
        assert (await api.post("exchanges/%2F/x/route", json=asked)).json() == {"queues": ["a", "b"]}
    assert (await api.post("exchanges/%2F/x/route", json={"routing_key": "us"})).json() == {"queues": ["b"]}
    assert (await api.post("exchanges/%2F/amq.default/route", json={"routing_key": "c"})).json() == {"queues": []}
    assert channel.counts("a") == (0, 0)


async def test_the_topology_is_what_is_bound(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("alone")
    channel.queue("bound")
    bind(channel, "bound", "x")
    drawn = (await api.get("topology/%2F")).json()
    assert [each["name"] for each in drawn["exchanges"]] == ["x"]
    assert [each["name"] for each in drawn["queues"]] == ["bound", "alone"]
    assert [(each["source"], each["destination"]) for each in drawn["bindings"]] == [("x", "bound")]
    assert drawn["is_cut"] is False


async def test_all_that_is_done_under_the_callers_permissions(channel: ChannelClient) -> None:
    channel.queue("own")
    channel.queue("other")
    channel.publish("own", b"1")
    broker = channel.world.broker
    add_user(broker, "u", "p", ("management",))
    set_permissions(broker, "u", "/", "", "", "^own")
    async with api_of(broker, ("u", "p")) as api:
        assert await bodies(api, "own") == ["1"]
        assert (await api.get("queues/%2F/other/messages")).status_code == 401
        assert (await api.post("queues/%2F/own/move", json={"destination": "other"})).status_code == 401
        position = (await api.get("queues/%2F/own/messages")).json()[0]["position"]
        body = {"positions": [position], "destination": "other"}
        assert (await api.post("queues/%2F/own/send-back", json=body)).status_code == 401
        assert (await api.post("exchanges/%2F/amq.topic/route", json={})).status_code == 401
    assert channel.counts("own") == (1, 0)


async def test_a_page_of_many_queues_is_filtered_and_sorted(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    for number in range(30):
        channel.queue(f"q{number:02}")
    channel.publish_all("q17", b"1", b"2")
    channel.publish_all("q21", b"1")
    page = (await api.get("queues?page=1&page_size=2&sort=messages&sort_reverse=true&columns=name")).json()
    assert page["items"] == [{"name": "q17"}, {"name": "q21"}]
    assert (page["total_count"], page["page_count"]) == (30, 15)
    found = (await api.get("queues/%2F?page=2&page_size=6&name=Q1&columns=name")).json()
    assert [item["name"] for item in found["items"]] == ["q16", "q17", "q18", "q19"]
    assert (found["filtered_count"], found["page_count"]) == (10, 2)
    assert (await api.get("queues?page=4&page_size=10")).status_code == 400


async def test_bindings_are_searched_by_what_they_connect(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("q")
    bind(channel, "q", "amq.topic", "a.b")
    found = (await api.get("bindings/%2F?page=1&name=a.b")).json()
    assert [item["routing_key"] for item in found["items"]] == ["a.b"]
    assert found["total_count"] == 2
