"""The whole server on a loopback port: how it starts, and how it stops."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from amqp_broker.config import Config
from amqp_broker.server import Server, run_timers
from amqp_broker.timers import Timers
from amqp_codec import (
    PROTOCOL_HEADER,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStart,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.support.wire import Dial, WireClient

DEADLINE_S = 10
SHUTDOWN = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"


async def started(nursery: trio.Nursery, config: Config) -> Server:
    server = Server(config)
    await nursery.start(server.run)
    return server


async def visitor(server: Server, dial: Dial) -> WireClient:
    host, _, port = server.urls[0].removeprefix("amqp://").rpartition(":")
    return await dial(host, int(port))


async def client_of(server: Server, dial: Dial) -> WireClient:
    client = await visitor(server, dial)
    await client.open()
    return client


@pytest.mark.rule("1.42")
async def test_a_stop_tells_everybody_and_ends_when_they_have_gone(nursery: trio.Nursery, dial: Dial) -> None:
    server = await started(nursery, Config(port=0, shutdown_timeout_s=DEADLINE_S * 2))
    clients = [await client_of(server, dial) for _ in range(5)]
    await clients[0].call(1, QueueDeclare(queue="mine", exclusive=True), QueueDeclareOk)
    with trio.fail_after(DEADLINE_S):
        server.stop()
        for client in clients:
            close = await client.expect(0, ConnectionClose)
            assert (close.reply_code, close.reply_text) == (320, SHUTDOWN)
            assert (close.failing_class_id, close.failing_method_id) == (0, 0)
        for client in clients:
            await client.send(0, ConnectionCloseOk())
            assert await client.rest() == b""
            await client.stream.aclose()
        await server.stopped.wait()
    assert not server.broker.clients
    assert not server.broker.vhosts["/"].queues


@pytest.mark.rule("1.42")
async def test_a_stop_does_not_wait_longer_than_configured(nursery: trio.Nursery, dial: Dial) -> None:
    server = await started(nursery, Config(port=0, shutdown_timeout_s=0.2))
    deaf, silent = await client_of(server, dial), await visitor(server, dial)
    await silent.send_octets(PROTOCOL_HEADER)
    await silent.expect(0, ConnectionStart)
    with trio.fail_after(DEADLINE_S):
        server.stop()
        await server.stopped.wait()
        assert await silent.rest() == b""
        assert (await deaf.expect(0, ConnectionClose)).reply_code == 320
        assert await deaf.rest() == b""
    assert not server.broker.clients


@pytest.mark.rule("1.42", "1.36")
async def test_a_stop_reaches_a_blocked_client(nursery: trio.Nursery, dial: Dial) -> None:
    server = await started(nursery, Config(port=0, shutdown_timeout_s=DEADLINE_S * 2))
    client = await client_of(server, dial)
    server.broker.set_alarm("disk", True)
    await client.publish("nowhere", b"x")
    with trio.fail_after(DEADLINE_S):
        command = await client.receive()
        assert command is not None
        assert command.method.name == "connection.blocked"
        server.stop()
        await client.call(0, ConnectionCloseOk(), ConnectionClose)
        assert await client.rest() == b""
        await client.stream.aclose()
        await server.stopped.wait()


async def test_after_a_stop_nobody_is_let_in(nursery: trio.Nursery, dial: Dial) -> None:
    server = await started(nursery, Config(port=0))
    server.stop()
    with trio.fail_after(DEADLINE_S):
        await server.stopped.wait()
    with pytest.raises(OSError, match="connect"):
        await visitor(server, dial)


@pytest.mark.rule("1.3")
async def test_the_schedule_of_a_real_server_runs(
    nursery: trio.Nursery, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    server = await started(nursery, Config(port=0, handshake_timeout_s=0.1))
    slow, quick = await visitor(server, dial), await client_of(server, dial)
    with trio.fail_after(DEADLINE_S):
        await slow.send_octets(PROTOCOL_HEADER)
        await slow.expect(0, ConnectionStart)
        assert await slow.rest() == b""
    assert await quick.declare("q") == 0
    assert [record.levelno > logging.INFO for record in caplog.records if "no connection.open" in record.message]
    server.stop()


async def test_the_schedule_wakes_up_for_what_comes_earlier(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    timers = Timers(trio.current_time)
    nursery.start_soon(run_timers, timers)
    began = trio.current_time()
    rung: list[tuple[str, float]] = []

    def ring(name: str) -> None:
        rung.append((name, round(trio.current_time() - began, 6)))

    def again() -> None:
        timers.after(0, lambda: ring("at once"))

    timers.after(100, lambda: ring("late"))
    await trio.sleep(1)
    timers.after(5, lambda: ring("early"))
    never = timers.after(3, lambda: ring("never"))
    await trio.sleep(1)
    never.cancel()
    timers.after(0, again)
    await trio.sleep(200)
    assert rung == [("at once", 2), ("early", 6), ("late", 100)]
    nursery.cancel_scope.cancel()
