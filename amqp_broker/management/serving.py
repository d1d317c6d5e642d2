"""HTTP over sockets: so many connections at once, and none that waits for a client who doesn't read.

Hypercorn speaks the protocol. It would send for as long as it takes, even when the broker is to end, and to as many
clients as come; that is why its connections are made here, on streams of our own.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import hypercorn.config
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import LifespanState

from amqp_broker.net.doors import Door
from amqp_broker.net.tls import TlsKeeper, TlsStream, reason_of

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

PIECE_OCTETS: Final = 64 * 1024

PATIENCE_S: Final = 30.0
"""How long a client may take to read a piece of an answer."""

HANDSHAKE_S: Final = 10.0
"""How long a client may take for the TLS handshake."""

IDLE_S: Final = 60.0
"""How long a connection is kept on which no request arrives in full."""


class HttpStream(trio.abc.HalfCloseableStream):
    """A socket to which is sent only while somebody reads.

    Args:
        stream: the way to the client.
        socket: what is below it.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, socket: trio.socket.SocketType) -> None:
        self._stream = stream
        self.socket: Final = socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send in pieces. Raises BrokenResourceError when one isn't read in time, and closes then."""
        for start in range(0, len(data), PIECE_OCTETS):
            with trio.move_on_after(PATIENCE_S) as scope:
                await self._stream.send_all(data[start : start + PIECE_OCTETS])
            if scope.cancelled_caught:
                self.abort()
                raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        with trio.move_on_after(PATIENCE_S):  # over TLS these are octets as well
            await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def abort(self) -> None:
        """Close at once; who sends or receives at the moment is told."""
        self.socket.close()


class HttpsStream(HttpStream):
    """The same over TLS, with what Hypercorn asks of `trio.SSLStream`: by that it knows one."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self._tls: Final = TlsStream(stream, context)
        super().__init__(self._tls, stream.socket)
        self.transport_stream: Final = stream

    async def do_handshake(self) -> None:
        """Raises BrokenResourceError: the client speaks no TLS, or none that is acceptable, or is gone."""
        try:
            await self._tls.do_handshake()
        except ssl.SSLEOFError as error:
            raise trio.BrokenResourceError("gone") from error
        except ssl.SSLError as error:
            log.warning("https: the TLS handshake failed: %s", reason_of(error))
            raise trio.BrokenResourceError("no TLS") from error

    def selected_alpn_protocol(self) -> str:
        return "http/1.1"


async def _http_only(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """What else Hypercorn speaks is refused."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    else:
        await app(scope, receive, send)


class HttpServer:
    """Answers at some doors.

    Args:
        app: what answers.
        max_connections: how many clients are served at a time; others are closed as they come.
        tls: for doors that speak TLS.
    """

    def __init__(self, app: ASGIApp, max_connections: int, tls: TlsKeeper | None = None) -> None:
        self._app = ASGIWrapper(cast("ASGIFramework", partial(_http_only, app)))
        self._max_connections = max_connections
        self._tls = tls
        self._streams: Final = set[HttpStream]()
        self._is_full = False
        self._config = hypercorn.config.Config()
        self._config.errorlog = log
        self._config.include_server_header = False
        self._config.keep_alive_timeout = IDLE_S
        self._config.ssl_handshake_timeout = HANDSHAKE_S

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._streams)

    async def serve(self, doors: Sequence[Door]) -> None:
        """Serve until cancelled, and hang up on everybody then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hang_up_at_the_end)
            for door in doors:
                answer = partial(self._answer, self._tls if door.is_tls else None)
                nursery.start_soon(partial(trio.serve_listeners, answer, [door.listener], handler_nursery=nursery))

    async def _hang_up_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._streams:
                stream.abort()  # Hypercorn shields what it sends

    async def _answer(self, tls: TlsKeeper | None, socket_stream: trio.SocketStream) -> None:
        if tls is None:
            stream = HttpStream(socket_stream, socket_stream.socket)
        else:
            stream = HttpsStream(socket_stream, tls.context)
        if len(self) >= self._max_connections:
            if not self._is_full:
                log.warning("http: %d connections are open, further ones are closed", len(self))
            self._is_full = True
            stream.abort()
            return
        self._is_full = False
        self._streams.add(stream)
        try:
            # Hypercorn says SSLStream, and asks for what only that has
            await TCPServer(self._app, self._config, WorkerContext(None), LifespanState({}), cast("Any", stream))
        except Exception:
            log.exception("http: internal error on a connection")
        finally:
            stream.abort()  # Hypercorn leaves a client as it is whose handshake has failed
            self._streams.discard(stream)
