"""What can be asked: every command with its arguments, options, first line of output and columns.

`{0}`, `{1}` in a banner are arguments, `{vhost}` and the like options, `{node}` the node's name.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """One command.

    Attributes:
        usage: what stands after the command's name.
        arguments: the fewest and the most; None for any number.
        banner: what is printed first, unless `-q` or `-s`; `|` separates lines.
        options: of its own: long names, with `=` where a value follows.
        columns: of a list, those shown when none are named; empty for other output.
        more_columns: what else can be named; None when columns can't be.
        is_diagnostic: whether rabbitmq-diagnostics has it (and not rabbitmqctl).
        refusal: why it is not done here; the command fails with that.
        no_op: what is said instead of doing something that has no meaning here.
    """

    usage: str = ""
    arguments: tuple[int, int | None] = (0, 0)
    banner: str = ""
    options: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    more_columns: tuple[str, ...] | None = None
    is_diagnostic: bool = False
    refusal: str = ""
    no_op: str = ""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HEADERS: Final = "[--no-table-headers]"
COLUMNS: Final = "[--no-table-headers] [<column> ...]"
VHOST: Final = "[--vhost <vhost>]"
NOT_ERLANG: Final = "There is no Erlang here that could evaluate anything."
NO_CLUSTER: Final = (
    "A broker joins a cluster when it starts (amqp-broker --cluster nats://...), and leaves it when it stops."
)

NO_REPLICAS: Final = "A queue is where its vhost is; it has no members to add, to move or to look at."
NO_EVENTS: Final = "Not over the control socket: bind a queue to the exchange amq.rabbitmq.event (key event_exchange)."

_ANY: Final = (0, None)

COMMANDS: Final[dict[str, Command]] = {
    # Life
    "help": Command("[<command>]", (0, 1)),
    "version": Command(),
    "ping": Command(
        banner="Will ping {node}. This only checks if the OS process is running and registered with epmd. "
        "Timeout: {timeout_ms} ms."
    ),
    "status": Command("[--unit <unit>]", banner="Status of node {node} ...", options=("unit=",)),
    "environment": Command(banner="Application environment of node {node} ..."),
    "cluster_status": Command(banner="Cluster status of node {node} ..."),
    "await_startup": Command(),
    "await_online_nodes": Command(
        "<count>", (1, 1), "Will wait for at least {0} nodes to join the cluster of {node}.", no_op=" "
    ),
    "wait": Command("[<pidfile>] [--pid|-P <pid>]", (0, 1), options=("pid=",)),
    "stop": Command("[--idempotent] [<pidfile>]", (0, 1), "Stopping and halting node {node} ...", ("idempotent",)),
    "shutdown": Command("[--wait]", banner="Shutting down RabbitMQ node {node} ...", options=("wait", "no-wait")),
    "stop_app": Command(banner="Stopping rabbit application on node {node} ..."),
    "start_app": Command(banner="Starting node {node} ..."),
    "reset": Command(banner="Resetting node {node} ..."),
    "force_reset": Command(banner="Forcefully resetting node {node} ..."),
    "rotate_logs": Command(no_op=" "),
    "report": Command(banner="Reporting server status of node {node} ..."),
    # Lists
    "list_queues": Command(
        f"{VHOST} [--online] [--offline] [--local] [--no-table-headers] [<column>, ...]",
        _ANY,
        "Timeout: {timeout_s} seconds ...|Listing queues for vhost {vhost} ...",
        ("online", "offline", "local"),
        _words("name messages"),
        _words(
            "durable auto_delete arguments policy operator_policy effective_policy_definition pid owner_pid exclusive "
            "exclusive_consumer_pid exclusive_consumer_tag messages_ready messages_unacknowledged messages_ready_ram "
            "messages_unacknowledged_ram messages_ram messages_persistent message_bytes message_bytes_ready "
            "message_bytes_unacknowledged message_bytes_ram message_bytes_persistent head_message_timestamp disk_reads "
            "disk_writes consumers consumer_utilisation consumer_capacity memory state type leader members online"
        ),
    ),
    "list_exchanges": Command(
        f"{VHOST} {COLUMNS}",
        _ANY,
        "Listing exchanges for vhost {vhost} ...",
        columns=_words("name type"),
        more_columns=_words("durable auto_delete internal arguments policy"),
    ),
    "list_bindings": Command(
        f"{VHOST} {COLUMNS}",
        _ANY,
        "Listing bindings for vhost {vhost}...",
        columns=_words("source_name source_kind destination_name destination_kind routing_key arguments"),
        more_columns=(),
    ),
    "list_connections": Command(
        COLUMNS,
        _ANY,
        "Listing connections ...",
        columns=_words("user peer_host peer_port state"),
        more_columns=_words(
            "pid name port host ssl ssl_protocol ssl_key_exchange ssl_cipher ssl_hash peer_cert_subject "
            "peer_cert_issuer peer_cert_serial_number peer_cert_validity channels protocol auth_mechanism vhost "
            "container_id timeout frame_max channel_max client_properties recv_oct recv_cnt send_oct send_cnt "
            "send_pend connected_at"
        ),
    ),
    "list_channels": Command(
        COLUMNS,
        _ANY,
        "Listing channels ...",
        columns=_words("pid user consumer_count messages_unacknowledged"),
        more_columns=_words(
            "connection name number vhost transactional confirm messages_uncommitted acks_uncommitted "
            "messages_unconfirmed prefetch_count"
        ),
    ),
    "list_consumers": Command(
        f"{VHOST} {COLUMNS}",
        _ANY,
        "Listing consumers in vhost {vhost} ...",
        columns=_words("queue_name channel_pid consumer_tag ack_required prefetch_count active arguments"),
        more_columns=_words("activity_status"),
    ),
    "list_unresponsive_queues": Command(
        f"[--local] [--queue-timeout <seconds>] {COLUMNS}",
        _ANY,
        "Listing unresponsive queues for vhost {vhost} ...",
        ("local", "queue-timeout="),
        columns=("name",),
        more_columns=(),
    ),
    "list_feature_flags": Command(
        "[<column> ...]",
        _ANY,
        "Listing feature flags ...",
        columns=_words("name state"),
        more_columns=_words("stability provided_by desc doc_url"),
    ),
    "list_deprecated_features": Command(
        "[--used] [<column> ...]",
        _ANY,
        "Listing deprecated features ...",
        ("used",),
        columns=_words("name deprecation_phase state"),
        more_columns=_words("provided_by desc doc_url"),
    ),
    "enable_feature_flag": Command("[--opt-in] <all | feature_flag>", (1, 1), options=("opt-in",), no_op=" "),
    # Users and permissions
    "list_users": Command(HEADERS, banner="Listing users ...", columns=_words("user tags")),
    "add_user": Command(
        "<username> [<password>] [<password_hash> --pre-hashed-password]",
        (1, 2),
        'Adding user "{0}" ...',
        ("pre-hashed-password",),
    ),
    "delete_user": Command("<username>", (1, 1), 'Deleting user "{0}" ...'),
    "change_password": Command("<username> <password>", (1, 2), 'Changing password for user "{0}" ...'),
    "clear_password": Command("<username>", (1, 1), 'Clearing password for user "{0}" ...'),
    "authenticate_user": Command("<username> <password>", (1, 2), 'Authenticating user "{0}" ...'),
    "set_user_tags": Command("<username> <tag> [...]", (1, None), 'Setting tags for user "{0}" to [{rest}] ...'),
    "hash_password": Command("<cleartext_password>", (0, 1), "Will hash provided password", ("hashing-algorithm=",)),
    "list_permissions": Command(
        f"{VHOST} {HEADERS}",
        banner='Listing permissions for vhost "{vhost}" ...',
        columns=_words("user configure write read"),
    ),
    "list_user_permissions": Command(
        f"{HEADERS} <username>",
        (1, 1),
        'Listing permissions for user "{0}" ...',
        columns=_words("vhost configure write read"),
    ),
    "set_permissions": Command(
        f"{VHOST} <username> <conf> <write> <read>",
        (4, 4),
        'Setting permissions for user "{0}" in vhost "{vhost}" ...',
    ),
    "clear_permissions": Command(
        f"{VHOST} <username>", (1, 1), 'Clearing permissions for user "{0}" in vhost "{vhost}" ...'
    ),
    "list_topic_permissions": Command(
        f"{VHOST} {HEADERS}",
        banner='Listing topic permissions for vhost "{vhost}" ...',
        columns=_words("user exchange write read"),
    ),
    "list_user_topic_permissions": Command(
        f"{HEADERS} <username>",
        (1, 1),
        'Listing topic permissions for user "{0}" ...',
        columns=_words("vhost exchange write read"),
    ),
    "set_topic_permissions": Command(
        f"{VHOST} <username> <exchange> <write> <read>",
        (4, 4),
        'Setting topic permissions on "{1}" for user "{0}" in vhost "{vhost}" ...',
    ),
    "clear_topic_permissions": Command(
        f"{VHOST} <username> [<exchange>]",
        (1, 2),
        'Clearing topic permissions for user "{0}" in vhost "{vhost}" ...',
    ),
    "list_user_limits": Command(
        "[--user <username>] [--global]", banner='Listing limits for user "{user}" ...', options=("user=", "global")
    ),
    "set_user_limits": Command("<username> <definition>", (2, 2), 'Setting user limits to "{1}" for user "{0}" ...'),
    "clear_user_limits": Command("<username> <limit_type> | all", (2, 2), 'Clearing "{1}" limit for user "{0}" ...'),
    # Vhosts
    "list_vhosts": Command(
        COLUMNS,
        _ANY,
        "Listing vhosts ...",
        columns=("name",),
        more_columns=_words(
            "description tags default_queue_type protected_from_deletion tracing cluster_state metadata"
        ),
    ),
    "add_vhost": Command(
        "<vhost> [--description <description> --tags <tags> --default-queue-type <type>]",
        (1, 1),
        'Adding vhost "{0}" ...',
        ("description=", "tags=", "default-queue-type="),
    ),
    "delete_vhost": Command("<vhost>", (1, 1), 'Deleting vhost "{0}" ...'),
    "update_vhost_metadata": Command(
        "<vhost> [--description=<description>] [--tags=<tags>] [--default-queue-type=<type>]",
        (1, 1),
        'Updating metadata of vhost "{0}" ...',
        ("description=", "tags=", "default-queue-type=", "protected-from-deletion="),
    ),
    "set_vhost_tags": Command("<vhost> <tag> [...]", (1, None), 'Setting tags for virtual host "{0}" to [{rest}] ...'),
    "restart_vhost": Command(VHOST, banner="Trying to restart vhost '{vhost}' on node '{node}' ...", no_op=" "),
    "enable_vhost_deletion_protection": Command(
        "<vhost>", (1, 1), 'Protecting virtual host "{0}" from removal by updating its metadata...'
    ),
    "disable_vhost_deletion_protection": Command(
        "<vhost>", (1, 1), 'Removing deletion protection from virtual host "{0}" by updating its metadata...'
    ),
    "list_vhost_limits": Command(
        f"{VHOST} [--global] {HEADERS}", banner='Listing limits for vhost "{vhost}" ...', options=("global",)
    ),
    "set_vhost_limits": Command(
        f"{VHOST} <definition>", (1, 1), 'Setting vhost limits to "{0}" for vhost "{vhost}" ...'
    ),
    "clear_vhost_limits": Command(VHOST, banner='Clearing vhost "{vhost}" limits ...'),
    "trace_on": Command(VHOST, banner='Starting tracing for vhost "{vhost}" ...'),
    "trace_off": Command(VHOST, banner='Stopping tracing for vhost "{vhost}" ...'),
    # Policies and parameters
    "list_policies": Command(
        f"{VHOST} {HEADERS}",
        banner='Listing policies for vhost "{vhost}" ...',
        columns=_words("vhost name pattern apply-to definition priority"),
    ),
    "set_policy": Command(
        f"{VHOST} [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        (3, 3),
        'Setting policy "{0}" for pattern "{1}" to "{2}" with priority "{priority}" for vhost "{vhost}" ...',
        ("priority=", "apply-to="),
    ),
    "clear_policy": Command(f"{VHOST} <name>", (1, 1), 'Clearing policy "{0}" on vhost "{vhost}" ...'),
    "list_operator_policies": Command(
        f"{VHOST} {HEADERS}",
        banner='Listing operator policy overrides for vhost "{vhost}" ...',
        columns=_words("vhost name pattern apply-to definition priority"),
    ),
    "set_operator_policy": Command(
        f"{VHOST} [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        (3, 3),
        'Setting operator policy override "{0}" for pattern "{1}" to "{2}" with priority "{priority}" '
        'for vhost "{vhost}" ...',
        ("priority=", "apply-to="),
    ),
    "clear_operator_policy": Command(
        f"{VHOST} <name>", (1, 1), 'Clearing operator policy "{0}" on vhost "{vhost}" ...'
    ),
    "list_parameters": Command(
        f"{VHOST} {HEADERS}",
        banner='Listing runtime parameters for vhost "{vhost}" ...',
        columns=_words("component name value"),
    ),
    "set_parameter": Command(
        f"{VHOST} <component_name> <name> <value>",
        (3, 3),
        'Setting runtime parameter "{1}" for component "{0}" to "{2}" in vhost "{vhost}" ...',
    ),
    "clear_parameter": Command(
        f"{VHOST} <component_name> <name>",
        (2, 2),
        'Clearing runtime parameter "{1}" for component "{0}" on vhost "{vhost}" ...',
    ),
    "list_global_parameters": Command(
        HEADERS, banner="Listing global runtime parameters ...", columns=_words("name value")
    ),
    "set_global_parameter": Command("<name> <value>", (2, 2), 'Setting global runtime parameter "{0}" to "{1}" ...'),
    "clear_global_parameter": Command("<name>", (1, 1), 'Clearing global runtime parameter "{0}" ...'),
    # Shovels and federation
    "shovel_status": Command(
        HEADERS,
        banner="Shovel status on node {node}",
        columns=_words("name vhost type state src_uri src_queue src_exchange dest_uri dest_queue dest_exchange reason"),
    ),
    "restart_shovel": Command(f"{VHOST} <name>", (1, 1), "Restarting dynamic Shovel {0} in vhost {vhost} ..."),
    "delete_shovel": Command(f"{VHOST} <name>", (1, 1), "Deleting shovel {0} in vhost {vhost} ..."),
    "federation_status": Command(
        f"[--only-down] {HEADERS}",
        banner="Listing federation links on node {node}...",
        options=("only-down",),
        columns=_words("id vhost type upstream exchange queue upstream_exchange upstream_queue status uri error"),
    ),
    "restart_federation_link": Command("<link_id>", (1, 1), "Restarting federation link {0} on node {node}"),
    # Objects
    "purge_queue": Command("<queue>", (1, 1), "Purging queue '{0}' in vhost '{vhost}' ..."),
    "delete_queue": Command(
        f"{VHOST} <queue_name> [--if-empty|-e] [--if-unused|-u] [--force]",
        (1, 1),
        "Deleting queue '{0}' on vhost '{vhost}' ...",
        ("if-empty", "if-unused", "force"),
    ),
    "close_connection": Command("<connection pid> <explanation>", (2, 2), "Closing connection {0}, reason: {1}..."),
    "close_all_connections": Command(
        f"{VHOST} [--limit <limit>] [--global] <explanation>",
        (1, 1),
        "Closing all connections in vhost {vhost}, reason: {0}...",
        ("limit=", "global", "per-connection-delay="),
    ),
    "close_all_user_connections": Command(
        "<username> <explanation>", (2, 2), "Closing connections of user {0}, reason: {1}..."
    ),
    "export_definitions": Command(
        "<file_path> | -", (1, 1), 'Exporting definitions in JSON to a file at "{0}" ...', ("format=",)
    ),
    "import_definitions": Command(
        "[<file_path>] [--skip-if-unchanged]",
        (0, 1),
        'Importing definitions in JSON from a file at "{0}" ...',
        ("format=", "skip-if-unchanged"),
    ),
    # Settings
    "set_log_level": Command("<log_level>", (1, 1), 'Setting log level to "{0}" ...'),
    "set_vm_memory_high_watermark": Command(
        "<fraction> | absolute <value>", (1, 2), "Setting memory threshold on {node} to {last} ..."
    ),
    "set_disk_free_limit": Command(
        "<disk_limit> | mem_relative <fraction>", (1, 2), "Setting disk free limit on {node} to {last} bytes ..."
    ),
    "set_cluster_name": Command("<name>", (1, 1), "Setting cluster name to {0} ..."),
    "suspend_listeners": Command(
        banner="Will suspend client connection listeners on node {node}. The node will no longer accept client "
        "connections!"
    ),
    "resume_listeners": Command(
        banner="Will resume client connection listeners on node {node}. The node will now accept client connections"
    ),
    # Diagnostics
    "check_running": Command(banner="Checking if RabbitMQ is running on node {node} ...", is_diagnostic=True),
    "is_running": Command(banner="Asking node {node} for its status ...", is_diagnostic=True),
    "is_booting": Command(banner="Asking node {node} for its boot status ...", is_diagnostic=True),
    "check_alarms": Command(banner="Asking node {node} to report any local resource alarms ...", is_diagnostic=True),
    "check_local_alarms": Command(
        banner="This command is DEPRECATED and is a no-op. It will be removed in a future version.",
        is_diagnostic=True,
    ),
    "alarms": Command(banner="Asking node {node} to report any known resource alarms ...", is_diagnostic=True),
    "check_port_connectivity": Command(
        "[--address <target address>]",
        banner="Testing TCP connections to all active listeners on node {node} using hostname resolution ...",
        options=("address=",),
        is_diagnostic=True,
    ),
    "check_port_listener": Command(
        "<port>",
        (1, 1),
        "Asking node {node} if there's an active listener on port {0} ...",
        is_diagnostic=True,
    ),
    "check_protocol_listener": Command(
        "<protocol>",
        (1, 1),
        "Asking node {node} if there's an active listener for protocol {0} ...",
        is_diagnostic=True,
    ),
    "check_virtual_hosts": Command(banner="Checking if all vhosts are running on node {node} ...", is_diagnostic=True),
    "listeners": Command(banner="Asking node {node} to report its protocol listeners ...", is_diagnostic=True),
    "server_version": Command(banner="Asking node {node} for its RabbitMQ version...", is_diagnostic=True),
    "erlang_version": Command(
        banner="Asking node {node} for its Erlang/OTP version...", options=("details", "offline"), is_diagnostic=True
    ),
    "memory_breakdown": Command(
        "[--unit <unit>]",
        banner="Reporting memory breakdown on node {node}...",
        options=("unit=",),
        is_diagnostic=True,
    ),
    "message_size_stats": Command(
        banner="Gathering message size statistics ...",
        columns=_words("message_size count percentage"),
        is_diagnostic=True,
    ),
    "certificates": Command(banner="Certificates of node {node} ...", is_diagnostic=True),
    "check_certificate_expiration": Command(
        "[--within <n>] [--unit <days | weeks | months | years>]",
        banner="Checking certificate expiration on node {node} ...",
        options=("within=", "unit="),
        is_diagnostic=True,
    ),
    "log_tail": Command("[--number|-N <lines>]", options=("number=",), is_diagnostic=True),
    "log_tail_stream": Command("[--duration|-d <seconds>]", options=("duration=",), is_diagnostic=True),
    "consume_event_stream": Command("", _ANY, refusal=NO_EVENTS, is_diagnostic=True),
    "list_node_auth_attempt_stats": Command(
        "", _ANY, refusal="Ask the HTTP API: GET /api/auth/attempts/<node>.", is_diagnostic=True
    ),
    "log_location": Command(
        "[--all|-a]", banner="Log file location(s) on node {node} ...", options=("all",), is_diagnostic=True
    ),
    "os_env": Command(
        banner="Listing RabbitMQ-specific environment variables defined on node {node}...", is_diagnostic=True
    ),
    "check_if_any_deprecated_features_are_used": Command(
        banner="Checking if any deprecated features are used ...",
        is_diagnostic=True,
        no_op="No deprecated features are used.",
    ),
    "node_health_check": Command(
        banner="This command is DEPRECATED and is a no-op. It will be removed in a future version. ", no_op=" "
    ),
    # What has no meaning on one node, or no Erlang to work with
    "join_cluster": Command("<existing_cluster_member>", _ANY, refusal=NO_CLUSTER),
    "forget_cluster_node": Command("<existing_cluster_member_node>", _ANY, refusal=NO_CLUSTER),
    "rename_cluster_node": Command("<oldnode1> <newnode1>", _ANY, refusal=NO_CLUSTER),
    "update_cluster_nodes": Command("<seed_node>", _ANY, refusal=NO_CLUSTER),
    "rebalance": Command("<type>", _ANY, no_op=" "),
    "grow": Command("<node> <all | even>", _ANY, refusal=NO_REPLICAS),
    "shrink": Command("<node>", _ANY, refusal=NO_REPLICAS),
    "add_member": Command("<queue> <node>", _ANY, refusal=NO_REPLICAS),
    "delete_member": Command("<queue> <node>", _ANY, refusal=NO_REPLICAS),
    "quorum_status": Command("<queue>", _ANY, refusal=NO_REPLICAS),
    "peek": Command("<queue> <position>", _ANY, refusal="Ask the HTTP API: POST /api/queues/<vhost>/<queue>/get."),
    "check_if_node_is_quorum_critical": Command(
        banner="Checking if node {node} is critical for quorum of any quorum queues ...", is_diagnostic=True
    ),
    "check_if_cluster_has_classic_queue_mirroring_policy": Command(no_op="There is no mirroring."),
    "await_online_quorum_plus_one": Command(no_op=" "),
    "transfer_vhost": Command("<vhost> <node>", (2, 2)),
    "undrain": Command("[<node>]", (0, 1)),
    "drain": Command(
        "[<node>]",
        (0, 1),
        banner="Will put node {node} into maintenance mode. The node will no longer serve any client traffic!",
    ),
    "revive": Command(banner="Will return node {node} from maintenance mode ..."),
    "force_boot": Command(no_op=" "),
    "force_gc": Command(no_op=" "),
    "eval": Command("<expression>", _ANY, refusal=NOT_ERLANG),
    "eval_file": Command("<file path>", _ANY, refusal=NOT_ERLANG),
    "exec": Command("<expression>", _ANY, refusal=NOT_ERLANG),
    "remote_shell": Command("", _ANY, refusal=NOT_ERLANG, is_diagnostic=True),
    "observer": Command("", _ANY, refusal=NOT_ERLANG, is_diagnostic=True),
    "encode": Command("value passphrase", _ANY, refusal="Encrypted values are not supported; use $(VARIABLE)."),
    "decode": Command("value passphrase", _ANY, refusal="Encrypted values are not supported; use $(VARIABLE)."),
}
