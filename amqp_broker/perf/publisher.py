"""A process that publishes: messages made once, sent over and over, as far ahead as the workload allows."""

from __future__ import annotations

import select
import struct
import time
from typing import Final

from amqp_broker.perf.board import CONFIRMED, DONE_AT, PUBLISHED, REFUSED, Board
from amqp_broker.perf.wire import (
    ACK_OCTETS,
    BASIC_ACK,
    BASIC_NACK,
    Address,
    Client,
    WireError,
    check_not_closed,
    iter_acks,
    publish_frames,
)
from amqp_broker.perf.workload import Workload

LOOK_S: Final = 0.1
"""How often a process that waits looks whether the run is over."""

LOOK_NS: Final = int(LOOK_S * 1e9)

LEAD_WAIT_S: Final = 0.000_3
CONFIRM_DEADLINE_S: Final = 20.0

STAMP_MARK: Final = 0xFF << 56
"""Makes the first octet of a stamp 255, where bodies without one have 0."""
STAMP_MASK: Final = (1 << 56) - 1

_STAMP: Final = struct.Struct(">Q")


class ConfirmCount:
    """Counts what a broker has confirmed, in whatever order.

    Attributes:
        refused: confirmed by basic.nack, which the broker is done with as well.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._unparsed = b""
        self._up_to = 0
        self._singly: set[int] = set()

    @property
    def count(self) -> int:
        return self._up_to + len(self._singly)

    def receive(self, data: bytes) -> None:
        """Take octets of a channel on which nothing but confirms comes.

        Raises:
            WireError: something else came.
        """
        data = self._unparsed + data
        whole = len(data) // ACK_OCTETS * ACK_OCTETS
        self._unparsed = data[whole:]
        for method, tag, multiple in iter_acks(data[:whole]):
            if method not in (BASIC_ACK, BASIC_NACK):
                check_not_closed(data)
                raise WireError(f"method {method} where only confirms were expected")
            before = self.count
            if not multiple:
                self._singly.add(tag)
            elif tag > self._up_to:
                self._up_to = tag
                self._singly = {n for n in self._singly if n > tag}
            while self._up_to + 1 in self._singly:
                self._up_to += 1
                self._singly.remove(self._up_to)
            if method == BASIC_NACK:
                self.refused += self.count - before

    def end(self) -> WireError:
        """What to raise when the socket was closed."""
        try:
            check_not_closed(self._unparsed)
        except WireError as error:
            return error
        return WireError("the broker closed a publisher's socket")


class Publisher:
    """One connection with channel 1, made ready; `run` publishes."""

    def __init__(self, address: Address, workload: Workload, number: int, board: Board) -> None:
        self._workload = workload
        self._board = board
        self._words = board.publisher_words(number)
        self._client = Client(address)
        messages = [
            publish_frames(
                exchange,
                routing_key,
                bytes(workload.body_octets),
                persistent=workload.persistent,
                message_id=f"{n:08}" if workload.message_ids else "",
                frame_max=self._client.frame_max,
            )
            for n, (exchange, routing_key) in zip(
                range(workload.batch),
                workload.addresses(number) * workload.batch,
                strict=False,
            )
        ]
        self._octets = len(messages[0])
        self._frames = bytearray(b"".join(messages))
        self._view = memoryview(self._frames)
        # What follows the header frame; frame_max lets any stamp fit into the first body frame.
        body_frames = len(publish_frames("", "", bytes(workload.body_octets), frame_max=self._client.frame_max))
        self._stamp_at = self._octets - body_frames + len(publish_frames("", "", b"")) + 7
        self._send_at_most = workload.send_at_most
        self._next = 0
        self._confirms = ConfirmCount()
        if workload.confirm_window:
            self._client.confirm_select()
        self._client.wait_in_system(LOOK_S)
        self._looked_at = 0

    def run(self) -> None:
        """Publish until the board says so, or all is published; then wait until the broker has taken it."""
        board = self._board
        while not board.begins_at:
            time.sleep(0.001)
        while (now := time.perf_counter_ns()) < board.begins_at:
            time.sleep((board.begins_at - now) / 1e9)
        published = self._words[PUBLISHED]
        while not (board.publish_until and now >= board.publish_until):
            if self._workload.count and published >= self._workload.count:
                break
            messages = min(self._allowed(published, now), self._workload.batch - self._next)
            if messages > 0:
                self._publish(messages, published, now)
                published += messages
                self._words[PUBLISHED] = published
                if not self._workload.confirm_window and now > self._looked_at + LOOK_NS:
                    self._looked_at = now
                    self._receive(0)
            now = time.perf_counter_ns()
        give_up_at = time.monotonic() + CONFIRM_DEADLINE_S
        while self._workload.confirm_window and self._confirms.count < published:
            self._receive(LOOK_S)
            if time.monotonic() > give_up_at:
                raise WireError(f"{published - self._confirms.count} messages were not confirmed")
        self._client.sock.settimeout(CONFIRM_DEADLINE_S)
        self._client.close()  # its reply comes when the broker has taken all
        self._words[DONE_AT] = time.perf_counter_ns()

    def _allowed(self, published: int, now: int) -> int:
        """How many messages may be sent now; if none, wait a moment."""
        workload = self._workload
        allowed = least = self._send_at_most
        if workload.count:
            allowed = least = min(allowed, workload.count - published)
        if workload.rate:
            begins_at = self._board.begins_at
            due = int((now - begins_at) * workload.rate / 1e9) + 1 - published
            if due <= 0:
                self._receive(min(LOOK_S, max(0.0, (begins_at - now) / 1e9 + published / workload.rate)))
                return 0
            allowed, least = min(allowed, due), 1
        if workload.confirm_window:
            room = workload.confirm_window - (published - self._confirms.count)
            if room < least:
                self._receive(LOOK_S)
                return 0
            allowed = min(allowed, room)
        if workload.lead:
            room = workload.lead - (self._board.published - self._board.consumed // workload.copies)
            if room < least:
                time.sleep(LEAD_WAIT_S)
                return 0
            allowed = min(allowed, room)
        return allowed

    def _publish(self, messages: int, published: int, now: int) -> None:
        first = self._next * self._octets
        if self._workload.is_stamped:
            stamp_at = first + self._stamp_at
            if self._workload.rate:
                # When each was due: what a publisher that is held up cannot send counts as waiting.
                interval = 1e9 / self._workload.rate
                for n in range(messages):
                    due = self._board.begins_at + int((published + n) * interval)
                    _STAMP.pack_into(self._frames, stamp_at + n * self._octets, STAMP_MARK | due & STAMP_MASK)
            else:
                _STAMP.pack_into(self._frames, stamp_at, STAMP_MARK | now & STAMP_MASK)
        end = first + messages * self._octets
        while first < end:
            try:
                first += self._client.sock.send(self._view[first:end])
            except (TimeoutError, BlockingIOError):
                continue  # the broker takes nothing at present; a parent in a hurry ends this process
            except OSError:
                self._receive(0)  # why it has closed
                raise
        if self._workload.is_stamped and not self._workload.rate:
            self._frames[stamp_at] = 0
        self._next = (self._next + messages) % self._workload.batch

    def _receive(self, wait_s: float) -> None:
        """Take confirms, or the news that the broker has closed."""
        if not select.select([self._client.sock], [], [], wait_s)[0]:
            return
        data = self._client.sock.recv(65536)
        if not data:
            raise self._confirms.end()
        self._confirms.receive(data)
        self._words[REFUSED] = self._confirms.refused
        self._words[CONFIRMED] = self._confirms.count - self._confirms.refused
