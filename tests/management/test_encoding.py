"""JSON of long answers: made in parts, none of which is long."""

from __future__ import annotations

import json
from itertools import count

import httpx
import pytest

from amqp_broker.management import listing
from amqp_broker.management.writing import CHUNK_OCTETS, encode
from tests.management.support import api_of
from tests.support.client import World

ROWS = [{"name": f"row-{number}", "tags": [number]} for number in range(3000)]


@pytest.mark.parametrize(
    "body",
    [None, "text", {}, [], [1], {"a": []}, {"items": ROWS, "total": 3, "none": [], "table": {"a": [1]}}, ROWS],
    ids=["null", "text", "object", "list", "one", "of-list", "page", "rows"],
)
async def test_it_is_what_it_would_be_at_once(body: object, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(listing, "perf_counter", lambda: next(ticks) * listing.SLICE_S / 100)
    parts = await encode(body)
    assert json.loads(b"".join(parts)) == body
    assert max(map(len, parts)) < 10_000


@pytest.fixture
def world() -> World:
    world = World()
    channel = world.channel()
    for number in range(200):
        channel.queue(f"q{number:03}")
    return world


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_long_list_arrives_whole(world: World, encoding: str) -> None:
    async with api_of(world.broker) as api:
        answer = await api.get("queues", headers={"accept-encoding": encoding})
        assert answer.headers.get("content-encoding", "identity") == encoding
        assert [queue["name"] for queue in answer.json()] == [f"q{number:03}" for number in range(200)]
        assert len(answer.content) > 3 * CHUNK_OCTETS


async def test_the_head_of_a_long_list_says_how_long_it_is(world: World) -> None:
    async with api_of(world.broker) as api:
        whole = await api.get("queues?columns=name,type", headers={"accept-encoding": "identity"})
        head: httpx.Response = await api.head("queues?columns=name,type", headers={"accept-encoding": "identity"})
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        assert head.content == b""
