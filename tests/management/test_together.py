"""Two nodes of a cluster, each with vhosts of its own: the API of either answers for both."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.users import add_user
from amqp_broker.administration.vhosts import add_vhost
from amqp_broker.auth.users import Peer
from amqp_broker.config import AuthEntry, Config, HttpAuth
from amqp_broker.control.commands import run
from amqp_broker.control.errors import ControlError
from amqp_broker.control.request import Request
from amqp_broker.inspection.cluster import ClusterMember
from amqp_broker.management import elsewhere
from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.app import ManagementApi
from amqp_broker.management.elsewhere import Answer, Question, answer_node, answer_to, ask_node
from amqp_broker.management.errors import ApiError
from amqp_broker.management.site import Site
from amqp_broker.management.statistics import Statistics
from amqp_broker.management.together import total
from amqp_broker.placement import NOBODY, Found, Inquiry
from tests.management.support import GUEST, api_of, node_of
from tests.support.client import ChannelClient, World

NAMES = "abc"


@attrs.define(eq=False)
class Homes:
    """The cluster as one node knows it: who has which vhost."""

    name: str
    owners: dict[str, str]
    draining: set[str]
    has_nats: bool = True
    dead: set[str] = attrs.Factory(lambda: {"c"})
    way: trio.abc.HalfCloseableStream | None = None

    def is_here(self, vhost: str) -> bool:
        return self.owners.get(vhost) == self.name

    def locate(self, vhost: str, found: Found) -> None:
        assert self.is_here(vhost)
        found(None)

    def forget(self, vhost: str, found: Found) -> None: ...

    def members(self) -> list[ClusterMember]:
        return [
            ClusterMember(
                name,
                is_running=name not in self.dead,
                is_draining=name in self.draining,
                vhosts=[vhost for vhost, owner in self.owners.items() if owner == name],
            )
            for name in NAMES
        ]

    def owner_of(self, vhost: str) -> ClusterMember | None:
        return next((each for each in self.members() if vhost in each.vhosts), None)

    async def wait_owner(self, vhost: str) -> str:
        return self.owners[vhost]

    async def visit(
        self, node: str, subject: str, peer: Peer = NOBODY, user: str | None = None
    ) -> trio.abc.HalfCloseableStream:
        assert self.way is not None
        return self.way

    def answer_with(self, subject: str, answer: object) -> None: ...

    def is_cut_off(self) -> bool:
        return not self.has_nats

    def transfer(self, vhost: str, node: str) -> None:
        self.owners[vhost] = node

    def drain(self, node: str) -> None:
        self.draining.add(node)

    def undrain(self, node: str) -> None:
        self.draining.remove(node)


class Pair:
    """Nodes a, which has `/`, and b, which has `v`; c is dead.

    Attributes:
        unreachable: nodes that don't answer.
        octets: how long answers are said to be.
        asked: what nodes have asked one another.
    """

    def __init__(self, config: Config = Config()) -> None:  # noqa: B008 - frozen
        self.unreachable: set[str] = set()
        self.octets = 1
        self.asked: list[Question] = []
        self.draining: set[str] = set()
        self.worlds: dict[str, World] = {}
        self.apis: dict[str, ManagementApi] = {}
        owners = {"/": "a", "v": "b"}
        for name in ("a", "b"):
            world = self.worlds[name] = World(attrs.evolve(config, node_name=name))
            broker = world.broker
            add_vhost(broker, "v")
            set_permissions(broker, "guest", "v", ".*", ".*", ".*")
            homes = Homes(name, owners, self.draining)
            broker.placement = homes
            node = node_of(broker)
            node.cluster = homes
            self.apis[name] = ManagementApi(node, Statistics(broker.timers.now), ENDPOINTS, self._ask)

    def client(self, node: str, auth: tuple[str, str] = GUEST) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(Site(self.apis[node]))
        return httpx.AsyncClient(transport=transport, base_url="http://node/api/", auth=auth)

    def channel(self, node: str) -> ChannelClient:
        return self.worlds[node].client_of({"a": "/", "b": "v"}[node]).channel()

    async def _ask(self, node: str, question: Question, _timeout_s: float) -> Answer:
        self.asked.append(question)
        if node in self.unreachable:
            raise OSError("no route to host")
        question.hold(self.octets)
        return await answer_to(self.apis[node], Inquiry("http", question.peer, question.user), question)


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
async def api(pair: Pair) -> AsyncIterator[httpx.AsyncClient]:
    """Of node a."""
    async with pair.client("a") as client:
        yield client


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    read = answer.json()
    return [str(each["name"]) for each in (read["items"] if isinstance(read, dict) else read)]


async def test_lists_have_what_is_with_either_node_in_the_same_order(pair: Pair) -> None:
    first, second = pair.channel("a"), pair.channel("b")
    first.queue("z")
    second.queue("y")
    second.consume("y")
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(pair.client(name)) for name in "ab"]
        for each in both:
            assert names(await each.get("queues")) == names(await each.get("queues/detailed")) == ["z", "y"]
            exchanges = (await each.get("exchanges?columns=vhost,name")).json()
            assert [item["vhost"] for item in exchanges] == ["/"] * 7 + ["v"] * 7
            assert [item["vhost"] for item in (await each.get("bindings")).json()] == ["/", "v"]
            assert [item["queue"]["name"] for item in (await each.get("consumers")).json()] == ["y"]
            assert [item["vhost"] for item in (await each.get("connections")).json()] == ["/", "v"]
            assert len((await each.get("connections/username/guest")).json()) == 2
            assert [item["vhost"] for item in (await each.get("channels")).json()] == ["/", "v"]
            assert len((await each.get("vhosts/v/connections")).json()) == 1
            assert len((await each.get("vhosts/v/channels")).json()) == 1
            definitions = (await each.get("definitions")).json()
            assert sorted(item["name"] for item in definitions["queues"]) == ["y", "z"]
            assert len(definitions["vhosts"]) == 2


@pytest.mark.parametrize("size", [2, 300])
async def test_pages_and_order_are_of_all(pair: Pair, api: httpx.AsyncClient, size: int) -> None:
    queues = [f"q{n:03}" for n in range(3 * size)]
    channels = (pair.channel("a"), pair.channel("b"))
    for number, name in enumerate(queues):
        channels[number % 2].queue(name)
    found = []
    for page in (1, 2, 3):
        answer = await api.get(f"queues?page={page}&page_size={size}&sort=name&sort_reverse=true&columns=vhost")
        assert answer.json()["items"][0].keys() == {"vhost"}
        answer = await api.get(f"queues?page={page}&page_size={size}&sort=name&sort_reverse=true")
        read = answer.json()
        assert (read["total_count"], read["filtered_count"], read["page_count"]) == (3 * size, 3 * size, 3)
        found += names(answer)
    assert found == queues[::-1]
    unsorted = [name for page in (1, 2, 3) for name in names(await api.get(f"queues?page={page}&page_size={size}"))]
    assert sorted(unsorted) == queues
    assert (await api.get(f"queues?page=4&page_size={size}")).json()["error"] == "page_out_of_range"
    read = (await api.get(f"queues?page=1&page_size={size}&name=q00")).json()
    assert (read["filtered_count"], read["total_count"]) == (min(10, 3 * size), 3 * size)
    read = (await api.get(f"queues?page=1&page_size={size}&name=q001&columns=messages")).json()
    assert read["items"] == [{"messages": 0}]
    assert names(await api.get("queues?sort=name&columns=name")) == queues


async def test_the_overview_adds_up(pair: Pair, api: httpx.AsyncClient) -> None:
    for name in "ab":
        channel = pair.channel(name)
        channel.queue("q")
        channel.publish_all("q", b"1", b"2")
    read = (await api.get("overview?lengths_age=60&lengths_incr=5")).json()
    assert read["queue_totals"]["messages"] == 4
    assert [each["sample"] for each in read["queue_totals"]["messages_details"]["samples"]] == [4]
    assert read["message_stats"]["publish"] == 4
    assert read["object_totals"] == {"connections": 2, "channels": 2, "consumers": 0, "exchanges": 14, "queues": 2}
    assert read["churn_rates"]["connection_created"] == 2
    assert {each["node"] for each in read["listeners"]} == {"a", "b"}


def test_what_only_one_of_two_series_has_stays() -> None:
    def figures(n: int, rate: float, samples: list[tuple[int, int]]) -> dict[str, Any]:
        series = [{"sample": sample, "timestamp": timestamp} for sample, timestamp in samples]
        return {"n": n, "n_details": {"rate": rate, "samples": series}}

    one, two = figures(1, 0.5, [(1, 9)]), figures(2, 1, [(2, 8), (3, 4)])
    assert total(one, two) == total(two, one) == figures(3, 1.5, [(3, 8), (3, 4)])


async def test_vhosts_have_the_figures_of_their_owners(pair: Pair, api: httpx.AsyncClient) -> None:
    channel = pair.channel("b")
    channel.queue("q")
    channel.publish("q", b"1")
    assert [(each["name"], each["messages"], each["cluster_state"]) for each in (await api.get("vhosts")).json()] == [
        ("/", 0, {"a": "running"}),
        ("v", 1, {"b": "running"}),
    ]
    assert (await api.get("vhosts?columns=messages&sort=messages")).json() == [{"messages": 0}, {"messages": 1}]
    assert (await api.get("vhosts?page=1&page_size=1&sort=messages&sort_reverse=true")).json()["items"][0][
        "name"
    ] == "v"
    assert (await api.get("vhosts/v")).json()["messages"] == 1


async def test_nodes_describe_themselves(pair: Pair, api: httpx.AsyncClient) -> None:
    pair.draining.add("b")
    read = {each["name"]: each for each in (await api.get("nodes")).json()}
    assert [(name, each["running"], each["being_drained"]) for name, each in read.items()] == [
        ("a", True, False),
        ("b", True, True),
        ("c", False, False),
    ]
    assert read["b"]["mem_used"] > 0
    assert [each["vhost_count"] for each in read.values()] == [1, 1, 0]
    assert (await api.get("nodes/b")).json()["name"] == "b"
    assert "memory" in (await api.get("nodes/b/memory")).json()
    assert (await api.get("nodes/d")).status_code == 404


async def test_vhosts_are_moved_and_nodes_drained(pair: Pair, api: httpx.AsyncClient) -> None:
    assert (await api.post("vhosts/%2F/transfer/b")).status_code == 204
    assert (await api.get("vhosts/%2F")).json()["cluster_state"] == {"b": "running"}
    assert (await api.post("vhosts/%2F/transfer/c")).json()["reason"] == "node c does not run"
    assert (await api.post("vhosts/nope/transfer/b")).status_code == 404
    assert (await api.post("nodes/b/drain")).status_code == 204
    assert pair.draining == {"b"}
    assert (await api.post("nodes/b/undrain")).status_code == 204
    assert not pair.draining
    assert (await api.post("nodes/d/drain")).status_code == 404


async def checked(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """What a health check says that fails; nothing if it is well."""
    answer = await api.get(f"health/checks/{name}")
    said: dict[str, Any] = answer.json()
    assert (answer.status_code, said["status"]) in ((200, "ok"), (503, "failed"))
    return said if answer.status_code == 503 else {}


CHECKS = (
    "alarms",
    "local-alarms",
    "virtual-hosts",
    "node-is-quorum-critical",
    "quorum-queues-without-elected-leaders/all-vhosts",
    "quorum-queues-without-elected-leaders/vhost/v",
    "is-in-service",
    "ready-to-serve-clients",
    "below-node-connection-limit",
    "reached-target-cluster-size",
)


def homes_of(pair: Pair) -> Homes:
    homes = pair.worlds["a"].broker.placement
    assert isinstance(homes, Homes)
    return homes


async def test_health_checks_are_of_one_node(pair: Pair, api: httpx.AsyncClient) -> None:
    async def failing() -> set[str]:
        return {name for name in CHECKS if await checked(api, name)}

    homes = homes_of(pair)
    assert await failing() == set()
    assert "reason" not in (await api.get("health/checks/node-is-quorum-critical")).json()
    homes.has_nats = False
    assert await failing() == {"ready-to-serve-clients"}
    homes.has_nats = True
    homes.draining.add("a")
    assert await failing() == {"is-in-service", "ready-to-serve-clients"}
    homes.draining = {"b"}  # which can't have what a has
    assert await failing() == {"node-is-quorum-critical"}
    homes.draining = set()
    homes.dead.add("b")
    down = {"virtual-hosts", *(name for name in CHECKS if name.startswith("quorum-queues"))}
    assert await failing() == {"node-is-quorum-critical", *down}
    assert (await checked(api, "virtual-hosts"))["virtual-hosts"] == ["v"]
    assert not await checked(api, "quorum-queues-without-elected-leaders/vhost/%2F")


async def test_who_is_suspended_is_not_in_service() -> None:
    world = World()
    async with api_of(world.broker) as api:
        assert not await checked(api, "is-in-service")
        assert (await api.get("health/checks/node-is-quorum-critical")).json()["reason"] == "single node cluster"
        world.broker.is_suspended = True
        assert await checked(api, "is-in-service")
        assert await checked(api, "ready-to-serve-clients")
        world.broker.is_suspended = False
        world.broker.config = attrs.evolve(world.broker.config, max_connections=0)
        assert not await checked(api, "is-in-service")
        assert await checked(api, "ready-to-serve-clients")


async def test_alarms_are_those_of_all_nodes_but_for_local_ones(pair: Pair, api: httpx.AsyncClient) -> None:
    pair.worlds["b"].broker.set_alarm("memory", True)
    assert (await checked(api, "alarms"))["alarms"] == [{"node": "b", "resource": "memory"}]
    assert not await checked(api, "local-alarms")
    pair.worlds["a"].broker.set_alarm("disk", True)
    said = await checked(api, "alarms")
    assert said["reason"] == (await checked(api, "local-alarms"))["reason"]
    assert [(alarm["node"], alarm["resource"]) for alarm in said["alarms"]] == [("a", "disk"), ("b", "memory")]
    pair.unreachable.add("b")
    assert (await checked(api, "alarms"))["alarms"] == [{"node": "a", "resource": "disk"}]


def test_commands_tell_of_the_cluster(pair: Pair) -> None:
    def said(name: str) -> str:
        return "\n".join(map(str, run(node, name, Request())))

    homes = homes_of(pair)
    node = attrs.evolve(node_of(pair.worlds["a"].broker), cluster=homes)
    assert said("check_virtual_hosts") == "Node a reported all vhosts as running"
    assert said("check_if_node_is_quorum_critical") == "Node a reported no quorum queues with minimum quorum"
    assert "Running Nodes\n\na\nb\n" in said("cluster_status")
    assert "Network Partitions\n\n(none)" in said("cluster_status")
    homes.dead.add("b")
    homes.has_nats = False
    with pytest.raises(ControlError, match=r"are down:\nv$"):
        said("check_virtual_hosts")
    with pytest.raises(ControlError, match="Node a is critical"):
        said("check_if_node_is_quorum_critical")
    assert "Network Partitions\n\nNode a is cut off from NATS\n" in said("cluster_status")


async def test_who_is_alone_is_in_no_cluster() -> None:
    async with api_of(World().broker) as api:
        answer = await api.post("nodes/rabbit@localhost/drain")
        assert (answer.status_code, answer.json()["reason"]) == (400, "this node is in no cluster")


async def test_a_node_that_does_not_answer_is_left_out(
    pair: Pair, api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    pair.channel("a").queue("z")
    pair.channel("b").queue("y")
    pair.unreachable.add("b")
    with caplog.at_level(logging.WARNING, "amqp_broker.management.together"):
        assert names(await api.get("queues")) == ["z"]
    assert names(await api.get("queues?page=1")) == ["z"]
    assert [each.getMessage() for each in caplog.records] == [
        "management: answers are without node b: no route to host"  # said once
    ]
    assert (await api.get("overview")).json()["object_totals"]["queues"] == 1
    assert [each["name"] for each in (await api.get("vhosts")).json()] == ["/", "v"]
    assert [each["running"] for each in (await api.get("nodes")).json()] == [True, True, False]
    assert (await api.get("nodes/b")).status_code == 503
    assert (await api.get("connections/x")).status_code == 404


async def test_each_node_judges_the_user_itself(pair: Pair) -> None:
    for world in pair.worlds.values():
        add_user(world.broker, "eve", "pw", ["management"])
    set_permissions(pair.worlds["a"].broker, "eve", "/", ".*", ".*", ".*")
    set_permissions(pair.worlds["b"].broker, "eve", "/", ".*", ".*", ".*")
    pair.channel("a").queue("z")
    pair.channel("b").queue("y")
    async with pair.client("a", ("eve", "pw")) as api:
        assert names(await api.get("queues")) == ["z"]
        assert (await api.get("connections")).json() == []
        assert (await api.get("nodes")).status_code == 401
        connection = next(iter(pair.worlds["b"].broker.clients))
        assert (await api.delete(f"connections/{connection.name}")).status_code == 401  # type: ignore[attr-defined]


async def test_a_connection_of_another_node_can_be_looked_at_and_closed(pair: Pair, api: httpx.AsyncClient) -> None:
    channel = pair.channel("b")
    name = names(await api.get("connections"))[0]
    assert (await api.get(f"connections/{name}")).json()["node"] == "b"
    (record,) = (await api.get(f"connections/{name}/channels")).json()
    assert (await api.get(f"channels/{record['name']}")).json()["consumer_details"] == []
    assert (await api.get(f"connections/{name}?columns=node")).json() == {"node": "b"}
    answer = await api.delete(f"connections/{name}", headers={"x-reason": "enough"})
    assert answer.status_code == 204
    channel.client.expect_close(320, "CONNECTION_FORCED - enough")
    assert (await api.delete("connections/nobody")).status_code == 404


async def test_all_connections_of_a_user_are_closed_everywhere(pair: Pair, api: httpx.AsyncClient) -> None:
    both = [pair.channel(name) for name in "ab"]
    assert (await api.delete("connections/username/guest")).status_code == 204
    for channel in both:
        channel.client.expect_close(320)


async def test_what_is_passed_on_is_not_passed_on_again(pair: Pair, api: httpx.AsyncClient) -> None:
    pair.channel("b").queue("y")
    assert names(await api.get("queues?disable_stats=true")) == ["y"]
    (question,) = pair.asked
    assert question.target == "/api/queues?disable_stats=true"


async def test_what_is_passed_on_to_a_node_that_has_it_no_more_is_not_passed_on_again(pair: Pair) -> None:
    answer = await answer_to(pair.apis["a"], Inquiry("http", user="guest"), Question("GET", "/api/queues/v", {}))
    assert answer.status == 503
    assert b"vhost 'v' is on no node at present" in answer.content
    assert not pair.asked


async def test_a_node_that_answered_in_between_is_missed_anew(
    pair: Pair, api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for unreachable in ({"b"}, set[str](), {"b"}):
        pair.unreachable = unreachable
        await api.get("queues")
    assert caplog.text.count("answers are without node b") == 2


@pytest.mark.parametrize("node", ["a", "b"])
async def test_a_vhost_is_described_by_the_node_that_has_it(pair: Pair, node: str) -> None:
    channel = pair.channel("a")
    channel.queue("z")
    channel.publish("z")
    async with pair.client(node) as api:
        assert {each["name"]: each["messages"] for each in (await api.get("vhosts")).json()} == {"/": 1, "v": 0}
        assert (await api.get("vhosts/%2F")).json()["messages"] == 1
        assert (await api.get("vhosts/v")).json()["messages"] == 0


async def test_what_one_node_refuses_is_refused(pair: Pair) -> None:
    add_user(pair.worlds["a"].broker, "eve", "pw", ["administrator"])  # whom the other node does not know yet
    async with pair.client("a", ("eve", "pw")) as api:
        assert (await api.delete("connections/username/guest")).status_code == 401


async def test_a_password_stays_with_the_node_that_has_looked_at_it(pair: Pair) -> None:
    for world in pair.worlds.values():
        add_user(world.broker, "eve", "pw", ["management"])
        set_permissions(world.broker, "eve", "v", "", ".*", ".*")
    pair.channel("b").queue("y")
    async with pair.client("a", ("eve", "pw")) as api:
        assert names(await api.get("queues/v")) == ["y"]
        assert (await api.put("queues/v/new", json={})).status_code == 401
        assert (await api.get("queues/v", auth=("eve", "wrong"))).status_code == 401
        assert (await api.get("queues", auth=("eve", "wrong"))).status_code == 401
    assert [(question.user, question.headers.get("authorization")) for question in pair.asked] == [("eve", None)] * 2
    assert all(question.peer.address == "127.0.0.1" for question in pair.asked)


async def test_who_is_known_elsewhere_shows_each_node_how() -> None:
    url = "http://127.0.0.1:1/"
    pair = Pair(
        Config(
            auth_backends=(AuthEntry("internal"), AuthEntry("http")),
            auth_http=HttpAuth(user_path=url, vhost_path=url, resource_path=url, topic_path=url),
        )
    )
    async with pair.client("a") as api:
        assert names(await api.get("queues/v")) == []
    (question,) = pair.asked
    assert question.user is None
    assert question.headers["authorization"].startswith("Basic ")


async def test_a_client_can_not_pass_for_a_node(pair: Pair) -> None:
    async with pair.client("b", ("guest", "wrong")) as api:
        answer = await api.get("queues", headers={"amqp_broker.asked": "x", "x-amqp-broker-passed-on": "yes"})
        assert answer.status_code == 401


async def test_a_question_and_its_answer_pass_over_a_stream(pair: Pair, nursery: trio.Nursery) -> None:
    pair.channel("b").queue("größe")
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(answer_node, pair.apis["b"], Inquiry("http", Peer("127.0.0.1", 5), "guest"), theirs)
    node = node_of(pair.worlds["a"].broker)
    node.cluster = Homes("a", {}, set(), way=ours)
    body = json.dumps({"auto_delete": True}).encode()
    put = Question("PUT", "/api/queues/v/gr%C3%B6%C3%9Fe", {"content-type": "application/json"}, body)
    answer = await ask_node(node, "b", put, 5)
    assert (answer.status, json.loads(answer.content)["error"]) == (400, "bad_request")
    assert "auto_delete" in json.loads(answer.content)["reason"]


@pytest.mark.parametrize("path", ["queues", "queues/v", "overview", "connections/x"])
async def test_answers_of_other_nodes_are_held_within_the_limit_for_all(
    pair: Pair, api: httpx.AsyncClient, path: str
) -> None:
    pair.octets = Config().management_max_held_octets + 1
    assert (await api.get(path)).status_code in (404, 503)
    assert (await api.get(path)).json()["error"] == "service_unavailable"
    pair.octets = 1
    assert (await api.get(path)).status_code in (200, 404)


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(pair: Pair) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    node = node_of(pair.worlds["a"].broker)
    node.cluster = Homes("a", {}, set(), way=ours)
    await theirs.send_all(bytes(100_000))
    held: list[int] = []

    def hold(octets: int) -> None:
        held.append(octets)
        raise ApiError(503, "service_unavailable", "too much")

    with pytest.raises(ApiError, match="too much"):
        await ask_node(node, "b", Question("GET", "/api/queues", {}, hold=hold), 2)
    assert len(held) == 1


async def test_what_another_node_says_has_an_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "MAX_ANSWER_OCTETS", 1000)
    ours, theirs = trio.testing.memory_stream_pair()
    node = node_of(pair.worlds["a"].broker)
    node.cluster = Homes("a", {}, set(), way=ours)
    await theirs.send_all(bytes(1001))
    with pytest.raises(OSError, match="more than 1000 octets"):
        await ask_node(node, "b", Question("GET", "/api/queues", {}), 2)


@pytest.mark.parametrize("said", [b"", b"{}"])
async def test_a_node_that_asks_nothing_is_not_waited_for(autojump_clock: object, pair: Pair, said: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(said)
    with pytest.raises(trio.TooSlowError):
        await answer_node(pair.apis["b"], Inquiry("http"), theirs)
    assert trio.current_time() < 60


async def test_a_node_that_does_not_listen_is_not_waited_for(
    autojump_clock: object, pair: Pair, nursery: trio.Nursery
) -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    question = json.dumps({"method": "GET", "target": "/api/queues", "headers": {}}).encode() + b"\n"

    async def ask() -> None:
        await ours.send_all(question)
        await ours.send_eof()

    nursery.start_soon(ask)
    with pytest.raises(trio.TooSlowError):
        await answer_node(pair.apis["b"], Inquiry("http", user="guest"), theirs)
    assert trio.current_time() < 60


async def test_who_does_not_answer_costs_no_more_than_its_time(autojump_clock: object, pair: Pair) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    node = node_of(pair.worlds["a"].broker)
    node.cluster = Homes("a", {}, set(), way=ours)
    with pytest.raises(TimeoutError):
        await ask_node(node, "b", Question("GET", "/api/queues", {}), 2)
    assert trio.current_time() < 10
    await theirs.aclose()


async def test_who_watches_sees_all_nodes(pair: Pair) -> None:
    pair.channel("b").queue("y")
    assert json.loads(await _first_event(pair, "queues?page=1&columns=name"))["items"] == [{"name": "y"}]


async def _first_event(pair: Pair, view: str) -> str:
    """What a stream of figures tells first."""
    site = Site(pair.apis["a"])
    got = trio.Event()
    body = bytearray()

    async def receive() -> dict[str, object]:
        await got.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        body.extend(part)
        if b"event: tick" in body:
            got.set()

    request = httpx.Request("GET", "http://node/api/live", params={"view": view})
    (flow,) = httpx.BasicAuth(*GUEST).auth_flow(request)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/live",
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in flow.headers.raw],
    }
    with trio.fail_after(5):
        await site(scope, receive, send)  # type: ignore[arg-type]
    line = next(each for each in body.decode().splitlines() if each.startswith("data: "))
    return line.removeprefix("data: ")
