"""What is wrong on purpose: the specified code, no traceback, and nothing changed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from amqp_broker.administration.exporting import export_definitions
from amqp_broker.administration.users import add_user
from amqp_broker.config import Config
from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.bodies import MAX_DEPTH
from amqp_broker.management.routes import Needs
from tests.management.support import api_of
from tests.support.client import ChannelClient, World

NAMES = [
    "a/b",
    "%2F",
    "line\nfeed",
    "\"quoted'",
    "<script>alert(1)</script>",
    "..",
    ".",
    " ",
    "+",
    "ä€😀",
    "\0",
    "n" * 255,
]
"""That may be given to vhosts, users, queues and the like."""

KINDS = ["queues/%2F/{}", "exchanges/%2F/{}", "vhosts/{}", "users/{}", "global-parameters/{}", "policies/%2F/{}"]

BODY = {"tags": "", "password": "p", "value": 1, "pattern": "", "definition": {"max-length": 1}}
"""Fits everything that can be put."""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def channel(world: World) -> ChannelClient:
    channel = world.channel()
    channel.publish_all(channel.queue("q", durable=True), b"1")
    return channel


@pytest.fixture
async def api(world: World, channel: ChannelClient) -> AsyncIterator[httpx.AsyncClient]:
    async with api_of(world.broker) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> object:
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def state_of(world: World) -> str:
    counts = [queue.message_count for vhost in world.broker.vhosts.values() for queue in vhost.queues.values()]
    return json.dumps([export_definitions(world.broker), counts])


def is_error(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error", "reason"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
async def test_names_of_all_kinds_go_there_and_back(api: httpx.AsyncClient, kind: str, name: str) -> None:
    path = kind.format(quote(name, safe=""))
    if name in (".", ".."):
        path = path.replace(name, name.replace(".", "%2E"))
    made = await api.put(path, json=BODY)
    assert made.status_code == 201, made.text
    kept = name.replace("\n", "") if kind.startswith(("queues", "exchanges")) else name
    assert (await api.get(path.replace("%0A", "") if kept != name else path)).json()["name"] == kept


@pytest.mark.parametrize("kind", KINDS)
async def test_names_that_are_too_long(world: World, api: httpx.AsyncClient, kind: str) -> None:
    before = state_of(world)
    is_error(await api.put(kind.format("n" * 256), json=BODY), 400)
    assert state_of(world) == before


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b"\xff\xfe",
        b'{"a": 1,}',
        b"[" * 100_000,
        b'{"value":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"value": 1e999}',
        b'{"value": "\\ud800"}',
        b"[]",
        b"5",
        b'"text"',
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
async def test_bodies_that_are_no_objects(world: World, api: httpx.AsyncClient, body: bytes) -> None:
    before = state_of(world)
    for endpoint in ENDPOINTS:
        if endpoint.method in ("PUT", "POST") and endpoint.path in ("global-parameters/{name}", "definitions"):
            is_error(await api.request(endpoint.method, endpoint.path.replace("{name}", "g"), content=body), 400)
    assert state_of(world) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx: nobody reads to the end
async def test_bodies_that_are_too_long(world: World, api: httpx.AsyncClient) -> None:
    before = state_of(world)
    is_error(await api.put("global-parameters/g", content=b" " * (Config().management_max_body_octets + 1)), 400)
    is_error(await api.post("bindings/%2F/e/amq.topic/q/q", content=b" " * 5001), 400)
    assert state_of(world) == before


async def test_a_pattern_that_takes_too_long_is_told_and_given_up_soon(
    api: httpx.AsyncClient, channel: ChannelClient
) -> None:
    for number in range(10):
        channel.queue("a" * 40 + str(number))
    query: dict[str, str | int] = {"page": 1, "use_regex": "true", "name": "((a|aa)+)+!?x"}
    started = time.process_time()
    for sort in ("name", "memory"):  # by what is known of queues, and of their records
        answer = await api.get("queues", params=query | {"sort": sort})
        is_error(answer, 400)
        assert answer.json()["reason"] == "name is a regular expression that takes too long"
    assert time.process_time() - started < 1


@pytest.mark.parametrize("pattern", ["(a+)+$", "(", "(?<x", "[", "*", "a{99999999}", "(?P<n>a)(?P<n>b)", "x" * 1025])
async def test_hostile_patterns(world: World, api: httpx.AsyncClient, channel: ChannelClient, pattern: str) -> None:
    channel.queue("a" * 60 + "!")
    before = state_of(world)
    listed = await api.get("queues", params={"page": 1, "use_regex": "true", "name": pattern})
    assert listed.status_code in (200, 400)
    for path, body in (
        ("permissions/%2F/guest", {"configure": pattern, "write": "", "read": ""}),
        ("policies/%2F/p", {"pattern": pattern, "definition": {"max-length": 1}}),
    ):
        answer = await api.put(path, json=body)
        assert answer.status_code in (201, 204, 400)
        if answer.status_code == 400:
            is_error(answer, 400)
    if pattern in ("(", "(?<x", "[", "*"):
        assert listed.status_code == 400
        assert state_of(world) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "queues/%2F/n", {"durable": "perhaps"}, 400),
        ("PUT", "queues/%2F/n", {"arguments": {"x-max-length": 1 << 64}}, 400),
        ("PUT", "queues/%2F/n", {"arguments": {"k" * 256: 1}}, 400),
        ("PUT", "queues/%2F/n", {"arguments": "x"}, 400),
        ("PUT", "queues/%2F/q", {"durable": False}, 400),
        ("PUT", "queues/%2F/amq.n", {}, 401),
        ("PUT", "queues/nope/n", {}, 404),
        ("PUT", "exchanges/%2F/n", {"type": "nope"}, 400),
        ("PUT", "exchanges/%2F/n", {"type": 5}, 400),
        ("PUT", "exchanges/%2F/amq.default", {}, 401),
        ("PUT", "exchanges/%2F/amq.n", {}, 401),
        ("DELETE", "exchanges/%2F/amq.default", None, 401),
        ("POST", "bindings/%2F/e/amq.topic/q/q", {"routing_key": "k" * 256}, 400),
        ("POST", "bindings/%2F/e/nope/q/q", {}, 404),
        ("POST", "bindings/%2F/e/amq.default/q/q", {}, 401),
        ("DELETE", "bindings/%2F/e/amq.default/q/q/q", None, 401),
        ("POST", "exchanges/%2F/amq.default/publish", {"payload": "p"}, 400),
        ("POST", "queues/%2F/q/get", {"count": -1, "ackmode": "peek", "encoding": "auto"}, 400),
        ("POST", "queues/%2F/q/get", {"count": 1, "ackmode": "nope", "encoding": "auto"}, 400),
        ("POST", "queues/%2F/q/get", {"count": 1.5, "ackmode": "peek", "encoding": "auto"}, 400),
        ("POST", "queues/%2F/q/get", {"count": 1, "ackmode": "ack_requeue_false", "encoding": "x"}, 400),
        ("PUT", "vhosts/n", {"default_queue_type": "nope"}, 400),
        ("PUT", "vhosts/n", {"tags": 5}, 400),
        ("PUT", "permissions/%2F/guest", {"configure": 1, "write": "", "read": ""}, 400),
        ("PUT", "policies/nope/p", {"pattern": "", "definition": {"max-length": 1}}, 404),
        ("PUT", "policies/%2F/p", {"pattern": 5, "definition": {"max-length": 1}}, 400),
        ("PUT", "policies/%2F/p", {"pattern": "", "definition": [], "priority": "high"}, 400),
        ("PUT", "parameters/nope/%2F/p", {"value": 1}, 400),
        ("PUT", "parameters/policy/%2F/p", {"value": 1}, 400),
        ("PUT", "global-parameters/g", {}, 400),
        ("PUT", "vhost-limits/%2F/nope", {"value": 1}, 400),
        ("PUT", "vhost-limits/%2F/max-queues", {"value": "many"}, 400),
        ("PUT", "cluster-name", {"name": 5}, 400),
        ("POST", "definitions", {"queues": [{"name": "z"}]}, 400),
        ("POST", "definitions", {"queues": 5}, 400),
        ("POST", "users/bulk-delete", {"users": "guest"[:0]}, 204),
        ("DELETE", "vhosts/nope", None, 404),
        ("GET", "queues/%FF", None, 400),
        ("GET", "queues?page=0", None, 400),
        ("GET", "queues?page=1&page_size=501", None, 400),
        ("GET", "queues?page=99999999999999999999999", None, 400),
        ("GET", "queues/%2F/q?lengths_age=1&lengths_incr=0", None, 400),
    ],
)
async def test_what_is_wrong_changes_nothing(
    world: World, api: httpx.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    before = state_of(world)
    answer = await api.request(method, path, content=None if body is None else json.dumps(body))
    if status == 204:
        assert answer.status_code == 204
    else:
        is_error(answer, status)
    assert state_of(world) == before


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"delivery_mode": "two"}, ["not_int", "delivery_mode"]),
        ({"delivery_mode": 256}, ["not_int", "delivery_mode"]),
        ({"priority": -1}, ["not_int", "priority"]),
        ({"timestamp": 1 << 64}, ["not_int", "timestamp"]),
        ({"content_type": 5}, ["not_string", "content_type"]),
        ({"content_type": "x" * 256}, "content_type is longer than 255 octets"),
        ({"headers": 5}, "headers is not an object"),
        ({"headers": {"CC": "x"}}, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
        ({"expiration": "soon"}, "invalid expiration 'soon': no_integer"),
        ({"user_id": "other"}, "user_id property set to 'other' but authenticated user was 'guest'"),
        ({"reply_to": "amq.rabbitmq.reply-to"}, "fast reply consumer does not exist"),
        (5, "properties is not an object"),
    ],
)
async def test_properties_that_cannot_be(
    world: World, api: httpx.AsyncClient, properties: object, reason: object
) -> None:
    before = state_of(world)
    body = {"properties": properties, "routing_key": "q", "payload": "p", "payload_encoding": "string"}
    refused = await api.post("exchanges/%2F/amq.default/publish", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (400, reason)
    assert state_of(world) == before


async def test_a_message_that_is_too_large(world: World, api: httpx.AsyncClient) -> None:
    limit = world.broker.config.max_message_octets
    body = {"properties": {}, "routing_key": "q", "payload": "x" * (limit + 1), "payload_encoding": "string"}
    refused = await api.post("exchanges/%2F/amq.default/publish", json=body)
    is_error(refused, 400)


@pytest.mark.parametrize("tag", ["", "management", "policymaker", "monitoring"])
async def test_who_may_not_changes_nothing(world: World, channel: ChannelClient, tag: str) -> None:
    add_user(world.broker, "u", "p", (tag,) if tag else ())
    before = state_of(world)
    async with api_of(world.broker, ("u", "p")) as api:
        for endpoint in ENDPOINTS:
            is_for_it = tag == "policymaker" and endpoint.path.startswith("global-parameters")
            if endpoint.method != "GET" and endpoint.needs is not Needs.NOBODY and not is_for_it:
                names = {"vhost": "%2F", "name": "q", "user": "guest", "source": "amq.topic", "exchange": "amq.topic"}
                path = endpoint.path
                for name, value in names.items():
                    path = path.replace(f"{{{name}}}", value)
                refused = await api.request(endpoint.method, path, json=BODY)
                if path != "connections/username/guest":  # of which nobody sees any
                    assert refused.status_code in (401, 404), (path, refused.text)
    assert state_of(world) == before


async def test_bodies_of_many_small_values(world: World, api: httpx.AsyncClient) -> None:
    """Which take long to decode, and many times their length in memory."""
    add_user(world.broker, "pol", "p", ("policymaker",))
    before = state_of(world)
    body = b'{"value": [' + b"[]," * 1_000_000 + b"1]}"
    started = time.process_time()
    is_error(await api.put("global-parameters/g", content=body, auth=("pol", "p")), 400)
    assert time.process_time() - started < 0.5
    assert state_of(world) == before


async def test_a_string_may_have_commas_in_it(api: httpx.AsyncClient) -> None:
    body = {"routing_key": "q", "properties": {}, "payload": '[1,"2",{"\\":3}]' * 10_000, "payload_encoding": "string"}
    assert (await api.post("exchanges/%2F/amq.default/publish", json=body)).json() == {"routed": True}


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"origin": "http://broker"}, True),
        ({"origin": "http://proxy", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://friend"}, True),
        ({"origin": "http://friend", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "http://evil"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://evil", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://other.broker", "sec-fetch-site": "same-site"}, False),
    ],
)
async def test_pages_of_other_sites_change_nothing(headers: dict[str, str], is_let_in: bool) -> None:
    """As a browser sends it without asking first, with the password that it remembers."""
    world = World(config=Config(management_cors_origins=("http://friend",)))
    async with api_of(world.broker) as api:
        before = state_of(world)
        content = b'{"users": [{"name": "e", "password": "p", "tags": "administrator"}]}'
        answer = await api.post("definitions", content=content, headers={"content-type": "text/plain", **headers})
        if is_let_in:
            assert answer.status_code == 204
        else:
            is_error(answer, 403)
        assert (state_of(world) == before) is not is_let_in
        assert (await api.get("whoami", headers=headers)).status_code == 200
