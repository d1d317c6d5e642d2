"""Brokers of a cluster in one process, with a real NATS server between them."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

from amqp_broker.administration.users import authenticate_user, change_password
from amqp_broker.administration.vhosts import add_vhost, delete_vhost
from amqp_broker.auth.permissions import Permissions
from amqp_broker.broker import Broker
from amqp_broker.cluster.bucket import Bucket
from amqp_broker.cluster.joining import ClusterConfigError, join
from amqp_broker.cluster.nats import Nats
from amqp_broker.cluster.node import ClusterNode
from amqp_broker.config import Certificate, Config, TlsOptions
from amqp_broker.control.commands import run
from amqp_broker.control.errors import ControlError
from amqp_broker.control.request import Request
from amqp_broker.ctl import asking, places
from amqp_broker.event_exchange import EVENT_EXCHANGE
from amqp_broker.log_exchange import LOG_EXCHANGE
from amqp_broker.net.prelude import MAGIC
from amqp_broker.net.tls import TlsConfigError
from amqp_broker.server import Server
from amqp_broker.session.connection import Connection
from amqp_broker.storage.settings import JournalSettings
from amqp_codec import (
    BasicAck,
    BasicGet,
    BasicGetOk,
    BasicPublish,
    Command,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    append_content,
    encode_content_header,
    encode_method_payload,
)
from tests.support.certificates import Authority
from tests.support.client import CLIENT_FRAME_MAX
from tests.support.nats import NatsServer
from tests.support.wire import Dial, WireClient, until

DEADLINE_S = 20


def cluster_of(server: Server) -> ClusterNode:
    assert server._cluster is not None
    return server._cluster


@pytest.fixture
def config(nats_port: int, tmp_path: Path) -> Callable[[str], Config]:
    prefix = f"t{uuid.uuid4().hex[:8]}"

    def make(name: str) -> Config:
        return Config(
            cluster=f"nats://127.0.0.1:{nats_port}",
            cluster_prefix=prefix,
            cluster_port=0,
            data_dir=tmp_path / name,
            node_name=name,
            port=0,
            management_port=None,
            metrics_port=None,
            has_control_socket=False,
        )

    return make


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """A node; at the end of the block it is killed, as far as one can be in this process."""
    async with serving(await trio.to_thread.run_sync(Server, config)) as server:
        yield server


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """The same, of one that has been made."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        nursery.cancel_scope.cancel()
    await trio.to_thread.run_sync(cluster_of(server).close)


def port_of(server: Server) -> int:
    return int(server.urls[0].rpartition(":")[2])


async def client_of(server: Server, dial: Dial, vhost: str = "/") -> WireClient:
    client = await dial("127.0.0.1", port_of(server))
    await client.open(vhost=vhost)
    await client.call(1, ConfirmSelect(), ConfirmSelectOk)
    await client.call(1, QueueDeclare(queue="q", durable=True), QueueDeclareOk)
    return client


async def publish(client: WireClient, body: bytes) -> None:
    """Publish a persistent message, and wait for its confirm."""
    frames = bytearray()
    header = encode_content_header(Properties(delivery_mode=2), len(body))
    method = encode_method_payload(BasicPublish(routing_key="q"))
    append_content(frames, 1, method, header, body, CLIENT_FRAME_MAX)
    await client.send_octets(bytes(frames))
    await client.expect(1, BasicAck)


async def get(client: WireClient) -> bytes:
    await client.send(1, BasicGet(queue="q", no_ack=True))
    command = await client.receive()
    assert command is not None
    assert isinstance(command.method, BasicGetOk), command.method
    assert command.body is not None
    return command.body


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    async with AsyncExitStack() as stack:

        async def connect(host: str, port: int) -> WireClient:
            stream = await trio.open_tcp_stream(host, port)
            stack.callback(stream.socket.close)
            return WireClient(stream)

        yield connect


async def test_what_was_confirmed_is_there_after_the_death_of_the_only_node(
    config: Callable[[str], Config], dial: Dial
) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as server:
            client = await client_of(server, dial)
            await publish(client, b"one")
        async with running(config("a")) as server:
            client = await client_of(server, dial)
            assert await get(client) == b"one"


async def test_a_vhost_moves_to_another_node_with_all_that_is_in_it(
    config: Callable[[str], Config], dial: Dial
) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(config("b")) as second:
                client = await client_of(second, dial)  # through the second, which does not have it
                await publish(client, b"one")
                assert not second.broker.is_here("/")
                first.stop()
                assert (await client.expect(0, ConnectionClose)).reply_code == 320
                await client.send(0, ConnectionCloseOk())
                await first.stopped.wait()
                client = await client_of(second, dial)
                assert second.broker.is_here("/")
                assert await get(client) == b"one"


def knows(server: Server, vhost: str) -> bool:
    """Whether a node knows that guest may use a vhost."""
    guest = server.broker.users.get("guest")
    return guest is not None and vhost in guest.permissions and vhost in server.broker.vhosts


async def test_what_is_administered_on_one_node_holds_on_the_others(
    config: Callable[[str], Config], dial: Dial
) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first, running(config("b")) as second:
            add_vhost(first.broker, "v")
            first.broker.registry.set_permissions("guest", "v", Permissions(".*", ".*", ".*"))
            await until(lambda: knows(second, "v"), 0.02)
            client = await client_of(second, dial, "v")
            await publish(client, b"one")
            delete_vhost(second.broker, "v")
            await until(lambda: "v" not in first.broker.vhosts, 0.02)
            add_vhost(second.broker, "v")
            second.broker.registry.set_permissions("guest", "v", Permissions(".*", ".*", ".*"))
            client = await client_of(second, dial, "v")
            declared = await client.call(1, QueueDeclare(queue="q", durable=True), QueueDeclareOk)
            assert declared.message_count == 0


async def test_vhosts_are_spread(config: Callable[[str], Config]) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first, running(config("b")) as second:
            await until(lambda: len(cluster_of(first).membership.alive()) == 2, 0.02)
            names = [f"v{n}" for n in range(6)]
            for name in names:
                add_vhost(first.broker, name)
            both = (first.broker, second.broker)
            await until(lambda: all(any(broker.is_here(name) for broker in both) for name in names), 0.02)
            assert all(any(broker.is_here(name) for name in names) for broker in both)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data_dir": None}, "data directory"),
        ({"cluster": "http://x"}, "no server of NATS"),
    ],
)
def test_settings_that_can_not_be_are_refused(
    config: Callable[[str], Config], changes: dict[str, object], text: str
) -> None:
    with pytest.raises(ClusterConfigError, match=text):
        join(attrs.evolve(config("a"), **changes), Broker, JournalSettings())  # type: ignore[arg-type]


async def test_what_passes_between_nodes_is_encrypted_where_that_is_set(
    config: Callable[[str], Config], dial: Dial, tmp_path: Path
) -> None:
    tls = Authority(tmp_path).options(min_version="1.3")

    def encrypted(name: str) -> Config:
        return attrs.evolve(config(name), cluster_tls=tls)

    with trio.fail_after(DEADLINE_S):
        async with running(encrypted("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(encrypted("b")) as second:
                second.reload()
                client = await client_of(second, dial)
                await publish(client, b"one")
                (connection,) = first.broker.clients
                assert isinstance(connection, Connection)
                assert connection.peer.came_through == "b"
                plain = await dial("127.0.0.1", cluster_of(first).doors[0].socket.getsockname()[1])
                await plain.stream.send_eof()
                assert MAGIC not in await plain.rest()


def test_certificates_that_can_not_be_used_end_the_start(config: Callable[[str], Config], tmp_path: Path) -> None:
    absent = tmp_path / "absent.pem"
    tls = TlsOptions(certificates=(Certificate(chain=absent),), ca=absent)
    with pytest.raises(TlsConfigError, match=f"can't read {absent}"):
        join(attrs.evolve(config("a"), cluster_tls=tls), Broker, JournalSettings())


async def lines(server: Server, name: str, *arguments: str, vhost: str = "/") -> str:
    """What a control command answers."""
    answers = list(run(server.node, name, Request(vhost=vhost, arguments=arguments)))
    return "\n".join(str(answer) for answer in answers)


async def test_vhosts_are_moved_and_nodes_drained_by_command(config: Callable[[str], Config], dial: Dial) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(config("b")) as second:
                await until(lambda: len(cluster_of(second).membership.alive()) == 2, 0.02)
                status = await lines(second, "cluster_status")
                assert "Running Nodes\n\na\nb" in status
                assert "Vhost: /, node: a" in status
                with pytest.raises(ControlError, match="node c does not run"):
                    await lines(second, "transfer_vhost", "/", "c")
                await lines(second, "transfer_vhost", "/", "b")
                await until(lambda: second.broker.is_here("/"), 0.02)
                await until(lambda: "node: b" in str([*run(first.node, "cluster_status", Request())]), 0.02)
                await lines(first, "drain", "b")
                await until(lambda: first.broker.is_here("/"), 0.02)
                assert "Node: b, status: under maintenance" in await lines(first, "cluster_status")
                await lines(first, "undrain", "b")
                await until(lambda: not cluster_of(first).membership.draining, 0.02)


async def test_the_http_api_of_any_node_answers_for_all(config: Callable[[str], Config]) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first:  # which serves no HTTP itself
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(attrs.evolve(config("b"), management_port=0)) as second:
                await until(lambda: cluster_of(second).view.owner_of("/") is not None, 0.02)
                url = next(url for url in second.urls if url.startswith("http:"))
                async with httpx.AsyncClient(base_url=f"{url}/api/", auth=("guest", "guest")) as client:
                    made = await client.put("queues/%2F/a%2Fb", json={"durable": True})
                    assert made.status_code == 201
                    assert "a/b" in first.broker.vhosts["/"].queues
                    assert "a/b" not in second.broker.vhosts["/"].queues
                    listed = await client.get("queues/%2F?columns=name")
                    assert [queue["name"] for queue in listed.json()] == ["a/b"]
                    assert (await client.get("queues/%2F/none")).status_code == 404
                    assert (await client.get("queues/%2F", auth=("guest", "wrong"))).status_code == 401
                    assert (await client.get("vhosts/%2F")).json()["cluster_state"] == {"a": "running"}
                    nodes = (await client.get("nodes")).json()
                    assert {node["name"]: node["running"] for node in nodes} == {"a": True, "b": True}
                    assert all(node["mem_used"] for node in nodes)
                    assert (await client.get("queues?columns=name")).json() == [{"name": "a/b"}]
                    made = await client.put("users/eve", json={"password": "pw", "tags": "management"})
                    assert made.status_code == 201
                    await client.put("permissions/%2F/eve", json={"configure": "", "write": "", "read": ".*"})
                    eve = ("eve", "pw")  # whom the other node knows as soon as it is asked
                    assert len((await client.get("queues/%2F", auth=eve)).json()) == 1
                    assert (await client.delete("queues/%2F/a%2Fb", auth=eve)).status_code == 401
                    document = {"vhosts": [{"name": "n"}], "queues": [{"name": "q", "vhost": "n"}]}
                    assert (await client.post("definitions", json=document)).status_code == 204
                    assert [queue["name"] for queue in (await client.get("queues/n")).json()] == ["q"]
                    assert (await client.delete("vhosts/n")).status_code == 204
                    assert (await client.get("overview")).json()["object_totals"]["queues"] == 1
                    first.stop()
                    await first.stopped.wait()
                    await until(lambda: second.broker.is_here("/"), 0.02)
                    assert (await client.get("queues/%2F?columns=name")).json() == [{"name": "a/b"}]


async def test_while_nats_is_away_consumers_go_on_and_publishers_wait(
    config: Callable[[str], Config], own_server: NatsServer, dial: Dial
) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(attrs.evolve(config("a"), cluster=own_server.url)) as server:
            client = await client_of(server, dial)
            await publish(client, b"one")
            own_server.stop()
            await until(lambda: not cluster_of(server)._nats.is_connected, 0.01)
            assert await get(client) == b"one"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish, client, b"two")
                await until(lambda: "disk" in server.broker.alarms, 0.01)
                await trio.to_thread.run_sync(own_server.start)
            assert await get(client) == b"two"
            assert "disk" not in server.broker.alarms


async def test_two_nodes_of_one_name_are_told(
    config: Callable[[str], Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(attrs.evolve(config("a"), data_dir=tmp_path / "other")):
                await until(lambda: "another node is called 'a' as well" in caplog.text, 0.02)


async def test_a_vhost_of_an_earlier_form_is_refused_and_others_are_served(
    config: Callable[[str], Config], nats: Nats, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = Bucket(nats, config("a").cluster_prefix)
    bucket.open()
    bucket.put("log.v-old", b"v-old-0123")
    with trio.fail_after(DEADLINE_S):
        async with running(config("a")) as server:
            await until(lambda: server.broker.is_here("/"), 0.02)
            add_vhost(server.broker, "old")
            await until(lambda: "vhost 'old' is in a form of an earlier" in caplog.text, 0.02)
            await publish(await client_of(server, dial), b"one")
            assert not server.broker.is_here("old")
            delete_vhost(server.broker, "old")
            add_vhost(server.broker, "old")
            await until(lambda: server.broker.is_here("old"), 0.02)


DEFINITIONS = {
    "users": [{"name": "app", "password": "pw", "tags": "administrator"}],
    "vhosts": [{"name": "v", "default_queue_type": "quorum"}, {"name": "w"}],
    "permissions": [{"user": "app", "vhost": vhost, "configure": "", "write": "", "read": ""} for vhost in "vw"],
    "policies": [{"vhost": "v", "name": "p", "pattern": "q", "definition": {"max-length": 5}, "apply-to": "all"}],
    "exchanges": [{"vhost": "v", "name": "x", "type": "topic"}],
    "queues": [{"vhost": vhost, "name": "q"} for vhost in "vw"],
    "bindings": [{"vhost": "v", "source": "x", "destination": "q", "routing_key": "k"}],
}


def holder(servers: Sequence[Server], vhost: str) -> Server | None:
    """Who has a vhost."""
    return next((each for each in servers if each.broker.is_here(vhost)), None)


async def test_definitions_are_loaded_at_each_start_unless_unchanged_ones_are_to_be_skipped(
    config: Callable[[str], Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "amqp_broker")
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(DEFINITIONS))

    def made(name: str, *, skips: bool = True) -> Server:
        return Server(attrs.evolve(config(name), load_definitions=file, skips_unchanged_definitions=skips))

    with trio.fail_after(DEADLINE_S):
        first, second = [await trio.to_thread.run_sync(made, name) for name in "ab"]  # neither knows of the other
        async with serving(first), serving(second):
            v, w = holder([first, second], "v"), holder([first, second], "w")
            assert v is not None
            assert w is not None
            vhost = v.broker.vhosts["v"]
            types = [str(each.queues["q"].options.type) for each in (vhost, w.broker.vhosts["w"])]
            assert types == ["quorum", "classic"]
            (binding,) = vhost.exchanges["x"].bindings.values()
            assert binding.routing_key == "k"
            assert [user.name for user in second.broker.users] == ["app"]
            change_password(first.broker, "app", "another")
            vhost.delete_queue(vhost.queues["q"])
            await until(lambda: not first.broker.storage.has_unsaved_changes, 0.02)
            async with serving(await trio.to_thread.run_sync(made, "c")) as third:
                assert "are those imported before" in caplog.text
                assert authenticate_user(third.broker, "app", "another")
                assert not vhost.queues
            async with serving(await trio.to_thread.run_sync(partial(made, "d", skips=False))) as fourth:
                assert authenticate_user(fourth.broker, "app", "pw")
                assert "q" in vhost.queues  # elsewhere, before clients are let in here


async def told(server: Server, command: str, *arguments: str, vhost: str = "/", **more: Any) -> list[Any]:
    """What `amqp-brokerctl` is told."""
    assert server.config.data_dir is not None
    path = places.socket_of_directory(server.config.data_dir)
    request = {"command": command, "arguments": arguments, "vhost": vhost, **more}

    def ask() -> list[Any]:
        with asking.connect(path, DEADLINE_S) as connection:
            return list(asking.ask(connection, request))

    return await trio.to_thread.run_sync(ask)


async def test_commands_are_carried_out_by_the_nodes_that_they_are_for(
    config: Callable[[str], Config], dial: Dial
) -> None:
    def commanded(name: str) -> Config:
        return attrs.evolve(config(name), has_control_socket=True)

    with trio.fail_after(DEADLINE_S):
        async with running(commanded("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            async with running(commanded("b")) as second:
                await until(lambda: cluster_of(second).view.owner_of("/") is not None, 0.02)
                client = await client_of(second, dial)
                await publish(client, b"one")
                rows = await told(second, "list_queues", columns=["name", "messages"])
                assert rows == [{"name": "q", "messages": 1}]
                assert len(await told(second, "list_bindings")) == 1
                (row,) = await told(second, "list_connections", columns=["user", "pid"])
                assert row["user"] == "guest"
                assert await told(second, "list_queues", vhost="none") == []
                await told(second, "purge_queue", "q")
                with pytest.raises(asking.FailedError, match="No such queue") as refused:
                    await told(second, "delete_queue", "none")
                assert refused.value.status == 64
                await told(second, "close_connection", row["pid"], "enough")
                assert (await client.expect(0, ConnectionClose)).reply_text.endswith("enough")
                await client.send(0, ConnectionCloseOk())
                await until(lambda: not first.broker.clients, 0.02)
                status = "\n".join(await told(first, "status", node="b"))
                assert "Node name: b\n" in status

                document = {
                    "vhosts": [{"name": "n"}],
                    "queues": [{"name": "q", "vhost": vhost} for vhost in ("n", "/")],
                }
                await told(second, "import_definitions", content=json.dumps(document).encode())
                for server in (first, second):
                    (exported,) = await told(server, "export_definitions")
                    queues = json.loads(exported)["queues"]
                    assert sorted(queue["vhost"] for queue in queues) == ["/", "n"]
                invalid = {"queues": [{"name": "q2", "vhost": "/"}], "bindings": [{"vhost": "/", "source": []}]}
                with pytest.raises(asking.FailedError, match=r"\$\.bindings\[0\]") as refused:
                    await told(second, "import_definitions", content=json.dumps(invalid).encode())
                assert refused.value.status == 65
                await client_of(first, dial)
                assert await told(second, "close_all_user_connections", "guest", "enough") == ["Closed 1 connections"]
                with pytest.raises(asking.FailedError, match="can't be reset"):
                    await told(second, "reset")


async def test_what_brokers_tell_of_themselves_is_published_where_the_default_vhost_is(
    config: Callable[[str], Config], dial: Dial
) -> None:
    def telling(name: str) -> Config:
        return attrs.evolve(config(name), event_exchange=True, log_exchange=True)

    async def heard(client: WireClient, queue: str) -> Command:
        while True:
            await client.send(1, BasicGet(queue=queue, no_ack=True))
            command = await client.receive()
            assert command is not None
            if isinstance(command.method, BasicGetOk):
                return command
            await trio.sleep(0.02)

    with trio.fail_after(DEADLINE_S):
        async with running(telling("a")) as first:
            await until(lambda: first.broker.is_here("/"), 0.02)
            client = await client_of(first, dial)
            for queue, exchange, key in (("e", EVENT_EXCHANGE, "vhost.created"), ("l", LOG_EXCHANGE, "warning")):
                await client.call(1, QueueDeclare(queue=queue, durable=True), QueueDeclareOk)
                await client.call(1, QueueBind(queue=queue, exchange=exchange, routing_key=key), QueueBindOk)
            async with running(telling("b")) as second:
                await until(lambda: len(cluster_of(second).membership.alive()) == 2, 0.02)
                add_vhost(second.broker, "v")
                event = await heard(client, "e")
                assert event.header is not None
                assert (event.header.properties.headers or {})["name"] == b"v"
                logging.getLogger("amqp_broker.test").warning("said by either")
                nodes = set[object]()  # each of which has a handler, in this one process
                while nodes != {b"a", b"b"}:
                    line = await heard(client, "l")
                    if line.body is not None and line.body.endswith(b"said by either") and line.header is not None:
                        nodes.add((line.header.properties.headers or {})["node"])
                await client.stream.aclose()
                first.stop()
                await first.stopped.wait()
                await until(lambda: second.broker.is_here("/"), 0.02)
                client = await client_of(second, dial)
                add_vhost(second.broker, "w")
                event = await heard(client, "e")
                assert event.header is not None
                assert (event.header.properties.headers or {})["name"] == b"w"
