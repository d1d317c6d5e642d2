"""A stream into the broker of this process: what a client writes is worked off at once, without a socket.

In a cluster links go on to the node that has their vhost: there such a stream is joined to one between nodes.
"""

from __future__ import annotations

from typing import Final

import trio

from amqp_broker.auth.backend import Credentials, Decide, Identify, Identity, Resource, Topic
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.links.machine import LinkError
from amqp_broker.outbox import Buffer
from amqp_broker.placement import Elsewhere, Inquiry, Parcel
from amqp_broker.session.connection import Connection

SUBJECT: Final = "link"
"""Of what another node wants where a link of its own leads here."""
HEARTBEAT_S: Final = 5
"""Between nodes: one that is paused says nothing more, and its vhosts are elsewhere soon."""

LINK_USER: Final = "rmq-link"
"""Who a link of the broker's own is, in its vhosts; no client can be."""


class _Everything:
    """Rights of what the broker does by itself: whoever set it up was asked (`administration.parameters`)."""

    checks_topics = False

    def authenticate(self, _credentials: Credentials, done: Identify) -> None:
        done(None)

    def may_open(self, _identity: Identity, _vhost: str, _peer: Peer, done: Decide) -> None:
        done(True)

    def may_access(self, _identity: Identity, _resource: Resource, done: Decide) -> None:
        done(True)

    def may_use_key(self, _identity: Identity, _topic: Topic, done: Decide) -> None:
        done(True)

    def renew(self, identity: Identity, _secret: bytes, done: Identify) -> None:
        done(identity)


_IDENTITY: Final = Identity(LINK_USER, frozenset({"impersonator"}), _Everything())


class LocalStream(trio.abc.Stream):
    """The client's end of a connection, which is logged in as `LINK_USER` from the start.

    Args:
        broker: the broker.
        name: the connection's, for lists.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self._output = trio.Event()
        self._reading = trio.Event()
        self._chunks: list[Buffer] = []
        self._is_finished = self._is_closed = False
        self._connection = Connection(broker, self, Peer())
        self._connection.handshake.skip_login(_IDENTITY, name)

    # The edge that the session sees

    def output_waiting(self) -> None:
        self._output.set()

    def reading_changed(self) -> None:
        self._reading.set()

    def finish(self) -> None:
        self._is_finished = True
        self._output.set()

    def abort(self) -> None:
        self._is_finished = True
        self._chunks.clear()
        self._connection.lost()
        self._output.set()

    def hand_over(self, _parcel: Parcel, _to: Elsewhere) -> None:
        """What the broker does by itself it does where the vhost is."""
        self.abort()

    # The stream that the client sees

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.wait_send_all_might_not_block()
        if self._is_closed or self._is_finished:
            raise trio.BrokenResourceError
        self._connection.receive(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._connection.may_read and not self._is_finished and not self._is_closed:
            self._reading = trio.Event()
            await self._reading.wait()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - as it was written
        await trio.lowlevel.checkpoint()
        while True:
            if self._is_closed:
                raise trio.ClosedResourceError
            outbox = self._connection.outbox
            self._chunks.extend(outbox.take())
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                outbox.sent(len(data))
                return data
            if self._is_finished:
                return b""
            self._output = trio.Event()
            await self._output.wait()

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._connection.lost()
            self._output.set()
            self._reading.set()
        await trio.lowlevel.checkpoint()


async def open_own(broker: Broker, name: str, vhost: str) -> tuple[trio.abc.Stream, int]:
    """Open a stream for a link of the broker's own, wherever its vhost is; gives it with the heartbeat it needs.

    Raises:
        LinkError: the vhost is with a node that can't be reached.
    """
    if broker.reach is None or broker.is_here(vhost) or vhost not in broker.vhosts:
        return LocalStream(broker, name), 0
    try:
        return await broker.reach(vhost, name), HEARTBEAT_S
    except OSError as error:
        raise LinkError(f"vhost '{vhost}': {error}") from None


async def reach(cluster: Cluster, vhost: str, name: str) -> trio.abc.Stream:
    """See `placement.Reach`."""
    owner = cluster.owner_of(vhost)
    if owner is None:
        raise OSError("it is on no node at present")
    return await cluster.visit(owner.name, SUBJECT, user=name)


async def answer_link(broker: Broker, inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
    """Let a link of another node in, which the inquiry names."""
    local = LocalStream(broker, inquiry.user or "")
    async with stream, local, trio.open_nursery() as nursery:
        nursery.start_soon(_pass_on, stream, local, nursery.cancel_scope)
        await _pass_on(local, stream, nursery.cancel_scope)


async def _pass_on(source: trio.abc.Stream, destination: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """Pass octets on until one side ends, which ends both."""
    try:
        while data := await source.receive_some():
            await destination.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()
