"""What clients of the two HTTP ports can hold up or use up: nothing for long, and nothing without end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
from starlette.types import Receive, Scope, Send

from amqp_broker.config import Config
from amqp_broker.management import app as app_module
from amqp_broker.management import serving
from amqp_broker.management.app import LONG_LISTS
from amqp_broker.management.serving import HttpServer
from amqp_broker.net.doors import Door
from amqp_broker.net.tls import TlsKeeper
from tests.management.support import api_of
from tests.support.certificates import Authority
from tests.support.client import World

DEADLINE_S = 10.0


class Endless:
    """An application whose answer never ends by itself."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.over = trio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_gone, receive)
            while not self.over.is_set():
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.over.set()


async def served(nursery: trio.Nursery, server: HttpServer, *, is_tls: bool = False) -> trio.SocketListener:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(server.serve, [Door(listener, "", is_tls) for listener in listeners])
    return listeners[0]


@asynccontextmanager
async def connected(
    listener: trio.SocketListener, authority: Authority | None = None
) -> AsyncIterator[trio.abc.Stream]:
    stream = await trio.open_tcp_stream(*listener.socket.getsockname())
    async with stream:
        if authority is None:
            yield stream
        else:
            yield trio.SSLStream(stream, authority.client_context(), server_hostname="localhost")


NOBODY_READS_TO_THE_END = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Of what httpx would send."""


@pytest.fixture(params=["http", "https"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority | None:
    """Who has signed the server's certificate, where TLS is spoken."""
    return Authority(tmp_path) if request.param == "https" else None


def keeper_of(authority: Authority | None) -> TlsKeeper | None:
    return None if authority is None else TlsKeeper(authority.options())


async def test_who_does_not_read_is_hung_up_on(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, authority: Authority | None
) -> None:
    monkeypatch.setattr(serving, "PATIENCE_S", 0.02)
    app = Endless()
    server = HttpServer(app, 10, keeper_of(authority))
    listener = await served(nursery, server, is_tls=authority is not None)
    with trio.fail_after(DEADLINE_S):
        async with connected(listener, authority) as client:
            await client.send_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
            await app.over.wait()
            while len(server):
                await trio.testing.wait_all_tasks_blocked()


async def test_the_end_waits_for_nobody_who_does_not_read(nursery: trio.Nursery, authority: Authority | None) -> None:
    app = Endless()
    ended = trio.Event()
    scope = trio.CancelScope()
    server = HttpServer(app, 10, keeper_of(authority))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve() -> None:
        with scope:
            await server.serve([Door(listener, "", authority is not None) for listener in listeners])
        ended.set()

    nursery.start_soon(serve)
    with trio.fail_after(DEADLINE_S):
        async with connected(listeners[0], authority) as client:
            await client.send_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
            await app.begun.wait()
            await trio.testing.wait_all_tasks_blocked(0.02)
            scope.cancel()
            await ended.wait()


async def test_connections_are_bounded(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer(Endless(), 1)
    listener = await served(nursery, server)
    with trio.fail_after(DEADLINE_S):
        async with connected(listener) as first:
            await first.send_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
            assert (await first.receive_some()).startswith(b"HTTP/1.1 200")
            for _ in range(3):
                async with connected(listener) as further:
                    assert not await further.receive_some()
            assert len(server) == 1
    assert len([record for record in caplog.records if "are closed" in record.getMessage()]) == 1


async def test_websockets_are_refused(nursery: trio.Nursery) -> None:
    async with connected(await served(nursery, HttpServer(Endless(), 1))) as client:
        await client.send_all(
            b"GET / HTTP/1.1\r\nhost: b\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        with trio.fail_after(DEADLINE_S):
            assert (await client.receive_some()).startswith(b"HTTP/1.1 403")


@pytest.fixture
def world() -> World:
    config = Config(management_request_timeout_s=0.02, management_max_held_octets=2000)
    return World(config=config)


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with api_of(world.broker) as client:
        yield client


@NOBODY_READS_TO_THE_END
async def test_a_body_that_does_not_come(api: httpx.AsyncClient) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await trio.sleep_forever()

    answer = await api.put("global-parameters/g", content=half())
    assert (answer.status_code, answer.json()["error"]) == (408, "request_timeout")
    assert (await api.get("global-parameters/g")).status_code == 404


@NOBODY_READS_TO_THE_END
async def test_what_is_held_of_bodies_is_bounded(api: httpx.AsyncClient) -> None:
    for _ in range(3):  # what was held is let go of each time
        assert (await api.put("global-parameters/g", json={"value": "x" * 1900})).status_code in (201, 204)
    answer = await api.put("global-parameters/g", json={"value": "x" * 2000})
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")


async def test_what_is_held_of_answers_is_bounded(api: httpx.AsyncClient, world: World) -> None:
    channel = world.channel()
    for number in range(100):
        channel.queue(f"q{number}")
    answer = await api.get("queues", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert (await api.get("queues", params={"page": 1, "page_size": 1})).status_code == 200


async def test_few_whole_lists_are_made_at_a_time(
    api: httpx.AsyncClient, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    may_end = trio.Event()

    async def slowly(*_: object) -> list[bytes]:
        begun.append(1)
        await may_end.wait()
        return [b"[]"]

    monkeypatch.setattr(app_module, "encode_listing", slowly)
    for _ in range(LONG_LISTS + 3):
        nursery.start_soon(api.get, "queues")
    await trio.testing.wait_all_tasks_blocked()
    assert len(begun) == LONG_LISTS
    nursery.start_soon(api.get, "queues?page=1")
    await trio.testing.wait_all_tasks_blocked()
    assert len(begun) == LONG_LISTS + 1
    may_end.set()
