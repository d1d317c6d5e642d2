"""One client: its input, a task that writes, and a `Connection` between them.

Each read is worked off whole before anything is written, and all that gathered for a client is written in one go, by
the task that has read. A client's own write task sends what its socket did not take at once, and what comes from
elsewhere: timers, the disk. Reading stops while the connection wants no more, so that TCP slows the client down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.net.forwarding import Forwarder
from amqp_broker.net.hub import Hub
from amqp_broker.net.transport import SocketTransport, Transport, transport_of, unsent
from amqp_broker.outbox import Buffer
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.session.connection import Connection
from amqp_broker.session.state import State

log = logging.getLogger(__name__)

SMALL_READ_OCTETS: Final = 16 * 1024
"""What is asked for where little comes. For a read of more than 128 KiB the allocator goes to the system and back,
which takes three times as long as the read of a small message itself."""

LONG_READ_S: Final = 0.004
"""Where working off a read takes longer than this, the next one is smaller: the others wait that long."""


class _Round:
    """The clients that got output while a read, or a batch on disk, was worked off; None while none is."""

    def __init__(self) -> None:
        self.edges: list[_Edge] | None = None

    def work_off(self, work: Callable[..., None], *arguments: object) -> None:
        """Do some work, then write what clients get of it."""
        edges: list[_Edge] = []
        self.edges = edges
        try:
            work(*arguments)
        finally:
            self.edges = None
            for edge in edges:
                edge.send_now()


_ROUND: Final[trio.lowlevel.RunVar[_Round]] = trio.lowlevel.RunVar("amqp-broker-round")


class _Edge:
    """What the session can ask for.

    Attributes:
        connection: the session.
        input: where its octets come from.
        output: set when there is something for the write task.
        rest: taken from the outbox, and left to the write task.
        error: why the write task is to give up.
        wanted_octets: how much to read at once.
    """

    connection: Connection
    input: _OwnInput | _HubInput
    nursery: trio.Nursery

    def __init__(
        self, scope: trio.CancelScope, transport: Transport, read_octets: int, forwarder: Forwarder | None
    ) -> None:
        self.output = trio.Event()
        self.is_finishing = False
        self.is_sending = False
        self.rest: list[Buffer] = []
        self.error: OSError | None = None
        self.round = _this_round()
        self.wanted_octets = min(SMALL_READ_OCTETS, read_octets)
        self._read_octets = read_octets
        self._forwarder = forwarder
        self._scope = scope
        self._transport = transport

    def output_waiting(self) -> None:
        if self.round.edges is None:
            self.output.set()
        else:
            self.round.edges.append(self)

    def reading_changed(self) -> None:
        if self.input.is_paused and self.connection.may_read:
            self.input.go_on()

    def finish(self) -> None:
        self.is_finishing = True
        self.output.set()

    def abort(self) -> None:
        self.input.end()
        self._scope.cancel()

    def hand_over(self, parcel: Parcel, to: Elsewhere) -> None:
        assert self._forwarder is not None
        self.nursery.start_soon(self._hand_over, self._forwarder, parcel, to)

    async def _hand_over(self, forwarder: Forwarder, parcel: Parcel, to: Elsewhere) -> None:
        """Have another node go on with the client, which is not read meanwhile; then pass octets on to the end."""
        crossing = await forwarder.hand_over(parcel, to)
        connection = self.connection
        if connection.state is not State.OPEN:  # it took too long
            if crossing is not None:
                await trio.aclose_forcefully(crossing.stream)
            return
        if crossing is None:
            assert connection.handshake.handing_over is not None
            self.round.work_off(connection.handshake.handing_over.not_taken)
            return
        await forwarder.carry(self._transport, crossing, connection.handed_over())
        self._scope.cancel()

    def work_off(self, data: bytes | bytearray) -> None:
        """Do all that these octets ask for, then write what clients get of it."""
        since = perf_counter()
        self.round.work_off(self.connection.receive, data)
        self._choose_size(len(data), perf_counter() - since)

    def _choose_size(self, octets: int, took_s: float) -> None:
        """Read more at once while more comes, and less when that takes long."""
        if took_s > LONG_READ_S:
            self.wanted_octets = max(octets // 2, 1024)
        elif octets >= self.wanted_octets:
            if took_s < LONG_READ_S / 3:
                self.wanted_octets = min(2 * octets, self._read_octets)
        elif octets < SMALL_READ_OCTETS:
            self.wanted_octets = min(SMALL_READ_OCTETS, self._read_octets)

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
        if self.input.is_paused:
            self.reading_changed()


class _OwnInput:
    """Input that a task of the client's own waits for.

    Attributes:
        is_paused: nothing is read until `go_on`.
    """

    def __init__(self, edge: _Edge, transport: Transport) -> None:
        self.is_paused = False
        self._edge = edge
        self._transport = transport
        self._going_on = trio.Event()

    def go_on(self) -> None:
        self.is_paused = False
        self._going_on.set()

    def end(self) -> None:
        """Whoever wants that cancels the task, which reads nothing more then."""

    async def run(self) -> None:
        """Read until the client has no more to say, or has gone."""
        edge = self._edge
        while data := await self._transport.receive(edge.wanted_octets):
            edge.work_off(data)
            if not edge.connection.may_read:
                self._going_on = trio.Event()
                self.is_paused = True
                await self._going_on.wait()


class _HubInput:
    """Input that the hub brings; the client's own task only waits for its end.

    Attributes:
        is_paused: nothing is read until `go_on`.
    """

    def __init__(self, edge: _Edge, transport: SocketTransport, hub: Hub) -> None:
        self.is_paused = False
        self._edge = edge
        self._transport = transport
        self._hub = hub
        self._is_over = trio.Event()
        self._error: Exception | None = None

    def go_on(self) -> None:
        self.is_paused = False
        self._hub.watch(self._transport.file, self._readable)

    async def run(self) -> None:
        """Read until the client has no more to say, or has gone."""
        self.go_on()
        try:
            await self._is_over.wait()
        finally:
            self.end()
        if self._error is not None:
            raise self._error

    def _readable(self) -> None:
        edge = self._edge
        try:
            data = self._transport.receive_now(edge.wanted_octets)
            if data:
                edge.work_off(data)
        except Exception as error:
            self._error = error
            self.end()
            return
        if data == b"":
            self.end()
        elif not edge.connection.may_read:
            self.is_paused = True
            self._hub.forget(self._transport.file)

    def end(self) -> None:
        """Bring nothing more, at once."""
        self.is_paused = False  # it is not to go on
        self._hub.forget(self._transport.file)
        self._is_over.set()


def _this_round() -> _Round:
    """The one of this event loop."""
    try:
        return _ROUND.get()
    except LookupError:
        this = _Round()
        _ROUND.set(this)
        return this


def in_round(work: Callable[..., None], *arguments: object) -> None:
    """Do some work in this event loop, then write what clients get of it at once: no task is woken for it."""
    _this_round().work_off(work, *arguments)


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
        edge = _Edge(scope, transport, broker.config.read_octets, forwarder)
        if hub is not None and isinstance(transport, SocketTransport):
            edge.input = _HubInput(edge, transport, hub)
        else:
            edge.input = _OwnInput(edge, transport)
        connection = edge.connection = Connection(broker, edge, peer, handshake_timeout_s)
        try:
            async with trio.open_nursery() as nursery:
                edge.nursery = nursery
                nursery.start_soon(_write, edge, transport)
                await edge.input.run()
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
