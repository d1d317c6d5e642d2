"""Hands connections over to the nodes that have their vhosts, and takes those of other nodes; asks them, and is asked.

Once a connection is handed over, this node passes octets on and knows no more of it than its two sockets: heartbeats,
flow and the end of it are between the client and the node that has the vhost.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import attrs
import trio

from amqp_broker.auth.users import Peer
from amqp_broker.net.prelude import (
    GREETING_OCTETS,
    HEAD_OCTETS,
    PreludeError,
    Verdict,
    check_greeting,
    greeting,
    letter,
    letter_octets,
    read_letter,
)
from amqp_broker.net.sealing import SealedStream, exactly
from amqp_broker.net.tls import NodeTlsKeeper, TlsStream
from amqp_broker.net.transport import Transport
from amqp_broker.placement import Elsewhere, Inquiry, Parcel
from amqp_codec import ConnectionStart, ConnectionTune

log = logging.getLogger(__name__)

READ_OCTETS: Final = 256 << 10
TAKE_TIMEOUT_S: Final = 3.0
"""For a node to take a connection, from connecting to it until `open-ok`."""
LAST_WORDS_S: Final = 5.0
"""How long a client has to close its side, when the other node has closed its own."""

_PROBES: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds of silence before the first, seconds between them, and how many without an answer are the end."""

_FRAME_HEAD: Final = 7
_DROPPED: Final = {bytes((0, method.class_id, 0, method.method_id)) for method in (ConnectionStart, ConnectionTune)}
"""What begins the methods of the other node that the client has had from this one already."""

Answer = Callable[[Inquiry, trio.abc.HalfCloseableStream], Awaitable[None]]
"""Answers a question of another node, which begins on the stream; closes that."""


class Crossing:
    """A connection to the node that has taken a client.

    Attributes:
        first: what the client is to be sent first.
        vhost: where the client is.
        node: which has that.
    """

    def __init__(self, stream: trio.abc.Stream, first: bytes, vhost: str, node: str) -> None:
        self.stream = stream
        self.first = first
        self.vhost = vhost
        self.node = node


class Forwarder:
    """Hands connections over.

    Args:
        node: the name of this one.
        secret: gives the cluster's.
        tls: for connections to the other nodes; None for plain TCP.
    """

    def __init__(self, node: str, secret: Callable[[], bytes], tls: NodeTlsKeeper | None = None) -> None:
        self._node = node
        self._secret = secret
        self._tls = tls
        self._carried: dict[trio.CancelScope, tuple[str, str]] = {}
        """What is passed on, or about to be, with vhost and node."""

    async def hand_over(self, parcel: Parcel, to: Elsewhere) -> Crossing | None:
        """Give a connection to another node; None when that doesn't take it, or has the vhost no more."""
        with trio.CancelScope() as scope:
            self._carried[scope] = (parcel.vhost, to.node)
            try:
                return await self._present(parcel, to, _first_words)
            finally:
                del self._carried[scope]
        return None

    async def has(self, vhost: str, there: Elsewhere) -> bool:
        """Whether another node says that a vhost is there; no if it can't be asked."""
        crossing = await self._present(Parcel(vhost, Peer(), b""), there, _nothing_more)
        if crossing is not None:
            await trio.aclose_forcefully(crossing.stream)
        return crossing is not None

    async def visit(self, inquiry: Inquiry, to: Elsewhere) -> trio.abc.HalfCloseableStream:
        """Go to another node with a question, which is to be put, and answered, on a stream that the caller closes.

        Raises:
            OSError: it can't be reached, or does not take questions of this one.
        """
        stream: trio.abc.Stream | None = None
        sealed = None
        try:
            with trio.fail_after(TAKE_TIMEOUT_S):
                stream = await self._connect(to)
                begun, verdict = await self._introduce(stream, inquiry, to)
            if verdict != Verdict.TAKEN:
                raise OSError(f"it answers no question of this one about {inquiry.subject}")
            sealed = SealedStream(stream, self._secret(), begun, is_asking=True)
        except trio.TooSlowError:
            raise TimeoutError(f"it says nothing for {TAKE_TIMEOUT_S:g} s") from None
        except (PreludeError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OSError(str(error)) from None
        finally:
            if stream is not None and sealed is None:
                await trio.aclose_forcefully(stream)
        return sealed

    async def _introduce(self, stream: trio.abc.Stream, about: Parcel | Inquiry, to: Elsewhere) -> tuple[bytes, int]:
        """Say what this is about; gives how it has begun, and the verdict. Raises PreludeError."""
        greeted = await exactly(stream, GREETING_OCTETS)
        check_greeting(greeted)
        octets = about.octets if isinstance(about, Parcel) else b""
        written = letter(about, self._node, to.node, self._secret(), greeted)
        await stream.send_all(written + octets)
        return greeted + written[:HEAD_OCTETS], (await exactly(stream, 1))[0]

    async def _present(
        self, parcel: Parcel, to: Elsewhere, listen: Callable[[trio.abc.Stream], Awaitable[bytes]]
    ) -> Crossing | None:
        """Present a connection, and listen to what comes when it is taken; None when it isn't."""
        stream: trio.abc.Stream | None = None
        crossing = None
        try:
            with trio.move_on_after(TAKE_TIMEOUT_S):
                stream = await self._connect(to)
                _, verdict = await self._introduce(stream, parcel, to)
                if verdict == Verdict.TAKEN:
                    crossing = Crossing(stream, await listen(stream), parcel.vhost, to.node)
                elif verdict != Verdict.NOT_HERE:
                    log.warning("node %s at %s:%d does not take connections of this one", to.node, to.host, to.port)
        except PreludeError as error:
            log.warning("node %s at %s:%d can't be understood: %s", to.node, to.host, to.port, error)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # With TLS 1.3 it is only by reading that one hears that one's own certificate was refused.
            is_tls = isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError)
            say = log.warning if is_tls else log.debug
            say("node %s at %s:%d: %s", to.node, to.host, to.port, error)
        finally:
            if stream is not None and crossing is None:
                await trio.aclose_forcefully(stream)
        return crossing

    async def carry(self, transport: Transport, crossing: Crossing, rest: bytes) -> None:
        """Pass octets on until both sides have ended, or `close`.

        Args:
            transport: to the client.
            crossing: to the other node.
            rest: what has come from the client already.
        """
        stream = crossing.stream
        with trio.CancelScope() as scope:
            self._carried[scope] = (crossing.vhost, crossing.node)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_from_client, transport, stream, rest, scope)
                    await _to_client(transport, crossing)
                    scope.deadline = trio.current_time() + LAST_WORDS_S
            finally:
                del self._carried[scope]
                await trio.aclose_forcefully(stream)

    def drop_those(self, are_lost: Callable[[str, str], bool]) -> None:
        """Break connections that are passed on, where that is so of their vhost and node."""
        for scope, (vhost, node) in self._carried.items():
            if are_lost(vhost, node):
                scope.cancel()

    def close(self) -> None:
        """Break all connections that are passed on: this node ends."""
        self.drop_those(lambda _vhost, _node: True)

    async def _connect(self, to: Elsewhere) -> trio.abc.Stream:
        """Connect to a node. Raises OSError, of which ssl.SSLError is one, and trio.BrokenResourceError."""
        stream = await trio.open_tcp_stream(to.host, to.port)
        notice_death(stream)
        if self._tls is None:
            return stream
        encrypted = TlsStream(stream, self._tls.calling, is_server=False)
        try:
            await encrypted.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return encrypted


@attrs.frozen
class Visit:
    """A node that has come with a question.

    Attributes:
        stream: on which it asks.
        answer: who answers.
    """

    inquiry: Inquiry
    stream: SealedStream
    answer: Answer


@attrs.frozen
class Gate:
    """What is asked of whoever hands a connection over, or has a question.

    Attributes:
        node: the name of this one.
        secret: gives the cluster's.
        is_here: whether this node takes connections of a vhost.
        answers: who answers, by subject.
    """

    node: str
    secret: Callable[[], bytes]
    is_here: Callable[[str], bool]
    answers: Mapping[str, Answer] = attrs.Factory(dict)

    async def let_in(self, stream: trio.abc.Stream) -> Peer | Visit | None:
        """Do what comes before AMQP, or the question; None where the vhost is not here, or nobody answers.

        Raises:
            PreludeError: that is no node of this cluster.
        """
        greeted = greeting()
        await stream.send_all(greeted)
        head = await exactly(stream, HEAD_OCTETS)
        try:
            table = await exactly(stream, letter_octets(head))
            about = read_letter(head, table, self.node, self.secret(), greeted)
        except PreludeError:
            await stream.send_all(bytes((Verdict.REFUSED,)))
            raise
        taken: Peer | Visit | None = None
        if isinstance(about, Inquiry):
            if about.subject in self.answers:
                sealed = SealedStream(stream, self.secret(), greeted + head, is_asking=False)
                taken = Visit(about, sealed, self.answers[about.subject])
        elif self.is_here(about.vhost):
            taken = about.peer
        await stream.send_all(bytes((Verdict.NOT_HERE if taken is None else Verdict.TAKEN,)))
        return taken


def notice_death(stream: trio.SocketStream) -> None:
    """Have the system find out whether the other machine is still there, where for hours nothing may have to be said.

    Without it a question, or a client's connection, would stay with a node for ever when the other one lost its power.
    """
    with suppress(OSError):  # it is gone already
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES.items():
            if hasattr(socket, option):
                stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _nothing_more(_stream: trio.abc.Stream) -> bytes:
    return b""


async def _first_words(stream: trio.abc.Stream) -> bytes:
    """Wait for what the other node says to `connection.open`, and pass over what comes before that."""
    while True:
        head = await exactly(stream, _FRAME_HEAD)
        frame = head + await exactly(stream, int.from_bytes(head[3:7], "big") + 1)
        if frame[_FRAME_HEAD : _FRAME_HEAD + 4] not in _DROPPED:
            return frame


async def _from_client(transport: Transport, stream: trio.abc.Stream, rest: bytes, scope: trio.CancelScope) -> None:
    data: bytes | bytearray = rest
    try:
        while True:
            if data:
                await stream.send_all(data)
            data = await transport.receive(READ_OCTETS)
            if not data:
                break
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


async def _to_client(transport: Transport, crossing: Crossing) -> None:
    """Pass on what the other node says; where it breaks off, so does this."""
    data: bytes | bytearray = crossing.first
    while data:
        await transport.send([data], _nothing)
        data = await crossing.stream.receive_some(READ_OCTETS)
    await transport.end()


def _nothing(_octets: int) -> None:
    """Nobody counts."""
