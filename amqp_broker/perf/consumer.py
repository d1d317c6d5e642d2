"""A process that consumes: deliveries of one size, counted by octets, checked by the tag of the last one."""

from __future__ import annotations

import struct
import time
from typing import Final, NamedTuple

from amqp_broker.perf.board import CONSUMED, MAX_NS, MIN_NS, Board
from amqp_broker.perf.histogram import bucket
from amqp_broker.perf.publisher import LOOK_S, STAMP_MASK
from amqp_broker.perf.wire import (
    ACK_OCTETS,
    BASIC_DELIVER,
    BODY,
    FRAME_HEADER_OCTETS,
    FRAME_OVERHEAD_OCTETS,
    HEADER,
    METHOD,
    Address,
    Client,
    WireError,
    ack_frame,
    check_not_closed,
)
from amqp_broker.perf.workload import Workload

BUFFER_OCTETS: Final = 1 << 18
"""So that it stays in a processor's cache."""

_STAMP: Final = struct.Struct(">Q")
_TAG_LOW_AT: Final = ACK_OCTETS - 3
"""Of the last octet of the delivery tag in a basic.ack frame."""


class Shape(NamedTuple):
    """Of all deliveries of one consumer: size with all frames, and where delivery tag and body begin."""

    octets: int
    tag_at: int
    body_at: int


def delivery_shape(data: bytes | bytearray) -> Shape | None:
    """Of the delivery that starts these octets; None if it is cut short.

    Raises:
        WireError: they start with something else.
    """
    at = body_at = 0
    body_octets: int | None = None
    while body_octets is None or body_octets > 0:
        if len(data) < at + FRAME_HEADER_OCTETS:
            return None
        kind, _, octets = struct.unpack_from(">BHI", data, at)
        if len(data) < at + octets + FRAME_OVERHEAD_OCTETS:
            return None
        payload = at + FRAME_HEADER_OCTETS
        if kind == HEADER:
            (body_octets,) = struct.unpack_from(">Q", data, payload + 4)
        elif kind == BODY and body_octets is not None:
            body_octets -= octets
            body_at = body_at or payload
        elif kind != METHOD or struct.unpack_from(">HH", data, payload) != BASIC_DELIVER:
            check_not_closed(bytes(data))
            raise WireError(f"not a delivery: {bytes(data[at : payload + min(octets, 100)])!r}")
        at += octets + FRAME_OVERHEAD_OCTETS
    return Shape(at, FRAME_HEADER_OCTETS + 4 + 1 + data[FRAME_HEADER_OCTETS + 4], body_at)


class SingleAcks:
    """Frames that acknowledge deliveries one by one, for next to nothing.

    256 frames are there already; of their delivery tags only the upper octets change, for all at once.
    """

    def __init__(self) -> None:
        self._frames = bytearray(b"".join(ack_frame(tag, multiple=False) for tag in range(256)))
        self._block = 0

    def frames(self, first: int, last: int) -> bytes:
        """For all delivery tags from first to last."""
        pieces = []
        for block in range(first >> 8, (last >> 8) + 1):
            if block != self._block:
                self._move_to(block)
            begin = first - (block << 8) if first >> 8 == block else 0
            end = last - (block << 8) + 1 if last >> 8 == block else 256
            pieces.append(bytes(self._frames[begin * ACK_OCTETS : end * ACK_OCTETS]))
        return b"".join(pieces)

    def _move_to(self, block: int) -> None:
        for place in range(7):
            octet = block >> 8 * place & 0xFF
            if octet != self._block >> 8 * place & 0xFF:
                self._frames[_TAG_LOW_AT - 1 - place :: ACK_OCTETS] = bytes([octet]) * 256
        self._block = block


class Consumer:
    """One connection with channel 1 that is subscribed; `run` consumes."""

    def __init__(self, address: Address, workload: Workload, number: int, board: Board) -> None:
        self._ack_every = workload.ack_every
        self._is_stamped = workload.is_stamped
        self._board = board
        self._words = board.consumer_words(number)
        self._histogram = board.histogram(number)
        self._buffer = bytearray(max(BUFFER_OCTETS, 4 * workload.body_octets))
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self._shape: Shape | None = None
        self._count = 0
        self._acked = 0
        self._single_acks = SingleAcks()
        self._client = Client(address)
        if workload.prefetch_count:
            self._client.qos(workload.prefetch_count)
        for n, queue in enumerate(workload.queues_of(number)):
            self._client.consume(queue, f"c{n:05}", no_ack=not workload.ack_every)
        if self._client.pending:
            raise WireError("deliveries before anything was published")
        self._client.wait_in_system(LOOK_S)

    def run(self) -> None:
        """Consume until the board says to stop."""
        while not self._board.is_stopped:
            try:
                octets = self._client.sock.recv_into(self._view[self._end :])
            except (TimeoutError, BlockingIOError):
                continue
            if not octets:
                check_not_closed(bytes(self._view[self._begin : self._end]))
                raise WireError("the broker closed a consumer's socket")
            self._end += octets
            if self._shape is None:
                self._shape = delivery_shape(self._buffer[: self._end])
            if self._shape is not None:
                self._take(self._shape)
        self._client.sock.close()

    def _take(self, shape: Shape) -> None:
        """Count the deliveries that are in the buffer whole."""
        begin, size = self._begin, shape.octets
        number = (self._end - begin) // size
        if number:
            last_at = begin + (number - 1) * size
            (tag,) = _STAMP.unpack_from(self._buffer, last_at + shape.tag_at)
            if tag != self._count + number or self._buffer[last_at + size - 1] != 0xCE:
                self._explain(shape)
            if self._is_stamped:
                self._take_stamps(begin + shape.body_at, begin + number * size, size)
            self._count += number
            self._words[CONSUMED] = self._count
            if self._ack_every:
                self._acknowledge()
            self._begin = begin = begin + number * size
        if begin == self._end:
            self._begin = self._end = 0
        elif len(self._buffer) - begin < 2 * size or (number and self._end - begin < 1024):
            # Little is left: move it to where the buffer begins.
            self._view[: self._end - begin] = self._view[begin : self._end]
            self._begin, self._end = 0, self._end - begin

    def _take_stamps(self, first: int, end: int, size: int) -> None:
        marks = self._buffer[first:end:size]
        at = marks.find(255)
        if at < 0:
            return
        now = time.perf_counter_ns()
        histogram, words = self._histogram, self._words
        shortest, longest = words[MIN_NS] or now, words[MAX_NS]
        while at >= 0:
            (stamp,) = _STAMP.unpack_from(self._buffer, first + at * size)
            latency = max(1, (now - stamp) & STAMP_MASK)
            if latency > STAMP_MASK >> 1:
                latency = 1  # sent a moment before it was due
            histogram[bucket(latency)] += 1
            shortest = min(shortest, latency)
            longest = max(longest, latency)
            at = marks.find(255, at + 1)
        words[MIN_NS], words[MAX_NS] = shortest, longest

    def _acknowledge(self) -> None:
        if self._ack_every == 1:
            acks = self._single_acks.frames(self._acked + 1, self._count)
            self._acked = self._count
        else:
            tags = range(self._acked + self._ack_every, self._count + 1, self._ack_every)
            acks = b"".join(ack_frame(tag, multiple=True) for tag in tags)
            self._acked = tags[-1] if tags else self._acked
        at = 0
        while at < len(acks) and not self._board.is_stopped:
            try:
                at += self._client.sock.send(acks[at:] if at else acks)
            except (TimeoutError, BlockingIOError):
                continue

    def _explain(self, shape: Shape) -> None:
        """Find what is not as it should be.

        Raises:
            WireError: always.
        """
        data = self._buffer[self._begin : self._end]
        for number in range(len(data) // shape.octets):
            found = delivery_shape(data[number * shape.octets :])
            if found != shape:
                raise WireError(f"deliveries of different sizes ({shape.octets} octets, then {found and found.octets})")
            (tag,) = _STAMP.unpack_from(data, number * shape.octets + shape.tag_at)
            if tag != self._count + number + 1:
                raise WireError(f"delivery tag {tag} where {self._count + number + 1} was due")
        raise WireError("deliveries that make no sense")
