"""How octets reach a client: straight into its socket where that is possible, else through a stream of trio's.

A socket is written to from wherever output appears, without a task that has to be woken for it. What the system does
not take at once is left to the connection's write task, and so is everything for a stream (TLS, memory).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from amqp_broker.net.sockets import SEND_OCTETS, PlainSocket, gathered, unsent
from amqp_broker.outbox import Buffer


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
        for octets in gathered(chunks):
            await self._stream.send_all(octets)
            sent(len(octets))

    async def end(self) -> None:
        await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()


class SocketTransport:
    """Straight to a socket, which belongs to it from now on.

    Attributes:
        now: the same for those who don't wait.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        connected = socket.socket(fileno=stream.socket.detach())
        self.now: Final = PlainSocket(connected)
        if hasattr(socket, "TCP_NOTSENT_LOWAT") and connected.family in (socket.AF_INET, socket.AF_INET6):
            # trio allows 16 KiB that the network has not taken yet, for the sake of latency under HTTP/2.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SEND_OCTETS)

    def send_now(self, chunks: list[Buffer]) -> int:
        return self.now.send_now(chunks)

    async def receive(self, octets: int) -> bytes:
        while True:
            try:
                await trio.lowlevel.wait_readable(self.now.socket)
            except OSError as error:
                raise trio.BrokenResourceError from error
            data = self.now.receive_now(octets)
            if data is not None:
                return data

    async def send(self, chunks: list[Buffer], sent: Callable[[int], None]) -> None:
        try:
            while True:
                octets = self.now.send_now(chunks)
                sent(octets)
                chunks = unsent(chunks, octets)
                if not chunks:
                    break
                await trio.lowlevel.wait_writable(self.now.socket)
            await trio.lowlevel.checkpoint()  # the others have their turn, however much this client takes
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self.now.end_now()
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def close(self) -> None:
        trio.lowlevel.notify_closing(self.now.socket)
        self.now.socket.close()
        await trio.lowlevel.checkpoint()


def transport_of(stream: trio.abc.HalfCloseableStream) -> Transport:
    """The shortest way to whoever is at the other end."""
    return SocketTransport(stream) if type(stream) is trio.SocketStream else StreamTransport(stream)
