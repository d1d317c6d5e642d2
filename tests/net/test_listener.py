"""Listening: real loopback sockets where the kernel has a say, pretended ones where it would have to fail."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from types import TracebackType
from typing import cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.net.doors import ListenError, open_doors
from amqp_broker.net.hub import Hub, new_hub
from amqp_broker.net.listener import Manners, Reception
from amqp_broker.net.serving import serve
from amqp_broker.session.connection import Connection
from amqp_codec import PROTOCOL_HEADER, BasicAck, BasicGet, BasicGetOk, ConnectionClose, QueueDeclare, QueueDeclareOk
from tests.support.wire import Dial, WireClient, publish_frames, until

DEADLINE_S = 10
MANY = int(os.environ.get("AMQP_TEST_CONNECTIONS", "1000"))
"""How many connections open and drop; 10,000 takes half a minute."""


class Inn:
    """A broker that listens on a free port."""

    def __init__(self, broker: Broker, port: int, dial: Dial) -> None:
        self.broker = broker
        self.port = port
        self._dial = dial

    async def visitor(self) -> WireClient:
        return await self._dial("127.0.0.1", self.port)

    async def client(self) -> WireClient:
        client = await self.visitor()
        await client.open()
        return client

    async def gone(self, count: int = 0) -> None:
        """Wait until no more than so many clients are connected."""
        with trio.fail_after(DEADLINE_S):
            await until(lambda: len(self.broker.clients) <= count)


async def open_inn(nursery: trio.Nursery, dial: Dial, config: Config, hub: Hub | None) -> Inn:
    broker = Broker(config)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    if hub is not None:
        nursery.start_soon(serve, hub)
    nursery.start_soon(Reception(broker, hub=hub).accept, listener, nursery, Manners())
    return Inn(broker, listener.socket.getsockname()[1], dial)


@pytest.fixture(params=["hub", "tasks"])
def hub(request: pytest.FixtureRequest) -> Hub | None:
    """Who waits for the input of clients: the hub, or a task for each as where there is no epoll."""
    if request.param == "tasks":
        return None
    return new_hub() or pytest.skip("this system has no epoll")


@pytest.fixture
async def inn(nursery: trio.Nursery, dial: Dial, hub: Hub | None) -> Inn:
    return await open_inn(nursery, dial, Config(), hub)


def reset(stream: trio.abc.HalfCloseableStream) -> None:
    """Close a socket so that the other side reads a reset, not an end."""
    sock = cast(trio.SocketStream, stream).socket
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.rule("1.2")
async def test_a_refused_client_reads_eight_octets_and_the_end_of_tcp(inn: Inn) -> None:
    client = await inn.visitor()
    with trio.fail_after(DEADLINE_S):
        await client.send_octets(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(100_000))
        assert await client.rest() == PROTOCOL_HEADER
    await client.stream.aclose()
    await inn.gone()


@pytest.mark.rule("1.2")
async def test_so_does_one_that_has_closed_its_side(inn: Inn) -> None:
    client = await inn.visitor()
    with trio.fail_after(DEADLINE_S):
        await client.send_octets(b"HELP\r\n\r\n")
        await client.stream.send_eof()
        assert await client.rest() == PROTOCOL_HEADER
    await inn.gone()


@pytest.mark.rule("1.3")
@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_health_check_is_not_logged(inn: Inn, caplog: pytest.LogCaptureFixture, abruptly: bool) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(10):
        client = await inn.visitor()
        if abruptly:
            reset(client.stream)
        else:
            await client.stream.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    await inn.gone()
    assert not caplog.records


@pytest.mark.rule("1.41")
async def test_a_reset_gives_everything_back_and_is_no_error(inn: Inn, caplog: pytest.LogCaptureFixture) -> None:
    client, other = await inn.client(), await inn.client()
    await other.declare("q")
    await client.call(1, QueueDeclare(queue="mine", exclusive=True), QueueDeclareOk)
    await other.publish("q", b"x")
    await client.call(1, BasicGet(queue="q"), BasicGetOk)
    assert await other.declare("q", passive=True) == 0
    reset(client.stream)
    await inn.gone(1)
    assert await other.declare("q", passive=True) == 1
    assert "mine" not in inn.broker.vhosts["/"].queues
    assert not complaints(caplog)


@pytest.mark.rule("1.41")
async def test_a_client_that_vanishes_while_much_is_on_its_way(inn: Inn, caplog: pytest.LogCaptureFixture) -> None:
    client, other = await inn.client(), await inn.client()
    await other.declare("q")
    await client.consume("q", no_ack=False)
    for _ in range(40):
        await other.publish("q", bytes(500_000))
    waiting = await other.declare("q", passive=True)
    assert 0 < waiting < 40
    reset(client.stream)
    await inn.gone(1)
    assert await other.declare("q", passive=True) == 40
    assert not complaints(caplog)


async def test_a_publisher_is_slowed_by_tcp_and_by_nothing_else(
    nursery: trio.Nursery, dial: Dial, hub: Hub | None
) -> None:
    inn = await open_inn(nursery, dial, Config(outbox_limit_octets=1 << 20), hub)
    client, other = await inn.client(), await inn.client()
    sent = 0
    with trio.move_on_after(0.5) as stalled:
        while sent < 1000:
            await client.publish("nowhere", bytes(200_000), mandatory=True)
            sent += 1
    assert stalled.cancelled_caught
    assert sent < 200
    assert await other.declare("q") == 0
    with trio.fail_after(DEADLINE_S):
        for _ in range(sent):
            assert await client.body() == bytes(200_000)


async def test_a_fault_of_our_own_ends_one_connection_and_is_logged(inn: Inn, caplog: pytest.LogCaptureFixture) -> None:
    victim, other = await inn.client(), await inn.client()
    connection = next(iter(inn.broker.clients))
    assert isinstance(connection, Connection)
    del connection.received_count  # which it counts with
    await victim.send_octets(b"x")
    assert await victim.rest() == b""
    await inn.gone(1)
    assert await other.declare("q") == 0
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert record.exc_info


@pytest.mark.rule("1.35")
async def test_a_blocked_publisher_is_read_again_when_the_alarm_has_cleared(inn: Inn) -> None:
    client, other = await inn.client(), await inn.client()
    await other.declare("q")
    inn.broker.set_alarm("memory", True)
    sent = 0
    with trio.move_on_after(0.3) as stalled:
        while sent < 1000:
            await client.publish("q", bytes(200_000))
            sent += 1
    assert stalled.cancelled_caught
    assert await other.declare("q", passive=True) <= 2
    inn.broker.set_alarm("memory", False)
    with trio.fail_after(DEADLINE_S):
        while await other.declare("q", passive=True) < sent:
            await trio.lowlevel.checkpoint()


async def test_other_tasks_have_their_turn_while_clients_keep_the_broker_busy(inn: Inn, nursery: trio.Nursery) -> None:
    flood = publish_frames("nowhere", b"x") * 3000

    async def publish(client: WireClient) -> None:
        while True:
            await client.send_octets(flood)

    for _ in range(3):
        nursery.start_soon(publish, await inn.client())
    with trio.fail_after(DEADLINE_S):
        for _ in range(3):
            await inn.client()
    nursery.cancel_scope.cancel()


@pytest.mark.rule("1.41")
async def test_many_connections_open_and_drop(inn: Inn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    steady = await inn.client()
    await steady.declare("q")
    await steady.consume("q", no_ack=False)
    places = trio.CapacityLimiter(100)

    async def visit(number: int) -> None:
        async with places:
            client = await inn.visitor()
            if number % 4 == 1:
                await client.send_octets(PROTOCOL_HEADER)
            elif number % 4 == 2:
                await client.login()
            elif number % 4 == 3:
                await client.open()
                await client.publish("q", b"x")
                await client.declare("q", passive=True)
            if number % 3:
                await client.stream.aclose()
            else:
                reset(client.stream)

    with trio.fail_after(60 + MANY / 100):
        async with trio.open_nursery() as visitors:
            for number in range(MANY):
                visitors.start_soon(visit, number)
            for _ in range(MANY // 4):
                assert await steady.body() == b"x"
        await steady.send(1, BasicAck(delivery_tag=0, multiple=True))
        assert await steady.declare("q", passive=True) == 0
        await inn.gone(1)
    assert list(inn.broker.vhosts["/"].queues) == ["q"]
    assert inn.broker.timers.next_deadline() is None
    assert not complaints(caplog)


async def test_ipv6_clients_are_welcome(nursery: trio.Nursery, dial: Dial) -> None:
    broker = Broker()
    try:
        (listener,) = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    nursery.start_soon(Reception(broker).accept, listener, nursery, Manners())
    client = await dial("::1", listener.socket.getsockname()[1])
    await client.open()


# Accepting when it fails


class PretendedListener:
    """Raises or gives what it is told to, then waits for ever."""

    def __init__(self, *outcomes: OSError | trio.abc.Stream) -> None:
        self.outcomes = list(outcomes)
        self.accepted_at: list[float] = []

    async def accept(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.accepted_at.append(trio.current_time())
        if not self.outcomes:
            await trio.sleep_forever()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    async def __aenter__(self) -> PretendedListener:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to close."""


async def run_pretended(nursery: trio.Nursery, broker: Broker, listener: PretendedListener) -> None:
    nursery.start_soon(Reception(broker).accept, cast(trio.SocketListener, listener), nursery, Manners())
    await until(lambda: not listener.outcomes)


async def test_without_resources_accepting_waits_and_complains_once(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS) * 5]
    listener = PretendedListener(*errors)
    started = trio.current_time()
    await run_pretended(nursery, Broker(), listener)
    assert trio.current_time() - started > 1
    (text,) = complaints(caplog)
    assert "raise the limit of open files" in text


async def test_other_errors_of_accept_are_passed_over(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError(number, os.strerror(number)) for number in (errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN)]
    await run_pretended(nursery, Broker(), PretendedListener(*errors))
    assert not complaints(caplog)


async def test_a_client_that_was_gone_before_it_was_looked_at(inn: Inn) -> None:
    class Gone:
        socket = socket.socket()

        def __init__(self) -> None:
            self.is_closed = False

        async def aclose(self) -> None:
            self.is_closed = True

    gone = Gone()
    listener = PretendedListener(cast(trio.abc.Stream, gone))
    async with trio.open_nursery() as nursery:
        await run_pretended(nursery, inn.broker, listener)
        with trio.fail_after(DEADLINE_S):
            await until(lambda: gone.is_closed)
        nursery.cancel_scope.cancel()
    gone.socket.close()
    assert not inn.broker.clients


async def test_listening_twice_on_one_port_is_an_error(inn: Inn) -> None:
    with pytest.raises(ListenError, match="in use"):
        await open_doors(Config(port=inn.port))


async def test_a_close_without_a_reason_reaches_the_client_over_tcp(inn: Inn) -> None:
    client = await inn.client()
    await client.send(3, QueueDeclare())
    close = await client.expect(0, ConnectionClose)
    assert (close.reply_code, close.reply_text) == (504, "CHANNEL_ERROR - expected 'channel.open'")
