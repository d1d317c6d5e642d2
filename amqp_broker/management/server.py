"""The management port at the edge: sockets that are open from the start, and what serves them once somebody comes.

The web server and its libraries take longer to import than the rest of the broker takes to start, so that
waits for the first client; until then the kernel keeps it waiting at the door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.management.node import ListeningPort, Node
from amqp_broker.net.doors import Door, open_http

PORT_OPTION = "--management-port"

Serve = Callable[[Broker, Node, list[trio.SocketListener]], Awaitable[None]]


@attrs.frozen
class Management:
    """The open port.

    Attributes:
        urls: where people and programs find it.
    """

    broker: Broker
    node: Node
    listeners: list[trio.SocketListener]
    urls: list[str]

    async def serve(self) -> None:
        """Serve until cancelled; closes the sockets."""
        if not self.listeners:
            return
        try:
            async with trio.open_nursery() as nursery:
                for listener in self.listeners:
                    nursery.start_soon(_wait_for_client, listener, nursery.cancel_scope)
            serve = await trio.to_thread.run_sync(_import)
            await serve(self.broker, self.node, self.listeners)
        finally:
            with trio.CancelScope(shield=True):
                for listener in self.listeners:
                    await listener.aclose()


async def open_management(broker: Broker, doors: Sequence[Door]) -> Management:
    """Open the port, if there is to be one.

    Raises:
        ListenError: it can't be listened on.
    """
    config = broker.config
    listeners: list[trio.SocketListener] = []
    host = config.host if config.management_host is None else config.management_host
    if config.management_port is not None:
        # With --port 0 nobody knows the ports beforehand, so a default one would only be taken now and then.
        is_default = config.management_port == Config().management_port
        port = 0 if config.port == 0 and is_default else config.management_port
        listeners = await open_http(host, port, PORT_OPTION)
    ports = [*(_amqp_port(door) for door in doors), *(_port(listener, "http") for listener in listeners)]
    node = Node(config.node_name, lambda: ports)
    shown = f"[{host}]" if ":" in host else host
    return Management(broker, node, listeners, [f"http://{shown}:{_port(one, 'http').port}" for one in listeners])


def _amqp_port(door: Door) -> ListeningPort:
    return _port(door.listener, "amqp/ssl" if door.is_tls else "amqp")


def _port(listener: trio.SocketListener, protocol: str) -> ListeningPort:
    name = listener.socket.getsockname()
    return ListeningPort(protocol, name[0], name[1]) if isinstance(name, tuple) else ListeningPort(protocol, name, 0)


async def _wait_for_client(listener: trio.SocketListener, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(listener.socket)
    scope.cancel()


def _import() -> Serve:
    from amqp_broker.management.web import serve

    return serve
