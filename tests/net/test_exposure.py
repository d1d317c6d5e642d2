"""The whole server as the network sees it: who is let in from where, and users that are known elsewhere."""

from __future__ import annotations

import socket
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import trio

from amqp_broker.config import AuthEntry, Config, HttpAuth
from amqp_broker.server import Server
from amqp_codec import (
    PROTOCOL_HEADER,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionStart,
    ConnectionStartOk,
    QueueDeclare,
)
from tests.support.client import CAPABILITIES, PLAIN_GUEST
from tests.support.wire import Dial, WireClient


def outside_address() -> str:
    """An IPv4 address of this machine that is no loopback address."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family is socket.AF_INET and not address.address.startswith("127."):
                return address.address
    pytest.skip("this machine has no address but loopback")


async def refused_as_guest(client: WireClient) -> None:
    await client.send_octets(PROTOCOL_HEADER)
    await client.expect(0, ConnectionStart)
    start_ok = ConnectionStartOk(
        client_properties={"capabilities": CAPABILITIES}, mechanism="PLAIN", response=PLAIN_GUEST, locale="en_US"
    )
    close = await client.call(0, start_ok, ConnectionClose)
    assert close.reply_code == 403


@pytest.mark.rule("1.14")
async def test_on_all_addresses_guest_still_comes_from_here_only(nursery: trio.Nursery, dial: Dial) -> None:
    outside = outside_address()
    server = Server(Config(host="0.0.0.0", port=0))
    await nursery.start(server.run)
    port = int(server.urls[0].rpartition(":")[2])
    await refused_as_guest(await dial(outside, port))
    await (await dial("127.0.0.1", port)).open()


async def test_without_configuration_nobody_outside_finds_a_listener(nursery: trio.Nursery) -> None:
    outside = outside_address()
    server = Server(Config(port=0))
    await nursery.start(server.run)
    with pytest.raises(OSError, match=r"refused|all attempts"):
        await trio.open_tcp_stream(outside, int(server.urls[0].rpartition(":")[2]))


async def test_a_web_service_says_who_may_do_what(nursery: trio.Nursery, dial: Dial) -> None:
    asked: list[str] = []

    async def answer(stream: trio.SocketStream) -> None:
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        parts = urlsplit(head.split()[1].decode())
        form = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked.append(parts.path)
        is_allowed = form.get("name") != "secret" and form.get("password") in (None, "guest")
        body = b"allow management" if is_allowed else b"deny"
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, answer, [listener])
    base = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    config = Config(
        port=0,
        auth_backends=(AuthEntry("http"),),
        auth_http=HttpAuth(
            user_path=f"{base}/user",
            vhost_path=f"{base}/vhost",
            resource_path=f"{base}/resource",
            topic_path=f"{base}/topic",
        ),
    )
    server = Server(config)
    await nursery.start(server.run)
    with trio.fail_after(10):
        client = await dial("127.0.0.1", int(server.urls[0].rpartition(":")[2]))
        await client.open()
        await client.declare("q")
        for number in range(100):
            await client.publish("q", b"%d" % number)
        await client.consume("q")
        for number in range(100):
            assert await client.body() == b"%d" % number
        assert asked == ["/user", "/vhost", "/resource", "/resource", "/resource"]
        close = await client.call(1, QueueDeclare(queue="secret"), ChannelClose)
        assert close.reply_code == 403
        await client.send(1, ChannelCloseOk())
        await client.call(1, ChannelOpen(), ChannelOpenOk)
        assert await client.declare("q") == 0
