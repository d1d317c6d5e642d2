"""TLS on real sockets: what is spoken, who is let in, certificates that change, and what a bad one says."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
import trio
import trio.testing

from amqp_broker.auth.permissions import ALL
from amqp_broker.auth.users import User
from amqp_broker.config import Certificate, Config, Listener, TlsOptions
from amqp_broker.net.tls import TlsConfigError, TlsKeeper, TlsStream
from amqp_broker.server import Server
from amqp_codec import (
    PROTOCOL_HEADER,
    ConnectionClose,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
)
from tests.support.certificates import Authority
from tests.support.client import CAPABILITIES
from tests.support.wire import WireClient, until

DEADLINE_S = 10


class TlsInn:
    """A server that speaks TLS only, and its clients."""

    def __init__(self, server: Server, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self.port = int(server.urls[0].rpartition(":")[2])
        self.streams: list[trio.SSLStream[trio.SocketStream]] = []

    async def visitor(
        self, context: ssl.SSLContext | None = None, host: str = "localhost"
    ) -> tuple[WireClient, trio.SSLStream[trio.SocketStream]]:
        stream = trio.SSLStream(
            await trio.open_tcp_stream("127.0.0.1", self.port),
            context or self.authority.client_context(),
            server_hostname=host,
        )
        self.streams.append(stream)
        await stream.do_handshake()
        return WireClient(cast(trio.abc.HalfCloseableStream, stream)), stream

    async def client(self) -> WireClient:
        client, _ = await self.visitor()
        await client.open()
        return client


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


OpenInn: TypeAlias = Callable[..., Awaitable[TlsInn]]
"""Opens a TLS server with such options; its clients are closed when the test has ended."""


@pytest.fixture
async def open_inn(nursery: trio.Nursery, authority: Authority) -> AsyncIterator[OpenInn]:
    inns: list[TlsInn] = []

    async def opened(tls: TlsOptions | None = None, **options: Any) -> TlsInn:
        config = Config(port=None, listeners=(Listener(port=0, is_tls=True),), tls=tls or authority.options(**options))
        server = Server(config)
        await nursery.start(server.run)
        inns.append(TlsInn(server, authority))
        return inns[-1]

    yield opened
    for inn in inns:
        for stream in inn.streams:
            stream.transport_stream.socket.close()


@pytest.fixture
async def inn(open_inn: OpenInn) -> TlsInn:
    return await open_inn()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_client_works_over_tls(inn: TlsInn) -> None:
    with trio.fail_after(DEADLINE_S):
        client = await inn.client()
        await client.declare("q")
        await client.publish("q", bytes(1_000_000))
        await client.consume("q")
        assert await client.body() == bytes(1_000_000)
        await client.close()
        await until(lambda: not inn.server.broker.clients)
    assert inn.server.urls[0].startswith("amqps://127.0.0.1:")


async def test_the_end_is_announced_in_tls(inn: TlsInn, caplog: pytest.LogCaptureFixture) -> None:
    """A client that checks for truncation reads an end, and no error."""
    with trio.fail_after(DEADLINE_S):
        _, stream = await inn.visitor()
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        octets = bytearray()
        async for data in stream:
            octets += data
    assert bytes(octets) == PROTOCOL_HEADER
    assert not any("Traceback" in record.getMessage() or record.exc_info for record in caplog.records)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(inn: TlsInn, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture) -> None:
    context = inn.authority.client_context()
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        context.minimum_version = version
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with trio.fail_after(DEADLINE_S):
        with pytest.raises(trio.BrokenResourceError):
            await inn.visitor(context)
        await until(lambda: bool(warnings(caplog)))
    (line,) = warnings(caplog)
    assert "refused, the TLS handshake failed: unsupported protocol" in line


@pytest.mark.parametrize(
    ("options", "client", "spoken"),
    [
        ({"min_version": "1.3"}, ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ({"max_version": "1.2"}, ssl.TLSVersion.TLSv1_3, "TLSv1.2"),
        ({}, ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
    ],
)
async def test_the_version_can_be_chosen(
    open_inn: OpenInn, authority: Authority, options: dict[str, str], client: ssl.TLSVersion, spoken: str
) -> None:
    inn = await open_inn(**options)
    context = authority.client_context()
    context.maximum_version = client
    wire, stream = await inn.visitor(context)
    await wire.open()
    assert stream.version() == spoken


async def test_ciphers_can_be_chosen(open_inn: OpenInn, authority: Authority) -> None:
    inn = await open_inn(ciphers="ECDHE+CHACHA20", max_version="1.2")
    _, stream = await inn.visitor()
    assert "CHACHA20" in stream.cipher()[0]


async def test_who_speaks_no_tls_is_told_apart(inn: TlsInn, caplog: pytest.LogCaptureFixture) -> None:
    with trio.fail_after(DEADLINE_S):
        async with await trio.open_tcp_stream("127.0.0.1", inn.port) as stream:
            await stream.send_all(PROTOCOL_HEADER + bytes(100))
            rest = bytearray()
            try:
                async for data in stream:
                    rest += data
            except trio.BrokenResourceError:
                pass
        await until(lambda: bool(warnings(caplog)))
    (line,) = warnings(caplog)
    assert "the TLS handshake failed: wrong version number" in line
    assert not inn.server.broker.newcomers


async def test_a_health_check_is_not_logged(inn: TlsInn, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        stream = await trio.open_tcp_stream("127.0.0.1", inn.port)
        await stream.aclose()
    await inn.client()
    await until(lambda: len(inn.server.broker.newcomers) == 0)
    assert not warnings(caplog)


# Client certificates


async def start_and_login(client: WireClient, mechanism: str) -> None:
    await client.send_octets(PROTOCOL_HEADER)
    start = await client.expect(0, ConnectionStart)
    assert b"EXTERNAL" in start.mechanisms.split()
    await client.send(
        0,
        ConnectionStartOk(
            client_properties={"capabilities": CAPABILITIES}, mechanism=mechanism, response=b"", locale="en_US"
        ),
    )


async def test_without_a_certificate_nobody_comes_in_where_one_is_required(
    open_inn: OpenInn, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    inn = await open_inn(verify_peer=True, fail_if_no_peer_cert=True)
    with trio.fail_after(DEADLINE_S):
        client, _ = await inn.visitor()
        with pytest.raises(trio.BrokenResourceError):  # with TLS 1.3 the client learns of it when it reads
            await client.login()
        await until(lambda: bool(warnings(caplog)))
    assert "peer did not return a certificate" in warnings(caplog)[0]


async def test_a_certificate_of_someone_else_is_refused(
    open_inn: OpenInn, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inn = await open_inn(verify_peer=True)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").client_file("app")
    with trio.fail_after(DEADLINE_S):
        client, _ = await inn.visitor(authority.client_context(stranger))
        with pytest.raises(trio.BrokenResourceError):
            await client.login()
        await until(lambda: bool(warnings(caplog)))
    assert "certificate verify failed" in warnings(caplog)[0]


@pytest.mark.rule("1.9", "1.5")
@pytest.mark.parametrize(
    ("options", "user"),
    [
        ({"login_from": "common_name"}, "app"),
        ({"login_from": "distinguished_name"}, r"CN=app,OU=.*,O=client\\, Inc\."),
        ({"login_from": "subject_alternative_name", "login_san_type": "email"}, "app@example.org"),
    ],
)
async def test_external_takes_the_name_from_the_certificate(
    open_inn: OpenInn, authority: Authority, options: dict[str, str], user: str
) -> None:
    inn = await open_inn(verify_peer=True, **options)
    certificate = authority.client_file("app", organization="client, Inc.")
    context = authority.client_context(certificate)
    client, _ = await inn.visitor(context)
    seen: list[str] = []
    original = inn.server.broker.users.get

    def get(name: str) -> User | None:
        seen.append(name)
        return original(name)

    inn.server.broker.users.get = get  # type: ignore[method-assign]
    await start_and_login(client, "EXTERNAL")
    with trio.fail_after(DEADLINE_S):
        close = await client.expect(0, ConnectionClose)
    assert close.reply_code == 403
    (name,) = seen
    assert re.fullmatch(user, name)
    inn.server.broker.users.add(User(name=name, password=b"", permissions={"/": ALL}))
    again, _ = await inn.visitor(context)
    await start_and_login(again, "EXTERNAL")
    await again.expect(0, ConnectionTune)


@pytest.mark.rule("1.5")
async def test_external_is_offered_only_where_the_configuration_says_who_is_in_a_certificate(
    open_inn: OpenInn, authority: Authority
) -> None:
    inn = await open_inn(verify_peer=True)
    client, _ = await inn.visitor(authority.client_context(authority.client_file("app")))
    await client.send_octets(PROTOCOL_HEADER)
    start = await client.expect(0, ConnectionStart)
    assert start.mechanisms.split() == [b"PLAIN", b"AMQPLAIN", b"ANONYMOUS"]


@pytest.mark.rule("1.9")
async def test_external_without_a_certificate_is_refused(open_inn: OpenInn) -> None:
    inn = await open_inn(login_from="distinguished_name")
    client, _ = await inn.visitor()
    await start_and_login(client, "EXTERNAL")
    close = await client.expect(0, ConnectionClose)
    assert close.reply_code == 403


# Certificates that change


def serial(stream: trio.SSLStream[trio.SocketStream]) -> object:
    return stream.getpeercert()["serialNumber"]


async def test_new_certificates_are_for_new_connections_and_drop_none(inn: TlsInn) -> None:
    with trio.fail_after(DEADLINE_S):
        client, stream = await inn.visitor()
        await client.open()
        await client.declare("q")
        await client.consume("q")
        received = 0

        async def publish() -> None:
            for _ in range(300):
                await client.publish("q", bytes(1000))

        async with trio.open_nursery() as load:
            load.start_soon(publish)
            for _ in range(300):
                assert await client.body() == bytes(1000)
                received += 1
                if received % 50 == 0:
                    inn.authority.server()
                    inn.server.reload()
        _, other = await inn.visitor()
        assert serial(other) != serial(stream)
        await client.publish("q", b"still there")
        assert await client.body() == b"still there"


async def test_certificates_that_do_not_fit_leave_the_old_ones(inn: TlsInn, caplog: pytest.LogCaptureFixture) -> None:
    _, before = await inn.visitor()
    key = inn.authority.server(name="other").key
    assert key is not None
    (inn.authority.directory / "server.key").write_bytes(key.read_bytes())
    inn.server.reload()
    (line,) = warnings(caplog)
    assert "does not belong to the certificate" in line
    assert "the certificates loaded before stay in use" in line
    _, after = await inn.visitor()
    assert serial(after) == serial(before)


async def test_the_name_a_client_asks_for_chooses_the_certificate(open_inn: OpenInn, authority: Authority) -> None:
    named = authority.server("mq.example.org", "named", sni=True)
    inn = await open_inn(TlsOptions(certificates=(authority.server(), named)))
    for host in ("localhost", "mq.example.org", "MQ.example.org"):
        await inn.visitor(host=host)  # the client checks that the certificate is for that name


# What can't be used


def test_a_key_that_does_not_fit_is_named(authority: Authority) -> None:
    certificate = Certificate(chain=authority.server().chain, key=authority.server(name="other").key)
    with pytest.raises(TlsConfigError, match=r"the key in .*other.key does not belong to the certificate in .*server"):
        TlsKeeper(TlsOptions(certificates=(certificate,)))


def test_other_mistakes_are_named(authority: Authority, tmp_path: Path) -> None:
    good = authority.server()
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for options, says in [
        (TlsOptions(certificates=(Certificate(chain=tmp_path / "none"),)), "can't read .*none: No such file"),
        (TlsOptions(certificates=(Certificate(chain=empty),)), "no certificate and key in PEM form"),
        (TlsOptions(certificates=(good,), verify_peer=True, ca=empty), "no certificates in PEM form in .*empty"),
        (TlsOptions(certificates=(good,), verify_peer=True, ca=tmp_path / "none"), "can't read .*none: No such"),
        (TlsOptions(certificates=(good,), fail_if_no_peer_cert=True), "needs verify_peer"),
        (TlsOptions(certificates=(good,), ciphers="NONE-SUCH"), "no TLS cipher"),
        (TlsOptions(certificates=(good,), min_version="1.3", max_version="1.2"), "no TLS version from 1.3 to 1.2"),
    ]:
        with pytest.raises(TlsConfigError, match=says):
            TlsKeeper(options)
    with pytest.raises(TlsConfigError, match="a TLS listener needs a certificate"):
        Server(Config(listeners=(Listener(is_tls=True),)))


# The stream


async def joined(authority: Authority) -> tuple[trio.SSLStream[Any], TlsStream]:
    """Both ends of a TLS connection over memory."""
    ours, theirs = trio.testing.memory_stream_pair()
    server = TlsStream(theirs, TlsKeeper(authority.options()).context)
    client = trio.SSLStream(ours, authority.client_context(), server_hostname="localhost")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        nursery.start_soon(client.do_handshake)
    return client, server


async def test_many_records_are_one_read(authority: Authority) -> None:
    client, server = await joined(authority)
    for _ in range(100):
        await client.send_all(bytes(1000))
    assert len(await server.receive_some(256 * 1024)) == 100_000


async def test_a_read_gives_no_more_than_asked_for(authority: Authority) -> None:
    client, server = await joined(authority)
    await client.send_all(bytes(5000))
    sizes: list[int] = []
    while sum(sizes) < 5000:
        sizes.append(len(await server.receive_some(1000)))
    assert sizes == [1000] * 5


async def test_any_slicing_of_what_comes_is_the_same(authority: Authority) -> None:
    transport, theirs = trio.testing.memory_stream_pair()
    ours, far = trio.testing.memory_stream_pair()
    server = TlsStream(theirs, TlsKeeper(authority.options()).context)
    client = trio.SSLStream(ours, authority.client_context(), server_hostname="localhost")

    async def octet_by_octet() -> None:
        async for data in far:
            for octet in data:
                await transport.send_all(bytes([octet]))
        await transport.send_eof()

    async def back() -> None:
        async for data in transport:
            await far.send_all(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(octet_by_octet)
        nursery.start_soon(back)
        async with trio.open_nursery() as both:
            both.start_soon(server.do_handshake)
            both.start_soon(client.do_handshake)
        await client.send_all(b"hello")
        assert (await server.receive_some(100)) == b"hello"
        nursery.cancel_scope.cancel()


async def test_an_end_without_a_word_is_an_end(authority: Authority) -> None:
    client, server = await joined(authority)
    await client.send_all(b"last")
    await client.transport_stream.send_eof()
    assert await server.receive_some() == b"last"
    assert await server.receive_some() == b""
    assert await server.receive_some() == b""


async def test_nonsense_after_the_handshake_breaks_the_stream(authority: Authority) -> None:
    client, server = await joined(authority)
    await client.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(trio.BrokenResourceError, match="TLS"):
        await server.receive_some()
    with pytest.raises(trio.BrokenResourceError) as told:  # in an alert
        await client.receive_some()
    assert "ALERT" in str(told.value.__cause__).upper()


async def test_both_directions_at_once(authority: Authority) -> None:
    client, server = await joined(authority)
    total = 3_000_000

    async def swallow(stream: trio.abc.ReceiveStream) -> None:
        left = total
        while left:
            left -= len(await stream.receive_some(100_000))

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow, server)
            nursery.start_soon(swallow, client)
            nursery.start_soon(client.send_all, bytes(total))
            nursery.start_soon(server.send_all, bytes(total))


async def test_after_the_end_is_sent_the_other_side_can_still_be_heard(authority: Authority) -> None:
    client, server = await joined(authority)
    await server.send_all(b"bye")
    await server.send_eof()
    assert await client.receive_some() == b"bye"
    await client.send_all(b"so long")
    assert await server.receive_some() == b"so long"
