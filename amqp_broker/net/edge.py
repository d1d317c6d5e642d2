"""The edge of a connection, as far as nothing waits: what its session can ask for, and how octets come and go.

Each read is worked off whole before anything is written, and all that gathered for a client is written in one go, by
the task that has read. What its socket did not take at once goes when there is room, as does what comes from elsewhere:
timers, the disk. Reading stops while the connection wants no more, so that TCP slows the client down.

All of it is called for every read, so it is compiled; tasks, which are not, are in `connection`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import trio

from amqp_broker.net.hub import Hub
from amqp_broker.net.sockets import PlainSocket, unsent
from amqp_broker.outbox import Buffer
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.session.connection import Connection

SMALL_READ_OCTETS: Final = 16 * 1024
"""What is asked for where little comes. For a read of more than 128 KiB the allocator goes to the system and back,
which takes three times as long as the read of a small message itself."""

BEHIND_OCTETS: Final = 4 * 1024
"""How much is read of what comes behind a large body: enough for another one to begin."""

_BEHIND: Final = memoryview(bytearray(BEHIND_OCTETS))

LONG_READ_S: Final = 0.004
"""Where working off a read takes longer than this, the next one is smaller: the others wait that long."""


class Round:
    """The clients that got output while a read, or a batch on disk, was worked off; None while none is."""

    def __init__(self) -> None:
        self.edges: list[Edge] | None = None

    def work_off(self, work: Callable[..., None], *arguments: object) -> None:
        """Do some work, then write what clients get of it."""
        self.begin()
        try:
            work(*arguments)
        finally:
            self.end()

    def begin(self) -> None:
        """Output gathers from now on."""
        self.edges = []

    def end(self) -> None:
        """Write what has gathered."""
        edges = self.edges
        self.edges = None
        assert edges is not None
        for edge in edges:
            edge.send_now()


_ROUND: Final[trio.lowlevel.RunVar[Round]] = trio.lowlevel.RunVar("amqp-broker-round")


class Edge:
    """What the session can ask for; how octets come and go is for those below.

    Args:
        scope: of all that is done for the client.
        read_octets: how much to read at once, at most.
        hand_over: has another node go on with the client; None where there is no other.

    Attributes:
        connection: the session.
        nursery: of the client's tasks.
        round: of this event loop.
        is_paused: nothing is read until the connection wants it.
        is_finishing: the session has said its last.
        wanted_octets: how much to read at once.
    """

    connection: Connection
    nursery: trio.Nursery

    def __init__(
        self,
        scope: trio.CancelScope,
        read_octets: int,
        hand_over: Callable[[Edge, Parcel, Elsewhere], Awaitable[None]] | None,
    ) -> None:
        self.is_finishing = False
        self.is_paused = False
        self.wanted_octets = min(SMALL_READ_OCTETS, read_octets)
        self.round = this_round()
        self._read_octets = read_octets
        self._hand_over = hand_over
        self._scope = scope

    # For the session

    def output_waiting(self) -> None:
        if self.round.edges is None:
            self.write_soon()
        else:
            self.round.edges.append(self)

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
        assert self._hand_over is not None
        self.nursery.start_soon(self._hand_over, self, parcel, to)

    # For those below

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
        self.round.begin()
        try:
            self.connection.receive(data)
        finally:
            self.round.end()
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


class HubEdge(Edge):
    """The hub watches the socket, and all is done in its turns; the client's own task only waits for the end.

    Attributes:
        is_over: set when nothing more will come or go.
        error: why; None where the client has ended it, or the broker.
    """

    def __init__(
        self,
        scope: trio.CancelScope,
        read_octets: int,
        hand_over: Callable[[Edge, Parcel, Elsewhere], Awaitable[None]] | None,
        socket: PlainSocket,
        hub: Hub,
    ) -> None:
        Edge.__init__(self, scope, read_octets, hand_over)
        self._socket = socket
        self._hub = hub
        self._rest: list[Buffer] = []
        """Taken from the outbox, and not taken by the socket."""
        self._has_heard_all = False
        self._has_said_all = False
        self.is_over = trio.Event()
        self.error: Exception | None = None

    def abort(self) -> None:
        self.end()
        Edge.abort(self)

    def read_on(self) -> None:
        if not self.is_over.is_set():
            self._hub.watch(self._socket.file, self._readable)

    def write_soon(self) -> None:
        if not self.is_over.is_set():
            self._hub.watch_room(self._socket.file, self._writable)

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
            self._hub.forget(self._socket.file)
            self._has_heard_all = True
            self._end_if_over()
        elif not self.connection.may_read:
            self.is_paused = True
            self._hub.forget(self._socket.file)

    def _read(self) -> int | None:
        data = self._socket.receive_now(self.wanted_octets)
        if data:
            self.work_off(data)
        return None if data is None else len(data)

    def _read_large(self, room: memoryview) -> int | None:
        """Read what is left of a large body straight to where it stays, and a little of what comes behind it."""
        octets = self._socket.receive_into([room, _BEHIND])
        if octets:
            self.round.begin()
            try:
                self._work_off_large(room, octets)
            finally:
                self.round.end()
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
            received = self._socket.receive_into([following, _BEHIND])
            if not received:
                return  # the hub will find out why
            room, octets = following, received

    def _writable(self) -> None:
        """Write what the socket takes; as long as there is more, the hub calls this."""
        outbox = self.connection.outbox
        try:
            chunks = self._rest or outbox.take()
            if chunks:
                octets = self._socket.send_now(chunks)
                self._rest = unsent(chunks, octets)
                self.sent(octets)
            if self._rest or outbox.size:
                self.write_soon()
                return
            self._hub.forget_room(self._socket.file)
            if self.is_finishing and not self._has_said_all:
                # Not closed at once: unread input would turn the close into a reset, and the client might
                # lose what was just sent. It closes its side, or the session's deadline comes.
                self._has_said_all = True
                self._socket.end_now()
                self._end_if_over()
        except Exception as error:
            self._fail(error)

    def _end_if_over(self) -> None:
        if self._has_heard_all and (self._has_said_all or not self.is_finishing):
            self.end()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, OSError):
            broken = trio.BrokenResourceError()
            broken.__cause__ = error
            error = broken
        self.error = error
        self.end()

    def end(self) -> None:
        """Bring nothing more, at once."""
        self._hub.forget(self._socket.file)
        self._hub.forget_room(self._socket.file)
        self.is_over.set()


def this_round() -> Round:
    """The one of this event loop."""
    try:
        return _ROUND.get()
    except LookupError:
        this = Round()
        _ROUND.set(this)
        return this


def in_round(work: Callable[..., None], *arguments: object) -> None:
    """Do some work in this event loop, then write what clients get of it at once: no task is woken for it."""
    this_round().work_off(work, *arguments)
