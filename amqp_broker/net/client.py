"""A connection to a broker: a socket or TLS, three tasks, and calls that wait for their reply."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from amqp_broker.links.machine import LinkError, Machine, closed_by
from amqp_broker.links.uri import Uri
from amqp_codec import ChannelClose, ChannelOpen, ChannelOpenOk, Command, Method

READ_OCTETS: Final = 256 * 1024
HIGH_OCTETS: Final = 8 * 1024 * 1024
"""Of output that a broker has not taken; whoever feeds this connection waits above it."""
CLOSE_DEADLINE_S: Final = 5.0
LOCAL_HOST: Final = "127.0.0.1"

OpenLocal = Callable[[str], Awaitable[tuple[trio.abc.Stream, int]]]
"""Opens a stream into a vhost of the broker itself, which knows who comes; gives it with the heartbeat it needs.

Raises LinkError.
"""

M = TypeVar("M", bound=Method)


class _Call:
    """A method that waits for its reply."""

    def __init__(self, reply: type[Method]) -> None:
        self.answer: Method | None = None
        self._reply = reply

    def takes(self, method: Method) -> bool:
        if self.answer is not None or not isinstance(method, self._reply | ChannelClose):
            return False
        self.answer = method
        return True


class ClientConnection:
    """A connection that is logged in.

    Attributes:
        on_command: called with what comes on channels, apart from replies to calls; raises what ends the connection.
        on_read: called when all that came at once has been told.
        on_sent: called when all output was sent.
        may_read: asked before each read; who changes its mind calls `reading_changed`.
    """

    def __init__(self, stream: trio.abc.Stream, machine: Machine) -> None:
        self.on_command: Callable[[Command], None] = _nobody
        self.on_read: Callable[[], None] = _nothing
        self.may_read: Callable[[], bool] = _always
        self.on_sent: Callable[[], None] = _nothing
        self._stream = stream
        self._machine = machine
        self._output = trio.Event()
        self._reading = trio.Event()
        self._progress = trio.Event()
        self._calls: dict[int, _Call] = {}
        self._received = False
        self._sent = False
        self._is_over = False
        self._life = trio.CancelScope(shield=True)

    @property
    def is_blocked(self) -> bool:
        """The broker takes no messages for the time being."""
        return self._machine.is_blocked

    @property
    def cluster_name(self) -> bytes:
        """What the broker calls itself; empty where it says nothing."""
        return self._machine.cluster_name

    @property
    def is_full(self) -> bool:
        """So much output waits that nothing should be added."""
        return len(self._machine.output) >= HIGH_OCTETS

    def send(self, channel_id: int, method: Method) -> None:
        self._machine.send(channel_id, method)
        self._output.set()

    def publish(self, channel_id: int, method_payload: bytes, header: bytes, body: bytes) -> None:
        """Send a message; see `Machine.publish`."""
        self._machine.publish(channel_id, method_payload, header, body)
        self._output.set()

    def reading_changed(self) -> None:
        """`may_read` may have become true."""
        self._reading.set()

    async def open_channel(self, channel_id: int) -> None:
        await self.call(channel_id, ChannelOpen(), ChannelOpenOk)

    async def call(self, channel_id: int, method: Method, reply: type[M]) -> M:
        """Send a method and wait for its reply; one at a time on a channel.

        Raises:
            ChannelClosedError: the broker has closed the channel instead, which can be opened again.
        """
        call = self._calls[channel_id] = _Call(reply)
        self.send(channel_id, method)
        while call.answer is None:
            await self._next_progress()
        del self._calls[channel_id]
        if isinstance(call.answer, ChannelClose):
            raise closed_by(call.answer)
        assert isinstance(call.answer, reply)
        return call.answer

    # Tasks

    async def run(self) -> None:
        """Log in, and go on until `close`, whoever is cancelled. Raises LinkError."""
        with self._life:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    await self.opened()
                    if self._machine.heartbeat_s:
                        nursery.start_soon(self._beat)
            finally:
                self._is_over = True
                self._progress.set()

    async def opened(self) -> None:
        """Wait until the vhost is open."""
        while not self._machine.is_open:
            await self._next_progress()

    async def close(self) -> None:
        """Close in order, within a deadline, and end the tasks."""
        with trio.move_on_after(CLOSE_DEADLINE_S, shield=True):
            self.may_read = _always
            self._machine.close()
            self._output.set()
            self._reading.set()
            while self._machine.is_closing and not self._is_over:
                await self._next_progress()
        self._life.cancel()

    async def _next_progress(self) -> None:
        self._progress = trio.Event() if self._progress.is_set() else self._progress
        await self._progress.wait()

    async def _read(self) -> None:
        while True:
            while not self.may_read():
                self._reading = trio.Event()
                await self._reading.wait()
            try:
                data = await self._stream.receive_some(READ_OCTETS)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                if self._machine.is_ended:
                    return
                raise self._machine.ended_early()
            self._received = True
            for command in self._machine.receive(data):
                call = self._calls.get(command.channel_id)
                if call is not None and call.takes(command.method):
                    continue
                if isinstance(command.method, ChannelClose):
                    raise closed_by(command.method)
                self.on_command(command)
            self.on_read()
            self._progress.set()
            if self._machine.output:
                self._output.set()

    async def _write(self) -> None:
        machine = self._machine
        while True:
            while machine.output:
                octets, machine.output = machine.output, bytearray()
                self._sent = True
                try:
                    await self._stream.send_all(octets)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise machine.ended_early() from None
                self.on_sent()
            self._output = trio.Event()
            if not machine.output:
                await self._output.wait()

    async def _beat(self) -> None:
        """Say that we are here twice an interval, and hang up on a broker silent for two (rule 1.25)."""
        silent = 0
        while True:
            await trio.sleep(self._machine.heartbeat_s / 2)
            if not self._sent:
                self._machine.send_heartbeat()
                self._output.set()
            silent = 0 if self._received or not self.may_read() else silent + 1
            self._sent = self._received = False
            if silent >= 4:
                raise LinkError(f"the broker has been silent for {2 * self._machine.heartbeat_s} s")


@asynccontextmanager
async def connected(
    uri: Uri, vhost: str, *, name: str, open_local: OpenLocal | None = None
) -> AsyncIterator[ClientConnection]:
    """A connection that is closed in the end.

    Args:
        uri: the broker.
        vhost: to be opened where the URI names none.
        name: the connection's.
        open_local: where a URI without a host leads to; without it that is this machine.

    Raises:
        ExceptionGroup: of LinkError, as it came out of the connection's tasks.
        LinkError: nobody can be reached.
    """
    opened = vhost if uri.vhost is None else uri.vhost
    heartbeat_s = uri.heartbeat_s
    is_local = uri.host is None and open_local is not None
    if is_local and open_local is not None:
        stream, heartbeat_s = await open_local(opened)
    else:
        stream = await _open_stream(uri)
    machine = Machine(uri.user, uri.password, opened, name=name, heartbeat_s=heartbeat_s, is_known=is_local)
    connection = ClientConnection(stream, machine)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                with trio.move_on_after(uri.connection_timeout_s) as scope:
                    await connection.opened()
                if scope.cancelled_caught:
                    raise LinkError(f"{uri.shown}: no login within {uri.connection_timeout_s:g} s")
                yield connection
            finally:
                await connection.close()
    finally:
        await trio.aclose_forcefully(stream)


async def _open_stream(uri: Uri) -> trio.abc.Stream:
    """Connect. Raises LinkError."""
    host = uri.host or LOCAL_HOST
    try:
        with trio.fail_after(uri.connection_timeout_s):
            stream = await trio.open_tcp_stream(host, uri.port)
            if not uri.is_encrypted:
                return stream
            encrypted = trio.SSLStream(
                stream, _context_for(uri), server_hostname=uri.server_name or host, https_compatible=True
            )
            await encrypted.do_handshake()
            return encrypted
    except trio.TooSlowError:
        raise LinkError(f"{uri.shown}: no answer within {uri.connection_timeout_s:g} s") from None
    except trio.BrokenResourceError as error:
        raise LinkError(f"{uri.shown}: TLS: {error.__cause__ or error}") from None
    except OSError as error:
        raise LinkError(f"{uri.shown}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    """Why nobody was reached: of several addresses, what the last one says."""
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    found = cause if isinstance(cause, OSError) else error
    return found.strerror or str(found)


def _context_for(uri: Uri) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if uri.ca is None else str(uri.ca))
        if uri.certificate is not None:
            context.load_cert_chain(uri.certificate, uri.key)
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"{uri.shown}: certificates can't be read: {error}", is_lasting=True) from None
    if not uri.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _nobody(_command: Command) -> None:
    """Nobody has asked for anything."""


def _nothing() -> None:
    """Nobody wants to know."""


def _always() -> bool:
    return True
