"""One client: its tasks, its edge, and a `Connection` between them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.net.edge import Edge, HubEdge
from amqp_broker.net.forwarding import Forwarder
from amqp_broker.net.hub import Hub
from amqp_broker.net.sockets import unsent
from amqp_broker.net.transport import SocketTransport, Transport, transport_of
from amqp_broker.outbox import Buffer
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.session.connection import Connection
from amqp_broker.session.state import State

log = logging.getLogger(__name__)


class TaskEdge(Edge):
    """Tasks of the client's own read and write: over TLS, in memory, and where there is no hub."""

    def __init__(
        self,
        scope: trio.CancelScope,
        read_octets: int,
        hand_over: Callable[[Edge, Parcel, Elsewhere], Awaitable[None]] | None,
        transport: Transport,
    ) -> None:
        super().__init__(scope, read_octets, hand_over)
        self._transport = transport
        self._is_sending = False
        self._rest: list[Buffer] = []
        """Taken from the outbox, and left to the write task."""
        self._error: OSError | None = None
        """Why the write task is to give up."""
        self._output = trio.Event()
        self._going_on = trio.Event()

    async def run(self) -> None:
        """Read and write until the client has no more to say, or has gone."""
        self.nursery.start_soon(self._write)
        await self._read()
        if not self.is_finishing:
            self.nursery.cancel_scope.cancel()

    def read_on(self) -> None:
        self._going_on.set()

    def write_soon(self) -> None:
        self._output.set()

    def send_now(self) -> None:
        if self._is_sending or self._rest:
            return
        chunks = self.connection.outbox.take()
        if not chunks:
            return
        try:
            octets = self._transport.send_now(chunks)
        except OSError as error:
            self._error = error
            self._output.set()
            return
        self._rest = unsent(chunks, octets)
        if self._rest:
            self._output.set()
        self.sent(octets)

    async def _read(self) -> None:
        while data := await self._transport.receive(self.wanted_octets):
            self.work_off(data)
            if not self.connection.may_read:
                self._going_on = trio.Event()
                self.is_paused = True
                await self._going_on.wait()

    async def _write(self) -> None:
        outbox = self.connection.outbox
        while True:
            if self._error is not None:
                raise trio.BrokenResourceError from self._error
            chunks, self._rest = self._rest or outbox.take(), []
            if chunks:
                self._is_sending = True
                await self._transport.send(chunks, self.sent)
                self._is_sending = False
            elif self.is_finishing:
                await self._transport.end()  # not closed at once, see `HubEdge`
                return
            else:
                self._output = trio.Event()
                await self._output.wait()


async def _wait_until_over(edge: HubEdge) -> None:
    """Leave it to the hub to read and write until the client has no more to say, or has gone."""
    edge.read_on()
    try:
        await edge.is_over.wait()
    finally:
        edge.end()
    if edge.error is not None:
        raise edge.error
    edge.nursery.cancel_scope.cancel()


async def _hand_over(forwarder: Forwarder, transport: Transport, edge: Edge, parcel: Parcel, to: Elsewhere) -> None:
    """Have another node go on with the client, which is not read meanwhile; then pass octets on to the end."""
    crossing = await forwarder.hand_over(parcel, to)
    connection = edge.connection
    if connection.state is not State.OPEN:  # it took too long
        if crossing is not None:
            await trio.aclose_forcefully(crossing.stream)
        return
    if crossing is None:
        assert connection.handshake.handing_over is not None
        edge.round.work_off(connection.handshake.handing_over.not_taken)
        return
    await forwarder.carry(transport, crossing, connection.handed_over())
    edge.abort()


async def serve_client(
    broker: Broker,
    stream: trio.abc.HalfCloseableStream,
    peer: Peer,
    *,
    hub: Hub | None = None,
    handshake_timeout_s: float | None = None,
    forwarder: Forwarder | None = None,
) -> None:
    """Serve one client until it or the broker closes; closes the stream in any case."""
    transport = transport_of(stream)
    with trio.CancelScope() as scope:
        read_octets = broker.config.read_octets
        hand_over = None if forwarder is None else partial(_hand_over, forwarder, transport)
        edge: HubEdge | TaskEdge
        if hub is not None and isinstance(transport, SocketTransport):
            edge = HubEdge(scope, read_octets, hand_over, transport.now, hub)
        else:
            edge = TaskEdge(scope, read_octets, hand_over, transport)
        connection = edge.connection = Connection(broker, edge, peer, handshake_timeout_s)
        try:
            async with trio.open_nursery() as edge.nursery:
                await (_wait_until_over(edge) if isinstance(edge, HubEdge) else edge.run())
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("connection %s: the client is gone", connection)
        except* Exception:
            log.exception("connection %s: internal error, dropped", connection)
        finally:
            # Before the client learns of the end: when it comes back, what was its own is free.
            connection.lost()
            await transport.close()
