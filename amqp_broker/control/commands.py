"""The table of what can be asked of a running broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from amqp_broker.administration.errors import AdministrationError
from amqp_broker.control import administration, certificates, cluster, health, links, listing, reports
from amqp_broker.control.administration import Run, as_control_error
from amqp_broker.control.errors import EXIT_USAGE, ControlError
from amqp_broker.control.request import Answer, Request
from amqp_broker.inspection.node import Node

COMMANDS: Final[Mapping[str, Run]] = {
    **administration.COMMANDS,
    "shovel_status": links.shovel_status,
    "restart_shovel": links.restart_shovel,
    "delete_shovel": links.delete_shovel,
    "federation_status": links.federation_status,
    "restart_federation_link": links.restart_federation_link,
    "list_queues": listing.list_queues,
    "list_exchanges": listing.list_exchanges,
    "list_bindings": listing.list_bindings,
    "list_connections": listing.list_connections,
    "list_channels": listing.list_channels,
    "list_consumers": listing.list_consumers,
    "list_unresponsive_queues": listing.list_unresponsive_queues,
    "list_feature_flags": listing.list_feature_flags,
    "list_deprecated_features": listing.list_deprecated_features,
    "ping": health.ping,
    "status": reports.status,
    "cluster_status": reports.cluster_status,
    "environment": reports.environment,
    "report": reports.report,
    "server_version": health.server_version,
    "erlang_version": health.erlang_version,
    "check_running": health.check_running,
    "is_running": health.check_running,
    "is_booting": health.is_booting,
    "check_alarms": health.check_local_alarms,
    "check_local_alarms": health.check_local_alarms,
    "alarms": health.alarms,
    "listeners": health.listeners,
    "check_port_connectivity": health.listener_rows,
    "check_port_listener": health.check_port_listener,
    "check_protocol_listener": health.check_protocol_listener,
    "check_virtual_hosts": health.check_virtual_hosts,
    "check_if_node_is_quorum_critical": health.check_if_node_is_quorum_critical,
    "memory_breakdown": reports.memory_breakdown,
    "message_size_stats": reports.message_size_stats,
    "certificates": certificates.certificates,
    "check_certificate_expiration": certificates.check_certificate_expiration,
    "transfer_vhost": cluster.transfer_vhost,
    "drain": cluster.drain,
    "undrain": cluster.undrain,
    "revive": cluster.undrain,
    "log_location": health.log_location,
    "os_env": health.os_env,
    "stop": health.stop,
    "shutdown": health.shutdown,
    "reset": health.reset,
    "force_reset": health.reset,
    "stop_app": health.stop_app,
    "start_app": health.start_app,
    "suspend_listeners": health.suspend_listeners,
    "resume_listeners": health.start_app,
    "set_log_level": health.set_log_level,
    "set_vm_memory_high_watermark": health.set_vm_memory_high_watermark,
    "set_disk_free_limit": health.set_disk_free_limit,
    "close_connection": health.close_connection,
    "close_all_connections": health.close_all_connections,
    "close_all_user_connections": health.close_all_user_connections,
    "purge_queue": health.purge_queue,
    "delete_queue": health.delete_queue,
}


def run(node: Node, name: str, request: Request) -> Iterable[Answer]:
    """Run a command; what it gives may be made while it is taken.

    Raises:
        ControlError: it is not done, or is none; also while answers are taken.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise ControlError(f"The broker that runs knows no command {name}", EXIT_USAGE)
    cluster.check_is_here(node, name, request)
    try:
        for answer in command(node, request) or ():
            if isinstance(answer, dict) and request.columns:
                yield {column: answer.get(column, "") for column in request.columns}
            else:
                yield answer
    except AdministrationError as error:
        raise as_control_error(error) from None
