"""What can be read over HTTP, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.users import add_user
from amqp_broker.administration.vhosts import add_vhost
from amqp_broker.auth.attempts import FIRST_DELAY_S
from amqp_broker.inspection.queues import queue_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.api import ENDPOINTS, queues
from amqp_broker.management.routes import Needs
from amqp_broker.management.sampling import sample
from amqp_broker.management.statistics import Statistics
from amqp_broker.queues.queue import Queue
from amqp_broker.vhost import Vhost
from amqp_codec import BasicQos, BasicQosOk
from tests.management.support import api_of, node_of
from tests.support.client import ChannelClient, World
from tests.support.topology import bind


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


@pytest.fixture
async def api(channel: ChannelClient) -> AsyncIterator[httpx.AsyncClient]:
    async with api_of(channel.world.broker) as client:
        yield client


async def test_a_declared_queue_is_there_at_once(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    name = channel.queue("a/b c")
    channel.publish_all(name, b"1", b"2")
    channel.consume(name, no_ack=True)
    record = (await api.get("queues/%2F/a%2Fb%20c")).json()
    assert (record["name"], record["messages"], record["consumers"]) == (name, 0, 1)
    assert record["message_stats"]["deliver_no_ack"] == 2
    assert [each["consumer_tag"] for each in record["consumer_details"]] == ["c"]
    assert [each["name"] for each in (await api.get("queues/")).json()] == [name]
    assert (await api.get("queues?columns=name,message_stats.publish")).json() == [
        {"name": name, "message_stats": {"publish": 2}}
    ]


async def test_consumers_that_are_full_for_a_while_are_used_less(channel: ChannelClient) -> None:
    broker = channel.world.broker
    statistics, node = Statistics(broker.timers.now), node_of(broker)
    name = channel.queue("q")
    channel.call(BasicQos(prefetch_count=1), BasicQosOk)
    channel.consume(name)

    async def shares(api: httpx.AsyncClient) -> set[float]:
        for _ in sample(node, statistics):
            pass
        record = (await api.get("queues/%2F/q")).json()
        return {record["consumer_utilisation"], record["consumer_capacity"]}

    async with api_of(broker, node=node, statistics=statistics) as api:
        assert await shares(api) == {1.0}
        channel.publish_all(name, b"1")
        first = await shares(api)
        assert len(first) == 1
        assert 0.0 < max(first) < 1.0
        assert max(await shares(api)) < max(first)


async def test_a_page_of_queues_by_a_pattern(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    for name in ("Alpha", "beta", "gamma"):
        channel.queue(name)
    page = (await api.get("queues?page=1&page_size=1&use_regex=true&name=^A|^B")).json()
    assert (page["filtered_count"], page["page_count"], page["total_count"]) == (2, 2, 3)
    assert [each["name"] for each in page["items"]] == ["Alpha"]
    bad = await api.get("queues?page=1&use_regex=true&name=(")
    assert (bad.status_code, bad.json()["error"]) == (400, "bad_request")


async def test_bindings_by_their_keys(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    name = channel.queue("q")
    bind(channel, name, "amq.topic", "a.#")
    (binding,) = (await api.get("bindings/%2F/e/amq.topic/q/q")).json()
    assert binding["properties_key"] == "a.%23"
    assert (await api.get("bindings/%2F/e/amq.topic/q/q/a.%2523")).json() == binding
    assert (await api.get("bindings/%2F/e/amq.topic/q/q/other")).status_code == 404
    assert len((await api.get("queues/%2F/q/bindings")).json()) == 2


async def test_connections_and_channels(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    (connection,) = (await api.get("connections")).json()
    assert (connection["user"], connection["channels"], connection["state"]) == ("guest", 1, "running")
    name = connection["name"]
    assert (await api.get(f"connections/{name}")).json()["name"] == name
    (of_connection,) = (await api.get(f"connections/{name}/channels")).json()
    assert of_connection["name"] == f"{name} (1)"
    assert (await api.get(f"channels/{name} (1)")).json()["number"] == 1
    assert (await api.delete(f"connections/{name}", headers={b"x-reason": "genügt".encode()})).status_code == 204
    channel.client.pump()
    channel.client.expect_close(320, "CONNECTION_FORCED - genügt")


async def test_the_overview_counts_what_there_is(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.publish_all(channel.queue("q"), b"1")
    overview = (await api.get("overview")).json()
    assert overview["queue_totals"]["messages_ready"] == 1
    assert overview["object_totals"]["queues"] == 1
    assert overview["message_stats"]["publish"] == 1
    assert overview["churn_rates"]["queue_created"] == 1
    assert overview["rabbitmq_version"] == "4.2.0"


@pytest.mark.parametrize(
    "path",
    ["nope", "queues/%2F/nope", "queues/nope", "exchanges/%2F/nope", "connections/nope", "channels/nope", "nodes/nope"],
)
async def test_what_is_not_there(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Object Not Found", "reason": "Not Found"}


async def test_who_is_nobody_is_asked_once_and_refused_twice(channel: ChannelClient) -> None:
    async with api_of(channel.world.broker, None) as api:
        asked = await api.get("overview")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'
        refused = await api.get("overview", auth=("guest", "wrong"))
        assert refused.status_code == 401
        assert refused.json() == {"error": "not_authorized", "reason": "Not_Authorized"}
        assert "www-authenticate" not in refused.headers
        assert (await api.get("overview", headers={"authorization": "Basic !"})).status_code == 401


@pytest.mark.rule("8.15")
@pytest.mark.parametrize(
    ("tags", "allowed"),
    [
        ((), {Needs.NOBODY}),
        (("management",), {Needs.NOBODY, Needs.MANAGEMENT}),
        (("policymaker",), {Needs.NOBODY, Needs.MANAGEMENT, Needs.POLICYMAKER}),
        (("monitoring",), {Needs.NOBODY, Needs.MANAGEMENT, Needs.MONITORING}),
        (("administrator",), set(Needs)),
    ],
)
async def test_each_tag_opens_its_endpoints(channel: ChannelClient, tags: tuple[str, ...], allowed: set[Needs]) -> None:
    broker = channel.world.broker
    add_user(broker, "u", "p", tags)
    set_permissions(broker, "u", "/", ".*", ".*", ".*")
    async with api_of(broker, ("u", "p")) as api:
        for endpoint in ENDPOINTS:
            if endpoint.method == "GET" and "{" not in endpoint.path:
                answer = await api.get(endpoint.path)
                assert (answer.status_code != 401) == (endpoint.needs in allowed), endpoint.path


@pytest.mark.parametrize(
    ("tag", "knows_of"), [("management", ["/"]), ("monitoring", ["/", "other"]), ("administrator", ["/", "other"])]
)
async def test_a_vhost_that_is_not_ones_own(channel: ChannelClient, tag: str, knows_of: list[str]) -> None:
    broker = channel.world.broker
    add_vhost(broker, "other")
    set_permissions(broker, "guest", "other", ".*", ".*", ".*")
    async with api_of(broker) as api:
        assert (await api.put("queues/other/theirs", json={"durable": True})).status_code == 201
    add_user(broker, "u", "p", (tag,))
    set_permissions(broker, "u", "/", ".*", ".*", ".*")
    channel.queue("own", durable=True)
    is_administrator = tag == "administrator"
    async with api_of(broker, ("u", "p")) as api:
        asked = await api.get("queues/other/theirs")
        if is_administrator:
            assert asked.status_code == 200
            refused = await api.delete("queues/other/theirs")
            assert (refused.status_code, refused.json()["reason"]) == (401, "Access refused.")
        else:
            assert (asked.status_code, asked.json()) == (404, {"error": "not_found", "reason": "Not Found"})
            assert (await api.delete("queues/other/theirs")).status_code == 404
        vhosts_of_queues = {each["vhost"] for each in (await api.get("queues")).json()}
        assert vhosts_of_queues == ({"/", "other"} if is_administrator else {"/"})
        assert [each["name"] for each in (await api.get("vhosts")).json()] == knows_of
        overview = (await api.get("overview")).json()
        assert ("listeners" in overview) == (tag != "management")
        assert overview["object_totals"]["queues"] == 1 + (len(knows_of) - 1)
        assert len((await api.get("connections")).json()) == (tag != "management")


async def test_methods(api: httpx.AsyncClient) -> None:
    refused = await api.post("overview")
    assert (refused.status_code, refused.headers["allow"]) == (405, "HEAD, GET, OPTIONS")
    assert (await api.options("queues/%2F/q")).headers["allow"].startswith("HEAD, GET")
    head, get = await api.head("whoami"), await api.get("whoami")
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_health(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    assert (await api.get("health/checks/port-listener/5672")).json() == {"status": "ok", "port": 5672}
    failed = await api.get("health/checks/protocol-listener/mqtt")
    assert (failed.status_code, failed.json()["missing"]) == (503, ["mqtt"])
    channel.world.broker.set_alarm("disk", True)
    failed = await api.get("health/checks/local-alarms")
    assert failed.status_code == 503
    assert failed.json()["alarms"] == [{"node": "rabbit@localhost", "resource": "disk"}]


async def test_guessing_passwords_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """From the fourth refusal on, as over AMQP; who logs in rightly from the same address never waits."""

    async with api_of(World().broker, auth=("guest", "wrong")) as client:
        for _ in range(3):
            assert (await client.get("whoami")).status_code == 401
        assert trio.current_time() == 0
        assert (await client.get("whoami")).status_code == 401
        waited = trio.current_time()
        assert waited == FIRST_DELAY_S
        assert (await client.get("whoami", auth=("guest", "guest"))).status_code == 200
        assert trio.current_time() == waited


@pytest.mark.parametrize("path", ["nodes", "feature-flags", "deprecated-features", "vhost-limits", "federation-links"])
async def test_every_list_has_columns_and_an_order(api: httpx.AsyncClient, path: str) -> None:
    await api.put("vhost-limits/%2F/max-queues", json={"value": 5})
    key = "vhost" if path == "vhost-limits" else "name"
    listed = (await api.get(path, params={"columns": key, "sort": key, "sort_reverse": "true"})).json()
    assert [each.keys() for each in listed] == [{key}] * len(listed)
    assert listed == sorted(listed, key=lambda each: str(each[key]), reverse=True)


async def test_lists_of_what_clients_have_are_about_one_vhost(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.consume(channel.queue("q"))
    add_vhost(channel.world.broker, "ü")
    for path in ("connections", "channels", "consumers"):
        assert len((await api.get(path, headers={"x-vhost": "/"})).json()) == 1
        assert (await api.get(path, headers={b"x-vhost": "ü".encode()})).json() == []
    listed = (await api.get("exchanges", headers={b"x-vhost": "ü".encode()})).json()
    assert {each["vhost"] for each in listed} == {"ü"}


async def test_what_a_node_used_is_a_series(channel: ChannelClient) -> None:
    broker = channel.world.broker
    statistics, node = Statistics(broker.timers.now), node_of(broker)
    async with api_of(broker, node=node, statistics=statistics) as api:
        for _ in range(3):
            for _step in sample(node, statistics):
                pass
            channel.world.advance(5)
        record = (await api.get(f"nodes/{node.name}?node_stats_age=10&node_stats_incr=5")).json()
    for name in ("mem_used", "fd_used", "sockets_used", "proc_used", "disk_free"):
        details = record[f"{name}_details"]
        assert (details["samples"][0]["sample"], len(details["samples"])) == (record[name], 3)


@pytest.mark.parametrize("page", ["0", "1_0", "+1", "1.0", "\u0661", ""])
async def test_pages_are_numbered_in_plain_digits(api: httpx.AsyncClient, page: str) -> None:
    answer = await api.get("queues", params={"page": page})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


async def test_a_pattern_is_quoted_as_it_was_given(api: httpx.AsyncClient) -> None:
    answer = await api.get("queues", params={"page": 1, "use_regex": "true", "name": "a("})
    assert answer.json()["reason"] == "invalid regular expression 'a(': missing ) at position 2"


async def test_a_search_makes_records_of_what_it_finds_only(
    channel: ChannelClient, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        channel.publish_all(channel.queue(f"q{number}"), *[b"x"] * number)
    made: list[str] = []

    def counted(queue: Queue, vhost: Vhost, node: str) -> Record:
        made.append(queue.name)
        return queue_record(queue, vhost, node)

    monkeypatch.setattr(queues, "queue_record", counted)
    for sort, found in (("memory", ["q19", "q18"]), ("message_stats.publish_details.rate", ["q1", "q10"])):
        query: dict[str, str | int] = {"page": 1, "page_size": 2, "name": "q1", "sort": sort, "sort_reverse": "true"}
        page = (await api.get("queues", params=query)).json()
        assert [each["name"] for each in page["items"]] == found
        assert (page["total_count"], page["filtered_count"]) == (20, 11)
        assert len(made) == (11 if sort == "memory" else 2)
        made.clear()


async def test_queues_are_sorted_by_their_rates(channel: ChannelClient) -> None:
    broker = channel.world.broker
    statistics, node = Statistics(broker.timers.now), node_of(broker)
    names = [channel.queue(name) for name in ("a", "b", "c")]
    async with api_of(broker, node=node, statistics=statistics) as api:
        for _ in sample(node, statistics):
            pass
        for name, count in zip(names, (1, 9, 4), strict=True):
            channel.publish_all(name, *[b"x"] * count)
        channel.world.advance(5)
        query: dict[str, str | int] = {"page": 1, "sort": "message_stats.publish_details.rate", "sort_reverse": "true"}
        page = (await api.get("queues", params=query)).json()
    assert [each["name"] for each in page["items"]] == ["b", "c", "a"]
    assert page["items"][0]["message_stats"]["publish_details"]["rate"] == 1.8
