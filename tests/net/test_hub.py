"""Whose turn it is while one task serves all clients. Real sockets; nothing sleeps."""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from time import perf_counter

import pytest
import trio
import trio.testing

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.net.connection import serve_client
from amqp_broker.net.hub import TURN_S, Hub, new_hub
from amqp_broker.session.connection import Connection
from amqp_codec import PROTOCOL_HEADER
from tests.support.wire import until


@pytest.fixture
def hub() -> Hub:
    return new_hub() or pytest.skip("this system has no epoll")


async def test_other_tasks_have_a_turn_between_clients_that_take_long(hub: Hub) -> None:
    order: list[str] = []
    pairs = [socket.socketpair() for _ in range(3)]  # of two tasks that may run trio takes one by lot

    def readable(ours: socket.socket) -> None:
        ours.recv(1)
        order.append("client")
        ends_at = perf_counter() + 2 * TURN_S
        while perf_counter() < ends_at:
            pass

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            order.append("task")

    for ours, theirs in pairs:
        hub.watch(ours.fileno(), partial(readable, ours))
        theirs.send(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        nursery.start_soon(other)
        await until(lambda: order.count("client") == 3, 0.001)
        nursery.cancel_scope.cancel()
    first, _, last = (number for number, what in enumerate(order) if what == "client")
    assert "task" in order[first:last]
    for pair in pairs:
        for end in pair:
            end.close()


async def test_an_aborted_connection_is_served_no_more(hub: Hub) -> None:
    broker = Broker(Config(), now=trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        for number in range(20):  # which of two tasks goes first, trio decides by lot
            ours, theirs = socket.socketpair()
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
            nursery.start_soon(partial(serve_client, broker, stream, Peer("127.0.0.1", number), hub=hub))
            await trio.testing.wait_all_tasks_blocked()
            [client] = broker.clients
            assert isinstance(client, Connection)
            ours.send(PROTOCOL_HEADER)
            client.edge.abort()
            await trio.testing.wait_all_tasks_blocked()
            ours.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                assert ours.recv(1024) == b""
            ours.close()
        nursery.cancel_scope.cancel()
