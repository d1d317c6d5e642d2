"""What comes before AMQP, and what a client may cost until it has logged in."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config, Listener
from amqp_broker.net.connection import serve_client
from amqp_broker.net.listener import Manners, Reception
from amqp_broker.net.tls import TlsKeeper
from amqp_broker.server import run_timers
from amqp_codec import PROTOCOL_HEADER, ConnectionClose, ConnectionStart, ConnectionStartOk
from tests.net.house import House
from tests.support.certificates import Authority
from tests.support.client import CAPABILITIES, PLAIN_GUEST
from tests.support.wire import Dial, WireClient, until

DEADLINE_S = 10
PROXY_FROM_AFAR = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5672\r\n"
PROXY_FROM_HERE = b"PROXY TCP4 127.0.0.1 127.0.0.1 56324 5672\r\n"


class Hall:
    """A broker behind one reception."""

    def __init__(self, broker: Broker, port: int, dial: Dial) -> None:
        self.broker = broker
        self._port = port
        self._dial = dial

    async def visitor(self) -> WireClient:
        return await self._dial("127.0.0.1", self._port)


OpenHall: TypeAlias = Callable[..., Awaitable[Hall]]


@pytest.fixture
async def open_hall(nursery: trio.Nursery, dial: Dial) -> OpenHall:
    async def opened(manners: Manners | None = None, files: Callable[[], int] | None = None, **settings: Any) -> Hall:
        broker = Broker(Config(**settings))
        nursery.start_soon(run_timers, broker.timers)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(Reception(broker, files).accept, listener, nursery, manners or Manners())
        return Hall(broker, listener.socket.getsockname()[1], dial)

    return opened


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]


async def refused(client: WireClient) -> None:
    """The broker closes the socket, and has said nothing."""
    with trio.fail_after(DEADLINE_S):
        assert await client.rest() == b""


# PROXY protocol


async def test_a_proxy_says_where_a_client_comes_from(open_hall: OpenHall) -> None:
    hall = await open_hall(Manners(is_proxied=True))
    client = await hall.visitor()
    await client.send_octets(PROXY_FROM_HERE)
    await client.open()
    (there,) = hall.broker.clients
    assert str(there) == "127.0.0.1:56324"


@pytest.mark.rule("1.14")
async def test_guest_behind_a_proxy_is_not_from_here(open_hall: OpenHall) -> None:
    hall = await open_hall(Manners(is_proxied=True))
    client = await hall.visitor()
    await client.send_octets(PROXY_FROM_AFAR + PROTOCOL_HEADER)
    await client.expect(0, ConnectionStart)
    start_ok = ConnectionStartOk(
        client_properties={"capabilities": CAPABILITIES}, mechanism="PLAIN", response=PLAIN_GUEST, locale="en_US"
    )
    close = await client.call(0, start_ok, ConnectionClose)
    assert close.reply_code == 403


async def test_a_client_without_the_header_is_refused(open_hall: OpenHall, caplog: pytest.LogCaptureFixture) -> None:
    hall = await open_hall(Manners(is_proxied=True))
    client = await hall.visitor()
    await client.send_octets(PROTOCOL_HEADER)
    await refused(client)
    (line,) = complaints(caplog)
    assert "its PROXY header is wrong: begins with b'AMQP" in line


async def test_nobody_else_is_believed(open_hall: OpenHall, caplog: pytest.LogCaptureFixture) -> None:
    hall = await open_hall(Manners(is_proxied=True), trusted_proxies=("10.0.0.0/8", "2001:db8::/32"))
    client = await hall.visitor()
    await client.send_octets(PROXY_FROM_HERE)
    await refused(client)
    (line,) = complaints(caplog)
    assert "no trusted proxy" in line


async def test_an_end_in_the_header_is_one_line_and_one_before_it_none(
    open_hall: OpenHall, caplog: pytest.LogCaptureFixture
) -> None:
    hall = await open_hall(Manners(is_proxied=True))
    silent, cut = await hall.visitor(), await hall.visitor()
    await silent.stream.aclose()
    await cut.send_octets(PROXY_FROM_HERE[:20])
    await cut.stream.aclose()
    with trio.fail_after(DEADLINE_S):
        await until(lambda: bool(complaints(caplog)) and not hall.broker.newcomers)
    (line,) = complaints(caplog)
    assert "not complete" in line


async def test_tls_comes_after_the_header(open_hall: OpenHall, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    options = authority.options()
    hall = await open_hall(Manners(TlsKeeper(options), options, is_proxied=True))
    client = await hall.visitor()
    await client.send_octets(PROXY_FROM_HERE)
    stream = trio.SSLStream(client.stream, authority.client_context(), server_hostname="localhost")
    encrypted = WireClient(stream)  # type: ignore[arg-type]
    await encrypted.open()
    (there,) = hall.broker.clients
    assert str(there) == "127.0.0.1:56324"


# Time


@pytest.mark.rule("1.3")
@pytest.mark.parametrize("what", ["tls", "proxy"])
async def test_a_client_that_does_not_get_as_far_as_amqp_is_dropped(
    open_hall: OpenHall, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    options = Authority(tmp_path).options()
    manners = Manners(TlsKeeper(options), options) if what == "tls" else Manners(is_proxied=True)
    hall = await open_hall(manners, handshake_timeout_s=0.05)
    client = await hall.visitor()
    await client.send_octets(b"\x16\x03\x01\x02\x00\x01" if what == "tls" else PROXY_FROM_HERE[:10])
    await refused(client)
    (line,) = complaints(caplog)
    assert "no TLS or PROXY handshake in time" in line
    assert not hall.broker.newcomers


@pytest.mark.rule("1.3")
async def test_a_tls_handshake_has_a_time_of_its_own(
    open_hall: OpenHall, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = Authority(tmp_path).options()
    hall = await open_hall(Manners(TlsKeeper(options), options), tls_handshake_timeout_s=0.05)
    client = await hall.visitor()
    await client.send_octets(b"\x16\x03\x01\x02\x00\x01")
    await refused(client)
    (line,) = complaints(caplog)
    assert "no TLS handshake in 0.05 s (ssl_handshake_timeout)" in line


@pytest.mark.rule("1.3")
async def test_time_spent_before_amqp_counts(autojump_clock: MockClock, house: House, nursery: trio.Nursery) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    began_at = trio.current_time()
    nursery.start_soon(partial(serve_client, house.broker, theirs, Peer(), handshake_timeout_s=4))
    await refused(WireClient(ours))
    assert trio.current_time() - began_at == pytest.approx(4)


# Number


async def test_too_many_that_have_not_logged_in_are_closed_as_they_come(
    open_hall: OpenHall, caplog: pytest.LogCaptureFixture
) -> None:
    hall = await open_hall(max_unauthenticated_connections=3)
    members = [await hall.visitor() for _ in range(3)]
    for member in members:
        await member.open()
    waiting = [await hall.visitor() for _ in range(3)]
    with trio.fail_after(DEADLINE_S):
        await until(lambda: len(hall.broker.newcomers) == 3)
    for _ in range(5):
        await refused(await hall.visitor())
    (line,) = complaints(caplog)
    assert "3 have not logged in yet; see max_unauthenticated_connections" in line
    assert await members[0].declare("q") == 0
    await waiting[0].open()
    await (await hall.visitor()).open()


async def test_those_in_a_tls_handshake_count_too(open_hall: OpenHall, tmp_path: Path) -> None:
    options = Authority(tmp_path).options()
    hall = await open_hall(Manners(TlsKeeper(options), options), max_unauthenticated_connections=2)
    waiting = [await hall.visitor() for _ in range(2)]
    with trio.fail_after(DEADLINE_S):
        await until(lambda: len(hall.broker.newcomers) == 2)
    await refused(await hall.visitor())
    await waiting[0].stream.aclose()
    with trio.fail_after(DEADLINE_S):
        await until(lambda: len(hall.broker.newcomers) == 1)


async def test_near_the_limit_of_open_files_new_ones_are_closed_and_old_ones_go_on(
    open_hall: OpenHall, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 1 << 20
    hall = await open_hall(files=lambda: limit, reserved_files=64)
    member = await hall.visitor()
    await member.open()
    limit = 64
    for _ in range(5):
        await refused(await hall.visitor())
    (line,) = complaints(caplog)
    assert "nearly 64 files are open; raise the limit of open files" in line
    assert await member.declare("q") == 0
    limit = 1 << 20
    await (await hall.visitor()).open()


def test_a_listener_is_a_plain_one_unless_said_otherwise() -> None:
    assert Config().all_listeners == (Listener(host="127.0.0.1", port=5672),)
    assert Config(port=None).all_listeners == ()
