"""One client: a task that reads, a task that writes, and a `Connection` between them.

Each read is worked off whole before anything is written, and all that gathered for a client is written in one go, by
the task that has read. A client's own write task sends what its socket did not take at once, and what comes from
elsewhere: timers, the disk. Reading stops while the connection wants no more, so that TCP slows the client down.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.net.transport import Transport, transport_of, unsent
from amqp_broker.outbox import Buffer
from amqp_broker.session.connection import Connection

log = logging.getLogger(__name__)


class _Round:
    """The clients that got output while a read was worked off; None while none is."""

    def __init__(self) -> None:
        self.edges: list[_Edge] | None = None


_ROUND: Final[trio.lowlevel.RunVar[_Round]] = trio.lowlevel.RunVar("amqp-broker-round")


class _Edge:
    """What the session can ask for, as events that the two tasks wait for.

    Attributes:
        rest: taken from the outbox, and left to the write task.
        error: why the write task is to give up.
    """

    def __init__(self, scope: trio.CancelScope, transport: Transport) -> None:
        self.output = trio.Event()
        self.reading = trio.Event()
        self.is_finishing = False
        self.is_sending = False
        self.rest: list[Buffer] = []
        self.error: OSError | None = None
        self.connection: Connection
        self.round = _this_round()
        self._scope = scope
        self._transport = transport

    def output_waiting(self) -> None:
        if self.round.edges is None:
            self.output.set()
        else:
            self.round.edges.append(self)

    def reading_changed(self) -> None:
        self.reading.set()

    def finish(self) -> None:
        self.is_finishing = True
        self.output.set()

    def abort(self) -> None:
        self._scope.cancel()

    def work_off(self, data: bytes | bytearray) -> None:
        """Do all that these octets ask for, then write what clients get of it."""
        edges: list[_Edge] = []
        self.round.edges = edges
        try:
            self.connection.receive(data)
        finally:
            self.round.edges = None
            for edge in edges:
                edge.send_now()

    def send_now(self) -> None:
        """Write what the socket takes without waiting; the write task has the rest."""
        if self.is_sending or self.rest:
            return
        outbox = self.connection.outbox
        chunks = outbox.take()
        if not chunks:
            return
        try:
            octets = self._transport.send_now(chunks)
        except OSError as error:
            self.error = error
            self.output.set()
            return
        self.rest = unsent(chunks, octets)
        if self.rest:
            self.output.set()
        self.sent(octets)

    def sent(self, octets: int) -> None:
        """So many octets have left: more may be delivered, and perhaps read."""
        self.connection.outbox.sent(octets)
        if not self.reading.is_set() and self.connection.may_read:
            self.reading.set()


def _this_round() -> _Round:
    """The one of this event loop."""
    try:
        return _ROUND.get()
    except LookupError:
        this = _Round()
        _ROUND.set(this)
        return this


async def serve_client(
    broker: Broker, stream: trio.abc.HalfCloseableStream, peer: Peer, *, handshake_timeout_s: float | None = None
) -> None:
    """Serve one client until it or the broker closes; closes the stream in any case."""
    transport = transport_of(stream)
    with trio.CancelScope() as scope:
        edge = _Edge(scope, transport)
        connection = edge.connection = Connection(broker, edge, peer, handshake_timeout_s)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write, edge, transport)
                await _read(edge, transport, broker.config.read_octets)
                if not edge.is_finishing:
                    nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("connection %s: the client is gone", connection)
        except* Exception:
            log.exception("connection %s: internal error, dropped", connection)
        finally:
            # Before the client learns of the end: when it comes back, what was its own is free.
            connection.lost()
            await transport.close()


async def _read(edge: _Edge, transport: Transport, read_octets: int) -> None:
    connection = edge.connection
    while True:
        while not connection.may_read:
            edge.reading = trio.Event()
            await edge.reading.wait()
        data = await transport.receive(read_octets)
        if not data:
            return
        edge.work_off(data)


async def _write(edge: _Edge, transport: Transport) -> None:
    outbox = edge.connection.outbox
    while True:
        if edge.error is not None:
            raise trio.BrokenResourceError from edge.error
        chunks, edge.rest = edge.rest or outbox.take(), []
        if chunks:
            edge.is_sending = True
            await transport.send(chunks, edge.sent)
            edge.is_sending = False
        elif edge.is_finishing:
            # Not closed at once: unread input would turn the close into a reset, and the client might
            # lose what was just sent. It closes its side, or the session's deadline comes.
            await transport.end()
            return
        else:
            edge.output = trio.Event()
            await edge.output.wait()
