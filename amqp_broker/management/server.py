"""Management and metrics at the edge: sockets that are open from the start, and what serves them once somebody comes.

The web server and its libraries take longer to import than the rest of the broker takes to start, so that
waits for the first client; until then the kernel keeps it waiting at the door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from amqp_broker.config import Config
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.net.doors import Door, open_http

Serve = Callable[[Node, list[trio.SocketListener]], Awaitable[None]]


@attrs.frozen
class HttpPort:
    """An open port for HTTP.

    Attributes:
        load: imports what serves it.
        urls: where people and programs find it.
    """

    node: Node
    listeners: list[trio.SocketListener]
    load: Callable[[], Serve]
    urls: list[str]

    async def serve(self) -> None:
        """Serve until cancelled; closes the sockets."""
        try:
            async with trio.open_nursery() as nursery:
                for listener in self.listeners:
                    nursery.start_soon(_wait_for_client, listener, nursery.cancel_scope)
            serve = await trio.to_thread.run_sync(self.load)
            await serve(self.node, self.listeners)
        finally:
            with trio.CancelScope(shield=True):
                for listener in self.listeners:
                    await listener.aclose()


async def open_http_ports(node: Node, doors: Sequence[Door]) -> list[HttpPort]:
    """Open the ports for management and metrics, those that there are to be, and tell the node of them and the doors.

    Raises:
        ListenError: one can't be listened on; none is left open.
    """
    config, default = node.broker.config, Config()
    wanted = (
        ("http", config.management_host, config.management_port, default.management_port, "--management-port"),
        ("http/prometheus", config.metrics_host, config.metrics_port, default.metrics_port, "--metrics-port"),
    )
    # With --port 0 nobody knows the ports beforehand, so a default one would only be taken now and then.
    is_anywhere = any(listener.port == 0 for listener in config.all_listeners if listener.path is None)
    ports = [_amqp_port(door) for door in doors]
    opened: list[HttpPort] = []
    try:
        for protocol, own_host, port, default_port, option in wanted:
            if port is None:
                continue
            host = config.host if own_host is None else own_host
            listeners = await open_http(host, 0 if is_anywhere and port == default_port else port, option)
            there = [_port(listener, protocol) for listener in listeners]
            ports += there
            load, path = (_load_management, "") if protocol == "http" else (_load_metrics, "/metrics")
            shown = f"[{host}]" if ":" in host else host
            opened.append(HttpPort(node, listeners, load, [f"http://{shown}:{one.port}{path}" for one in there]))
    except BaseException:
        with trio.CancelScope(shield=True):
            for http_port in opened:
                for listener in http_port.listeners:
                    await listener.aclose()
        raise
    node.listeners = ports
    return opened


def _amqp_port(door: Door) -> ListeningPort:
    return _port(door.listener, "amqp/ssl" if door.is_tls else "amqp")


def _port(listener: trio.SocketListener, protocol: str) -> ListeningPort:
    name = listener.socket.getsockname()
    return ListeningPort(protocol, name[0], name[1]) if isinstance(name, tuple) else ListeningPort(protocol, name, 0)


async def _wait_for_client(listener: trio.SocketListener, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(listener.socket)
    scope.cancel()


def _load_management() -> Serve:
    from amqp_broker.management.web import serve_management

    return serve_management


def _load_metrics() -> Serve:
    from amqp_broker.management.web import serve_metrics

    return serve_metrics
