"""What can be changed over HTTP, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.users import add_user
from amqp_broker.auth.backend import Decide, Resource
from amqp_broker.auth.backends.internal import InternalBackend
from tests.management.support import api_of
from tests.support.client import ChannelClient, World
from tests.support.topology import bind

JSON = dict[str, object]


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


@pytest.fixture
async def api(channel: ChannelClient) -> AsyncIterator[httpx.AsyncClient]:
    async with api_of(channel.world.broker) as client:
        yield client


async def put(api: httpx.AsyncClient, path: str, **body: object) -> httpx.Response:
    return await api.put(path, json=body)


async def test_a_queue_comes_and_goes(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    made = await put(api, "queues/%2F/q", durable="true", arguments={"x-max-length": 2})
    assert (made.status_code, made.headers["content-length"]) == (201, "0")
    again = await put(api, "queues/%2F/q", durable=True, arguments={"x-max-length": 2})
    assert again.status_code == 204
    channel.publish_all("q", b"1")
    full = await api.delete("queues/%2F/q?if-empty=true")
    assert (full.status_code, full.json()["reason"]) == (400, "queue 'q' in vhost '/' not empty")
    assert (await api.delete("queues/%2F/q/contents")).status_code == 204
    assert (await api.delete("queues/%2F/q?if-empty=true")).status_code == 204
    assert (await api.delete("queues/%2F/q")).status_code == 404


async def test_a_queue_without_durable_is_transient(api: httpx.AsyncClient) -> None:
    await put(api, "queues/%2F/q")
    assert (await api.get("queues/%2F/q")).json()["durable"] is False


async def test_an_exclusive_queue_is_its_connections(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    name = channel.queue("mine", exclusive=True)
    for answer in (await api.delete(f"queues/%2F/{name}"), await api.delete(f"queues/%2F/{name}/contents")):
        assert answer.status_code == 400
        assert answer.json()["reason"].startswith("cannot obtain exclusive access to locked queue 'mine'")
    assert (await api.get(f"queues/%2F/{name}")).status_code == 200


async def test_the_location_of_a_binding_leads_to_it(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("a/b")
    body = {"routing_key": "to.~x", "arguments": {"k": 1}}
    made = await api.post("bindings/%2F/e/amq.topic/q/a%2Fb", json=body)
    assert made.status_code == 201
    name, _, key = made.headers["location"].partition("/")
    assert name == "a%2Fb"
    found = await api.get(f"bindings/%2F/e/amq.topic/q/{name}/{key}")
    assert (found.status_code, found.json()["arguments"]) == (200, {"k": 1})
    assert (await api.delete(f"bindings/%2F/e/amq.topic/q/{name}/{key}")).status_code == 204
    assert (await api.delete(f"bindings/%2F/e/amq.topic/q/{name}/{key}")).status_code == 404


async def test_exchanges_are_bound_to_each_other(api: httpx.AsyncClient) -> None:
    await put(api, "exchanges/%2F/x", type="fanout")
    made = await api.post("bindings/%2F/e/amq.topic/e/x", json={})
    assert made.headers["location"] == "x/~"
    assert (await api.delete("exchanges/%2F/amq.topic")).json() == {
        "error": "not_authorised",
        "reason": "Access refused.",
    }
    in_use = await api.delete("exchanges/%2F/amq.topic?if-unused=true")
    assert in_use.status_code == 401
    assert (await api.delete("bindings/%2F/e/amq.topic/e/x/~")).status_code == 204
    assert (await api.delete("exchanges/%2F/x?if-unused=true")).status_code == 204


async def get(api: httpx.AsyncClient, mode: str, count: int = 10, **more: object) -> list[JSON]:
    body = {"count": count, "ackmode": mode, "encoding": "auto", **more}
    answer = await api.post("queues/%2F/q/get", json=body)
    assert answer.status_code == 200, answer.text
    records: list[JSON] = answer.json()
    return records


async def test_a_message_goes_in_and_comes_out(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("q")
    properties = {"headers": {"n": {"u": [1, "x"]}}, "delivery_mode": 2, "message_id": "m", "unknown": 1}
    body = {"properties": properties, "routing_key": "q", "payload": "/wA=", "payload_encoding": "base64"}
    assert (await api.post("exchanges/%2F/amq.default/publish", json=body)).json() == {"routed": True}
    assert await get(api, "ack_requeue_false", truncate=1) == [
        {
            "payload_bytes": 2,
            "redelivered": False,
            "exchange": "",
            "routing_key": "q",
            "message_count": 0,
            "properties": {"message_id": "m", "delivery_mode": 2, "headers": {"n": {"u": [1, "x"]}}},
            "payload": "/w==",
            "payload_encoding": "base64",
        }
    ]
    assert await get(api, "ack_requeue_false") == []
    nowhere = await api.post("exchanges/%2F/amq.default/publish", json={**body, "routing_key": "nope"})
    assert nowhere.json() == {"routed": False}


def payloads(records: list[JSON]) -> list[tuple[object, object]]:
    return [(record["payload"], record["redelivered"]) for record in records]


async def test_what_goes_back_keeps_its_order(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.publish_all(channel.queue("q"), b"1", b"2", b"3")
    assert payloads(await get(api, "peek")) == [("1", False), ("2", False), ("3", False)]
    assert payloads(await get(api, "ack_requeue_true", 2)) == [("1", False), ("2", False)]
    assert payloads(await get(api, "peek")) == [("1", True), ("2", True), ("3", False)]
    assert payloads(await get(api, "reject_requeue_false", 1)) == [("1", True)]
    old = await api.post("queues/%2F/q/get", json={"count": "1", "requeue": "false", "encoding": "auto"})
    assert payloads(old.json()) == [("2", True)]
    stats = (await api.get("queues/%2F/q")).json()["message_stats"]
    assert (stats["get"], stats["get_no_ack"], stats["redeliver"]) == (3, 1, 2)


async def test_a_rejected_message_is_dead_lettered(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await put(api, "queues/%2F/q", arguments=arguments)
    channel.queue("dead")
    channel.publish_all("q", b"1")
    await get(api, "reject_requeue_false")
    assert (await api.get("queues/%2F/dead")).json()["messages"] == 1


async def test_an_overfull_queue_rejects(api: httpx.AsyncClient) -> None:
    await put(api, "queues/%2F/q", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    body = {"properties": {}, "routing_key": "q", "payload": "1", "payload_encoding": "string"}
    refused = await api.post("exchanges/%2F/amq.default/publish", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (400, "rejected")


async def test_publishing_waits_for_an_alarm_to_end(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("q")
    channel.world.broker.set_alarm("memory", True)
    body = {"properties": {}, "routing_key": "q", "payload": "1", "payload_encoding": "string"}
    assert (await api.post("exchanges/%2F/amq.default/publish", json=body)).status_code == 503
    assert (await api.get("queues/%2F/q")).json()["messages"] == 0


async def test_everything_runs_under_the_callers_permissions(channel: ChannelClient) -> None:
    broker = channel.world.broker
    channel.publish_all(channel.queue("q"), b"1")
    bind(channel, "q", "amq.topic", "a")
    add_user(broker, "u", "p", ("management",))
    set_permissions(broker, "u", "/", "^own", "^own", "^own")
    publish = {"properties": {}, "routing_key": "q", "payload": "1", "payload_encoding": "string"}
    async with api_of(broker, ("u", "p")) as api:
        for answer in (
            await put(api, "queues/%2F/other"),
            await put(api, "exchanges/%2F/other"),
            await api.delete("queues/%2F/q"),
            await api.delete("queues/%2F/q/contents"),
            await api.delete("bindings/%2F/e/amq.topic/q/q/a"),
            await api.post("bindings/%2F/e/amq.topic/q/q", json={}),
            await api.post("exchanges/%2F/amq.topic/publish", json=publish),
            await api.post("queues/%2F/q/get", json={"count": 1, "ackmode": "peek", "encoding": "auto"}),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (401, "Access refused."), answer.request.url
        assert (await put(api, "queues/%2F/own")).status_code == 201
        assert (await put(api, "users/x", password="p", tags="")).status_code == 401
    assert set(broker.vhosts["/"].queues) == {"q", "own"}
    assert broker.vhosts["/"].queues["q"].message_count == 1


async def test_a_late_answer_about_rights_is_waited_for(
    channel: ChannelClient, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Resource, Decide]] = []
    monkeypatch.setattr(
        InternalBackend,
        "may_access",
        lambda _self, _identity, resource, done: asked.append((resource, done)),
    )
    answers: list[httpx.Response] = []

    async def declare() -> None:
        answers.append(await put(api, "queues/%2F/q", arguments={"x-dead-letter-exchange": "dlx"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(declare)
        for count in (1, 2, 3):
            await trio.testing.wait_all_tasks_blocked()
            assert len(asked) == count
            assert channel.world.broker.vhosts["/"].queues == {}
            asked[-1][1](True)
    assert answers[0].status_code == 201
    assert [resource.name for resource, _ in asked] == ["q", "q", "dlx"]


async def test_users_and_what_they_may(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    assert (await put(api, "users/u", password="p", tags="management,x")).status_code == 201
    assert (await put(api, "users/u", password="p", tags=["management"])).status_code == 204
    assert (await api.get("users/u")).json()["tags"] == ["management"]
    assert [each["name"] for each in (await api.get("users/without-permissions")).json()] == ["u"]
    assert (await put(api, "permissions/%2F/u", configure="", write="", read="")).status_code == 201
    assert (await api.get("permissions/%2F/u")).json()["configure"] == ""
    assert (await api.get("users/u/permissions")).json() == (await api.get("vhosts/%2F/permissions")).json()[1:]
    topic = await put(api, "topic-permissions/%2F/u", exchange="amq.topic", write="^a", read=".*")
    assert topic.status_code == 201
    assert (await api.get("users/u/topic-permissions")).json()[0]["write"] == "^a"
    assert (await api.delete("topic-permissions/%2F/u/amq.topic")).status_code == 204
    assert (await api.delete("topic-permissions/%2F/u")).status_code == 404
    assert (await put(api, "user-limits/u/max-connections", value="5")).status_code == 204
    assert (await api.get("user-limits")).json() == [{"user": "u", "value": {"max-connections": 5}}]
    assert (await api.delete("user-limits/u/max-connections")).status_code == 204
    assert (await api.delete("permissions/%2F/u")).status_code == 204
    assert (await api.delete("permissions/%2F/u")).status_code == 404
    assert (await api.post("users/bulk-delete", json={"users": ["u", "nobody"]})).status_code == 204
    assert channel.world.broker.users.get("u") is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"password": "p"}, "tags_not_present"),
        ({"password": "p", "password_hash": "", "tags": ""}, "both_password_and_password_hash_are_set"),
        ({"password_hash": "!", "tags": ""}, "password_hash cannot be decoded"),
        ({"password": 5, "tags": ""}, "password is not a string"),
        ({"password": "p", "tags": [1]}, "tags is not a list of strings"),
        ({"password": "p", "tags": [f"t{n}" for n in range(33)]}, "a user can have at most 32 tags"),
        ([], "not_json_object"),
    ],
)
async def test_users_that_cannot_be(api: httpx.AsyncClient, channel: ChannelClient, body: object, reason: str) -> None:
    refused = await api.put("users/u", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (400, reason)
    assert channel.world.broker.users.get("u") is None


async def test_protected_users_stay(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    add_user(channel.world.broker, "u", "p", ("protected",))
    assert (await api.delete("users/u")).status_code == 400
    assert (await put(api, "users/u", password="q", tags="")).status_code == 400
    assert (await api.post("users/bulk-delete", json={"users": ["u"]})).status_code == 400
    assert channel.world.broker.users.login("u", b"p", channel.client.connection.peer)


async def test_a_vhost_and_its_protection(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    assert (await api.put("vhosts/v")).status_code == 201
    assert (await put(api, "vhosts/v", description="d", tags="a,b", tracing=True)).status_code == 204
    shown = (await api.get("vhosts/v")).json()
    assert (shown["description"], shown["tags"], shown["tracing"]) == ("d", ["a", "b"], True)
    assert (await put(api, "queues/v/q")).status_code == 201
    assert (await api.post("vhosts/v/deletion/protection")).status_code == 204
    assert (await api.delete("vhosts/v")).status_code == 412
    assert (await api.delete("vhosts/v/deletion/protection")).status_code == 204
    assert (await put(api, "vhost-limits/v/max-queues", value=1)).status_code == 204
    assert (await api.get("vhost-limits/v")).json() == [{"vhost": "v", "value": {"max-queues": 1}}]
    client = channel.world.client_of("v")
    assert (await api.delete("vhosts/v")).status_code == 204
    client.pump()
    client.expect_close(320, "CONNECTION_FORCED - vhost 'v' is deleted")


async def test_one_vhost_too_many(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    channel.world.broker.max_vhosts = 1
    answer = await api.put("vhosts/v")
    assert answer.status_code == 400
    assert answer.json()["error"] == "bad_request"
    assert "cannot create vhost 'v': vhost limit of" in answer.json()["reason"]


async def test_policies_and_parameters(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    channel.queue("q")
    policy = {"pattern": "^q", "definition": {"max-length": 5}, "priority": "3"}
    assert (await put(api, "policies/%2F/p", **policy)).status_code == 201
    assert (await put(api, "operator-policies/%2F/o", pattern="", definition={"max-length": 2})).status_code == 201
    assert (await api.get("policies/%2F/p")).json()["priority"] == 3
    queue = (await api.get("queues/%2F/q")).json()
    assert (queue["policy"], queue["operator_policy"]) == ("p", "o")
    assert queue["effective_policy_definition"] == {"max-length": 2}
    assert (await api.delete("policies/%2F/p")).status_code == 204
    assert (await api.delete("policies/%2F/p")).status_code == 404
    refused = await put(api, "parameters/shovel/%2F/s", value={"a": 1})
    assert refused.json()["reason"] == 'Validation failed\n\nKey "src-uri" not found in s\n'
    shovel = {"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://", "dest-queue": "r"}
    assert (await put(api, "parameters/shovel/%2F/s", value=shovel)).status_code == 201
    assert (await api.get("parameters/shovel/%2F")).json()[0]["value"] == shovel
    assert (await api.delete("parameters/shovel/%2F/s")).status_code == 204
    assert (await put(api, "global-parameters/g", value=None)).status_code == 201
    assert (await api.get("global-parameters/g")).json() == {"name": "g", "value": None}
    assert (await put(api, "cluster-name/", name="c")).status_code == 204
    assert (await api.get("cluster-name")).json() == {"name": "c"}


async def test_definitions_there_and_back(api: httpx.AsyncClient, channel: ChannelClient) -> None:
    channel.queue("q", durable=True)
    exported = await api.get("definitions", params={"download": "my file\r\nx: 1"})
    assert exported.headers["content-disposition"] == 'attachment; filename="my_file__x__1"'
    form = {"file": ("definitions.json", exported.content, "application/json")}
    async with api_of(World().broker) as other:
        assert (await other.post("definitions", files=form)).status_code == 204
        assert [each["name"] for each in (await other.get("queues")).json()] == ["q"]
        refused = await other.post("definitions", json={"queues": [{"name": "z"}]})
        assert refused.status_code == 400
        assert (await other.post("definitions/nope", json={})).status_code == 404


async def test_only_one_vhost_is_listed_if_the_header_says_so(api: httpx.AsyncClient) -> None:
    await api.put("vhosts/v")
    listed = await api.get("exchanges", headers={"x-vhost": "v"})
    assert {each["vhost"] for each in listed.json()} == {"v"}


async def test_long_answers_are_compressed_if_that_is_asked_for(api: httpx.AsyncClient) -> None:
    plain = await api.get("nodes", headers={"accept-encoding": "identity"})
    packed = await api.get("nodes", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.json()[0].keys() == plain.json()[0].keys()


async def test_attempts_to_log_in_are_counted(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    await api.get("overview", auth=("guest", "wrong"))
    http, _ = (await api.get("auth/attempts/rabbit@localhost")).json()
    assert (http["auth_attempts_failed"], http["auth_attempts_succeeded"]) == (1, 1)
    await api.delete("auth/attempts/rabbit@localhost")
    http, _ = (await api.get("auth/attempts/rabbit@localhost")).json()
    assert http["auth_attempts"] == 1


async def test_a_hash_of_a_password_lets_in(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    hashed = (await api.get("auth/hash_password/se%2Fcret")).json()["ok"]
    await put(api, "users/u", password_hash=hashed, tags="management")
    assert (await api.get("whoami", auth=("u", "se/cret"))).json()["name"] == "u"


async def test_flags_and_features(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    flags = (await api.get("feature-flags")).json()
    assert {"name": "stream_queue", "state": "enabled"}.items() <= {
        key: value for flag in flags if flag["name"] == "stream_queue" for key, value in flag.items()
    }.items()
    assert (await api.put("feature-flags/stream_queue/enable")).status_code == 204
    assert (await api.put("feature-flags/nope/enable")).status_code == 400
    assert (await api.get("deprecated-features/used")).json() == []
    channel.queue("transient")
    assert [each["name"] for each in (await api.get("deprecated-features/used")).json()] == ["transient_nonexcl_queues"]


async def test_the_key_of_a_plain_binding_means_no_other(channel: ChannelClient, api: httpx.AsyncClient) -> None:
    channel.queue("q")
    await api.post("bindings/%2F/e/amq.topic/q/q", json={"routing_key": "~"})
    assert (await api.delete("bindings/%2F/e/amq.topic/q/q/~")).status_code == 404
    assert (await api.delete("bindings/%2F/e/amq.topic/q/q/%257E")).status_code == 204
