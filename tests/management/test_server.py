"""The management port as it is opened: over sockets, with the web server that users get."""

from __future__ import annotations

import httpx
import trio

from amqp_broker.config import Config, Listener
from amqp_broker.server import Server
from tests.support.ports import free_ports
from tests.support.wire import WireClient

DEADLINE_S = 20.0


async def test_the_url_follows_amqp_s_and_answers() -> None:
    server = Server(Config(port=0))
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            amqp, http, metrics = server.urls
            assert amqp.startswith("amqp://127.0.0.1:")
            assert http.startswith("http://127.0.0.1:")
            async with httpx.AsyncClient(base_url=http, auth=("guest", "guest")) as client:
                overview = (await client.get("/api/overview")).json()
                assert {listener["protocol"] for listener in overview["listeners"]} == {
                    "amqp",
                    "http",
                    "http/prometheus",
                }
                host, _, port = amqp.removeprefix("amqp://").rpartition(":")
                stream = await trio.open_tcp_stream(host, int(port))
                wire = WireClient(stream)
                await wire.open()
                here = stream.socket.getsockname()[1]
                (connection,) = (await client.get("/api/connections")).json()
                assert connection["name"] == f"127.0.0.1:{here} -> 127.0.0.1:{port}"
                await wire.close()
                page = await client.get(metrics)
                assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
                assert "rabbitmq_connections 0\n" in page.text
                assert (await client.get("/api/vhosts/%2F")).json()["name"] == "/"
            server.stop()
            await server.stopped.wait()
            nursery.cancel_scope.cancel()


async def test_it_can_be_turned_off() -> None:
    server = Server(Config(port=0, management_port=None, metrics_port=None))
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            assert [url.partition(":")[0] for url in server.urls] == ["amqp"]
            server.stop()
            await server.stopped.wait()
            nursery.cancel_scope.cancel()


async def test_one_free_port_for_amqp_makes_those_of_http_free_ones(nursery: trio.Nursery) -> None:
    """As with `--port 0` beside a listener that a configuration file names."""
    server = Server(Config(port=0, listeners=(Listener(port=free_ports(1)[0]),)))
    await nursery.start(server.run)
    assert [url for url in server.urls if ":15672" in url or ":15692" in url] == []
    server.stop()
    await server.stopped.wait()
