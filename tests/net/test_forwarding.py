"""Two nodes, and clients that connect to the one that does not have their vhost."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from amqp_broker.auth.users import Peer, Tls
from amqp_broker.broker import Broker
from amqp_broker.config import Config, TlsOptions
from amqp_broker.net import forwarding
from amqp_broker.net.edge import in_round
from amqp_broker.net.forwarding import TAKE_TIMEOUT_S, Answer, Forwarder, Gate
from amqp_broker.net.hub import new_hub
from amqp_broker.net.listener import Manners, Reception
from amqp_broker.net.prelude import GREETING_OCTETS, PreludeError, check_greeting, greeting, letter, read_letter
from amqp_broker.net.serving import serve
from amqp_broker.net.tls import NodeTlsKeeper, TlsConfigError
from amqp_broker.placement import Elsewhere, Found, Inquiry, Parcel
from amqp_broker.server import run_timers
from amqp_broker.session.connection import Connection
from amqp_codec import (
    PROTOCOL_HEADER,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    ConnectionClose,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.support.certificates import Authority
from tests.support.client import PLAIN_GUEST
from tests.support.wire import Dial, WireClient, publish_frames, until

DEADLINE_S = 10
SECRET = b"secret"
LARGE = 3_000_000


@dataclass
class Place:
    """A placement that knows one other node."""

    has_it: bool
    other: Elsewhere | None = None
    asked: int = 0
    waiting: list[Found] | None = None

    def is_here(self, _vhost: str) -> bool:
        self.asked += 1
        return self.has_it

    def locate(self, _vhost: str, found: Found) -> None:
        found(None if self.has_it else self.other)

    def forget(self, _vhost: str, _found: Found) -> None: ...


@dataclass
class Node:
    """A broker that listens for clients, and for other nodes."""

    broker: Broker
    place: Place
    forwarder: Forwarder
    answers: dict[str, Answer]
    port: int
    cluster_port: int
    callers: dict[trio.SocketStream, None]


CONFIG = Config(cluster_hold_s=2.0, max_unauthenticated_connections=2)


async def open_node(nursery: trio.Nursery, name: str, has_it: bool, tls: NodeTlsKeeper | None = None) -> Node:
    broker = Broker(CONFIG)
    place = broker.placement = Place(has_it)
    hub = new_hub()
    forwarder = Forwarder(name, lambda: SECRET, tls)
    reception = Reception(broker, hub=hub, forwarder=forwarder)
    if hub is not None:
        nursery.start_soon(serve, hub)
    nursery.start_soon(run_timers, broker.timers)
    ports = []
    answers: dict[str, Answer] = {}
    for manners in (Manners(), Manners(tls, gate=Gate(name, lambda: SECRET, place.is_here, answers))):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(reception.accept, listener, nursery, manners)
        ports.append(listener.socket.getsockname()[1])
    return Node(broker, place, forwarder, answers, ports[0], ports[1], reception.callers)


async def open_pair(nursery: trio.Nursery, tls: NodeTlsKeeper | None = None) -> tuple[Node, Node]:
    """Two that know of each other."""
    front, owner = await open_node(nursery, "front", False, tls), await open_node(nursery, "owner", True, tls)
    front.place.other = Elsewhere("owner", "127.0.0.1", owner.cluster_port)
    return front, owner


@pytest.fixture
async def nodes(nursery: trio.Nursery) -> AsyncIterator[tuple[Node, Node]]:
    """The node where clients come, and the one that has the vhost."""
    with trio.fail_after(DEADLINE_S):
        yield await open_pair(nursery)


async def test_a_client_does_not_notice_where_its_vhost_is(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    await client.call(1, QueueDeclare(queue="q"), QueueDeclareOk)
    body = bytes(range(256)) * (LARGE // 256)
    await client.send_octets(publish_frames("q", body) + publish_frames("q", b"small"))
    await client.call(1, BasicConsume(queue="q", no_ack=True), BasicConsumeOk)
    for expected in (body, b"small"):
        command = await client.receive()
        assert command is not None
        assert isinstance(command.method, BasicDeliver)
        assert command.body == expected
    assert "q" in owner.broker.vhosts["/"].queues
    assert "q" not in front.broker.vhosts["/"].queues


async def test_the_owner_knows_who_the_client_is(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    (connection,) = owner.broker.clients
    assert isinstance(connection, Connection)
    own_end = client.stream.socket.getsockname()  # type: ignore[attr-defined]
    assert (connection.peer.address, connection.peer.port) == own_end
    assert connection.peer.own_port == front.port
    assert connection.peer.came_through == "front"
    assert connection.user == "guest"
    assert not front.broker.clients


async def test_the_owner_closes_what_breaks_rules(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    (connection,) = owner.broker.clients
    in_round(connection.force_close, "maintenance")
    close = await client.expect(0, ConnectionClose)
    assert close.reply_code == 320
    await client.stream.aclose()
    await until(lambda: not owner.broker.clients)


async def test_when_a_client_goes_the_owner_knows(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    await client.stream.aclose()
    await until(lambda: not owner.broker.clients)


async def test_when_the_owner_breaks_off_so_does_the_client(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    (connection,) = owner.broker.clients
    assert isinstance(connection, Connection)
    connection.edge.abort()
    assert await client.rest() == b""


async def test_a_node_that_ends_breaks_what_it_passes_on(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    front.forwarder.close()
    assert await client.rest() == b""
    await until(lambda: not owner.broker.clients)


async def test_when_a_vhost_has_moved_its_connections_are_broken(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, _ = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    front.forwarder.drop_those(lambda vhost, node: (vhost, node) == ("/", "another"))
    await client.call(1, QueueDeclare(queue="q"), QueueDeclareOk)
    front.forwarder.drop_those(lambda vhost, node: (vhost, node) == ("/", "owner"))
    assert await client.rest() == b""


async def test_a_client_that_does_not_close_its_side_is_not_waited_for(
    nodes: tuple[Node, Node], dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "LAST_WORDS_S", 0.05)
    front, owner = nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    (connection,) = owner.broker.clients
    assert isinstance(connection, Connection)
    in_round(connection.edge.finish)
    assert await client.rest() == b""
    await until(lambda: not front.forwarder._carried and not owner.broker.clients)


async def test_a_node_says_whether_it_has_a_vhost(nodes: tuple[Node, Node]) -> None:
    front, owner = nodes
    there = Elsewhere("owner", "127.0.0.1", owner.cluster_port)
    assert await front.forwarder.has("/", there)
    owner.place.has_it = False
    assert not await front.forwarder.has("/", there)
    await until(lambda: not owner.broker.newcomers)


async def opening(client: WireClient) -> None:
    await client.send_octets(PROTOCOL_HEADER)
    await client.expect(0, ConnectionStart)
    start_ok = ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=PLAIN_GUEST, locale="en_US")
    await client.call(0, start_ok, ConnectionTune)
    await client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=0))
    await client.send(0, ConnectionOpen(virtual_host="/"))


async def test_a_client_is_held_while_the_vhost_moves(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    owner.place.has_it = False
    client = await dial("127.0.0.1", front.port)
    await opening(client)
    await until(lambda: owner.place.asked > 0)
    owner.place.has_it = True
    await client.expect(0, ConnectionOpenOk)
    assert len(owner.broker.clients) == 1


async def test_a_node_that_nobody_reaches_is_not_waited_for_for_ever(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, _ = nodes
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nobody = listener.socket.getsockname()[1]
    await listener.aclose()
    front.place.other = Elsewhere("gone", "127.0.0.1", nobody)
    client = await dial("127.0.0.1", front.port)
    await opening(client)
    assert (await client.expect(0, ConnectionClose)).reply_code == 541


async def test_who_waits_for_a_silent_node_goes_on_to_the_one_that_has_the_vhost_now(
    nodes: tuple[Node, Node], dial: Dial, nursery: trio.Nursery
) -> None:
    front, owner = nodes
    was_asked = trio.Event()

    async def stay_silent(_stream: trio.SocketStream) -> None:
        was_asked.set()
        await trio.sleep_forever()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, stay_silent, [listener])
    front.place.other = Elsewhere("paused", "127.0.0.1", listener.socket.getsockname()[1])
    client = await dial("127.0.0.1", front.port)
    await opening(client)
    await was_asked.wait()
    front.place.other = Elsewhere("owner", "127.0.0.1", owner.cluster_port)
    with trio.fail_after(TAKE_TIMEOUT_S / 2):
        front.forwarder.drop_those(lambda _vhost, node: node == "paused")
        await client.expect(0, ConnectionOpenOk)


async def test_who_does_not_know_the_secret_hands_nothing_over(
    nursery: trio.Nursery, nodes: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    _, owner = nodes
    stranger = Forwarder("stranger", lambda: b"guessed")
    parcel = Parcel("/", Peer("127.0.0.1", 1), b"")
    assert await stranger.hand_over(parcel, Elsewhere("owner", "127.0.0.1", owner.cluster_port)) is None
    assert "does not know the cluster's secret" in caplog.text
    assert not owner.broker.clients


@pytest.mark.parametrize("said", [b"AMQP\x00\x00\x09\x01" + bytes(100), b"\xff" * 200, b"GET / HTTP/1.1\r\n\r\n" * 10])
async def test_who_speaks_something_else_is_refused(nodes: tuple[Node, Node], dial: Dial, said: bytes) -> None:
    _, owner = nodes
    client = await dial("127.0.0.1", owner.cluster_port)
    await client.send_octets(said)
    assert len(await client.rest()) <= GREETING_OCTETS + 1
    assert not owner.broker.clients


def node_options(authority: Authority, signer: Authority | None = None) -> TlsOptions:
    """What a node has that trusts `authority`, and shows what `signer` has signed."""
    certificate = (signer or authority).server("node.invalid")
    return TlsOptions(certificates=(certificate,), ca=authority.ca_file, min_version="1.3")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    (tmp_path / "stranger").mkdir()
    return Authority(tmp_path / "stranger")


@pytest.fixture
async def tls_nodes(nursery: trio.Nursery, authority: Authority) -> AsyncIterator[tuple[Node, Node]]:
    """The same as `nodes`, with TLS between them; no certificate has a name that would fit."""
    with trio.fail_after(DEADLINE_S):
        yield await open_pair(nursery, NodeTlsKeeper(node_options(authority)))


async def test_between_nodes_tls_carries_a_client_as_plain_tcp_does(tls_nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = tls_nodes
    client = await dial("127.0.0.1", front.port)
    await client.open()
    (connection,) = owner.broker.clients
    assert isinstance(connection, Connection)
    own_end = client.stream.socket.getsockname()  # type: ignore[attr-defined]
    assert (connection.peer.address, connection.peer.port) == own_end
    assert not connection.peer.is_encrypted  # which is the client's affair, not that of the nodes
    await client.call(1, QueueDeclare(queue="q"), QueueDeclareOk)
    body = bytes(range(256)) * (LARGE // 256)
    await client.send_octets(publish_frames("q", body))
    await client.call(1, BasicConsume(queue="q", no_ack=True), BasicConsumeOk)
    command = await client.receive()
    assert command is not None
    assert command.body == body
    await client.stream.aclose()
    await until(lambda: not owner.broker.clients)


async def is_taken(forwarder: Forwarder, by: Node) -> bool:
    there = Elsewhere("owner", "127.0.0.1", by.cluster_port)
    return await forwarder.has("/", there)


async def test_a_node_that_the_ca_has_not_signed_for_is_refused(
    tls_nodes: tuple[Node, Node], authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    _, owner = tls_nodes
    caller = Forwarder("caller", lambda: SECRET, NodeTlsKeeper(node_options(authority, signer=stranger)))
    assert not await is_taken(caller, owner)
    await until(lambda: "refused, the TLS handshake failed: certificate verify failed" in caplog.text)
    assert "node owner at 127.0.0.1" in caplog.text


async def test_a_node_does_not_call_one_that_the_ca_has_not_signed_for(
    tls_nodes: tuple[Node, Node], authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    _, owner = tls_nodes
    caller = Forwarder("caller", lambda: SECRET, NodeTlsKeeper(node_options(stranger, signer=authority)))
    assert not await is_taken(caller, owner)
    assert "node owner at 127.0.0.1" in caplog.text
    assert "certificate verify failed" in caplog.text


async def test_who_shows_no_certificate_is_refused(tls_nodes: tuple[Node, Node], authority: Authority) -> None:
    _, owner = tls_nodes
    stream = await trio.open_tcp_stream("127.0.0.1", owner.cluster_port)
    encrypted = trio.SSLStream(stream, authority.client_context(), server_hostname="node.invalid")
    async with stream:
        with pytest.raises(trio.BrokenResourceError):
            await encrypted.receive_some()


@pytest.mark.parametrize(
    ("said", "reason"), [(b"", "it hung up before TLS"), (PROTOCOL_HEADER, "the TLS handshake failed")]
)
async def test_who_speaks_no_tls_is_refused_with_one_line(
    tls_nodes: tuple[Node, Node], dial: Dial, said: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, owner = tls_nodes
    client = await dial("127.0.0.1", owner.cluster_port)
    await client.send_octets(said)
    await client.stream.send_eof()
    assert PROTOCOL_HEADER[:4] not in await client.rest()
    await until(lambda: not owner.callers)
    (line,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert f"refused, {reason}" in line


def test_nodes_trust_no_ca_but_their_own(authority: Authority) -> None:
    with pytest.raises(TlsConfigError, match="CA of their own"):
        NodeTlsKeeper(TlsOptions(certificates=(authority.server(),)))


async def test_a_node_with_tls_hands_nothing_over_to_one_without(
    nodes: tuple[Node, Node], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    _, owner = nodes
    caller = Forwarder("caller", lambda: SECRET, NodeTlsKeeper(node_options(authority)))
    assert not await is_taken(caller, owner)
    assert "wrong version number" in caplog.text.lower()


async def test_certificates_between_nodes_are_read_again(
    nursery: trio.Nursery, authority: Authority, stranger: Authority
) -> None:
    """A new CA: connections stay as they are, new ones are taken by whoever has read it as well."""
    front_tls, owner_tls = NodeTlsKeeper(node_options(authority)), NodeTlsKeeper(node_options(authority))
    front = await open_node(nursery, "front", False, front_tls)
    owner = await open_node(nursery, "owner", True, owner_tls)
    with trio.fail_after(DEADLINE_S):
        assert await is_taken(front.forwarder, owner)
        certificate = stranger.server()
        for file in (stranger.ca_file, certificate.chain, certificate.key):
            assert file is not None
            (authority.directory / file.name).write_bytes(file.read_bytes())
        owner_tls.reload()
        assert not await is_taken(front.forwarder, owner)
        front_tls.reload()
        assert await is_taken(front.forwarder, owner)
        authority.ca_file.unlink()
        front_tls.reload()
        assert await is_taken(front.forwarder, owner)
    with pytest.raises(TlsConfigError, match=r"can't read .*ca\.pem"):
        NodeTlsKeeper(node_options(authority))


def test_a_letter_says_all_of_a_peer() -> None:
    peer = Peer("2001:db8::1", 4711, True, "CN=x", "192.0.2.1", 5671, Tls("tlsv1.3", "any", "aes", "aead", "CN=x"))
    greeted = greeting()
    written = letter(Parcel("vü", peer, b""), "front", "owner", SECRET, greeted)
    parcel = read_letter(written[:36], written[36:], "owner", SECRET, greeted)
    assert isinstance(parcel, Parcel)
    read = parcel.peer
    assert parcel.vhost == "vü"
    assert read.came_through == "front"
    assert read == Peer(
        "2001:db8::1", 4711, True, "CN=x", "192.0.2.1", 5671, Tls("tlsv1.3", "any", "aes", "aead", "CN=x"), "front"
    )


def test_a_letter_counts_once() -> None:
    greeted = greeting()
    written = letter(Parcel("/", Peer(), b""), "front", "owner", SECRET, greeted)
    read_letter(written[:36], written[36:], "owner", SECRET, greeted)
    with pytest.raises(PreludeError, match="does not know the cluster's secret"):
        read_letter(written[:36], written[36:], "owner", SECRET, greeting())
    assert letter(Parcel("/", Peer(), b""), "front", "owner", SECRET, greeted) != written


def test_a_letter_counts_for_one_node() -> None:
    greeted = greeting()
    written = letter(Parcel("/", Peer(), b""), "front", "owner", SECRET, greeted)
    with pytest.raises(PreludeError, match="it takes this node for owner"):
        read_letter(written[:36], written[36:], "another", SECRET, greeted)


def test_a_greeting_of_something_else_is_not_answered() -> None:
    check_greeting(greeting())
    with pytest.raises(PreludeError, match="SSH-2"):
        check_greeting(b"SSH-2.0-OpenSSH_9.2p1 De")


async def echo(inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
    """Answer with who asks and what."""
    asked = b"".join([data async for data in stream])
    await stream.send_all(f"{inquiry.user} of {inquiry.peer}, by way of {inquiry.peer.came_through}: ".encode() + asked)
    await stream.send_eof()


QUESTION = Inquiry("echo", Peer("2001:db8::1", 4711), "jürgen", 2**40)


async def answer(forwarder: Forwarder, by: Node, inquiry: Inquiry = QUESTION) -> str:
    stream = await forwarder.visit(inquiry, Elsewhere("owner", "127.0.0.1", by.cluster_port))
    async with stream:
        await stream.send_all(b"who?")
        await stream.send_eof()
        return b"".join([data async for data in stream]).decode()


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_node_answers_another(nursery: trio.Nursery, authority: Authority, is_encrypted: bool) -> None:
    front, owner = await open_pair(nursery, NodeTlsKeeper(node_options(authority)) if is_encrypted else None)
    owner.answers["echo"] = echo
    assert await answer(front.forwarder, owner) == "jürgen of [2001:db8::1]:4711, by way of front: who?"
    owner.broker.is_suspended = True  # which concerns clients
    assert (await answer(front.forwarder, owner, Inquiry("echo"))).startswith("None of local")


async def test_a_question_that_nobody_answers_is_an_error(
    nodes: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    front, owner = nodes
    with pytest.raises(OSError, match="it answers no question of this one about echo"):
        await answer(front.forwarder, owner)
    stranger = Forwarder("stranger", lambda: b"guessed")
    owner.answers["echo"] = echo
    with pytest.raises(OSError, match="it answers no question of this one about echo"):
        await answer(stranger, owner)
    assert "does not know the cluster's secret" in caplog.text
    await until(lambda: not owner.callers)


async def test_an_answer_to_an_earlier_question_is_none(nodes: tuple[Node, Node], nursery: trio.Nursery) -> None:
    """Who is between two nodes, and knows no secret, has heard one answer, and gives it again."""
    front, owner = nodes
    owner.answers["echo"] = echo
    heard: list[bytes] = []
    begun = trio.Event()

    async def listen(stream: trio.SocketStream) -> None:
        async with stream, await trio.open_tcp_stream("127.0.0.1", owner.cluster_port) as there:

            async def ask() -> None:
                async for data in stream:
                    await there.send_all(data)

            async with trio.open_nursery() as both:
                both.start_soon(ask)
                async for data in there:
                    heard.append(bytes(data))
                    await stream.send_all(data)
                both.cancel_scope.cancel()

    async def repeat(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"".join(heard))
            begun.set()
            async for _ in stream:
                pass

    said = []
    for between in (listen, repeat):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, between, [listener])
        there = Elsewhere("owner", "127.0.0.1", listener.socket.getsockname()[1])
        async with await front.forwarder.visit(QUESTION, there) as stream:
            await stream.send_all(b"who?")
            await stream.send_eof()
            if between is listen:
                said = [data async for data in stream]
            else:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
    assert b"".join(said).endswith(b": who?")
    assert begun.is_set()


async def test_a_question_for_another_node_is_not_answered(
    nodes: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    """Its address may have become that of another one, or somebody may lead astray who has no secret."""
    front, owner = nodes
    owner.answers["echo"] = echo
    with pytest.raises(OSError, match="it answers no question of this one"):
        await front.forwarder.visit(QUESTION, Elsewhere("third", "127.0.0.1", owner.cluster_port))
    assert "it takes this node for third" in caplog.text


async def test_strangers_at_the_port_for_clients_do_not_keep_nodes_apart(nodes: tuple[Node, Node], dial: Dial) -> None:
    front, owner = nodes
    there = Elsewhere("owner", "127.0.0.1", owner.cluster_port)
    for _ in range(CONFIG.max_unauthenticated_connections):
        await dial("127.0.0.1", owner.port)
    await until(lambda: len(owner.broker.newcomers) == CONFIG.max_unauthenticated_connections)
    assert await front.forwarder.has("/", there)


async def test_strangers_at_the_port_for_nodes_are_limited_and_keep_no_clients_away(
    nodes: tuple[Node, Node], dial: Dial
) -> None:
    front, owner = nodes
    for _ in range(CONFIG.max_unauthenticated_connections):
        await dial("127.0.0.1", owner.cluster_port)
    await until(lambda: len(owner.callers) == CONFIG.max_unauthenticated_connections)
    client = await dial("127.0.0.1", owner.port)
    await client.open()
    assert not await front.forwarder.has("/", Elsewhere("owner", "127.0.0.1", owner.cluster_port))


async def test_both_nodes_notice_that_the_other_machine_is_gone(nodes: tuple[Node, Node]) -> None:
    front, owner = nodes
    are_probed = []

    def look_at(stream: trio.abc.HalfCloseableStream) -> None:
        sealed = stream._stream  # type: ignore[attr-defined]
        are_probed.append(sealed.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    async def look(_inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
        look_at(stream)
        await stream.send_eof()

    owner.answers["look"] = look
    async with await front.forwarder.visit(
        Inquiry("look"), Elsewhere("owner", "127.0.0.1", owner.cluster_port)
    ) as stream:
        look_at(stream)
        assert await stream.receive_some() == b""
    assert all(are_probed)
    assert len(are_probed) == 2


async def test_an_answer_that_fails_is_told_and_breaks_off(
    nodes: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    front, owner = nodes

    async def fail(_inquiry: Inquiry, _stream: trio.abc.HalfCloseableStream) -> None:
        raise ValueError("wrong")

    owner.answers["echo"] = fail
    with pytest.raises(trio.BrokenResourceError):
        await answer(front.forwarder, owner)
    assert "internal error in an answer" in caplog.text


def test_a_letter_says_all_of_an_inquiry() -> None:
    greeted = greeting()
    written = letter(QUESTION, "front", "owner", SECRET, greeted)
    read = read_letter(written[:36], written[36:], "owner", SECRET, greeted)
    assert read == Inquiry("echo", Peer("2001:db8::1", 4711, came_through="front"), "jürgen", 2**40)
