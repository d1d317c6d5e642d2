"""Whose turn it is while one task serves all clients. Real sockets; nothing sleeps."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from time import perf_counter

import pytest
import trio
import trio.testing

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.net import hub as hub_module
from amqp_broker.net.connection import serve_client
from amqp_broker.net.hub import Hub, new_hub
from amqp_broker.net.serving import TURN_S, serve
from amqp_broker.net.turns import CLIENTS_S, serving_between
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
        nursery.start_soon(serve, hub)
        nursery.start_soon(other)
        await until(lambda: order.count("client") == 3, 0.001)
        nursery.cancel_scope.cancel()
    first, _, last = (number for number, what in enumerate(order) if what == "client")
    assert "task" in order[first:last]
    for pair in pairs:
        for end in pair:
            end.close()


async def test_clients_are_served_between_the_steps_of_long_work(hub: Hub) -> None:
    order: list[str] = []
    ours, theirs = socket.socketpair()
    ends = 0

    def readable() -> None:
        assert hub.is_serving
        order.append(ours.recv(1).decode())

    def at_end() -> None:
        nonlocal ends
        assert not hub.is_serving
        ends += 1

    def steps() -> Iterator[str]:
        for number in range(3):
            theirs.send(b"x")
            ends_at = perf_counter() + 2 * CLIENTS_S
            while perf_counter() < ends_at:
                pass
            yield f"step {number}"

    hub.watch(ours.fileno(), readable)
    hub.at_end = at_end
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, hub)
        await trio.testing.wait_all_tasks_blocked()
        order.extend(serving_between(steps()))  # nobody else has a turn
        assert order == ["step 0", "x", "step 1", "x", "step 2", "x"]
        assert ends == 3
        nursery.cancel_scope.cancel()
    assert list(serving_between(["the hub has gone"])) == ["the hub has gone"]
    for end in (ours, theirs):
        end.close()


async def test_what_was_served_between_two_steps_may_be_told_of_again(hub: Hub) -> None:
    """In the middle of a turn, others work, and serve whoever the hub is about to serve."""
    heard: list[str] = []
    pairs = [socket.socketpair() for _ in range(3)]

    def readable(name: str, ours: socket.socket) -> None:
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            heard.append(name + ours.recv(1).decode())
        ends_at = perf_counter() + 2 * TURN_S
        while perf_counter() < ends_at:
            pass

    async def work() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            hub.serve_now()

    for number, (ours, theirs) in enumerate(pairs):
        hub.watch(ours.fileno(), partial(readable, str(number), ours))
        theirs.send(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, hub)
        nursery.start_soon(work)
        await until(lambda: len(heard) == 3, 0.001)
        nursery.cancel_scope.cancel()
    assert sorted(heard) == ["0x", "1x", "2x"]
    hub.serve_now()  # it is over, and nobody is served
    for pair in pairs:
        for end in pair:
            end.close()


async def test_room_is_told_of_beside_input_until_it_is_forgotten(hub: Hub) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    heard: list[str] = []

    def writable() -> None:
        heard.append("room")
        hub.forget_room(ours.fileno())

    def readable() -> None:
        heard.append("input")
        ours.recv(1)

    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 16))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, hub)
        hub.watch_room(ours.fileno(), writable)
        hub.watch(ours.fileno(), readable)
        theirs.send(b"x")
        await until(lambda: heard == ["input"], 0.001)
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.recv(1 << 20)
        await until(lambda: heard == ["input", "room"], 0.001)
        hub.watch_room(ours.fileno(), writable)
        hub.forget(ours.fileno())
        theirs.send(b"y")
        await until(lambda: heard == ["input", "room", "room"], 0.001)
        nursery.cancel_scope.cancel()
    hub.watch(ours.fileno(), readable)  # whoever ends after it need not know
    hub.forget(ours.fileno())
    for end in (ours, theirs):
        end.close()


async def test_what_was_in_vain_is_seldom_done_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    yields = 0

    def count() -> None:
        nonlocal yields
        yields += 1

    monkeypatch.setattr("os.sched_yield", count)
    monkeypatch.setattr(hub_module, "LINGER_S", 0.0)
    hub._may_watch = True
    watched = 0
    for _ in range(1000):
        before = yields
        assert hub._events_soon() == []
        watched += yields > before
    assert watched == 10  # after 1, 3, 7, ... 255, 256, 256 turns without
    ours, theirs = socket.socketpair()
    hub.watch(ours.fileno(), lambda: None)
    theirs.send(b"x")
    hub._to_skip = 0
    hub._events_soon()  # however late: it tells of what came
    hub._may_watch = False
    hub._to_skip = 0
    before = yields
    hub._events_soon()
    assert yields == before
    for end in (ours, theirs):
        end.close()


async def test_an_aborted_connection_is_served_no_more(hub: Hub) -> None:
    broker = Broker(Config(), now=trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, hub)
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
