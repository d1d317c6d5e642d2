"""What comes out of the reader: commands, and the address in them that a publish is routed by.

Plain classes, for every message passes through them and they are compiled (types in commands.pxd).
"""

from typing import Final, TypeAlias

from amqp_codec.errors import CodecError
from amqp_codec.fields import decode_shortstr, encode_shortstr
from amqp_codec.methods import BasicAck, Method
from amqp_codec.properties import ContentHeader


def encode_address(exchange: str, routing_key: str) -> bytes:
    """Exchange and routing key as they stand in basic.publish and basic.deliver."""
    return encode_shortstr(exchange) + encode_shortstr(routing_key)


def decode_address(address: bytes) -> tuple[str, str]:
    """Exchange and routing key; octets that aren't UTF-8 survive by surrogateescape (rule 1.51)."""
    exchange, offset = decode_shortstr(address, 0)
    routing_key, _ = decode_shortstr(address, offset)
    return exchange, routing_key


class Command:
    """A method and, if it has content, its header and body.

    `body` is None without content, and when it was larger than the reader keeps. On channel 0, where no
    method with content belongs, such a method comes alone.
    """

    __slots__ = ("_method", "body", "channel_id", "header")

    def __init__(
        self,
        channel_id: int,
        method: Method,
        header: ContentHeader | None = None,
        body: bytes | None = None,
    ) -> None:
        self.channel_id = channel_id
        self._method = method
        self.header = header
        self.body = body

    @property
    def method(self) -> Method:
        return self._method

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and (
            (self.channel_id, self.method, self.header, self.body)
            == (other.channel_id, other.method, other.header, other.body)
        )

    __hash__ = None  # type: ignore[assignment]  # a method may be changed

    def __repr__(self) -> str:
        return f"Command({self.channel_id}, {self.method}, {self.header}, body={_brief(self.body)})"


class AckCommand(Command):
    """A basic.ack on a channel. Too many come to make an object of each `method` that nobody looks at."""

    __slots__ = ("delivery_tag", "multiple")

    def __init__(self, channel_id: int, delivery_tag: int, multiple: bool) -> None:
        self.channel_id = channel_id
        self.delivery_tag = delivery_tag
        self.multiple = multiple
        self.header = None
        self.body = None

    @property
    def method(self) -> BasicAck:
        return BasicAck(self.delivery_tag, self.multiple)


class PublishCommand:
    """A whole basic.publish, in the form that costs least to route and to deliver."""

    __slots__ = ("address", "bits", "body", "channel_id", "header")

    MANDATORY: Final = 1
    IMMEDIATE: Final = 2

    def __init__(self, channel_id: int, address: bytes, bits: int, header: ContentHeader, body: bytes | None) -> None:
        self.channel_id = channel_id
        self.address = address
        """Exchange and routing key as they came (`encode_address`)."""
        self.bits = bits
        """`MANDATORY` and `IMMEDIATE`."""
        self.header = header
        self.body = body
        """None when it was larger than the reader keeps: then `header.body_size` tells how large."""

    @property
    def exchange(self) -> str:
        return decode_address(self.address)[0]

    @property
    def routing_key(self) -> str:
        return decode_address(self.address)[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublishCommand) and (
            (self.channel_id, self.address, self.bits, self.header, self.body)
            == (other.channel_id, other.address, other.bits, other.header, other.body)
        )

    def __hash__(self) -> int:
        return hash((self.channel_id, self.address, self.bits, self.header, self.body))

    def __repr__(self) -> str:
        return (
            f"PublishCommand({self.channel_id}, exchange={self.exchange!r}, "
            f"routing_key={self.routing_key!r}, bits={self.bits}, {self.header}, body={_brief(self.body)})"
        )


def _brief(body: bytes | None) -> str:
    return "None" if body is None else f"<{len(body)} octets>"


Received: TypeAlias = Command | PublishCommand | CodecError
