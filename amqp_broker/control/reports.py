"""What state the broker is in, told at length: RabbitMQ's sections and labels, without what only Erlang has."""

from __future__ import annotations

import os
import platform
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final

from amqp_broker import __version__
from amqp_broker.control.cluster import status_lines
from amqp_broker.control.errors import EXIT_DATA, ControlError
from amqp_broker.control.health import listener_row, listeners, port_text
from amqp_broker.control.request import Request
from amqp_broker.ctl.plugins import BUILT_IN
from amqp_broker.inspection.features import FLAGS
from amqp_broker.inspection.memory import MEMORY_CATEGORIES, memory_record
from amqp_broker.inspection.node import Node
from amqp_broker.inspection.settings import setting_lines
from amqp_broker.past import Past
from amqp_broker.session.connection import Connection

Row = dict[str, Any]

UNITS: Final = {"bytes": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

TOTALS: Final = {
    "connection_count": "Connection count",
    "queue_count": "Queue count",
    "virtual_host_count": "Virtual host count",
}


def status(node: Node, request: Request) -> Iterable[str | Row]:
    """The whole state, in sections or as one object."""
    if request.options.get("formatter") == "json":
        yield _status_record(node)
        return
    broker, resources = node.broker, node.resources
    unit = _unit(request)
    yield "Runtime\n"
    yield f"OS PID: {os.getpid()}"
    yield f"OS: {platform.system()}"
    yield f"Uptime (seconds): {int(node.uptime_s)}"
    yield f"Is under maintenance?: {'true' if broker.is_suspended else 'false'}"
    yield f"RabbitMQ version: {broker.config.version}"
    yield f"Node name: {node.name}"
    yield f"Runtime: Python {platform.python_version()}, amqp-broker {__version__}"
    yield f"Crypto library: {ssl.OPENSSL_VERSION}"
    yield "\nPlugins\n\nEnabled plugin file: (built in)"
    yield "Enabled plugins:\n"
    yield from (f" * {name}" for name in BUILT_IN)
    yield f"\nData directory\n\nNode data directory: {broker.config.data_dir or '(memory)'}"
    yield from _section("Config files", [str(path) for path in node.config_paths])
    yield from _section("Log file(s)", list(node.log_paths))
    yield from _section("Alarms", [f"{alarm} alarm" for alarm in broker.alarms])
    yield from _section("Tags", [])
    used, limit = resources.memory_used_octets, resources.memory_limit_octets
    yield f"\nMemory\n\nTotal memory used: {_in_unit(used, unit)}"
    yield "Calculation strategy: rss"
    yield (
        f"Memory high watermark setting: {broker.config.memory_high_watermark} of available memory, "
        f"computed to: {_in_unit(limit, unit)}\n"
    )
    yield from memory_breakdown(node, request)
    free = resources.disk_free_octets
    yield (
        f"\nFree Disk Space\n\nLow free disk space watermark: {_in_unit(resources.disk_free_limit_octets, unit)}"
        f"\nFree disk space: {'(not monitored)' if free is None else _in_unit(free, unit)}"
    )
    yield "\nTotals\n"
    yield from (f"{TOTALS[key]}: {value}" for key, value in _totals(node).items())
    yield "\nListeners\n"
    yield from listeners(node, request)


def cluster_status(node: Node, _request: Request) -> Iterable[str]:
    """The nodes of the cluster, often one, and more of this one."""
    cores = os.cpu_count()
    yield f"Basics\n\nCluster name: {node.broker.config.cluster_name}"
    if node.cluster is not None:
        yield from status_lines(node)
    else:
        yield f"Total CPU cores available cluster-wide: {cores}"
        yield from _section("Cluster Tags", [])
        for title in ("Disk Nodes", "Running Nodes"):
            yield f"\n{title}\n\n{node.name}"
    yield f"\nVersions\n\n{node.name}: RabbitMQ {node.broker.config.version} on Python {platform.python_version()}"
    yield f"\nCPU Cores\n\nNode: {node.name}, available CPU cores: {cores}"
    if node.cluster is None:
        maintenance = "" if node.broker.is_suspended else "not "
        yield f"\nMaintenance status\n\nNode: {node.name}, status: {maintenance}under maintenance"
    yield from _section("Alarms", list(node.broker.alarms))
    is_cut_off = node.cluster is not None and node.cluster.is_cut_off()
    partitions = f"Node {node.name} is cut off from NATS" if is_cut_off else "(none)"
    yield f"\nNetwork Partitions\n\n{partitions}\n\nListeners\n"
    for each in node.listeners:
        yield f"Node: {node.name}, interface: {port_text(each)}"
    yield "\nFeature flags\n"
    yield from (f"Flag: {name}, state: enabled" for name in FLAGS)


def environment(node: Node, _request: Request) -> Iterable[str]:
    """The settings, without secrets."""
    return setting_lines(node.broker.config)


def report(node: Node, request: Request) -> Iterable[str | Row]:
    """Everything that helps somebody else to understand a problem."""
    for part in (status, cluster_status, environment):
        yield from part(node, request)


def memory_breakdown(_node: Node, request: Request) -> Iterable[str]:
    """RabbitMQ's categories, the largest first."""
    unit = _unit(request)
    record = memory_record()
    parts = [(value, name) for name in MEMORY_CATEGORIES if isinstance(value := record[name], int)]
    total = sum(value for value, _ in parts) or 1
    for value, name in sorted(parts, key=lambda part: -part[0]):
        yield f"{name}: {_in_unit(value, unit)} ({round(100 * value / total, 2)}%)"


def message_size_stats(node: Node, _request: Request) -> Iterator[Row]:
    """How many messages that clients published had which size, since the broker was started."""
    past = Past()
    past.add(node.broker.past)
    for vhost in node.broker.vhosts.values():
        past.add(vhost.past)
    for client in node.broker.open_clients():
        if isinstance(client, Connection):
            for channel in client.channels.values():
                past.sizes.add(channel.sizes)
    total = sum(count for _, count in past.sizes.steps()) or 1
    for limit, count in past.sizes.steps():
        shown = "more" if limit is None else f"up to {limit}"
        yield {"message_size": shown, "count": count, "percentage": round(100 * count / total, 2)}


def _status_record(node: Node) -> Row:
    resources, broker = node.resources, node.broker
    return {
        "pid": os.getpid(),
        "os": platform.system(),
        "uptime": int(node.uptime_s),
        "is_under_maintenance": broker.is_suspended,
        "rabbitmq_version": broker.config.version,
        "product_name": "",
        "product_version": "",
        "erlang_version": f"Python {platform.python_version()}",
        "amqp_broker_version": __version__,
        "crypto_lib_version": ssl.OPENSSL_VERSION,
        "config_files": [str(path) for path in node.config_paths],
        "log_files": list(node.log_paths),
        "data_directory": str(broker.config.data_dir or ""),
        "raft_data_directory": str(broker.config.data_dir or ""),
        "enabled_plugin_file": "",
        "active_plugins": BUILT_IN,
        "alarms": list(broker.alarms),
        "tags": [],
        "memory": memory_record(),
        "processes": {"used": 1, "limit": 1},
        "run_queue": 0,
        "net_ticktime": 0,
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_setting": {"relative": broker.config.memory_high_watermark},
        "vm_memory_high_watermark_limit": resources.memory_limit_octets,
        "disk_free": resources.disk_free_octets,
        "disk_free_limit": resources.disk_free_limit_octets,
        "totals": _totals(node),
        "listeners": [listener_row(each) | {"node": node.name} for each in node.listeners],
    }


def _section(title: str, items: list[str]) -> Iterator[str]:
    yield f"\n{title}\n"
    yield from (f" * {item}" for item in items)
    if not items:
        yield "(none)"


def _totals(node: Node) -> dict[str, int]:
    return {
        "connection_count": len(node.broker.clients),
        "queue_count": sum(len(vhost.queues) for vhost in node.broker.vhosts.values()),
        "virtual_host_count": len(node.broker.vhosts),
    }


def _unit(request: Request) -> str:
    """The unit of sizes. Raises ControlError when there is none of that name."""
    unit = str(request.options.get("unit", "gb")).lower()
    if unit not in UNITS:
        raise ControlError(f"unit {unit!r} is not supported. Try one of {', '.join(UNITS)}", EXIT_DATA)
    return unit


def _in_unit(octets: int, unit: str) -> str:
    return f"{round(octets / UNITS[unit], 4)} {unit}"
