"""The octets that wait for one client: pushed by the model at once, drained by the edge when it can.

Knows no socket. Whoever writes takes everything that has gathered, sends it in one go and reports
with `sent` what has left; in between nothing is copied twice, and large bodies not even once.
"""

from collections.abc import Callable

from amqp_broker.message import Message
from amqp_codec import append_content, append_delivery, append_heads, iter_content
from amqp_codec.constants import FRAME_END, FRAME_OVERHEAD

Buffer = bytes | bytearray | memoryview

LARGE_BODY_OCTETS = 16 * 1024
"""From this size on a body is referred to rather than copied into the buffer."""

_OVERHEAD = FRAME_OVERHEAD
_END = bytes((FRAME_END,))


class Outbox:
    """Output of one connection.

    Attributes:
        is_full: more than `high_octets` wait; consumers of this connection get nothing now.
        size: octets pushed and not yet sent.
        pushed_octets: octets pushed since the connection began.
        sent_count: writes since then.
        frame_max: largest frame the client takes, 0 for no limit.
        wake: called when output appears where there was none.
        on_drained: called when a full outbox has room again.
    """

    __slots__ = (
        "_chunks",
        "_tail",
        "frame_max",
        "high_octets",
        "is_closed",
        "is_full",
        "on_drained",
        "pushed_octets",
        "sent_count",
        "size",
        "wake",
    )

    def __init__(self, high_octets: int, wake: Callable[[], None]) -> None:
        self.high_octets = high_octets
        self.wake = wake
        self.on_drained: Callable[[], None] = _nothing
        self.frame_max = 0
        self.is_full = False
        self.is_closed = False
        self.size = 0
        self.pushed_octets = 0
        self.sent_count = 0
        self._tail = bytearray()
        self._chunks: list[Buffer] = []

    def push(self, data: bytes) -> None:
        """Append whole frames."""
        if self.is_closed:
            return
        self._tail += data
        self._grown(len(data))

    def push_delivery(
        self, channel_id: int, consumer_tag: bytes, delivery_tag: int, redelivered: bool, message: Message
    ) -> None:
        """Append a `basic.deliver` with its content; `consumer_tag` in its wire form."""
        if self.is_closed:
            return
        tail = self._tail
        before = len(tail)
        body = message.body
        if len(body) < LARGE_BODY_OCTETS:
            append_delivery(
                tail,
                channel_id,
                consumer_tag,
                delivery_tag,
                redelivered,
                message.address,
                message.header.raw,
                body,
                self.frame_max,
            )
            self._grown(len(tail) - before)
            return
        payload = b"".join(
            (
                b"\x00\x3c\x00\x3c",
                consumer_tag,
                delivery_tag.to_bytes(8, "big"),
                b"\x01" if redelivered else b"\x00",
                message.address,
            )
        )
        self._push_large(channel_id, payload, message.header.raw, body)

    def push_content(self, channel_id: int, method_payload: bytes, header: bytes, body: bytes) -> None:
        """Append a method with its content; the three are one after the other (rule 1.50)."""
        if self.is_closed:
            return
        if len(body) < LARGE_BODY_OCTETS:
            before = len(self._tail)
            append_content(self._tail, channel_id, method_payload, header, body, self.frame_max)
            self._grown(len(self._tail) - before)
        else:
            self._push_large(channel_id, method_payload, header, body)

    def take(self) -> list[Buffer]:
        """Hand over all that has gathered, in order; it still counts until `sent` says it has left."""
        chunks = self._chunks
        if self._tail:
            chunks.append(self._tail)
            self._tail = bytearray()
        self._chunks = []
        return chunks

    def sent(self, octets: int) -> None:
        """So many octets have left."""
        self.size -= octets
        self.sent_count += 1
        if self.is_full and self.size <= self.high_octets // 2:
            self.is_full = False
            self.on_drained()

    def close(self) -> None:
        """Forget what waits and take nothing more: there is nobody to send it to."""
        self.is_closed = True
        self._tail = bytearray()
        self._chunks = []

    def _push_large(self, channel_id: int, payload: bytes, header: bytes, body: bytes) -> None:
        size = len(body)
        if not self.frame_max or size <= self.frame_max - _OVERHEAD:
            tail = self._tail
            before = len(tail)
            append_heads(tail, channel_id, payload, header, size)
            self._chunks.append(tail)
            self._chunks.append(body)
            self._tail = bytearray(_END)
            self._grown(len(tail) - before + size + 1)
            return
        octets = 0
        for piece in iter_content(channel_id, payload, header, body, self.frame_max):
            octets += len(piece)
            if len(piece) < LARGE_BODY_OCTETS:
                self._tail += piece
            else:
                self._chunks.append(self._tail)
                self._chunks.append(piece)
                self._tail = bytearray()
        self._grown(octets)

    def _grown(self, octets: int) -> None:
        was_empty = self.size == 0
        self.size += octets
        self.pushed_octets += octets
        if self.size >= self.high_octets:
            self.is_full = True
        if was_empty:
            self.wake()


def _nothing() -> None:
    """Nobody waits for room."""
