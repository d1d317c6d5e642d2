"""One client's socket: a task that reads, a task that writes, and a `Connection` between them.

Each read is worked off whole before anything is written, and all that gathered is written in one go.
Reading stops while the connection wants no more, so that TCP slows the client down.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.outbox import Buffer
from amqp_broker.session.connection import Connection

log = logging.getLogger(__name__)

SEND_OCTETS: Final = 256 * 1024
"""What is sent at once; below it a system call and a turn of the loop cost more than the copy."""


class _Edge:
    """What the session can ask for, as events that the two tasks wait for."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.output = trio.Event()
        self.reading = trio.Event()
        self.is_finishing = False
        self._scope = scope

    def output_waiting(self) -> None:
        self.output.set()

    def reading_changed(self) -> None:
        self.reading.set()

    def finish(self) -> None:
        self.is_finishing = True
        self.output.set()

    def abort(self) -> None:
        self._scope.cancel()


async def serve_client(
    broker: Broker, stream: trio.abc.HalfCloseableStream, peer: Peer, *, handshake_timeout_s: float | None = None
) -> None:
    """Serve one client until it or the broker closes; closes the stream in any case."""
    with trio.CancelScope() as scope:
        edge = _Edge(scope)
        connection = Connection(broker, edge, peer, handshake_timeout_s)
        async with stream:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_write, connection, edge, stream)
                    await _read(connection, edge, stream, broker.config.read_octets)
                    if not edge.is_finishing:
                        nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("connection %s: the client is gone", connection)
            except* Exception:
                log.exception("connection %s: internal error, dropped", connection)
            finally:
                # Before the client learns of the end: when it comes back, what was its own is free.
                connection.lost()


async def _read(connection: Connection, edge: _Edge, stream: trio.abc.HalfCloseableStream, read_octets: int) -> None:
    while True:
        while not connection.may_read:
            edge.reading = trio.Event()
            await edge.reading.wait()
        data = await stream.receive_some(read_octets)
        if not data:
            return
        connection.receive(data)


def _gathered(chunks: list[Buffer]) -> Iterator[Buffer]:
    """Join neighbours up to SEND_OCTETS: a large body is a frame's head, a piece of it, an end octet, and so on."""
    if len(chunks) == 1:
        yield chunks[0]
        return
    together: list[Buffer] = []
    octets = 0
    for chunk in chunks:
        together.append(chunk)
        octets += len(chunk)
        if octets >= SEND_OCTETS:
            yield b"".join(together)
            together, octets = [], 0
    if together:
        yield b"".join(together)


async def _write(connection: Connection, edge: _Edge, stream: trio.abc.HalfCloseableStream) -> None:
    outbox = connection.outbox
    while True:
        chunks = outbox.take()
        if chunks:
            for octets in _gathered(chunks):
                await stream.send_all(octets)
                outbox.sent(len(octets))
            if not edge.reading.is_set() and connection.may_read:
                edge.reading.set()
        elif edge.is_finishing:
            # Not closed at once: unread input would turn the close into a reset, and the client might
            # lose what was just sent. It closes its side, or the session's deadline comes.
            await stream.send_eof()
            return
        else:
            edge.output = trio.Event()
            await edge.output.wait()
