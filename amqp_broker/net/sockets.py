"""A client's socket, as far as nothing waits. Compiled, for every read and write passes here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

import trio

from amqp_broker.outbox import Buffer

SEND_OCTETS: Final = 256 * 1024
"""What is sent at once; below it a system call and a turn of the loop cost more than the copy."""

MAX_PIECES: Final = 512
"""Buffers for one system call; systems allow at least 1024."""

_GATHERS: Final = hasattr(socket.socket, "sendmsg")


class PlainSocket:
    """A socket that nobody waits for.

    Attributes:
        socket: for those who do.
        file: its number.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.file = connected.fileno()

    def send_now(self, chunks: list[Buffer]) -> int:
        """Send what can be sent without waiting; gives the number of octets. Raises OSError: the client is gone."""
        try:
            if len(chunks) == 1:
                return self.socket.send(chunks[0])
            if _GATHERS:
                return self.socket.sendmsg(chunks[:MAX_PIECES])
            return self.socket.send(next(gathered(chunks)))
        except (BlockingIOError, InterruptedError):
            return 0

    def receive_now(self, octets: int) -> bytes | None:
        """Take what has come; none at the end, and None where nothing has come.

        Raises:
            trio.BrokenResourceError: the client is gone.
        """
        try:
            return self.socket.recv(octets)
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
            return self.socket.recvmsg_into(buffers)[0]
        except (BlockingIOError, InterruptedError):
            return None

    def end_now(self) -> None:
        """Say that nothing more will be sent. Raises OSError: the client is gone."""
        self.socket.shutdown(socket.SHUT_WR)


def unsent(chunks: list[Buffer], octets: int) -> list[Buffer]:
    """What is left when so many octets of these have gone."""
    for number, chunk in enumerate(chunks):
        if octets < len(chunk):
            return [memoryview(chunk)[octets:] if octets else chunk, *chunks[number + 1 :]]
        octets -= len(chunk)
    return []


def gathered(chunks: list[Buffer]) -> Iterator[Buffer]:
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
