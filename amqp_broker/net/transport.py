"""How octets reach a client: straight into its socket where that is possible, else through a stream of trio's.

A socket is written to from wherever output appears, without a task that has to be woken for it. What the system does
not take at once is left to the connection's write task, and so is everything for a stream (TLS, memory).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import trio

from amqp_broker.outbox import Buffer

SEND_OCTETS: Final = 256 * 1024
"""What is sent at once; below it a system call and a turn of the loop cost more than the copy."""

MAX_PIECES: Final = 512
"""Buffers for one system call; systems allow at least 1024."""

_GATHERS: Final = hasattr(socket.socket, "sendmsg")


class Transport(Protocol):
    """A client's two-way stream."""

    def send_now(self, chunks: list[Buffer]) -> int:
        """Send what can be sent without waiting; gives the number of octets.

        Raises:
            OSError: the client is gone.
        """

    async def receive(self, octets: int) -> bytes | bytearray:
        """Wait for some octets; none at the end."""

    async def send(self, chunks: list[Buffer], sent: Callable[[int], None]) -> None:
        """Send all of it; `sent` hears of every part that has left."""

    async def end(self) -> None:
        """Say that nothing more will be sent."""

    async def close(self) -> None:
        """Close at once."""


class StreamTransport:
    """Through a stream, one `send_all` at a time."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    def send_now(self, chunks: list[Buffer]) -> int:  # noqa: ARG002 - a stream may always have to wait
        return 0

    async def receive(self, octets: int) -> bytes | bytearray:
        return await self._stream.receive_some(octets)

    async def send(self, chunks: list[Buffer], sent: Callable[[int], None]) -> None:
        for octets in _gathered(chunks):
            await self._stream.send_all(octets)
            sent(len(octets))

    async def end(self) -> None:
        await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()


class SocketTransport:
    """Straight to a socket, which belongs to it from now on."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._socket = socket.socket(fileno=stream.socket.detach())
        self.file: Final = self._socket.fileno()
        if hasattr(socket, "TCP_NOTSENT_LOWAT") and self._socket.family in (socket.AF_INET, socket.AF_INET6):
            # trio allows 16 KiB that the network has not taken yet, for the sake of latency under HTTP/2.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SEND_OCTETS)

    def send_now(self, chunks: list[Buffer]) -> int:
        try:
            if _GATHERS and len(chunks) > 1:
                return self._socket.sendmsg(chunks[:MAX_PIECES])
            return self._socket.send(next(_gathered(chunks)))
        except (BlockingIOError, InterruptedError):
            return 0

    def receive_now(self, octets: int) -> bytes | None:
        """Take what has come; none at the end, and None where nothing has come.

        Raises:
            trio.BrokenResourceError: the client is gone.
        """
        try:
            return self._socket.recv(octets)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise trio.BrokenResourceError from error

    def receive_into(self, buffers: list[memoryview]) -> int | None:
        """Take what has come into these buffers, one after the other; gives the number of octets.

        That is 0 at the end, and None where nothing has come.

        Raises:
            OSError: the client is gone.
        """
        try:
            return self._socket.recvmsg_into(buffers)[0]
        except (BlockingIOError, InterruptedError):
            return None

    async def receive(self, octets: int) -> bytes:
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:
                raise trio.BrokenResourceError from error
            data = self.receive_now(octets)
            if data is not None:
                return data

    async def send(self, chunks: list[Buffer], sent: Callable[[int], None]) -> None:
        try:
            while True:
                octets = self.send_now(chunks)
                sent(octets)
                chunks = unsent(chunks, octets)
                if not chunks:
                    break
                await trio.lowlevel.wait_writable(self._socket)
            await trio.lowlevel.checkpoint()  # the others have their turn, however much this client takes
        except OSError as error:
            raise trio.BrokenResourceError from error

    def end_now(self) -> None:
        """Say that nothing more will be sent. Raises OSError: the client is gone."""
        self._socket.shutdown(socket.SHUT_WR)

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self.end_now()
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def close(self) -> None:
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        await trio.lowlevel.checkpoint()


def transport_of(stream: trio.abc.HalfCloseableStream) -> Transport:
    """The shortest way to whoever is at the other end."""
    return SocketTransport(stream) if type(stream) is trio.SocketStream else StreamTransport(stream)


def unsent(chunks: list[Buffer], octets: int) -> list[Buffer]:
    """What is left when so many octets of these have gone."""
    for number, chunk in enumerate(chunks):
        if octets < len(chunk):
            return [memoryview(chunk)[octets:] if octets else chunk, *chunks[number + 1 :]]
        octets -= len(chunk)
    return []


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
