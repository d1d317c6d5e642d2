"""The client's end of a connection: octets in, commands out, from the protocol header to the end.

Logs in, answers what concerns the connection and its channels, and gives everything else to whoever uses it. Knows no
socket and no clock. Source: §2.2, §2.3; rules 1.4 to 1.42 from the other side.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from amqp_broker import __version__
from amqp_codec import (
    HEARTBEAT_FRAME,
    PROTOCOL_HEADER,
    BasicCancel,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    CodecError,
    Command,
    CommandReader,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    Method,
    PublishCommand,
    Table,
    append_content,
    encode_method_frame,
)

MAX_BODY_OCTETS: Final = 512 * 1024 * 1024
"""More than any broker can be configured to take."""

FRAME_MAX_OCTETS: Final = 131_072
CHANNEL_MAX: Final = 2047
HEARTBEAT_S: Final = 60

CAPABILITIES: Final[Table] = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "publisher_confirms": True,
}


class LinkError(Exception):
    """A connection, or what was to be done over it, has come to an end.

    Attributes:
        code: the broker's reply code; 0 where it said nothing.
        is_lasting: trying again will not help until somebody changes something.
    """

    def __init__(self, text: str, code: int = 0, *, is_lasting: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.is_lasting = is_lasting


_LASTING: Final = frozenset({403, 404, 405, 406, 530})
"""Replies to something that will be asked for in the same way again."""


class ChannelClosedError(LinkError):
    """The broker closed a channel."""


class _State(Enum):
    START = auto()
    TUNE = auto()
    OPEN = auto()
    RUNNING = auto()
    CLOSING = auto()
    ENDED = auto()


class Machine:
    """One connection, seen from the client.

    Args:
        user: who logs in.
        password: with what.
        vhost: what to open.
        name: the connection's name, for lists of connections.
        heartbeat_s: the interval wished for; None for the broker's, 0 for none.
        is_known: the broker knows who this is and begins with tune (`session.Connection.log_in`).

    Attributes:
        output: octets to be sent; whoever sends them takes them out.
        heartbeat_s: what was agreed on, 0 for none.
        cluster_name: what the broker calls itself; empty where it says nothing.
        is_blocked: the broker reads no publishes for the time being.
    """

    def __init__(
        self,
        user: str,
        password: str,
        vhost: str,
        *,
        name: str = "",
        heartbeat_s: int | None = None,
        is_known: bool = False,
    ) -> None:
        self.output = bytearray() if is_known else bytearray(PROTOCOL_HEADER)
        self.frame_max = 0
        self.heartbeat_s = 0
        self.cluster_name = b""
        self.is_blocked = False
        self._login = b"\0" + user.encode() + b"\0" + password.encode()
        self._vhost = vhost
        self._name = name
        self._wished_heartbeat_s = heartbeat_s
        self._state = _State.TUNE if is_known else _State.START
        self._reader: CommandReader = CommandReader(FRAME_MAX_OCTETS, MAX_BODY_OCTETS, 2 * MAX_BODY_OCTETS)

    @property
    def is_open(self) -> bool:
        return self._state is _State.RUNNING

    @property
    def is_closing(self) -> bool:
        """The broker has yet to agree to the end."""
        return self._state is _State.CLOSING

    @property
    def is_ended(self) -> bool:
        """The broker has agreed to the end."""
        return self._state is _State.ENDED

    def receive(self, data: bytes | bytearray) -> list[Command]:
        """Take octets as they came; gives what concerns channels, in order.

        Raises:
            LinkError: the broker closed the connection, refused the login, or spoke something else.
        """
        if self._state is _State.START and bytes(data[:4]) == PROTOCOL_HEADER[:4]:
            raise LinkError("the broker speaks another version of AMQP", is_lasting=True)
        commands: list[Command] = []
        for received in self._reader.receive(data):
            if isinstance(received, CodecError):
                raise LinkError(f"the broker sent what is no AMQP 0-9-1: {received.text}")
            assert not isinstance(received, PublishCommand), "brokers don't publish"
            if received.channel_id == 0:
                self._on_control(received.method)
            elif not self._answered(received):
                commands.append(received)
        return commands

    def ended_early(self) -> LinkError:
        """What it means when the broker closes the socket at this point."""
        if self._state is _State.TUNE:
            # Brokers close without a word where they can't know whether the client would understand it.
            return LinkError("the broker closed the connection during the login")
        return LinkError("the broker closed the connection")

    def send(self, channel_id: int, method: Method) -> None:
        self.output += encode_method_frame(channel_id, method)

    def send_heartbeat(self) -> None:
        self.output += HEARTBEAT_FRAME

    def publish(self, channel_id: int, method_payload: bytes, header: bytes, body: bytes) -> None:
        """Send a message: an encoded basic.publish, and a content header as it came or was encoded."""
        append_content(self.output, channel_id, method_payload, header, body, self.frame_max)

    def close(self) -> None:
        """Begin to close; `is_ended` says when the broker has agreed."""
        if self._state is _State.RUNNING:
            self._state = _State.CLOSING
            self.send(0, ConnectionClose(reply_code=200, reply_text="Goodbye"))

    def _answered(self, command: Command) -> bool:
        """Answer what needs no decision."""
        if isinstance(command.method, ChannelFlow):
            self.send(command.channel_id, ChannelFlowOk(command.method.active))
            return True
        if isinstance(command.method, ChannelClose):
            self.send(command.channel_id, ChannelCloseOk())
        elif isinstance(command.method, BasicCancel):
            raise LinkError("the queue was deleted, or its consumer cancelled by the broker")
        return False

    def _on_control(self, method: Method) -> None:
        if isinstance(method, ConnectionClose):
            self.send(0, ConnectionCloseOk())
            self._state = _State.ENDED
            lasting = method.reply_code in _LASTING
            raise LinkError(method.reply_text, method.reply_code, is_lasting=lasting)
        if isinstance(method, ConnectionCloseOk) and self._state is _State.CLOSING:
            self._state = _State.ENDED
        elif isinstance(method, ConnectionStart) and self._state is _State.START:
            self._on_start(method)
        elif isinstance(method, ConnectionTune) and self._state is _State.TUNE:
            self._on_tune(method)
        elif isinstance(method, ConnectionOpenOk) and self._state is _State.OPEN:
            self._state = _State.RUNNING
        elif isinstance(method, ConnectionBlocked | ConnectionUnblocked):
            self.is_blocked = isinstance(method, ConnectionBlocked)
        elif self._state is not _State.CLOSING:
            raise LinkError(f"the broker sent {method!r} out of turn")

    def _on_start(self, method: ConnectionStart) -> None:
        if b"PLAIN" not in method.mechanisms.split():
            raise LinkError("the broker offers no login with a password (PLAIN)", is_lasting=True)
        name = method.server_properties.get("cluster_name")
        self.cluster_name = name if isinstance(name, bytes) else b""
        self.send(
            0,
            ConnectionStartOk(
                client_properties=client_properties(self._name),
                mechanism="PLAIN",
                response=self._login,
                locale="en_US",
            ),
        )
        self._state = _State.TUNE

    def _on_tune(self, method: ConnectionTune) -> None:
        wished = method.heartbeat if self._wished_heartbeat_s is None else self._wished_heartbeat_s
        self.heartbeat_s = min(wished, method.heartbeat) if method.heartbeat else wished
        self.frame_max = min(method.frame_max or FRAME_MAX_OCTETS, FRAME_MAX_OCTETS)
        channel_max = min(method.channel_max or CHANNEL_MAX, CHANNEL_MAX)
        self.send(0, ConnectionTuneOk(channel_max=channel_max, frame_max=self.frame_max, heartbeat=self.heartbeat_s))
        self.send(0, ConnectionOpen(virtual_host=self._vhost))
        self._state = _State.OPEN


def client_properties(name: str) -> Table:
    return {
        "product": b"trio-amqp-broker",
        "version": __version__.encode(),
        "connection_name": name.encode(),
        "capabilities": dict(CAPABILITIES),
    }


def closed_by(method: ChannelClose) -> ChannelClosedError:
    """What it means that the broker has closed a channel."""
    return ChannelClosedError(method.reply_text, method.reply_code, is_lasting=method.reply_code in _LASTING)
