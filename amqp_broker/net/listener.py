"""Listening sockets: accept clients, whatever errors accepting may bring."""

from __future__ import annotations

import errno
import logging

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.net.connection import serve_client

log = logging.getLogger(__name__)

OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
RETRY_S = 0.1
"""How long to wait for a resource before accepting again; the existing clients go on meanwhile."""

BACKLOG = 1024


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Bind. Port 0 takes a free one. Raises OSError when that is not possible."""
    return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)


async def accept_clients(broker: Broker, listener: trio.SocketListener, clients: trio.Nursery) -> None:
    """Accept until cancelled; each client is served by a task in the nursery `clients`."""
    complained = False
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES:
                    log.debug("accept: %s", error)
                    continue
                if not complained:
                    log.error("no new connections for now: %s; raise the limit of open files", error.strerror)
                    complained = True
                await trio.sleep(RETRY_S)
                continue
            complained = False
            clients.start_soon(_serve, broker, stream)


async def _serve(broker: Broker, stream: trio.SocketStream) -> None:
    try:
        peer = _peer_of(stream)
    except OSError:
        await trio.aclose_forcefully(stream)
        return
    await serve_client(broker, stream, peer)


def _peer_of(stream: trio.SocketStream) -> Peer:
    address = stream.socket.getpeername()
    return Peer(str(address[0]), int(address[1])) if isinstance(address, tuple) else Peer()
