"""Brokers whose clients hold the other end of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from amqp_broker.config import Config
from tests.net.house import House
from tests.support.wire import Dial, WireClient


@pytest.fixture
async def house(nursery: trio.Nursery) -> House:
    """A broker with the default configuration."""
    return House(nursery, Config())


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects to a port; the sockets are closed when the test has ended."""
    streams: list[trio.SocketStream] = []

    async def connect(host: str, port: int) -> WireClient:
        streams.append(await trio.open_tcp_stream(host, port))
        return WireClient(streams[-1])

    yield connect
    for stream in streams:
        stream.socket.close()
