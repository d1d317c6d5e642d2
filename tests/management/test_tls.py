"""Management and metrics over TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from amqp_broker.config import MANAGEMENT_TLS_PORT, METRICS_TLS_PORT, Config, HttpsPort
from amqp_broker.management import serving
from amqp_broker.management.serving import HttpServer
from amqp_broker.net.doors import Door
from amqp_broker.net.tls import TlsKeeper
from amqp_broker.server import Server
from tests.management.support import GUEST
from tests.support.certificates import Authority

DEADLINE_S = 20.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    server = Server(config, environment={})
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server
            server.stop()
            await server.stopped.wait()
            nursery.cancel_scope.cancel()


async def test_the_two_services_over_tls_alone_and_beside_plain_http(authority: Authority) -> None:
    config = Config(
        port=0,
        management_tls=HttpsPort(tls=authority.options(), port=MANAGEMENT_TLS_PORT),
        metrics_port=None,
        metrics_tls=HttpsPort(tls=authority.options(), port=METRICS_TLS_PORT),
    )
    context = authority.client_context()
    async with running(config) as server, httpx.AsyncClient(verify=context, auth=GUEST) as client:
        _, plain, management, metrics = server.urls
        assert [url.partition(":")[0] for url in server.urls] == ["amqp", "http", "https", "https"]
        ports = [int(url.partition("/metrics")[0].rpartition(":")[2]) for url in server.urls]
        assert not {MANAGEMENT_TLS_PORT, METRICS_TLS_PORT} & set(ports)  # free ones, as that of AMQP
        for base in (plain, management):
            overview = (await client.get(f"{base}/api/overview")).json()
            assert [(each["protocol"], each["port"], each["tls"]) for each in overview["listeners"]] == [
                ("amqp", ports[0], False),
                ("http", ports[1], False),
                ("https", ports[2], True),
                ("https/prometheus", ports[3], True),
            ]
        assert [each["port"] for each in overview["contexts"]] == list(map(str, ports[1:]))
        assert "<html" in (await client.get(management)).text
        checks = f"{management}/api/health/checks"
        assert (await client.get(f"{checks}/protocol-listener/https")).json()["status"] == "ok"
        assert (await client.get(f"{checks}/port-listener/{ports[2]}")).json()["status"] == "ok"
        assert "rabbitmq_connections 0\n" in (await client.get(metrics)).text
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(management.replace("https", "http"))


async def certificate_at(url: str, authority: Authority) -> bytes | None:
    host, _, port = url.removeprefix("https://").rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as plain:
        stream = trio.SSLStream(plain, authority.client_context(), server_hostname="localhost")
        await stream.do_handshake()
        shown: bytes | None = stream.getpeercert(binary_form=True)
        return shown


async def test_a_reload_reads_its_certificate_again(authority: Authority) -> None:
    https = HttpsPort(tls=authority.options(), port=0)
    async with running(Config(port=0, management_port=None, management_tls=https, metrics_port=None)) as server:
        before = await certificate_at(server.urls[1], authority)
        chain = authority.server().chain
        server.reload()
        after = await certificate_at(server.urls[1], authority)
        assert after == ssl.PEM_cert_to_DER_cert(await trio.Path(chain).read_text()) != before


async def nobody(_scope: object, _receive: object, _send: object) -> None:
    pytest.fail("nobody has asked for anything")


async def served(nursery: trio.Nursery, authority: Authority) -> trio.SocketStream:
    """A client of a server that speaks TLS."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = HttpServer(nobody, 10, TlsKeeper(authority.options()))
    nursery.start_soon(server.serve, [Door(listener, "", is_tls=True)])
    return await trio.open_tcp_stream(*listener.socket.getsockname())


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
async def test_a_handshake_that_is_never_finished(
    nursery: trio.Nursery, authority: Authority, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(serving, "HANDSHAKE_S", 0.02)
    client = await served(nursery, authority)
    with trio.fail_after(DEADLINE_S):
        async with client:
            await client.send_all(said)
            assert not await client.receive_some()


async def test_what_is_no_tls_is_one_line_of_log(
    nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served(nursery, authority)
    with trio.fail_after(DEADLINE_S):
        async with client:
            await client.send_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
            while await client.receive_some():
                pass
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("https: the TLS handshake failed: ")
    assert caplog.text.count("Traceback") == 0
