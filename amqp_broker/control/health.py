"""What state the broker is in, and the switches that change it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from amqp_broker import logs
from amqp_broker.administration.loading import load_definitions
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.values import FACTOR, OCTETS, SHARE, Kind
from amqp_broker.control.errors import EXIT_DATA, EXIT_SOFTWARE, EXIT_USAGE, ControlError
from amqp_broker.control.listing import connections_of
from amqp_broker.control.request import Request
from amqp_broker.errors import AMQPError
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.queues.queue import Queue
from amqp_broker.session.connection import Connection

Row = dict[str, Any]

_LOGIN: Final = re.compile(r"://.*@")
"""In URLs; what is between them goes as well."""


def ping(_node: Node, _request: Request) -> Iterable[str]:
    yield "Ping succeeded"


def server_version(node: Node, _request: Request) -> Iterable[str]:
    yield node.broker.config.version


def erlang_version(_node: Node, _request: Request) -> Iterable[str]:
    yield f"There is no Erlang here; this is Python {platform.python_version()}"


def check_running(node: Node, _request: Request) -> Iterable[str]:
    if node.broker.is_suspended:
        raise ControlError(f"RabbitMQ on node {node.name} is not running or has not fully booted yet", is_bare=True)
    yield f"RabbitMQ on node {node.name} is fully booted and running"


def is_booting(node: Node, _request: Request) -> Iterable[str]:
    yield (
        f"RabbitMQ on node {node.name} is fully booted (check with is_running), stopped or has not started booting yet"
    )


def check_local_alarms(node: Node, _request: Request) -> Iterable[str]:
    if node.broker.alarms:
        text = "\n".join(f"\t{_alarm_text(alarm, node)}" for alarm in node.broker.alarms)
        raise ControlError(f"Error: node {node.name} reported alarms:\n{text}", is_bare=True)
    yield f"Node {node.name} reported no local alarms"


def alarms(node: Node, _request: Request) -> Iterable[str]:
    if not node.broker.alarms:
        yield f"Node {node.name} reported no alarms{', local or clusterwide' if node.cluster is None else ''}"
        return
    yield f"Node {node.name} alarms:"
    for alarm in node.broker.alarms:
        yield f"\t{_alarm_text(alarm, node)}"


def listeners(node: Node, _request: Request) -> Iterable[str]:
    return (f"Interface: {port_text(each)}" for each in node.listeners)


def listener_rows(node: Node, _request: Request) -> Iterator[Row]:
    return map(listener_row, node.listeners)


def listener_row(listener: ListeningPort) -> Row:
    """A port, in RabbitMQ's order of fields."""
    return {
        "interface": listener.interface,
        "port": listener.port,
        "protocol": listener.protocol,
        "purpose": listener.purpose,
    }


def port_text(listener: ListeningPort) -> str:
    """The same as `interface`, and what follows it in a line."""
    row = listener_row(listener)
    return f"{row.pop('interface')}, " + ", ".join(f"{name}: {value}" for name, value in row.items())


def check_port_listener(node: Node, request: Request) -> Iterable[str]:
    port = request.text(0)
    ports = sorted({each.port for each in node.listeners if each.port})
    if port not in map(str, ports):
        shown = ", ".join(map(str, ports))
        raise ControlError(
            f"No listener for port {port} is active on node {node.name}. "
            f"Found listeners that use the following ports: {shown}",
            is_bare=True,
        )
    yield f"A listener for port {port} is running on node {node.name}."


def check_protocol_listener(node: Node, request: Request) -> Iterable[str]:
    asked = request.text(0)
    protocol = {"amqp091": "amqp", "amqp10": "amqp", "amqps": "amqp/ssl", "amqp_ssl": "amqp/ssl"}.get(asked, asked)
    there = list(dict.fromkeys(each.protocol for each in node.listeners))
    if protocol not in there:
        raise ControlError(
            f"No listener for protocol {asked} is active on node {node.name}. "
            f"Found listeners for the following protocols: {', '.join(there)}",
            is_bare=True,
        )
    yield f"A listener for protocol {asked} is running on node {node.name}."


def check_if_node_is_quorum_critical(node: Node, _request: Request) -> Iterable[str]:
    if node.is_critical:
        raise ControlError(f"Node {node.name} is critical: no other one runs that could have its vhosts")
    yield f"Node {node.name} reported no quorum queues with minimum quorum"


def check_virtual_hosts(node: Node, _request: Request) -> Iterable[str]:
    if down := node.vhosts_down:
        raise ControlError("\n".join([f"Some virtual hosts on node {node.name} are down:", *down]))
    yield f"Node {node.name} reported all vhosts as running"


def log_location(node: Node, _request: Request) -> Iterable[str]:
    return iter(node.log_paths)


def os_env(_node: Node, _request: Request) -> Iterable[str]:
    """The variables that RabbitMQ has, without the values of secrets."""
    for name in sorted(os.environ):
        if name.startswith(("RABBITMQ_", "AMQP_BROKER_")):
            is_secret = any(word in name for word in ("PASS", "SECRET", "COOKIE", "KEY"))
            value = "********" if is_secret else _LOGIN.sub("://********@", os.environ[name])
            yield f"{name.removeprefix('RABBITMQ_')}={value}"


# Switches


def stop(node: Node, _request: Request) -> None:
    node.stop()


def shutdown(node: Node, _request: Request) -> Iterable[str]:
    yield f"Will wait for the node to stop: OS process id {os.getpid()}"
    node.stop()


def stop_app(node: Node, _request: Request) -> None:
    """Close all connections and let nobody in; the process goes on."""
    node.broker.is_suspended = True
    node.broker.shut_down()


def start_app(node: Node, _request: Request) -> None:
    node.broker.is_suspended = False


def reset(node: Node, _request: Request) -> None:
    """Make a new broker of it: no users, vhosts, messages but what a new one has; only while it is stopped."""
    if node.cluster is not None:
        raise ControlError("what a node of a cluster knows is the cluster's, and can't be reset", EXIT_SOFTWARE)
    if not node.broker.is_suspended:
        raise ControlError(
            f"RabbitMQ is still running on node {node.name}. Please stop it with 'rabbitmqctl stop_app' first.",
            EXIT_SOFTWARE,
        )
    node.broker.begin_anew()
    definitions = node.broker.config.load_definitions
    if definitions is not None:
        load_definitions(node.broker, definitions)


def suspend_listeners(node: Node, _request: Request) -> None:
    node.broker.is_suspended = True


def set_log_level(_node: Node, request: Request) -> None:
    try:
        logs.set_level(request.text(0))
    except KeyError:
        raise ControlError(
            f"level {request.text(0)} is not supported. Try one of {', '.join(logs.LEVELS)}", EXIT_USAGE
        ) from None


def set_vm_memory_high_watermark(node: Node, request: Request) -> None:
    if request.text(0) == "absolute":
        node.resources.memory_limit_octets = _number(OCTETS, request.text(1))
    else:
        share = _number(SHARE, request.text(0))
        node.resources.memory_limit_octets = int(node.resources.memory_total_octets * share)
    node.resources.look()


def set_disk_free_limit(node: Node, request: Request) -> None:
    if request.text(0) == "mem_relative":
        factor = _number(FACTOR, request.text(1))
        node.resources.disk_free_limit_octets = int(node.resources.memory_total_octets * factor)
    else:
        node.resources.disk_free_limit_octets = _number(OCTETS, request.text(0))
    node.resources.look()


def close_connection(node: Node, request: Request) -> None:
    found = [each for each in connections_of(node) if node.pid_of(each) == request.text(0)]
    if not found:
        raise ControlError(f"There is no connection {request.text(0)}; list_connections pid shows them")
    found[0].force_close(request.text(1))


def close_all_connections(node: Node, request: Request) -> Iterable[str]:
    """Those of a vhost, or all."""
    is_global = "global" in request.options
    chosen = [each for each in connections_of(node) if is_global or each.vhost_name == request.vhost]
    limit = str(request.options.get("limit", "0"))
    yield from _close(chosen[: int(limit)] if limit.isdigit() and int(limit) else chosen, request.text(0))


def close_all_user_connections(node: Node, request: Request) -> Iterable[str]:
    yield from _close([each for each in connections_of(node) if each.user == request.text(0)], request.text(1))


def purge_queue(node: Node, request: Request) -> None:
    queue = _queue(node, request)
    if queue is None:
        raise ControlError("Object (queue, stream, exchange, etc) was not found", EXIT_DATA, is_bare=True)
    queue.purge()


def delete_queue(node: Node, request: Request) -> Iterable[str]:
    queue = _queue(node, request)
    if queue is None:
        raise ControlError("No such queue was found", EXIT_USAGE)
    options = request.options
    try:
        count = node.broker.vhosts[request.vhost].delete_queue(
            queue, if_unused="if-unused" in options, if_empty="if-empty" in options
        )
    except AMQPError as error:
        raise ControlError(error.reply_text) from None
    yield f"Queue was successfully deleted with {count} ready messages"


def _queue(node: Node, request: Request) -> Queue | None:
    vhost = node.broker.vhosts.get(request.vhost)
    return None if vhost is None else vhost.queues.get(request.text(0))


def _close(connections: list[Connection], reason: str) -> Iterator[str]:
    for connection in connections:
        connection.force_close(reason)
    yield closed_text(len(connections))


def closed_text(count: int) -> str:
    return f"Closed {count} connections"


def _number(kind: Kind, text: str) -> Any:
    try:
        return kind.parse(text)
    except (ValueError, LookupError, ConfigError):
        raise ControlError(f"expected {kind.expected}, found {text!r}", EXIT_DATA) from None


def _alarm_text(alarm: str, node: Node) -> str:
    return f"{'Memory' if alarm == 'memory' else 'Free disk space'} alarm on node {node.name}"
