"""A connection made of pika's codec and a blocking socket: every frame is seen, in the order in which it came.

pika's own connections answer closes, cancels and returns by themselves; here they are what is compared. So
only its frames, methods and field tables are used, which is what its users' octets come from.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pika
from pika import frame, spec

FRAME_MAX = 131_072
READ_OCTETS = 1 << 16
LOGIN_DEADLINE_S = 20.0


@dataclass
class Received:
    """A method that came, with its content if it has one."""

    channel: int
    method: Any
    properties: Any = None
    body: bytes = b""
    missing: int = 0


@dataclass
class Wire:
    """One connection.

    Attributes:
        inbox: what came and nobody has taken yet.
        is_open: the broker has not closed it, in order or by hanging up.
    """

    url: str
    is_open: bool = True
    inbox: list[Received] = field(default_factory=list)
    _buffer: bytes = b""
    _partial: dict[int, Received] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parameters = pika.URLParameters(self.url)
        self._socket = socket.create_connection((parameters.host, parameters.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(frame.ProtocolHeader().marshal())
        self._expect(spec.Connection.Start)
        login = b"\0guest\0guest"
        capabilities = {"consumer_cancel_notify": True, "basic.nack": True, "publisher_confirms": True}
        properties = {"capabilities": capabilities, "product": "differential"}
        self.send(0, spec.Connection.StartOk(properties, "PLAIN", login, "en_US"))
        self._expect(spec.Connection.Tune)
        self.send(0, spec.Connection.TuneOk(2047, FRAME_MAX, 0))
        self.send(0, spec.Connection.Open("/"))
        self._expect(spec.Connection.OpenOk)

    def send(self, channel: int, method: Any, properties: Any = None, body: bytes = b"") -> None:
        """Send a method, with a content if there are properties; nothing happens once the connection is closed."""
        if not self.is_open:
            return
        octets = frame.Method(channel, method).marshal()
        if properties is not None:
            octets += frame.Header(channel, len(body), properties).marshal()
            if body:
                octets += frame.Body(channel, body).marshal()
        try:
            self._socket.sendall(octets)
        except OSError:
            self.close()

    def receive(self, deadline: float) -> bool:
        """Wait for octets until a point of `time.monotonic`; False when none came."""
        if not self.is_open:
            return False
        ready, _, _ = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = self._socket.recv(READ_OCTETS)
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._buffer += data
        self._decode()
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._socket.close()

    def _decode(self) -> None:
        while True:
            consumed, decoded = frame.decode_frame(self._buffer)
            if decoded is None:
                return
            self._buffer = self._buffer[consumed:]
            if isinstance(decoded, frame.Method):
                received = Received(decoded.channel_number, decoded.method)
                if spec.has_content(decoded.method.INDEX):
                    self._partial[received.channel] = received
                else:
                    self.inbox.append(received)
            elif isinstance(decoded, frame.Header):
                received = self._partial[decoded.channel_number]
                received.properties, received.missing = decoded.properties, decoded.body_size
                self._complete(received)
            elif isinstance(decoded, frame.Body):
                received = self._partial[decoded.channel_number]
                received.body += decoded.fragment
                received.missing -= len(decoded.fragment)
                self._complete(received)

    def _complete(self, received: Received) -> None:
        if received.missing == 0:
            del self._partial[received.channel]
            self.inbox.append(received)

    def _expect(self, kind: Any) -> None:
        deadline = time.monotonic() + LOGIN_DEADLINE_S
        while not self.inbox:
            if not self.receive(deadline):
                raise ConnectionError(f"no {kind.NAME} from {self.url}")
        received = self.inbox.pop(0)
        if not isinstance(received.method, kind):
            raise ConnectionError(f"{received.method} instead of {kind.NAME} from {self.url}")


def receive_any(wires: Sequence[Wire], deadline: float) -> None:
    """Wait until one of these has something, and take it in from all that have."""
    there = {wire.fileno(): wire for wire in wires if wire.is_open}
    ready, _, _ = select.select(list(there), [], [], max(0.0, deadline - time.monotonic()))
    for descriptor in ready:
        there[descriptor].receive(deadline)
