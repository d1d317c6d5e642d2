"""A broker and its clients in one thread, with no socket and no event loop between them.

`World` is a broker whose clock stands until a test moves it. `Client` is a small AMQP client joined
to a `Connection` directly: what it sends has been worked off, and all answers have come, when the
call returns.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.session.connection import Connection
from amqp_broker.storage.interface import Storage
from amqp_codec import (
    PROTOCOL_HEADER,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
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
    Table,
    append_content,
    encode_content_header,
    encode_method_frame,
    encode_method_payload,
)

M = TypeVar("M", bound=Method)

PLAIN_GUEST = b"\0guest\0guest"
CAPABILITIES: Table = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
CLIENT_FRAME_MAX = 131_072


class World:
    """A broker and a clock, in seconds, that only `advance` moves."""

    def __init__(self, config: Config | None = None, storage: Storage | None = None) -> None:
        self.time = 1_000_000.0
        self.broker = Broker(config or Config(), now=lambda: self.time, storage=storage)
        if storage is not None:
            self.broker.restore((), {})

    def advance(self, seconds: float) -> None:
        """Let time pass: everything that falls due on the way happens at its own instant."""
        end = self.time + seconds
        timers = self.broker.timers
        while (deadline := timers.next_deadline()) is not None and deadline <= end:
            self.time = max(self.time, deadline)
            timers.run()
        self.time = end

    def client(self) -> Client:
        """Connect and open, as an ordinary client does."""
        return self.client_of("/")

    def client_of(self, vhost: str) -> Client:
        """Connect and open a vhost."""
        client = self.connect()
        client.open(vhost=vhost)
        return client

    def connect(self) -> Client:
        """Connect, and say nothing yet."""
        return Client(self)

    def channel(self) -> ChannelClient:
        """Open a channel of a new connection."""
        return self.client().channel()


class Client:
    """The client's end of one connection.

    Attributes:
        inbox: commands that came and that nobody has asked for yet, in order.
        raw: all octets the broker ever sent.
        handed_over: other nodes that were to go on with it.
        is_closed: the broker has closed the socket.
        is_finished: the broker has closed its side after writing everything.
    """

    def __init__(self, world: World, *, peer: Peer | None = None) -> None:
        self.world = world
        self.inbox: deque[Command] = deque()
        self.raw = bytearray()
        self.handed_over: list[tuple[Parcel, Elsewhere]] = []
        self.is_closed = False
        self.is_finished = False
        self.reads = True
        self._reader: CommandReader | None = CommandReader(0, 1 << 30, 1 << 30)
        self.connection = Connection(world.broker, self, peer or Peer("127.0.0.1", 50_000))

    # The edge that the broker's side sees

    def output_waiting(self) -> None:
        """Nothing: `pump` takes the output after every call."""

    def reading_changed(self) -> None:
        """Nothing: the next `send` finds out."""

    def finish(self) -> None:
        self.is_finished = True

    def abort(self) -> None:
        self.is_closed = True
        self.connection.lost()

    def hand_over(self, parcel: Parcel, to: Elsewhere) -> None:
        self.handed_over.append((parcel, to))

    # Octets

    def send_octets(self, data: bytes) -> None:
        """Send as it is, and take in what comes back."""
        if not self.is_closed:
            self.connection.receive(data)
        self.pump()

    def pump(self) -> None:
        """Take all the broker has written, unless the test plays a client that does not read."""
        while self.reads and (chunks := self.connection.outbox.take()):
            for chunk in chunks:
                self.raw += chunk
                self._take_in(bytes(chunk))
                self.connection.outbox.sent(len(chunk))

    def _take_in(self, data: bytes) -> None:
        if self._reader is None:
            return
        if self.raw.startswith(b"AMQP"):
            self._reader = None  # refused: the broker's own protocol header is all that comes
            return
        for received in self._reader.receive(data):
            assert not isinstance(received, CodecError), received
            assert not isinstance(received, PublishCommand)
            self.inbox.append(received)

    def drop(self) -> None:
        """Lose the socket without a word."""
        self.is_closed = True
        self.connection.lost()

    # Methods

    def send(self, channel_id: int, method: Method) -> None:
        self.send_octets(encode_method_frame(channel_id, method))

    def expect(self, channel_id: int, kind: type[M]) -> M:
        """Take the next command, which is to be that method on that channel."""
        return self.expect_command(channel_id, kind)[0]

    def expect_command(self, channel_id: int, kind: type[M]) -> tuple[M, Command]:
        """Take the next command, content and all."""
        self.pump()
        assert self.inbox, f"nothing came, {kind.__name__} was expected"
        command = self.inbox.popleft()
        assert isinstance(command.method, kind), f"{command.method!r} came, not {kind.__name__}"
        assert command.channel_id == channel_id
        return command.method, command

    def expect_nothing(self) -> None:
        self.pump()
        assert not self.inbox, f"{self.inbox[0].method!r} came, nothing was expected"

    def expect_connected(self) -> None:
        """The broker has closed nothing."""
        assert not self.is_closed
        assert not self.is_finished

    def expect_finished(self) -> None:
        """The broker has closed its side in order, after all it had to say."""
        assert self.is_finished

    def expect_dropped(self) -> None:
        """The broker has closed the socket just like that."""
        assert self.is_closed
        assert not self.is_finished

    def call(self, channel_id: int, method: Method, kind: type[M]) -> M:
        """Send a method and take its answer, which is the next that comes."""
        self.send(channel_id, method)
        return self.expect(channel_id, kind)

    # The usual course of things

    def begin(self) -> ConnectionStart:
        self.send_octets(PROTOCOL_HEADER)
        return self.expect(0, ConnectionStart)

    def login(
        self,
        *,
        mechanism: str = "PLAIN",
        response: bytes = PLAIN_GUEST,
        properties: Table | None = None,
    ) -> None:
        """Send the header and `start-ok`; the answer is left to the test."""
        self.begin()
        self.send(
            0,
            ConnectionStartOk(
                client_properties={"capabilities": CAPABILITIES} if properties is None else properties,
                mechanism=mechanism,
                response=response,
                locale="en_US",
            ),
        )

    def open(
        self,
        *,
        channel_max: int = 2047,
        frame_max: int = CLIENT_FRAME_MAX,
        heartbeat: int = 0,
        vhost: str = "/",
        properties: Table | None = None,
    ) -> None:
        """Go through the handshake up to `open-ok`."""
        self.login(properties=properties)
        self.expect(0, ConnectionTune)
        self.send(0, ConnectionTuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat))
        self.call(0, ConnectionOpen(virtual_host=vhost), ConnectionOpenOk)

    def close(self) -> None:
        self.call(0, ConnectionClose(reply_code=200), ConnectionCloseOk)

    def expect_close(self, code: int, text: str | None = None) -> ConnectionClose:
        """Take a `connection.close` and check it; the text is the whole reply-text."""
        close = self.expect(0, ConnectionClose)
        assert close.reply_code == code, close
        assert text is None or close.reply_text == text
        return close

    def channel(self, channel_id: int = 1) -> ChannelClient:
        self.call(channel_id, ChannelOpen(), ChannelOpenOk)
        return ChannelClient(self, channel_id)


class Delivery:
    """What came with a `basic.deliver`, `basic.get-ok` or `basic.return`."""

    def __init__(self, method: Method, command: Command) -> None:
        assert command.header is not None
        assert command.body is not None
        self.method = method
        self.body = command.body
        self.properties: Properties = command.header.properties
        self.header_raw: bytes = command.header.raw
        self.tag: int = getattr(method, "delivery_tag", 0)
        self.redelivered: bool = getattr(method, "redelivered", False)
        self.exchange: str = getattr(method, "exchange", "")
        self.routing_key: str = getattr(method, "routing_key", "")
        self.consumer_tag: str = getattr(method, "consumer_tag", "")

    @property
    def headers(self) -> Table:
        return self.properties.headers or {}


class ChannelClient:
    """One channel of a `Client`."""

    def __init__(self, client: Client, channel_id: int) -> None:
        self.client = client
        self.id = channel_id

    @property
    def world(self) -> World:
        return self.client.world

    def send(self, method: Method) -> None:
        self.client.send(self.id, method)

    def call(self, method: Method, kind: type[M]) -> M:
        return self.client.call(self.id, method, kind)

    def expect(self, kind: type[M]) -> M:
        return self.client.expect(self.id, kind)

    def expect_nothing(self) -> None:
        self.client.expect_nothing()

    def expect_delivery(self, kind: type[Method] = BasicDeliver) -> Delivery:
        """Take a method with content: a deliver, or the kind that is named."""
        return Delivery(*self.client.expect_command(self.id, kind))

    def expect_bodies(self, *bodies: bytes) -> list[Delivery]:
        """Take deliveries with just these bodies, and nothing after them."""
        deliveries = [self.expect_delivery() for _ in bodies]
        assert [delivery.body for delivery in deliveries] == list(bodies)
        self.expect_nothing()
        return deliveries

    def expect_close(self, code: int, text: str | None = None) -> ChannelClose:
        """Take a `channel.close`, check it and answer it; the text is the whole reply-text."""
        close = self.expect(ChannelClose)
        assert close.reply_code == code, close
        assert text is None or close.reply_text == text, close.reply_text
        self.send(ChannelCloseOk())
        return close

    def close(self) -> None:
        self.call(ChannelClose(reply_code=200), ChannelCloseOk)

    def queue(self, queue: str = "", **options: object) -> str:
        """Declare a queue; gives its name."""
        return self.call(QueueDeclare(queue=queue, **options), QueueDeclareOk).queue  # type: ignore[arg-type]

    def counts(self, queue: str) -> tuple[int, int]:
        """Ask for the ready messages and the consumers of a queue."""
        answer = self.call(QueueDeclare(queue=queue, passive=True), QueueDeclareOk)
        return answer.message_count, answer.consumer_count

    def publish(
        self,
        routing_key: str,
        body: bytes = b"",
        *,
        exchange: str = "",
        properties: Properties | None = None,
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        method = BasicPublish(exchange=exchange, routing_key=routing_key, mandatory=mandatory, immediate=immediate)
        self.client.send_octets(self.publish_octets(method, body, properties))

    def publish_octets(self, method: BasicPublish, body: bytes = b"", properties: Properties | None = None) -> bytes:
        """The frames of a publish, for tests that send several things in one read."""
        frames = bytearray()
        append_content(
            frames,
            self.id,
            encode_method_payload(method),
            encode_content_header(properties or Properties(), len(body)),
            body,
            CLIENT_FRAME_MAX,
        )
        return bytes(frames)

    def publish_all(self, routing_key: str, *bodies: bytes) -> None:
        for body in bodies:
            self.publish(routing_key, body)

    def consume(self, queue: str, tag: str = "c", **options: object) -> str:
        """Start a consumer; gives its tag. Its first deliveries come after the answer."""
        method = BasicConsume(queue=queue, consumer_tag=tag, **options)  # type: ignore[arg-type]
        return self.call(method, BasicConsumeOk).consumer_tag

    def get(self, queue: str, *, no_ack: bool = True) -> Delivery | None:
        """Get a message; None when there is none."""
        self.send(BasicGet(queue=queue, no_ack=no_ack))
        self.client.pump()
        if isinstance(self.client.inbox[0].method, BasicGetEmpty):
            self.expect(BasicGetEmpty)
            return None
        return self.expect_delivery(BasicGetOk)

    def drain(self, queue: str) -> list[bytes]:
        """Get everything that is ready."""
        bodies = []
        while (delivery := self.get(queue)) is not None:
            bodies.append(delivery.body)
        return bodies
