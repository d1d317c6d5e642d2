"""One client's connection: octets in, octets into its outbox, from the protocol header to the end.

Knows neither socket nor event loop. What only the edge can do (read again, close the socket) it asks
of an `Edge`; what happens later is planned with the broker's timers. Source: chapters 1 and 2.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol
from weakref import WeakSet

from amqp_broker.auth.backend import Identity, Undecided
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.errors import AMQPError, channel_error, command_invalid, not_allowed
from amqp_broker.message import Message
from amqp_broker.outbox import Outbox
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.unacked import Unacked
from amqp_broker.session import news
from amqp_broker.session.basic import acked, on_basic_publish
from amqp_broker.session.channel import Channel, ChannelState, release
from amqp_broker.session.dispatch import HANDLERS
from amqp_broker.session.ending import Ending
from amqp_broker.session.handshake import Handshake
from amqp_broker.session.heartbeat import Heartbeat
from amqp_broker.session.login import Tuning
from amqp_broker.session.state import ERLANG_STATES, State
from amqp_broker.vhost import Vhost
from amqp_codec import (
    HEARTBEAT_FRAME,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    CodecError,
    Command,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    Method,
    Received,
    ReplyCode,
    Table,
    encode_method_frame,
)
from amqp_codec.commands import AckCommand, PublishCommand
from amqp_codec.reader import CommandReader

log = logging.getLogger(__name__)

PUBLISH_IDS = (60, 40)

COMMANDS_AT_ONCE: Final = 256
"""So many commands of a read are made before they are worked off: what is made for them stays in the cache, and their
memory serves the next ones."""

HELD_COMMAND_OCTETS = 512
"""What a command takes in memory beside its body, about."""


class Edge(Protocol):
    """What a connection asks of whoever holds the socket."""

    def output_waiting(self) -> None:
        """The outbox has something to write."""

    def reading_changed(self) -> None:
        """`may_read` may have become true."""

    def finish(self) -> None:
        """Write what waits, then close the socket."""

    def abort(self) -> None:
        """Close the socket now."""

    def hand_over(self, parcel: Parcel, to: Elsewhere) -> None:
        """Have another node go on with the client; calls `handed_over`, or `handing_over.not_taken`."""


_HEADER: Final = State.HEADER
_RUNNING: Final = State.RUNNING
_CLOSING: Final = State.CLOSING
_ENDED: Final = State.ENDED
_CHANNEL_OPEN: Final = ChannelState.OPEN
"""What every command is compared with. To read a member off its enum takes Python 3.11 0.1 µs."""


class Connection:
    """A connection.

    Args:
        handshake_timeout_s: what is left of the configured time when TLS has taken some of it.

    Attributes:
        user: who is logged in; empty before that.
        identity: the same with tags and rights; None before that.
        client_properties: as the client sent them.
        channels: by id; open ones, and failed ones that wait for `close-ok`.
        exclusive_queues: the queues that end with it (rule 1.38).
        is_blocked: an alarm is on and the client has tried to publish (rule 1.34).
        held_octets: bodies of commands that wait for an answer from storage, over all channels.
        auth_mechanism: how the user logged in; empty before that.
        vhost: where it is; None before that.
        channel_max: the agreed limit, 0 for none.
        heartbeat: counts received octets as well.
        handshake: how it begins.
        ending: how it ends.
        connected_at: when, in seconds since 1970.
        received_count: reads that brought something.
    """

    def __init__(self, broker: Broker, edge: Edge, peer: Peer, handshake_timeout_s: float | None = None) -> None:
        self.broker = broker
        self._alarms = broker.alarms
        self.config = broker.config
        self.peer = peer
        self.edge = edge
        self.state = State.HEADER
        self.outbox = Outbox(self.config.outbox_high_octets, edge.output_waiting)
        self.outbox.on_drained = self._output_drained
        self.user = ""
        self.identity: Identity | None = None
        self.client_properties: Table = {}
        self.channels: dict[int, Channel] = {}
        self.exclusive_queues: WeakSet[Queue] = WeakSet()
        self.is_blocked = False
        self.held_octets = 0
        self.auth_mechanism = ""
        self.connected_at = broker.timers.now()
        self.received_count = 0
        self._waits_for_storage = False
        self._has_published = False
        self.vhost: Vhost | None = None
        self.channel_max = 0
        self._owing: list[Channel] = []
        self._with_room: list[Unacked] = []
        self._current: Channel | None = None
        """The channel that was last looked up."""
        self._reader = CommandReader(
            self.config.handshake_frame_max_octets,
            self.config.max_message_octets,
            self.config.max_partial_octets,
        )
        self._reader.most = 1
        self.heartbeat = self._new_heartbeat(0)
        self.ending = Ending(self)
        if handshake_timeout_s is None:
            handshake_timeout_s = self.config.handshake_timeout_s
        self.handshake = Handshake(self, handshake_timeout_s)
        broker.clients[self] = None
        broker.newcomers[self] = None

    def __str__(self) -> str:
        name = self.client_properties.get("connection_name")
        shown = f" ({name.decode('utf-8', 'replace')!r})" if isinstance(name, bytes) else ""
        return f"{self.peer}{shown}"

    @property
    def name(self) -> str:
        """How the command line and the HTTP API call it."""
        return self.peer.both_ends

    @property
    def heartbeat_s(self) -> int:
        """The agreed interval, 0 for none."""
        return self.heartbeat.interval_s

    @property
    def received_octets(self) -> int:
        return self.heartbeat.received_octets

    @property
    def is_open(self) -> bool:
        """Logged in to a vhost, and not yet closing."""
        return self.state is State.RUNNING

    @property
    def vhost_name(self) -> str:
        return "" if self.vhost is None else self.vhost.name

    @property
    def channel_count(self) -> int:
        return len(self.channels)

    # What the edge calls

    @property
    def may_read(self) -> bool:
        """Whether more input is wanted: not while blocked, nor while output, commands or the disk lag behind."""
        return (
            not self.is_blocked
            and not self._waits_for_storage
            and not self.handshake.is_waiting
            and self.outbox.size < self.config.outbox_limit_octets
            and self.held_octets < self.config.max_partial_octets
        )

    @property
    def room(self) -> memoryview | None:
        """Where to put the next octets, if that is known: what is left of a large body that has begun."""
        return self._reader.room

    def receive(self, data: bytes | bytearray, landed: int = 0) -> None:
        """Take octets as they came, and do all they ask for; `landed` came before them, and were put into `room`."""
        self.heartbeat.received_octets += landed + len(data)
        self.received_count += 1
        if self.state is _HEADER:
            data = self.handshake.take_header(data)
        if self.state is _HEADER or self.state is _ENDED:
            return
        reader = self._reader
        commands = reader.receive(data, landed)
        while True:
            for command in commands:
                self._handle(command)
            if not reader.has_more or self.handshake.is_waiting:
                break
            commands = reader.receive(b"")
        if self.broker.alarms and self.is_open and reader.is_inside_content:
            self._block()
        self._give_turns()
        self.settle_confirms()
        if self._has_published:
            self._has_published = False
            assert self.vhost is not None
            storage = self.vhost.storage
            if storage.is_behind:
                self._waits_for_storage = True
                storage.when_durable(self._storage_caught_up)

    def lost(self) -> None:
        """The socket is gone: give back everything (rule 1.41)."""
        self.outbox.close()
        self.release()
        self.ending.call_off()
        self.handshake.stop()
        if self.vhost is not None:
            news.connection_closed(self)
        self.state = State.ENDED
        self.broker.clients.pop(self, None)
        self.broker.newcomers.pop(self, None)

    # What the broker calls

    def alarms_changed(self) -> None:
        """Go on if the last alarm has cleared (rule 1.35)."""
        if self.is_blocked and not self.broker.alarms:
            self._unblock()
            if self.client_can("connection.blocked"):
                self.send(0, ConnectionUnblocked())

    def forget_rights(self) -> None:
        """Ask again what the user may do, from the next command on (rule 8.13)."""
        for channel in self.channels.values():
            channel.forget_rights()

    def tracing_changed(self) -> None:
        """Tap what the channels deliver, or leave it (rule 5.56)."""
        for channel in self.channels.values():
            channel.follow_tracing()

    def force_close(self, reason: str) -> None:
        """Close with 320, or drop a connection that has not come far enough for that (rule 1.42)."""
        if self.state in (State.RUNNING, State.OPEN):
            self.ending.close(AMQPError(ReplyCode.CONNECTION_FORCED, reason), 0, 0)
        elif self.state is not State.CLOSING:
            self.edge.abort()

    # What channels and their handlers call

    def send(self, channel_id: int, method: Method) -> None:
        self.outbox.push(encode_method_frame(channel_id, method))

    def resume(self, held: Iterable[Command | PublishCommand]) -> None:
        """Work off what was held on a channel."""
        for command in held:
            self.held_octets -= _octets_of(command)
            self._handle(command)
        self._give_turns()
        self.settle_confirms()
        if self.ending.is_leaving and self.state is not _ENDED:
            self.ending.on_close()
        self.edge.reading_changed()

    def fail_channel(self, channel: Channel, error: AMQPError, class_id: int = 0, method_id: int = 0) -> None:
        """Close a channel because of an error, of the client or of nobody's method."""
        self.warn(error.reply_text, channel.id)
        self.settle_confirms()
        channel.fail(error, class_id, method_id)

    def tune(self, tuning: Tuning) -> None:
        """Go by what has been agreed on (rule 1.19)."""
        self.channel_max = tuning.channel_max
        self._reader.frame_max = tuning.frame_max_octets
        self.outbox.frame_max = tuning.frame_max_octets
        self.beat(tuning.heartbeat_s)

    def beat(self, interval_s: int) -> None:
        """Send heartbeats, and expect them, from now on."""
        received_octets = self.heartbeat.received_octets
        self.heartbeat = self._new_heartbeat(interval_s)
        self.heartbeat.received_octets = received_octets

    def handed_over(self) -> bytes:
        """Another node goes on with the client; gives what has been received and not been looked at."""
        self.state = State.HANDED_OVER
        self.heartbeat.stop()
        self.ending.call_off()
        self.broker.clients.pop(self, None)
        return self._reader.take_rest()

    def enter(self, vhost: Vhost) -> None:
        """Be open, in that vhost."""
        self.vhost = vhost
        self.state = State.RUNNING
        self._reader.most = COMMANDS_AT_ONCE

    def _new_heartbeat(self, interval_s: int) -> Heartbeat:
        return Heartbeat(
            interval_s, self.broker.connection_timers, self.outbox, self._send_heartbeat, self._peer_is_dead
        )

    def release(self) -> None:
        """Give back all that the connection holds; a second time there is nothing left."""
        self.heartbeat.stop()
        self._unblock()
        channels, self.channels = self.channels, {}
        release(channels.values())
        for channel in channels.values():
            channel.end()
        for queue in list(self.exclusive_queues):
            if not queue.is_deleted and self.vhost is not None:
                self.vhost.delete_queue(queue, user=self.user)

    def client_can(self, capability: str) -> bool:
        """Whether the client announced a capability (rule 1.18)."""
        capabilities = self.client_properties.get("capabilities")
        return isinstance(capabilities, dict) and capabilities.get(capability) is True

    def owe_confirms(self, channel: Channel) -> None:
        """Remember that a channel has publishes to confirm when this read has been worked off."""
        owing = self._owing
        if not owing or owing[-1] is not channel:
            owing.append(channel)

    def owe_turns(self, unacked: Unacked) -> None:
        """Remember that a channel has acked: its consumers have their turn when this read has been worked off.

        A client acks in bursts; to look for a queue's next message after each ack costs more than the ack.
        """
        self._with_room.append(unacked)

    def send_return(self, channel: Channel, message: Message) -> None:
        """Give a mandatory message back that reached no queue (rule 5.4)."""
        self.outbox.push_content(
            channel.id,
            b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE" + message.address,
            message.header.raw,
            message.body,
        )

    # Commands

    def _handle(self, command: Received) -> None:
        if self.state is _ENDED:
            return
        try:
            if isinstance(command, PublishCommand):
                self._on_publish(command)
            elif isinstance(command, AckCommand):
                self._on_ack(command)
            elif isinstance(command, CodecError):
                self.ending.malformed(command)
            elif command.channel_id == 0:
                self._on_control(command.method)
            else:
                self._on_channel_command(command)
        except AMQPError as error:
            self._on_error(error, command)
        except Undecided as undecided:
            self._wait_for_leave(command, undecided)
        except Exception:
            log.exception("connection %s: internal error while handling %s", self, _name_of(command))
            self._on_error(AMQPError(ReplyCode.INTERNAL_ERROR, "internal error"), command)

    def _on_publish(self, command: PublishCommand) -> None:
        channel = self._open_channel(command.channel_id)
        if channel is None:
            return
        if self._alarms:
            self._block()
        if channel.held is not None:
            self._hold(channel.held, command)
            return
        self._has_published = True
        on_basic_publish(channel, command)

    def _on_ack(self, command: AckCommand) -> None:
        channel = self._open_channel(command.channel_id)
        if channel is None:
            return
        if channel.held is not None:
            self._hold(channel.held, command)
            return
        acked(channel, command.delivery_tag, command.multiple)

    def _on_channel_command(self, command: Command) -> None:
        method = command.method
        if isinstance(method, ChannelOpen):
            self._on_channel_open(command.channel_id)
            return
        if isinstance(method, ChannelCloseOk | ChannelClose):
            self._on_channel_closing(command, method)
            return
        channel = self._open_channel(command.channel_id)
        if channel is None:
            return
        if channel.held is not None:
            self._hold(channel.held, command)
            return
        handler = HANDLERS.get(type(method))
        if handler is None:
            raise command_invalid("unimplemented method")
        handler(channel, method)

    def _open_channel(self, channel_id: int) -> Channel | None:
        """Find a channel for a command; None when it has failed and ignores what comes.

        Raises:
            AMQPError: the connection is not open, or the channel isn't (rules 1.53 and 2.2).
        """
        channel = self._current
        if channel is not None and channel.id == channel_id and channel.state is _CHANNEL_OPEN:
            return channel  # so the connection is open as well
        if self.state is _CLOSING:
            return None
        channel = self.channels.get(channel_id)
        if channel is None:
            if self.state is not _RUNNING:
                raise AMQPError(ReplyCode.UNEXPECTED_FRAME, f"frame on channel {channel_id} before open-ok")
            raise channel_error("expected 'channel.open'")
        self._current = channel
        return channel if channel.state is _CHANNEL_OPEN else None

    def _on_channel_open(self, channel_id: int) -> None:
        if self.state is State.RUNNING and channel_id not in self.channels:
            if self.channel_max and len(self.channels) >= self.channel_max:
                raise not_allowed(
                    f"number of channels opened ({len(self.channels)}) has reached "
                    f"the negotiated channel_max ({self.channel_max})"
                )
            assert self.vhost is not None
            self._check_users_channels()
            self.broker.check_channel_limit()
            channel = self.channels[channel_id] = Channel(channel_id, self, self.vhost)
            news.channel_created(channel)
            self.send(channel_id, ChannelOpenOk())
        elif self._open_channel(channel_id) is not None:
            raise channel_error("second 'channel.open' seen")

    def _check_users_channels(self) -> None:
        """Let the user have one more channel. Raises AMQPError 530 (rule 2.3)."""
        user = self.broker.users.get(self.user)
        limit = None if user is None else user.max_channels
        if limit is None or limit < 0:
            return
        count = sum(client.channel_count for client in self.broker.clients if client.user == self.user)
        if count >= limit:
            raise not_allowed(
                f"number of channels opened for user '{self.user}' has reached "
                f"the maximum allowed user limit of {limit}"
            )

    def _on_channel_closing(self, command: Command, method: ChannelClose | ChannelCloseOk) -> None:
        channel_id = command.channel_id
        channel = self.channels.get(channel_id)
        if channel is not None and channel.state is ChannelState.CLOSING:
            if isinstance(method, ChannelClose):
                self.send(channel_id, ChannelCloseOk())
            else:
                del self.channels[channel_id]
            return
        channel = self._open_channel(channel_id)
        if channel is None:
            return
        if channel.held is not None:
            self._hold(channel.held, command)
            return
        if isinstance(method, ChannelCloseOk):
            raise command_invalid("unimplemented method")
        self.settle_confirms()
        channel.end()
        del self.channels[channel_id]
        self.send(channel_id, ChannelCloseOk())

    def _on_control(self, method: Method) -> None:
        """Handle a method on channel 0."""
        state = self.state
        if isinstance(method, ConnectionClose):
            self.ending.on_close()
        elif isinstance(method, ConnectionCloseOk) and state is State.CLOSING:
            self.ending.end()
        elif state is State.CLOSING:
            return
        elif isinstance(method, ConnectionStartOk) and state is State.START:
            self.handshake.on_start_ok(method)
        elif isinstance(method, ConnectionTuneOk) and state is State.TUNE:
            self.handshake.on_tune_ok(method)
        elif isinstance(method, ConnectionOpen) and state is State.OPEN:
            self.handshake.on_open(method)
        elif isinstance(method, ConnectionUpdateSecret) and state is State.RUNNING:
            self.handshake.on_update_secret(method)
        else:
            raise channel_error(f"unexpected method in connection state {ERLANG_STATES[state]}")

    # Errors

    def _on_error(self, error: AMQPError, command: Received) -> None:
        """Answer an error: close the channel or the connection, as its code and place say (rule 0.6)."""
        class_id, method_id = _ids_of(command)
        channel = None if isinstance(command, CodecError) else self.channels.get(command.channel_id)
        if error.code.is_hard or channel is None:
            self.ending.fail(error, class_id, method_id)
        else:
            self.fail_channel(channel, error, class_id, method_id)

    # Flow

    def _wait_for_leave(self, command: Received, undecided: Undecided) -> None:
        """Hold a command, and what comes after it on its channel, until it is known whether it is allowed."""
        assert isinstance(command, Command | PublishCommand)
        channel = self.channels[command.channel_id]
        channel.held = deque()
        self._hold(channel.held, command)
        undecided.then(channel.leave_decided)

    def _hold(self, held: deque[Command | PublishCommand], command: Command | PublishCommand) -> None:
        held.append(command)
        self.held_octets += _octets_of(command)

    def _storage_caught_up(self) -> None:
        self._waits_for_storage = False
        self.edge.reading_changed()

    def _give_turns(self) -> None:
        with_room = self._with_room
        if with_room:
            self._with_room = []
            for unacked in with_room:
                unacked.resume_all()

    def settle_confirms(self) -> None:
        owing = self._owing
        if owing:
            self._owing = []
            for channel in owing:
                if channel.confirms is not None:
                    channel.confirms.flush()

    def _block(self) -> None:
        """Read no more until the alarms have cleared; a second time there is nothing to do (rule 1.35)."""
        if self.is_blocked:
            return
        self.is_blocked = True
        self.heartbeat.is_paused = True
        if self.client_can("connection.blocked"):
            self.send(0, ConnectionBlocked(reason=f"low on {' & '.join(self.broker.alarms)}"))

    def _unblock(self) -> None:
        """Read again: the alarms have cleared, or all that is still to come is the end."""
        if self.is_blocked:
            self.is_blocked = False
            self.heartbeat.is_paused = False
            self.edge.reading_changed()

    def _output_drained(self) -> None:
        for channel in list(self.channels.values()):
            channel.unacked.resume_all()

    def _send_heartbeat(self) -> None:
        self.outbox.push(HEARTBEAT_FRAME)

    def _peer_is_dead(self) -> None:
        log.warning("connection %s: nothing heard for two heartbeats, dropped", self)
        self.edge.abort()

    def warn(self, text: str, channel_id: int = 0) -> None:
        """Log what the client did wrong, in one line whatever names it chose."""
        where = f", channel {channel_id}" if channel_id else ""
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
        log.warning("connection %s%s: %s", self, where, shown)


def _octets_of(command: Command | PublishCommand) -> int:
    """What a command holds in memory, about."""
    return HELD_COMMAND_OCTETS + (len(command.body) if command.body is not None else 0)


def _name_of(command: Received) -> str:
    """What a command is, for the log; what is in it may be secret."""
    return type(command.method if isinstance(command, Command) else command).__name__


def _ids_of(command: Received) -> tuple[int, int]:
    """Class and method id of the offending method (rule 0.6)."""
    if isinstance(command, PublishCommand):
        return PUBLISH_IDS
    if isinstance(command, CodecError):
        return command.class_id, command.method_id
    return command.method.class_id, command.method.method_id
