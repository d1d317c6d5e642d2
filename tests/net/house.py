"""A broker served over memory streams, on trio's own clock."""

from __future__ import annotations

import trio
import trio.testing

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.net.connection import serve_client
from amqp_broker.server import run_timers
from tests.support.wire import WireClient, until


class House:
    """A broker and the tasks that serve its clients.

    Args:
        nursery: where these tasks live.
        config: the broker's.
    """

    def __init__(self, nursery: trio.Nursery, config: Config) -> None:
        self.broker = Broker(config, now=trio.current_time)
        self._nursery = nursery
        self._visitors = 0
        nursery.start_soon(run_timers, self.broker.timers)

    def visitor(self, *, lockstep: bool = False) -> WireClient:
        """A new client that has said nothing yet.

        Args:
            lockstep: nothing is buffered on the way: what is sent has left when it has been received.
        """
        make_pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        ours, theirs = make_pair()
        self._visitors += 1
        self._nursery.start_soon(serve_client, self.broker, theirs, Peer("127.0.0.1", self._visitors))
        return WireClient(ours)

    async def client(self, *, heartbeat: int = 0, lockstep: bool = False) -> WireClient:
        """A client with an open channel 1."""
        client = self.visitor(lockstep=lockstep)
        await client.open(heartbeat=heartbeat)
        return client

    async def client_of(self, vhost: str) -> WireClient:
        """A client of a vhost with an open channel 1."""
        client = self.visitor()
        await client.open(vhost=vhost)
        return client

    async def gone(self, count: int = 0) -> None:
        """Wait until no more than so many clients are connected."""
        await until(lambda: len(self.broker.clients) <= count, 0.05)
