"""Octets in, commands out: cuts frames, joins method, header and body by channel (§4.2.3, §4.2.6).

`CommandReader` takes octets in any slicing and gives whole commands; what breaks the protocol comes out as a
`CodecError` in the place where it happened (rules 1.43 to 1.49). It knows no states of connections and
channels: whether a method is allowed where it stands is the session's business.

What stays true: memory follows what has been received, whatever was announced, and is at most 64 times as much; no
octet is looked at twice because a frame came in pieces; the same octets give the same commands however they were
sliced.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, NoReturn

from amqp_codec import COMPILED
from amqp_codec.commands import AckCommand, Command, PublishCommand, Received
from amqp_codec.constants import (
    BASIC_CLASS,
    BODY_SIZE_HARD_LIMIT,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
    ReplyCode,
)
from amqp_codec.errors import CodecError
from amqp_codec.methods import BasicPublish, Method, decode_method
from amqp_codec.properties import ContentHeader, parse_content_header

if COMPILED:
    from amqp_codec._speedups import UsualCommands, new_octets, view_of
else:
    UsualCommands = None  # type: ignore[assignment, misc] # the plain form does it all

    def new_octets(size: int) -> bytes | bytearray:
        """So many octets, to be filled by way of `view_of`."""
        return bytearray(size)

    def view_of(octets: bytes | bytearray) -> memoryview:
        return memoryview(octets)


_HEAD_SIZE: Final = 7
_head_at: Final[Callable[[bytes, int], tuple[int, int, int]]] = Struct(">BHI").unpack_from
_content_head_at: Final[Callable[[bytes], tuple[int, int, int]]] = Struct(">HHQ").unpack_from
_CONTENT_HEAD_SIZE: Final = 12

_PUBLISH: Final = b"\x00\x3c\x00\x28"
"""The ids that begin a basic.publish."""
_PUBLISH_ADDRESS: Final = 6
"""Where its exchange begins: after the ids and the ticket."""
_PUBLISH_SIZE_MIN: Final = 9
"""Ids, ticket, two empty shortstrs and the octet of bits."""

_ACK: Final = b"\x00\x3c\x00\x50"
_ack_at: Final[Callable[[bytes, int], tuple[int, int]]] = Struct(">QB").unpack_from
_ACK_SIZE: Final = 13
"""Ids, delivery tag and the octet of bits."""
_ACK_HEAD: Final = _ACK_SIZE.to_bytes(4, "big") + _ACK
"""What follows the channel in a frame with a basic.ack."""
_ack_frame: Final = Struct(">BH8xQBB")

_SMALL_PIECE: Final = 1024
"""Below this, an object of its own would cost more than copying the octets once more."""

_LARGE_FRAME: Final = 16 * 1024
"""From this size on the payload of a body frame is put where it stays, whatever pieces it comes in."""

_AHEAD: Final = 64
"""How many times as much memory as has come of it may be taken for such a frame."""


class _Pieces:
    """Octets that come in pieces and are joined once.

    Small pieces share a bytearray: a peer that sends octet by octet then costs octets, not objects.
    """

    __slots__ = ("_pieces", "octets")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.octets = 0

    def add(self, piece: bytes | bytearray) -> None:
        self.octets += len(piece)
        if len(piece) >= _SMALL_PIECE:
            # Copies only a bytearray, which its owner may change and the next branch would.
            self._pieces.append(bytes(piece))
        elif self._pieces and isinstance(last := self._pieces[-1], bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self) -> bytes:
        """All octets; afterwards there are none."""
        joined = b"".join(self._pieces)
        self._pieces.clear()
        self.octets = 0
        return joined


class _Assembly:
    """What is there so far of a method with content."""

    __slots__ = ("address", "bits", "body", "header", "held", "method", "missing")

    def __init__(self, method: Method | None, address: bytes, bits: int) -> None:
        self.method = method
        """None for a basic.publish, which is `address` and `bits` instead."""
        self.address = address
        self.bits = bits
        self.header: ContentHeader | None = None
        self.body: _Pieces | None = None
        """None before the header, and when the body is thrown away."""
        self.missing = 0
        """Octets of the body still to come."""
        self.held = 0
        """Octets that count towards `max_partial_octets`."""

    def error(self, reply_code: ReplyCode, text: str) -> CodecError:
        method = self.method or BasicPublish
        return CodecError(reply_code, text, method.class_id, method.method_id)


class CommandReader:
    """Makes commands of the octets one peer sends after the protocol header.

    Args:
        frame_max: the negotiated size of a frame in octets, 0 for no limit; may be set anew at any time.
            Payloads are tolerated up to this size, 8 octets more than the specification says (rule 1.43).
        max_body_octets: bodies announced larger than this are read and thrown away; the command comes with
            the body None, for a session to refuse it once it has been read in full (rule 5.5).
        max_partial_octets: how much unfinished content all channels together may hold, methods and headers
            included. A publish that is whole in one read never counts. Without a frame_max this also limits a
            single frame, so keep it above max_body_octets.
    """

    __slots__ = (
        "_alike_limit",
        "_assemblies",
        "_example",
        "_head",
        "_header",
        "_held",
        "_landed",
        "_landing",
        "_landing_channel",
        "_max_body_octets",
        "_max_partial_octets",
        "_needed",
        "_offset",
        "_pending",
        "_room",
        "_unread",
        "_usual",
        "failed",
        "frame_max",
        "most",
    )

    def __init__(self, frame_max: int, max_body_octets: int, max_partial_octets: int) -> None:
        self.frame_max = frame_max
        self.most = 0
        """How many commands `receive` gives at most, 0 for all; what follows is kept for the next call."""
        self.failed = False
        """True once a CodecError was given; input is ignored from there on (rule 1.44)."""
        self._max_body_octets = max_body_octets
        self._max_partial_octets = max_partial_octets
        self._pending = _Pieces()
        self._needed = 0
        """How many octets must be pending before looking at them can lead to anything."""
        self._unread = b""
        """What was not looked at because there were enough commands, from `_offset` on."""
        self._offset = 0
        self._assemblies: dict[int, _Assembly] = {}
        self._held = 0
        self._landing: bytes | bytearray | None = None
        """The payload of a large body frame that has come in part; then nothing is pending."""
        self._room: memoryview | None = None
        """All of its memory, of which the first `_landed` octets are filled."""
        self._landed = 0
        self._landing_channel = 0
        # Publishers mostly repeat themselves, so the header of a message is likely to be the last one again.
        self._header = ContentHeader(b"", 0, 0, 0, 0, -1, None)
        self._usual = UsualCommands(max_body_octets, self._assemblies) if UsualCommands is not None else None
        """The octet-level short cut of the compiled form; None in plain Python."""
        self._example: PublishCommand | None = None
        """The last publish that had a body and was whole in a read, without that body, for `_take_alike`."""
        self._head = b""
        """All its octets before the body."""
        self._alike_limit = 0
        """The limit its frames were compared with."""

    @property
    def is_inside_content(self) -> bool:
        """The header of some content has come, and not yet all of its body."""
        return any(assembly.header is not None for assembly in self._assemblies.values())

    @property
    def has_more(self) -> bool:
        """There were enough commands, so `receive` may give more without further octets."""
        return len(self._unread) > 0

    def take_rest(self) -> bytes:
        """The octets that have been received and not been looked at; somebody else makes commands of them."""
        unread, self._unread = self._unread, b""
        offset, self._offset = self._offset, 0
        return unread[offset:] + self._pending.take()

    @property
    def room(self) -> memoryview | None:
        """Where the next octets may be put instead of being handed over, or None where it isn't known yet.

        How many were put there is for the next `receive` to hear, which may move the room.
        """
        return None if self._room is None else self._room[self._landed :]

    def receive(self, data: bytes | bytearray, landed: int = 0) -> list[Received]:
        """All commands that `data` completes, but not more than `most`. A CodecError can only be the last one.

        Args:
            data: octets as they came.
            landed: how many came before them, and were put into `room`.
        """
        if self.failed:
            return []
        pending = self._pending
        offset = self._offset
        if self._room is not None:
            self._landed += landed
            octets = data if isinstance(data, bytes) else bytes(data)
            offset = self._land(octets, 0)
            if offset == len(octets):
                return []
        elif self._unread:
            octets = self._unread
            if data:
                octets = octets[offset:] + data
                offset = 0
            self._unread = b""
            self._offset = 0
        elif pending.octets:
            pending.add(data)
            if pending.octets < self._needed:
                return []
            octets = pending.take()
        else:
            octets = data if isinstance(data, bytes) else bytes(data)
        received: list[Received] = []
        try:
            if self._room is not None:
                offset = self._landing_over(octets, offset, received)
            if not self.most or len(received) < self.most:
                offset = self._scan(octets, offset, received)
        except CodecError as error:
            self.failed = True
            self._assemblies.clear()
            self._landing = self._room = None
            received.append(error)
        else:
            if offset == len(octets):
                return received
            if self.most and len(received) >= self.most:
                self._unread = octets
                self._offset = offset
            else:
                pending.add(octets[offset:])
        return received

    def _scan(self, data: bytes, offset: int, received: list[Received]) -> int:
        """Take whole frames from `data[offset:]` and give the offset where the rest begins."""
        available = len(data)
        most = self.most or available
        while available - offset >= _HEAD_SIZE:
            if self._usual is not None:
                offset = self._usual.take(data, offset, self.frame_max or self._max_partial_octets, received, most)
            else:
                offset = self._take_alike(data, offset, received, most)
            if len(received) >= most:
                return offset
            if available - offset < _HEAD_SIZE:
                break
            frame_type, channel_id, size = _head_at(data, offset)
            if size > (self.frame_max or self._max_partial_octets):
                self._refuse_size(frame_type, size)
            start = offset + _HEAD_SIZE
            end = start + size
            if end >= available:
                if frame_type == FRAME_BODY and size >= _LARGE_FRAME and (available - start) * _AHEAD >= size:
                    return self._begin_landing(data, start, size, channel_id) or offset
                self._needed = _HEAD_SIZE + size + 1
                return offset
            if data[end] != FRAME_END:
                marker = f"{{invalid_frame_end_marker,{data[end]}}}"
                raise _frame_error(frame_type, data[start:end], marker)
            usual = b""
            if frame_type == FRAME_METHOD and channel_id and channel_id not in self._assemblies:
                usual = data[start : start + 4]
            if usual == _PUBLISH:
                offset = self._on_publish(data, start, end, channel_id, received)
            elif usual == _ACK and size == _ACK_SIZE:
                delivery_tag, bits = _ack_at(data, start + 4)
                received.append(AckCommand(channel_id, delivery_tag, bits & 1 == 1))
                offset = end + 1
            else:
                self._on_frame(frame_type, channel_id, data[start:end], received)
                offset = end + 1
            if len(received) >= most:
                return offset
        self._needed = _HEAD_SIZE
        return offset

    # A large body frame that comes in pieces

    def _begin_landing(self, data: bytes, start: int, size: int, channel_id: int) -> int:
        """Take what there is of a body frame's payload; gives the offset behind that, and 0 if the frame is not due."""
        assembly = self._assemblies.get(channel_id)
        if assembly is None or assembly.body is None or size > assembly.missing:
            self._needed = _HEAD_SIZE + size + 1
            return 0
        self._landing = new_octets(size)
        self._room = view_of(self._landing)
        self._landed = 0
        self._landing_channel = channel_id
        return self._land(data, start)

    def _land(self, data: bytes, start: int) -> int:
        """Put octets where they belong; gives the offset of those that come behind the payload."""
        room = self._room
        assert room is not None
        octets = min(len(room) - self._landed, len(data) - start)
        if octets:
            room[self._landed : self._landed + octets] = memoryview(data)[start : start + octets]
            self._landed += octets
        return start + octets

    def _landing_over(self, data: bytes, offset: int, received: list[Received]) -> int:
        """The payload is all there, and the octet behind it as well; gives the offset behind that."""
        assert self._landing is not None
        payload = bytes(self._landing)  # of octets already, where it is compiled: no copy
        self._landing = self._room = None
        if data[offset] != FRAME_END:
            raise _frame_error(FRAME_BODY, payload, f"{{invalid_frame_end_marker,{data[offset]}}}")
        channel_id = self._landing_channel
        self._on_body(channel_id, self._assemblies[channel_id], payload, received)
        self._needed = _HEAD_SIZE
        return offset + 1

    def _refuse_size(self, frame_type: int, size: int) -> NoReturn:
        if self.frame_max:
            too_large = f"{{frame_too_large,{size},{self.frame_max - FRAME_OVERHEAD}}}"
            raise _frame_error(frame_type, b"", too_large)
        text = f"frame of {size} octets exceeds the limit for content of {self._max_partial_octets}"
        raise CodecError(ReplyCode.RESOURCE_ERROR, text)

    # The short path: a publish, usually with all of its content behind it in the same read.

    def _on_publish(self, data: bytes, start: int, end: int, channel_id: int, received: list[Received]) -> int:
        """Take the basic.publish in `data[start:end]`, and with it its header and its only body frame.

        Where the following frames aren't there yet or aren't the usual ones, they are left to `_on_frame`,
        which also finds the words for what is wrong with them. Gives the offset after the frames taken.
        """
        available = len(data)
        address_start = start + _PUBLISH_ADDRESS
        bits_at = end - 1
        exchange_end = bits_at
        if end - start >= _PUBLISH_SIZE_MIN:
            exchange_end = address_start + 1 + data[address_start]
        if exchange_end >= bits_at or exchange_end + 1 + data[exchange_end] != bits_at:
            text = f"cannot decode {BasicPublish.name}"
            raise CodecError(ReplyCode.FRAME_ERROR, text, BasicPublish.class_id, BasicPublish.method_id)
        address = data[address_start:bits_at]
        bits = data[bits_at] & 3

        assembly = _Assembly(None, address, bits)
        limit = self.frame_max or self._max_partial_octets
        header_start = end + 1 + _HEAD_SIZE
        if header_start <= available:
            frame_type, channel, size = _head_at(data, end + 1)
            header_end = header_start + size
            if (
                frame_type == FRAME_HEADER
                and channel == channel_id
                and _CONTENT_HEAD_SIZE <= size <= limit
                and header_end < available
                and data[header_end] == FRAME_END
            ):
                header = self._check_header(assembly, data[header_start:header_end])
                body_size = header.body_size
                body_start = header_end + 1 + _HEAD_SIZE
                body_end = body_start + body_size
                if body_size == 0:
                    received.append(PublishCommand(channel_id, address, bits, header, b""))
                    return header_end + 1
                if (
                    body_size <= limit
                    and body_size <= self._max_body_octets
                    and body_end < available
                    and data[body_end] == FRAME_END
                    and _head_at(data, header_end + 1) == (FRAME_BODY, channel_id, body_size)
                ):
                    body = data[body_start:body_end]
                    received.append(PublishCommand(channel_id, address, bits, header, body))
                    if self._usual is None:
                        self._example = PublishCommand(channel_id, address, bits, header, b"")
                        self._head = data[start - _HEAD_SIZE : body_start]
                        self._alike_limit = limit
                    return body_end + 1
                self._begin(channel_id, assembly, len(address))
                self._expect_body(assembly, header)
                return header_end + 1
        self._begin(channel_id, assembly, len(address))
        return end + 1

    def _take_alike(self, data: bytes, offset: int, received: list[Received], most: int) -> int:
        """Take acks, and publishes that begin like the last one, up to their bodies: publishers repeat themselves.

        Interpreted, one comparison costs a fraction of a look at each field, and what has been checked of those octets
        is true of the same octets. Gives the offset of the first frame that is something else.
        """
        example = self._example
        limit = self.frame_max or self._max_partial_octets
        if example is not None and limit == self._alike_limit and example.channel_id not in self._assemblies:
            channel_id, address, bits, header = example.channel_id, example.address, example.bits, example.header
            head = self._head
            head_size = len(head)
            size = head_size + header.body_size + 1
            for end in range(offset + size, min(len(data), offset + (most - len(received)) * size) + 1, size):
                if not data.startswith(head, offset) or data[end - 1] != FRAME_END:
                    break
                body = data[offset + head_size : end - 1]
                received.append(PublishCommand(channel_id, address, bits, header, body))
                offset = end
        if limit >= _ACK_SIZE:
            size = _ack_frame.size
            for end in range(offset + size, min(len(data), offset + (most - len(received)) * size) + 1, size):
                if not data.startswith(_ACK_HEAD, offset + 3):
                    break
                frame_type, channel_id, delivery_tag, bits, mark = _ack_frame.unpack_from(data, offset)
                if frame_type != FRAME_METHOD or mark != FRAME_END or not channel_id or channel_id in self._assemblies:
                    break
                received.append(AckCommand(channel_id, delivery_tag, bits & 1 == 1))
                offset = end
        return offset

    # The general path, frame by frame

    def _on_frame(self, frame_type: int, channel_id: int, payload: bytes, received: list[Received]) -> None:
        assembly = self._assemblies.get(channel_id)
        if frame_type == FRAME_METHOD:
            if len(payload) < 4:
                raise _frame_error(frame_type, payload, "unknown_frame")
            if assembly is not None:
                raise _out_of_sequence(assembly)
            method = decode_method(payload)
            if method.has_content and channel_id:
                self._begin(channel_id, _Assembly(method, b"", 0), len(payload))
            else:
                received.append(Command(channel_id, method))
        elif frame_type == FRAME_HEADER:
            if len(payload) < _CONTENT_HEAD_SIZE:
                raise _frame_error(frame_type, payload, "unknown_frame")
            if assembly is None or assembly.header is not None:
                raise _out_of_sequence(assembly)
            header = self._check_header(assembly, payload)
            if header.body_size:
                self._expect_body(assembly, header)
            else:
                assembly.header = header
                self._finish(channel_id, assembly, b"", received)
        elif frame_type == FRAME_BODY:
            if assembly is None or assembly.header is None:
                raise _out_of_sequence(assembly)
            self._on_body(channel_id, assembly, payload, received)
        elif frame_type != FRAME_HEARTBEAT or payload:
            raise _frame_error(frame_type, payload, "unknown_frame")
        elif channel_id:
            raise CodecError(ReplyCode.UNEXPECTED_FRAME, f"type {frame_type}, all octets = <<>>")

    def _check_header(self, assembly: _Assembly, payload: bytes) -> ContentHeader:
        if payload == self._header.raw:
            return self._header
        class_id, weight, body_size = _content_head_at(payload)
        if weight:
            raise _out_of_sequence(assembly)
        if class_id != BASIC_CLASS:
            text = f"expected content header for class {BASIC_CLASS}, got one for class {class_id} instead"
            raise assembly.error(ReplyCode.UNEXPECTED_FRAME, text)
        if body_size > BODY_SIZE_HARD_LIMIT:
            text = f"content body size {body_size} exceeds maximum allowed size {BODY_SIZE_HARD_LIMIT}"
            raise assembly.error(ReplyCode.FRAME_ERROR, text)
        try:
            header = parse_content_header(payload)
        except CodecError as error:
            raise assembly.error(error.reply_code, error.text) from error
        self._header = header
        return header

    def _on_body(self, channel_id: int, assembly: _Assembly, payload: bytes, received: list[Received]) -> None:
        assembly.missing -= len(payload)
        if assembly.missing < 0:
            text = "content body frame exceeds remaining content size"
            raise assembly.error(ReplyCode.FRAME_ERROR, text)
        pieces = assembly.body
        if assembly.missing:
            if pieces is not None:
                pieces.add(payload)
                self._hold(assembly, len(payload))
        elif pieces is None:
            self._finish(channel_id, assembly, None, received)
        elif pieces.octets:
            pieces.add(payload)
            self._finish(channel_id, assembly, pieces.take(), received)
        else:
            self._finish(channel_id, assembly, payload, received)

    # Assemblies: begun by the method, given their header, finished by the last octet of the body

    def _begin(self, channel_id: int, assembly: _Assembly, octets: int) -> None:
        self._assemblies[channel_id] = assembly
        self._hold(assembly, octets)

    def _expect_body(self, assembly: _Assembly, header: ContentHeader) -> None:
        assembly.header = header
        assembly.missing = header.body_size
        if header.body_size <= self._max_body_octets:
            assembly.body = _Pieces()
        self._hold(assembly, len(header.raw))

    def _hold(self, assembly: _Assembly, octets: int) -> None:
        assembly.held += octets
        self._held += octets
        if self._held > self._max_partial_octets:
            text = f"unfinished content of all channels exceeds {self._max_partial_octets} octets"
            raise assembly.error(ReplyCode.RESOURCE_ERROR, text)

    def _finish(self, channel_id: int, assembly: _Assembly, body: bytes | None, received: list[Received]) -> None:
        del self._assemblies[channel_id]
        self._held -= assembly.held
        header = assembly.header
        assert header is not None, "content is finished by its header or by what comes after it"
        if assembly.method is None:
            received.append(PublishCommand(channel_id, assembly.address, assembly.bits, header, body))
        else:
            received.append(Command(channel_id, assembly.method, header, body))


# Errors in RabbitMQ's words


def _frame_error(frame_type: int, payload: bytes, reason: str) -> CodecError:
    which = "all" if len(payload) <= 16 else "first 16"
    octets = ",".join(str(octet) for octet in payload[:16])
    return CodecError(ReplyCode.FRAME_ERROR, f"type {frame_type}, {which} octets = <<{octets}>>: {reason}")


def _out_of_sequence(assembly: _Assembly | None) -> CodecError:
    if assembly is None:
        text = "expected method frame, got non method frame instead"
        return CodecError(ReplyCode.UNEXPECTED_FRAME, text)
    if assembly.header is None:
        text = f"expected content header for class {BASIC_CLASS}, got non content header frame instead"
    else:
        text = "expected content body, got non content body frame instead"
    return assembly.error(ReplyCode.UNEXPECTED_FRAME, text)
