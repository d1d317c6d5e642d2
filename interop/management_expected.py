"""Where the management API answers otherwise than RabbitMQ 3.10, which Debian has.

The API is that of RabbitMQ 4.3: `docs/http-deviations.md` says what differs from that one on purpose.
"""

from __future__ import annotations

from typing import Final

from tests.management.deviations import Deviation

_ERLANG: Final = Deviation(
    "*",
    (
        "- *reductions",
        "- *reductions_details",
        "- *garbage_collection",
        "- *metrics_gc_queue_length.*",
        "- *pending_raft_commands",
        "- *ra_open_file_metrics",
        "- *cowboy_opts",
        "- *.contexts[].ip",
        "- *socket_opts.*",
        "- *ssl_opts",
        "- *backing_queue_status",
        "- *recoverable_slaves",
    ),
    "Inner life of Erlang, of its libraries and of mirrored queues.",
)

_NEWER: Final = Deviation(
    "*",
    (
        "+ *.callbacks",
        "+ *.cluster_tags",
        "+ *.consumer_timeout",
        "+ *.crypto_lib_version",
        "+ *.default_queue_type",
        "+ *.delivery_limit",
        "+ *.experiment_level",
        "+ *.internal",
        "+ *.internal_owner",
        "+ *.is_internal_user",
        "+ *.is_op_policy_updating_enabled",
        "+ *.listeners[].tls",
        "+ *.node_tags",
        "+ *.peer_cert_serial_number",
        "+ *.protected_from_deletion",
        "+ *.require_definition_json_extension",
        "+ *.require_level",
        "+ *.storage_version",
        "+ *.arguments.x-queue-type",
        "+ *.being_drained",
        "+ *.contexts[].node",
        "+ *.container_id",
        "+ *.user_provided_name",
        "+ [].erlang*version",
        "+ [].rabbitmq_version",
        "+ *.oauth_enabled",
        "+ *message_stats.drop_unroutable*",
        "+ .object_totals.consumers",
    ),
    "Later releases have it.",
)

_OLDER: Final = Deviation(
    "*",
    (
        "- *.message_bytes_paged_out",
        "- *.messages_paged_out",
        "- *.release_series_support_status",
        "- *.single_active_consumer_ctag",
        "- *uaa*",
        "- [].exclusive_consumer_tag",
        "- *items[].exclusive_consumer_tag",
        "- *[].operator_policy",
        "- *[].single_active_consumer_tag",
        "*.policy: text, null",
    ),
    "Later releases have it no longer, or leave out of lists what is null.",
)

DIFFERENCES: Final = (
    _ERLANG,
    _NEWER,
    _OLDER,
    Deviation("GET definitions*", ("+ .*", "- .p*[].vhost"), "Definitions have another form since 4.0."),
    Deviation("*", ("+ *message_stats.*",), "Counters are there from the start, with 0."),
    Deviation("*", ("- *messages_dlx", "- *message_bytes_dlx"), "Not counted here."),
    Deviation("*", ("- *idle_since", "- *head_message_timestamp"), "Only of what has been idle, or of a single queue."),
    Deviation("*", ("*ssl_*: text, null", "*peer_cert_*: text, null"), "Empty text, as for a single connection."),
    Deviation("*", ("- *user_who_performed_action",), "Who declared an exchange is not kept."),
    Deviation(
        "GET queues/v1*",
        (
            "+ .consumer_*",
            "+ *.leader",
            "+ .message_bytes*",
            "+ .messages_persistent",
            "+ .messages_ram",
            "+ *.segments",
            "+ .single_active_consumer_tag",
        ),
        "Streams have the fields of all queues, as in 4.3.",
    ),
    Deviation("GET queues", ("+ [].segments",), "The same."),
    Deviation("GET queues as*", ("+ [].segments",), "The same."),
    Deviation("* as *", ("status 404, 401",), "Since 4.3 it is not told what is in a vhost that is not one's own."),
    Deviation("GET user-limits/man as pol", ("status 401, 200",), "Since 4.3 others' limits are for who monitors."),
    Deviation("* as nobody", ("error: *Not_Authorized*Login failed*",), "The words of 4.3."),
    Deviation("GET auth/hash_password/x", ("status 200, 404",), "Since 4.0."),
    Deviation(
        "GET health/checks/protocol-listener/*",
        ("- .protocol", "+ .protocols", "error: *mqtt*"),
        "Since 4.1 several can be asked for.",
    ),
    Deviation("GET health/checks/port-listener/1", ("error: *",), "Which other ports there are."),
    Deviation("POST exchanges/v1/nope/publish", ("status 404, 400",), "Since 4.3."),
    Deviation("POST queues/v1/q/get", ("status 400, 500",), "Since 4.3 a wrong ackmode is no error of the server."),
    Deviation("POST users/bulk-delete", ("status 204, 400",), "Since 4.0 those who aren't there are no matter."),
    Deviation(
        "POST queues/v1/nope/get", ("error: *queue_not_found*NOT_FOUND*",), "The words of 4.3, which clients compare."
    ),
    Deviation("*", ('error: *"bad_request", "reason": "*',), "What is wrong is said in words, not in Erlang's terms."),
)
"""All there are."""
