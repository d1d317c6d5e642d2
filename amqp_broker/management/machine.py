"""The node and the machine as the API shows them: what can be known is measured, what only Erlang has is zero."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import psutil

from amqp_broker import __version__
from amqp_broker.auth.sasl import MECHANISMS
from amqp_broker.inspection.node import Node
from amqp_broker.inspection.values import Json, Record
from amqp_broker.resources import open_files_limit
from amqp_broker.routing.types import EXCHANGE_TYPES

_COUNTERS = (
    "gc_num",
    "gc_bytes_reclaimed",
    "context_switches",
    "io_read_count",
    "io_read_bytes",
    "io_write_count",
    "io_write_bytes",
    "io_sync_count",
    "io_seek_count",
    "io_reopen_count",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_read_count",
    "queue_index_write_count",
)
_AVERAGES = ("io_read_avg_time", "io_write_avg_time", "io_sync_avg_time", "io_seek_avg_time")


def exchange_types() -> list[Json]:
    """The exchange types there are."""
    return [{"name": name, "description": f"{name} exchange", "enabled": True} for name in sorted(EXCHANGE_TYPES)]


def listener_records(node: Node) -> list[Json]:
    """What is listened on."""
    return [
        {
            "node": node.name,
            "protocol": listener.protocol,
            "ip_address": listener.address,
            "port": listener.port,
            "socket_opts": {},
            "tls": listener.protocol in ("amqp/ssl", "https", "https/prometheus"),
        }
        for listener in node.listeners
    ]


def context_records(node: Node) -> list[Json]:
    """What is served over HTTP."""
    management, metrics = ("RabbitMQ Management", "/"), ("RabbitMQ Prometheus", "/metrics")
    shown = {"http": management, "https": management, "http/prometheus": metrics, "https/prometheus": metrics}
    return [
        {
            "node": node.name,
            "description": shown[listener.protocol][0],
            "path": shown[listener.protocol][1],
            "port": str(listener.port),
        }
        for listener in node.listeners
        if listener.protocol in shown
    ]


def erlang_version() -> Record:
    """Tools ask for the version of Erlang; they are told what runs instead."""
    python = platform.python_version()
    return {
        "erlang_version": python,
        "erlang_full_version": f"Python {python} [{platform.python_implementation()}] [{platform.machine()}]",
    }


def usage(node: Node) -> dict[str, int]:
    """What the broker uses of the machine, and what disk there is left, in octets and numbers."""
    process = psutil.Process()
    with process.oneshot():
        return {
            "mem_used": process.memory_info().rss,
            "fd_used": process.num_fds() if hasattr(process, "num_fds") else 0,
            "sockets_used": sum(1 for _ in node.broker.clients),
            "proc_used": process.num_threads(),
            "disk_free": psutil.disk_usage(_directory(node)).free,
        }


def _directory(node: Node) -> str:
    return str(node.broker.config.data_dir or os.getcwd())


def node_record(node: Node, used: Mapping[str, int]) -> Record:
    """The node as `nodes` shows it, but for how its `usage` changes."""
    broker, resources = node.broker, node.resources
    files_total = open_files_limit()
    record: Record = {
        "name": node.name,
        "type": "disc",
        "running": True,
        "being_drained": False,
        "os_pid": str(os.getpid()),
        "uptime": int(node.uptime_s * 1000),
        "run_queue": 0,
        "processors": os.cpu_count() or 1,
        "rates_mode": "basic",
        "mem_limit": resources.memory_limit_octets,
        "mem_alarm": "memory" in broker.alarms,
        "mem_calculation_strategy": "rss",
        "disk_free_limit": resources.disk_free_limit_octets,
        "disk_free_alarm": "disk" in broker.alarms,
        "fd_total": files_total,
        "sockets_total": files_total,
        "proc_total": 1_048_576,
        "partitions": [],
        "exchange_types": exchange_types(),
        "auth_mechanisms": [{"name": name, "description": name, "enabled": True} for name in MECHANISMS],
        "applications": [
            {"name": "rabbit", "description": "trio-amqp-broker", "version": broker.config.version},
            {"name": "rabbitmq_management", "description": "HTTP API and web page", "version": __version__},
        ],
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "contexts": context_records(node),
        "log_files": list(node.log_paths),
        "db_dir": _directory(node),
        "config_files": [str(path) for path in node.config_paths],
        "net_ticktime": 60,
        "cluster_links": [],
        "metrics_gc_queue_length": {},
        "rabbitmq_version": broker.config.version,
        **erlang_version(),
        **used,
    }
    for name in _COUNTERS:
        record |= {name: 0, f"{name}_details": {"rate": 0.0}}
    for name in _AVERAGES:
        record |= {name: 0.0, f"{name}_details": {"rate": 0.0}}
    return record
