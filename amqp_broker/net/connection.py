"""One client: its input, its output, and a `Connection` between them.

Each read is worked off whole before anything is written, and all that gathered for a client is written in one go, by
the task that has read. What its socket did not take at once goes when there is room, as does what comes from elsewhere:
timers, the disk. Reading stops while the connection wants no more, so that TCP slows the client down.
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

BEHIND_OCTETS: Final = 4 * 1024
"""How much is read of what comes behind a large body: enough for another one to begin."""

_BEHIND: Final = memoryview(bytearray(BEHIND_OCTETS))

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
    """What the session can ask for; how octets come and go is for the two below.

    Attributes:
        connection: the session.
        nursery: of the client's tasks.
        is_paused: nothing is read until the connection wants it.
        is_finishing: the session has said its last.
        wanted_octets: how much to read at once.
    """

    connection: Connection
    nursery: trio.Nursery

    def __init__(
        self, scope: trio.CancelScope, transport: Transport, read_octets: int, forwarder: Forwarder | None
    ) -> None:
        self.is_finishing = False
        self.is_paused = False
        self.wanted_octets = min(SMALL_READ_OCTETS, read_octets)
        self._round = _this_round()
        self._read_octets = read_octets
        self._forwarder = forwarder
        self._scope = scope
        self._transport = transport

    # For the session

    def output_waiting(self) -> None:
        if self._round.edges is None:
            self.write_soon()
        else:
            self._round.edges.append(self)

    def reading_changed(self) -> None:
        if self.is_paused and self.connection.may_read:
            self.is_paused = False
            self.read_on()

    def finish(self) -> None:
        self.is_finishing = True
        self.write_soon()

    def abort(self) -> None:
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
            self._round.work_off(connection.handshake.handing_over.not_taken)
            return
        await forwarder.carry(self._transport, crossing, connection.handed_over())
        self._scope.cancel()

    # For the two below

    async def run(self) -> None:
        """Read and write until the client has no more to say, or has gone."""
        raise NotImplementedError

    def read_on(self) -> None:
        """Read again after a pause."""
        raise NotImplementedError

    def send_now(self) -> None:
        """Write what goes without waiting, and the rest soon."""
        raise NotImplementedError

    def write_soon(self) -> None:
        """There is something to write, or to end."""
        raise NotImplementedError

    def work_off(self, data: bytes | bytearray) -> None:
        """Do all that these octets ask for, then write what clients get of it."""
        since = perf_counter()
        self._round.work_off(self.connection.receive, data)
        self._choose_size(len(data), perf_counter() - since)

    def sent(self, octets: int) -> None:
        """So many octets have left: more may be delivered, and perhaps read."""
        self.connection.outbox.sent(octets)
        if self.is_paused:
            self.reading_changed()

    def _choose_size(self, octets: int, took_s: float) -> None:
        """Read more at once while more comes, and less when that takes long."""
        if took_s > LONG_READ_S:
            self.wanted_octets = max(octets // 2, 1024)
        elif octets >= self.wanted_octets:
            if took_s < LONG_READ_S / 3:
                self.wanted_octets = min(2 * octets, self._read_octets)
        elif octets < SMALL_READ_OCTETS:
            self.wanted_octets = min(SMALL_READ_OCTETS, self._read_octets)


class _HubEdge(_Edge):
    """The hub watches the socket, and all is done in its turns; the client's own task only waits for the end."""

    _transport: SocketTransport

    def __init__(
        self,
        scope: trio.CancelScope,
        transport: SocketTransport,
        read_octets: int,
        forwarder: Forwarder | None,
        hub: Hub,
    ) -> None:
        super().__init__(scope, transport, read_octets, forwarder)
        self._hub = hub
        self._rest: list[Buffer] = []
        """Taken from the outbox, and not taken by the socket."""
        self._has_heard_all = False
        self._has_said_all = False
        self._is_over = trio.Event()
        self._error: Exception | None = None

    async def run(self) -> None:
        self.read_on()
        try:
            await self._is_over.wait()
        finally:
            self._end()
        if self._error is not None:
            raise self._error
        self.nursery.cancel_scope.cancel()

    def abort(self) -> None:
        self._end()
        super().abort()

    def read_on(self) -> None:
        if not self._is_over.is_set():
            self._hub.watch(self._transport.file, self._readable)

    def write_soon(self) -> None:
        if not self._is_over.is_set():
            self._hub.watch_room(self._transport.file, self._writable)

    def send_now(self) -> None:
        if not self._rest:  # else there is no room
            self._writable()

    def _readable(self) -> None:
        try:
            room = self.connection.room
            octets = self._read() if room is None else self._read_large(room)
        except Exception as error:
            self._fail(error)
            return
        if octets == 0:
            self._hub.forget(self._transport.file)
            self._has_heard_all = True
            self._end_if_over()
        elif not self.connection.may_read:
            self.is_paused = True
            self._hub.forget(self._transport.file)

    def _read(self) -> int | None:
        data = self._transport.receive_now(self.wanted_octets)
        if data:
            self.work_off(data)
        return None if data is None else len(data)

    def _read_large(self, room: memoryview) -> int | None:
        """Read what is left of a large body straight to where it stays, and a little of what comes behind it."""
        octets = self._transport.receive_into([room, _BEHIND])
        if octets:
            self._round.work_off(self._work_off_large, room, octets)
        return octets

    def _work_off_large(self, room: memoryview, octets: int) -> None:
        """Do all that was read asks for, and go on while large bodies come, as long as with any other read."""
        connection = self.connection
        left = self._read_octets
        while True:
            landed = min(octets, len(room))
            is_all = octets < len(room) + BEHIND_OCTETS
            connection.receive(bytes(_BEHIND[: octets - landed]), landed)
            left -= octets
            following = connection.room
            if is_all or left <= 0 or following is None or not connection.may_read:
                return
            received = self._transport.receive_into([following, _BEHIND])
            if not received:
                return  # the hub will find out why
            room, octets = following, received

    def _writable(self) -> None:
        """Write what the socket takes; as long as there is more, the hub calls this."""
        outbox = self.connection.outbox
        try:
            chunks = self._rest or outbox.take()
            if chunks:
                octets = self._transport.send_now(chunks)
                self._rest = unsent(chunks, octets)
                self.sent(octets)
            if self._rest or outbox.size:
                self.write_soon()
                return
            self._hub.forget_room(self._transport.file)
            if self.is_finishing and not self._has_said_all:
                # Not closed at once: unread input would turn the close into a reset, and the client might
                # lose what was just sent. It closes its side, or the session's deadline comes.
                self._has_said_all = True
                self._transport.end_now()
                self._end_if_over()
        except Exception as error:
            self._fail(error)

    def _end_if_over(self) -> None:
        if self._has_heard_all and (self._has_said_all or not self.is_finishing):
            self._end()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, OSError):
            broken = trio.BrokenResourceError()
            broken.__cause__ = error
            error = broken
        self._error = error
        self._end()

    def _end(self) -> None:
        """Bring nothing more, at once."""
        self._hub.forget(self._transport.file)
        self._hub.forget_room(self._transport.file)
        self._is_over.set()


class _TaskEdge(_Edge):
    """Tasks of the client's own read and write: over TLS, in memory, and where there is no hub."""

    def __init__(
        self, scope: trio.CancelScope, transport: Transport, read_octets: int, forwarder: Forwarder | None
    ) -> None:
        super().__init__(scope, transport, read_octets, forwarder)
        self._is_sending = False
        self._rest: list[Buffer] = []
        """Taken from the outbox, and left to the write task."""
        self._error: OSError | None = None
        """Why the write task is to give up."""
        self._output = trio.Event()
        self._going_on = trio.Event()

    async def run(self) -> None:
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
                await self._transport.end()  # not closed at once, see above
                return
            else:
                self._output = trio.Event()
                await self._output.wait()


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
        edge: _Edge
        if hub is not None and isinstance(transport, SocketTransport):
            edge = _HubEdge(scope, transport, broker.config.read_octets, forwarder, hub)
        else:
            edge = _TaskEdge(scope, transport, broker.config.read_octets, forwarder)
        connection = edge.connection = Connection(broker, edge, peer, handshake_timeout_s)
        try:
            async with trio.open_nursery() as edge.nursery:
                await edge.run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("connection %s: the client is gone", connection)
        except* Exception:
            log.exception("connection %s: internal error, dropped", connection)
        finally:
            # Before the client learns of the end: when it comes back, what was its own is free.
            connection.lost()
            await transport.close()
