"""Stock clients over TLS, with a password and with a certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pika
import pytest
import trustme

from interop.processes import running_python

SERVER = """
import sys, trio
from pathlib import Path
from amqp_broker.config import Certificate, Config, Listener, TlsOptions
from amqp_broker.server import Server

async def main():
    tls = TlsOptions(
        certificates=(Certificate(chain=Path(sys.argv[1])),), ca=Path(sys.argv[2]),
        verify_peer=True, fail_if_no_peer_cert=True, login_from="common_name",
    )
    server = Server(Config(port=None, listeners=(Listener(port=0, is_tls=True),), tls=tls))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        print("ready", *server.urls, flush=True)

trio.run(main)
"""
DEADLINE_S = 10


class TlsBroker:
    """A broker that wants certificates, and a client that has one which says it is guest."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.context = context


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsBroker]:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server, guest = authority.issue_cert("localhost"), authority.issue_cert("guest@example.org", common_name="guest")
    files = {name: directory / name for name in ("server", "ca", "guest")}
    server.private_key_and_cert_chain_pem.write_to_path(files["server"])
    authority.cert_pem.write_to_path(files["ca"])
    guest.private_key_and_cert_chain_pem.write_to_path(files["guest"])
    with running_python("-c", SERVER, str(files["server"]), str(files["ca"])) as process:
        url = process.wait_line("ready amqps://").split()[1]
        yield TlsBroker(int(url.rpartition(":")[2]), client_context(files["ca"], files["guest"]))


def client_context(ca: Path, certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(certificate)
    return context


@pytest.mark.rule("1.9")
@pytest.mark.parametrize("mechanism", ["PLAIN", "EXTERNAL"])
def test_pika_over_tls(broker: TlsBroker, mechanism: str) -> None:
    credentials = (
        pika.credentials.ExternalCredentials() if mechanism == "EXTERNAL" else pika.PlainCredentials("guest", "guest")
    )
    parameters = pika.ConnectionParameters(
        "localhost",
        broker.port,
        credentials=credentials,
        ssl_options=pika.SSLOptions(broker.context, "localhost"),
        socket_timeout=DEADLINE_S,
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for size in (0, 1, 100_000, 1_000_000):
            channel.basic_publish("", queue, bytes(size), mandatory=True)
        for size in (0, 1, 100_000, 1_000_000):
            method, _, body = channel.basic_get(queue, auto_ack=True)
            assert method is not None
            assert body == bytes(size)


@pytest.mark.rule("1.9")
@pytest.mark.parametrize("mechanism", ["plain", "external"])
def test_aio_pika_over_tls(broker: TlsBroker, mechanism: str) -> None:
    import asyncio

    async def run() -> None:
        url = f"amqps://guest:guest@localhost:{broker.port}/?auth={mechanism}"
        async with await aio_pika.connect(url, ssl_context=broker.context, timeout=DEADLINE_S) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(bytes(500_000)), queue.name)
            message = await queue.get(no_ack=True)
            assert message.body == bytes(500_000)

    asyncio.run(run())
