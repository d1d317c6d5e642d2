"""RabbitMQ's feature flags, all enabled, and what is going out of use."""

from __future__ import annotations

from typing import Final

from amqp_broker.broker import Broker
from amqp_broker.inspection.values import Record
from amqp_broker.queues.arguments import QueueType

FLAGS: Final = (
    "classic_mirrored_queue_version",
    "classic_queue_type_delivery_support",
    "detailed_queues_endpoint",
    "direct_exchange_routing_v2",
    "drop_unroutable_metric",
    "empty_basic_get_metric",
    "feature_flags_v2",
    "implicit_default_bindings",
    "khepri_db",
    "listener_records_in_ets",
    "maintenance_mode_status",
    "message_containers",
    "message_containers_deaths_v2",
    "quorum_queue",
    "quorum_queue_non_voters",
    "rabbit_exchange_type_local_random",
    "rabbitmq_4.0.0",
    "rabbitmq_4.1.0",
    "rabbitmq_4.2.0",
    "rabbitmq_4.3.0",
    "restart_streams",
    "stream_filtering",
    "stream_queue",
    "stream_sac_coordinator_unblock_group",
    "stream_single_active_consumer",
    "stream_update_config_command",
    "tie_binding_to_dest_with_keep_while_cond",
    "topic_binding_projection_v4",
    "topic_binding_projection_v5",
    "track_qq_members_uids",
    "tracking_records_in_ets",
    "user_limits",
    "virtual_host_metadata",
)
"""RabbitMQ 4.3's: tools look whether what they need is enabled."""

TRANSIENT_QUEUES: Final = "transient_nonexcl_queues"

DEPRECATED: Final = ("amqp_address_v1", "global_qos", "queue_master_locator", TRANSIENT_QUEUES)
"""What RabbitMQ refuses or is going to; here all of it is permitted."""


def flag_records() -> list[Record]:
    """All feature flags."""
    return [
        {
            "name": name,
            "desc": "",
            "doc_url": "",
            "state": "enabled",
            "stability": "required",
            "require_level": "hard",
            "experiment_level": "supported",
            "callbacks": [],
            "provided_by": "rabbit",
        }
        for name in FLAGS
    ]


def deprecated_records() -> list[Record]:
    """What is going out of use."""
    return [{**_record(name), "state": "permitted"} for name in DEPRECATED]


def deprecated_used_records(broker: Broker) -> list[Record]:
    """What is going out of use and is in use here."""
    is_used = any(
        queue.options.type is QueueType.CLASSIC and not queue.durable and queue.exclusive_owner is None
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
    )
    return [_record(TRANSIENT_QUEUES)] if is_used else []


def _record(name: str) -> Record:
    return {
        "name": name,
        "desc": "",
        "deprecation_phase": "permitted_by_default",
        "doc_url": "",
        "provided_by": "rabbit",
    }
