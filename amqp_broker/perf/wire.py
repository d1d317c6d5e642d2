"""Just enough AMQP 0-9-1 to put load on a broker: a blocking socket, a handshake, frames made once.

Deliberately independent of `amqp_codec`: what measures and checks the broker must not share its mistakes.
Leaves to the caller everything a client library is for. Source: §2.3, §4.2.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import attrs

Method = tuple[int, int]

CONNECTION_START, CONNECTION_START_OK = (10, 10), (10, 11)
CONNECTION_TUNE, CONNECTION_TUNE_OK = (10, 30), (10, 31)
CONNECTION_OPEN, CONNECTION_OPEN_OK = (10, 40), (10, 41)
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (20, 10), (20, 11), (20, 40)
EXCHANGE_DECLARE, EXCHANGE_DECLARE_OK = (40, 10), (40, 11)
EXCHANGE_DELETE, EXCHANGE_DELETE_OK = (40, 20), (40, 21)
QUEUE_DECLARE, QUEUE_DECLARE_OK = (50, 10), (50, 11)
QUEUE_BIND, QUEUE_BIND_OK = (50, 20), (50, 21)
QUEUE_PURGE, QUEUE_PURGE_OK = (50, 30), (50, 31)
QUEUE_DELETE, QUEUE_DELETE_OK = (50, 40), (50, 41)
BASIC_QOS, BASIC_QOS_OK = (60, 10), (60, 11)
BASIC_CONSUME, BASIC_CONSUME_OK = (60, 20), (60, 21)
BASIC_PUBLISH, BASIC_DELIVER, BASIC_ACK, BASIC_NACK = (60, 40), (60, 60), (60, 80), (60, 120)
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_HEADER_OCTETS = 7
FRAME_OVERHEAD_OCTETS = 8
FRAME_END = b"\xce"
EMPTY_TABLE = bytes(4)

_FRAME_HEADER = struct.Struct(">BHI")
_ACK = struct.Struct(">BHIHHQBB")
ACK_OCTETS = _ACK.size


class WireError(Exception):
    """The broker closed, or sent something other than what was waited for."""


@attrs.frozen
class Address:
    """Where a broker is, and as whom to log in."""

    host: str = "127.0.0.1"
    port: int = 5672
    user: str = "guest"
    password: str = attrs.field(default="guest", repr=False)
    vhost: str = "/"

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Of amqp://user:password@host:port/vhost, all but the scheme optional and all parts percent-encoded.

        Raises:
            ValueError: it is none; the text says what is wrong.
        """
        parts = urlsplit(uri)
        if parts.scheme != "amqp":
            raise ValueError(f"{parts.scheme or uri!r} is no scheme to connect with; give amqp://...")
        try:
            port = parts.port or 5672
        except ValueError:
            raise ValueError("the port must be a number up to 65535") from None
        if "/" in parts.path[1:] or parts.query or parts.fragment:
            raise ValueError("behind the vhost nothing may follow; a / in its name is written %2F")
        vhost = unquote(parts.path[1:]) or "/"
        if len(vhost.encode()) > 255:
            raise ValueError("a vhost's name has at most 255 octets")
        return cls(
            host=unquote(parts.hostname or "") or "127.0.0.1",
            port=port,
            user=unquote(parts.username if parts.username is not None else "guest"),
            password=unquote(parts.password if parts.password is not None else "guest"),
            vhost=vhost,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME_HEADER.pack(kind, channel, len(payload)) + payload + FRAME_END


def method_frame(channel: int, method: Method, arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *method) + arguments)


def shortstr(text: str) -> bytes:
    octets = text.encode()
    return bytes([len(octets)]) + octets


def longstr(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def table(fields: Mapping[str, str | int | bool]) -> bytes:
    """A field table with its length."""
    octets = b""
    for key, value in fields.items():
        if isinstance(value, bool):
            octets += shortstr(key) + b"t" + bytes([value])
        elif isinstance(value, int):
            octets += shortstr(key) + b"l" + struct.pack(">q", value)
        else:
            octets += shortstr(key) + b"S" + longstr(value.encode())
    return longstr(octets)


_CAPABILITIES = longstr(shortstr("authentication_failure_close") + b"t\x01")
CLIENT_PROPERTIES: Final = longstr(
    shortstr("product") + b"S" + longstr(b"amqp-broker perf") + shortstr("capabilities") + b"F" + _CAPABILITIES
)
"""With the wish to be told why a login is refused; others just find their socket closed."""


def publish_frames(
    exchange: str,
    routing_key: str,
    body: bytes,
    *,
    persistent: bool = False,
    message_id: str = "",
    reply_to: str = "",
    frame_max: int = 131072,
) -> bytes:
    """One message on channel 1, ready to be sent any number of times."""
    method = method_frame(1, BASIC_PUBLISH, bytes(2) + shortstr(exchange) + shortstr(routing_key) + b"\0")
    flags = persistent << 12 | bool(reply_to) << 9 | bool(message_id) << 7
    properties = b"\x02" * persistent + b"".join(shortstr(text) for text in (reply_to, message_id) if text)
    header = frame(HEADER, 1, struct.pack(">HHQH", BASIC_PUBLISH[0], 0, len(body), flags) + properties)
    room = frame_max - FRAME_OVERHEAD_OCTETS
    bodies = [frame(BODY, 1, body[at : at + room]) for at in range(0, len(body), room)]
    return b"".join([method, header, *bodies])


def ack_frame(delivery_tag: int, *, multiple: bool) -> bytes:
    return _ACK.pack(METHOD, 1, 13, *BASIC_ACK, delivery_tag, multiple, FRAME_END[0])


def iter_acks(octets: bytes) -> Iterator[tuple[Method, int, bool]]:
    """(method, delivery tag, multiple) of frames which are all of the size of a basic.ack.

    As a confirming channel receives them; the caller looks at the method, by which anything else can be told.
    """
    for kind, _, _, class_id, method_id, tag, bits, _ in _ACK.iter_unpack(octets):
        yield (class_id, method_id) if kind == METHOD else (0, kind), tag, bool(bits & 1)


def iter_frames(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of the frames that are there whole."""
    at = 0
    while len(octets) >= at + FRAME_HEADER_OCTETS:
        kind, _, size = _FRAME_HEADER.unpack_from(octets, at)
        if len(octets) < at + size + FRAME_OVERHEAD_OCTETS:
            break
        yield kind, octets[at + FRAME_HEADER_OCTETS : at + FRAME_HEADER_OCTETS + size]
        at += size + FRAME_OVERHEAD_OCTETS


def check_not_closed(octets: bytes) -> None:
    """Look through octets that begin with a frame.

    Raises:
        WireError: a connection.close or channel.close is among them; the text has the broker's words.
    """
    for kind, payload in iter_frames(octets):
        if kind == METHOD and struct.unpack_from(">HH", payload) in (CONNECTION_CLOSE, CHANNEL_CLOSE):
            (code,) = struct.unpack_from(">H", payload, 4)
            raise WireError(f"closed by the broker: {code} {payload[7 : 7 + payload[6]].decode(errors='replace')}")


def text_fields(table: bytes) -> dict[str, str]:
    """The leading string fields of a field table without its length; stops at a type it does not know."""
    fields = {}
    at = 0
    while at < len(table):
        key_end = at + 1 + table[at]
        key, kind = table[at + 1 : key_end].decode(), table[key_end : key_end + 1]
        at = key_end + 1
        if kind in b"SFAx":
            (octets,) = struct.unpack_from(">I", table, at)
            if kind == b"S":
                fields[key] = table[at + 4 : at + 4 + octets].decode(errors="replace")
            at += 4 + octets
        elif kind in b"tbB":
            at += 1
        elif kind in b"IilLd":
            at += 4 if kind in b"Ii" else 8
        else:
            break
    return fields


class Client:
    """One connection with channel 1 open, heartbeats off.

    Attributes:
        sock: for sending prepared frames and receiving deliveries in bulk; its timeout is the deadline.
        server: the string fields of the broker's server-properties, `product` and `version` among them.
        pending: octets received behind the last reply that was waited for.
    """

    def __init__(self, address: Address | str, *, deadline_s: float = 20.0, with_channel: bool = True) -> None:
        if isinstance(address, str):
            address = Address.from_uri(address)
        self.sock = socket.create_connection((address.host, address.port), deadline_s)
        self.pending = b""
        self.server: dict[str, str] = {}
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open(address)
            if with_channel:
                self.call(CHANNEL_OPEN, CHANNEL_OPEN_OK, b"\0")
        except BaseException:
            self.sock.close()
            raise

    def _open(self, address: Address) -> None:
        self.sock.sendall(b"AMQP\x00\x00\x09\x01")
        start = self.wait(CONNECTION_START)
        (octets,) = struct.unpack_from(">I", start, 2)
        self.server = text_fields(start[6 : 6 + octets])
        plain = f"\0{address.user}\0{address.password}".encode()
        self.send(0, CONNECTION_START_OK, CLIENT_PROPERTIES + shortstr("PLAIN") + longstr(plain) + shortstr("en_US"))
        channel_max, self.frame_max, _ = struct.unpack(">HIH", self.wait(CONNECTION_TUNE))
        self.frame_max = self.frame_max or 131072
        self.send(0, CONNECTION_TUNE_OK, struct.pack(">HIH", channel_max, self.frame_max, 0))
        self.send(0, CONNECTION_OPEN, shortstr(address.vhost) + b"\0\0")
        self.wait(CONNECTION_OPEN_OK)

    def wait_in_system(self, wait_s: float) -> None:
        """Wait so long at most for room and for input, with one system call for each: Python's own timeouts take two.

        Then it is a BlockingIOError; on Windows a TimeoutError, as it was before.
        """
        if sys.platform == "win32":
            self.sock.settimeout(wait_s)
            return
        self.sock.settimeout(None)
        seconds, rest = divmod(wait_s, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(rest * 1e6)))

    def send(self, channel: int, method: Method, arguments: bytes = b"") -> None:
        self.sock.sendall(method_frame(channel, method, arguments))

    def call(self, method: Method, reply: Method, arguments: bytes = b"") -> bytes:
        """Send a method on channel 1 and return the arguments of its reply."""
        self.send(1, method, arguments)
        return self.wait(reply)

    def wait(self, method: Method) -> bytes:
        """The arguments of the next frame, which must be this method; heartbeats are passed over.

        Raises:
            WireError: another method, or the end of the stream.
            TimeoutError: nothing within the deadline.
        """
        while True:
            kind, payload = self.next_frame()
            if kind == HEARTBEAT:
                continue
            got = struct.unpack_from(">HH", payload) if kind == METHOD else None
            if got == method:
                return payload[4:]
            check_not_closed(frame(kind, 0, payload))
            raise WireError(f"frame of type {kind}, method {got}, while waiting for {method}")

    def next_frame(self) -> tuple[int, bytes]:
        """Type and payload; waits for it."""
        self._fill(FRAME_HEADER_OCTETS)
        kind, _, octets = _FRAME_HEADER.unpack_from(self.pending)
        self._fill(octets + FRAME_OVERHEAD_OCTETS)
        payload = self.pending[FRAME_HEADER_OCTETS : FRAME_HEADER_OCTETS + octets]
        self.pending = self.pending[octets + FRAME_OVERHEAD_OCTETS :]
        return kind, payload

    def _fill(self, octets: int) -> None:
        while len(self.pending) < octets:
            self.receive_more()

    def receive_more(self) -> None:
        """Wait for more octets, and leave them in `pending`."""
        data = self.sock.recv(65536)
        if not data:
            raise WireError("the broker closed the socket")
        self.pending += data

    def exchange_declare(
        self, exchange: str, exchange_type: str, *, durable: bool = False, auto_delete: bool = False
    ) -> None:
        bits = bytes([durable << 1 | auto_delete << 2])
        arguments = bytes(2) + shortstr(exchange) + shortstr(exchange_type) + bits + EMPTY_TABLE
        self.call(EXCHANGE_DECLARE, EXCHANGE_DECLARE_OK, arguments)

    def exchange_delete(self, exchange: str) -> None:
        self.call(EXCHANGE_DELETE, EXCHANGE_DELETE_OK, bytes(2) + shortstr(exchange) + b"\0")

    def queue_declare(
        self,
        queue: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        bits = bytes([durable << 1 | exclusive << 2 | auto_delete << 3])
        self.call(QUEUE_DECLARE, QUEUE_DECLARE_OK, bytes(2) + shortstr(queue) + bits + table(arguments or {}))

    def queue_bind(self, queue: str, exchange: str, binding_key: str) -> None:
        names = shortstr(queue) + shortstr(exchange) + shortstr(binding_key)
        self.call(QUEUE_BIND, QUEUE_BIND_OK, bytes(2) + names + b"\0" + EMPTY_TABLE)

    def queue_purge(self, queue: str) -> int:
        """Empty a queue; gives the number of messages that were ready."""
        reply = self.call(QUEUE_PURGE, QUEUE_PURGE_OK, bytes(2) + shortstr(queue) + b"\0")
        return int.from_bytes(reply, "big")

    def queue_delete(self, queue: str) -> None:
        self.call(QUEUE_DELETE, QUEUE_DELETE_OK, bytes(2) + shortstr(queue) + b"\0")

    def qos(self, prefetch_count: int) -> None:
        self.call(BASIC_QOS, BASIC_QOS_OK, struct.pack(">IHB", 0, prefetch_count, 0))

    def consume(self, queue: str, consumer_tag: str, *, no_ack: bool) -> None:
        """Subscribe; deliveries which came together with the reply are in `pending` afterwards."""
        bits = bytes([no_ack << 1])
        arguments = bytes(2) + shortstr(queue) + shortstr(consumer_tag) + bits + EMPTY_TABLE
        self.call(BASIC_CONSUME, BASIC_CONSUME_OK, arguments)

    def confirm_select(self) -> None:
        self.call(CONFIRM_SELECT, CONFIRM_SELECT_OK, b"\0")

    def close(self) -> None:
        """Close in order where nothing is on its way to us any more; `__exit__` just closes the socket."""
        self.send(0, CONNECTION_CLOSE, struct.pack(">H", 200) + shortstr("bye") + bytes(4))
        self.wait(CONNECTION_CLOSE_OK)
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sock.close()
