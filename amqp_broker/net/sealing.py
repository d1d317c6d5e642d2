"""A stream between two nodes on which nobody else can change, add, leave out or cut off anything.

Octets go in pieces, each with a seal (HMAC-SHA-256) over all that was sent in its direction so far, keyed by the
cluster's secret, and over how the connection began, to which each side has given a number that was never used before.
An empty piece says that this was all. It hides nothing: where somebody may listen, TLS is below it.
"""

from __future__ import annotations

import hmac
import logging
from struct import Struct
from typing import Final

import trio

log = logging.getLogger(__name__)

PIECE_OCTETS: Final = 256 << 10
SEAL_OCTETS: Final = 32

_LENGTH: Final = Struct(">I")
_ASKING, _ANSWERING = b"asking", b"answering"


class SealedStream(trio.abc.HalfCloseableStream):
    """One end. Who is cancelled while it sends or receives can only close it.

    Args:
        stream: what it goes over; closed with it.
        secret: the cluster's.
        begun: what both have said first, with a number of each that was used once.
        is_asking: which end this is.
    """

    def __init__(self, stream: trio.abc.Stream, secret: bytes, begun: bytes, *, is_asking: bool) -> None:
        sent, received = (_ASKING, _ANSWERING) if is_asking else (_ANSWERING, _ASKING)
        self._stream = stream
        self._sent = hmac.new(secret, sent + begun, "sha256")
        self._received = hmac.new(secret, received + begun, "sha256")
        self._waiting = b""
        self._is_at_end = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        for start in range(0, len(rest), PIECE_OCTETS):
            await self._send(rest[start : start + PIECE_OCTETS])

    async def _send(self, piece: bytes | memoryview) -> None:
        octets = _LENGTH.pack(len(piece)) + piece
        self._sent.update(octets)
        await self._stream.send_all(octets + self._sent.digest())

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._send(b"")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some octets; none when the other side has said that this was all.

        Raises:
            trio.BrokenResourceError: it has ended otherwise, or somebody has changed what it said.
        """
        if not self._waiting and not self._is_at_end:
            self._waiting = await self._receive()
            self._is_at_end = not self._waiting
        limit = max_bytes or PIECE_OCTETS
        data, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return data

    async def _receive(self) -> bytes:
        head = await exactly(self._stream, _LENGTH.size)
        (octets,) = _LENGTH.unpack(head)
        if octets > PIECE_OCTETS:
            raise self._not_sealed()
        piece = await exactly(self._stream, octets)
        self._received.update(head + piece)
        if not hmac.compare_digest(self._received.digest(), await exactly(self._stream, SEAL_OCTETS)):
            raise self._not_sealed()
        return piece

    def _not_sealed(self) -> trio.BrokenResourceError:
        text = "what a node of the cluster says was changed on its way"
        log.warning("%s", text)
        return trio.BrokenResourceError(text)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def exactly(stream: trio.abc.ReceiveStream, octets: int) -> bytes:
    """Wait for so many octets. Raises trio.BrokenResourceError when fewer come."""
    received = bytearray()
    while len(received) < octets:
        data = await stream.receive_some(octets - len(received))
        if not data:
            raise trio.BrokenResourceError("it has hung up")
        received += data
    return bytes(received)
