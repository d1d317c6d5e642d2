"""A small AMQP client over any trio stream: for tests of the edge, where octets really travel."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import trio

from amqp_codec import (
    PROTOCOL_HEADER,
    BasicConsume,
    BasicConsumeOk,
    BasicPublish,
    ChannelOpen,
    ChannelOpenOk,
    CodecError,
    Command,
    CommandReader,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    Properties,
    PublishCommand,
    QueueDeclare,
    QueueDeclareOk,
    append_content,
    encode_content_header,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import CAPABILITIES, CLIENT_FRAME_MAX, PLAIN_GUEST

M = TypeVar("M", bound=Method)


class ConnectionLostError(Exception):
    """The broker's side has ended where a method was expected."""


def publish_frames(
    routing_key: str, body: bytes, *, channel_id: int = 1, exchange: str = "", mandatory: bool = False
) -> bytes:
    """The frames of a whole publish."""
    frames = bytearray()
    method = BasicPublish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    header = encode_content_header(Properties(), len(body))
    append_content(frames, channel_id, encode_method_payload(method), header, body, CLIENT_FRAME_MAX)
    return bytes(frames)


async def until(condition: Callable[[], bool], look_s: float = 0.001) -> None:
    """Wait for something that nobody reports."""
    while not condition():  # noqa: ASYNC110 - the broker has no event for the tests' sake
        await trio.sleep(look_s)


class WireClient:
    """The client's end of a stream.

    Attributes:
        inbox: commands that came and that nobody has asked for yet, in order.
        raw: all octets that came.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.inbox: deque[Command] = deque()
        self.raw = bytearray()
        self._reader = CommandReader(0, 1 << 30, 1 << 30)

    async def send_octets(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def send(self, channel_id: int, method: Method) -> None:
        await self.send_octets(encode_method_frame(channel_id, method))

    async def receive(self) -> Command | None:
        """The next command; None at the end of the broker's side."""
        while not self.inbox:
            data = await self.stream.receive_some(1 << 16)
            if not data:
                return None
            self.raw += data
            for received in self._reader.receive(data):
                assert not isinstance(received, CodecError), received
                assert not isinstance(received, PublishCommand)
                self.inbox.append(received)
        return self.inbox.popleft()

    async def rest(self) -> bytes:
        """All octets until the broker's side ends, in an orderly way or not."""
        octets = bytearray()
        try:
            async for data in self.stream:
                octets += data
        except trio.BrokenResourceError:
            pass
        return bytes(octets)

    async def expect(self, channel_id: int, kind: type[M]) -> M:
        """Take the next command, which is to be that method on that channel."""
        command = await self.receive()
        if command is None:
            raise ConnectionLostError(f"{kind.__name__} was expected")
        assert isinstance(command.method, kind), f"{command.method!r} came, not {kind.__name__}"
        assert command.channel_id == channel_id
        return command.method

    async def call(self, channel_id: int, method: Method, kind: type[M]) -> M:
        await self.send(channel_id, method)
        return await self.expect(channel_id, kind)

    # The usual course of things

    async def login(self) -> None:
        """Everything up to the broker's proposals."""
        await self.send_octets(PROTOCOL_HEADER)
        await self.expect(0, ConnectionStart)
        start_ok = ConnectionStartOk(
            client_properties={"capabilities": CAPABILITIES}, mechanism="PLAIN", response=PLAIN_GUEST, locale="en_US"
        )
        await self.call(0, start_ok, ConnectionTune)

    async def open(self, *, heartbeat: int = 0, channels: int = 1, vhost: str = "/") -> None:
        """Everything up to open channels 1 and following."""
        await self.login()
        await self.send(0, ConnectionTuneOk(channel_max=2047, frame_max=CLIENT_FRAME_MAX, heartbeat=heartbeat))
        await self.call(0, ConnectionOpen(virtual_host=vhost), ConnectionOpenOk)
        for channel_id in range(1, channels + 1):
            await self.call(channel_id, ChannelOpen(), ChannelOpenOk)

    async def close(self) -> None:
        await self.call(0, ConnectionClose(reply_code=200), ConnectionCloseOk)
        await self.stream.aclose()

    async def declare(self, queue: str, *, passive: bool = False) -> int:
        """Declare a queue on channel 1; gives the number of its ready messages."""
        answer = await self.call(1, QueueDeclare(queue=queue, passive=passive), QueueDeclareOk)
        return answer.message_count

    async def consume(self, queue: str, *, no_ack: bool = True) -> None:
        await self.call(1, BasicConsume(queue=queue, consumer_tag="c", no_ack=no_ack), BasicConsumeOk)

    async def publish(self, routing_key: str, body: bytes, *, mandatory: bool = False) -> None:
        await self.send_octets(publish_frames(routing_key, body, mandatory=mandatory))

    async def body(self) -> bytes:
        """Take the next command, which is to be a message; gives its body."""
        command = await self.receive()
        if command is None:
            raise ConnectionLostError("a message was expected")
        assert command.body is not None, f"{command.method!r} came, not a message"
        return command.body


Dial: TypeAlias = Callable[[str, int], Awaitable[WireClient]]
"""Connects to a host and port."""
