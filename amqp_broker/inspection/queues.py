"""Queues and their consumers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from amqp_broker.inspection.values import Record, json_of_table, readable
from amqp_broker.policies import Applied, merged
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.ready import ENTRY_OCTETS
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.session.channel import Channel
from amqp_broker.session.connection import Connection
from amqp_broker.vhost import Vhost

NO_COLLECTOR: Final[Mapping[str, int]] = {
    "fullsweep_after": 0,
    "max_heap_size": 0,
    "min_bin_vheap_size": 0,
    "min_heap_size": 0,
    "minor_gcs": 0,
}
"""What Erlang says of a process's memory."""


def queue_record(queue: Queue, vhost: Vhost, node: str) -> Record:
    """A queue as the management API lists it, without statistics and rates.

    Which messages are persistent is not counted: of a durable queue all are taken to be.
    """
    ready, unacked = queue.message_count, queue.unacked_count
    octets = queue.ready_octets + queue.unacked_octets
    is_kept = queue.durable
    share = utilisation(queue)
    record: Record = {
        "name": readable(queue.name),
        "vhost": vhost.name,
        "type": queue.options.type.value,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.exclusive_owner is not None,
        "arguments": {**json_of_table(queue.arguments), "x-queue-type": queue.options.type.value},
        "node": node,
        "state": "running",
        **policy_record(vhost.policies.of_queue(queue.name, queue.options.type)),
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
        "messages_persistent": ready + unacked if is_kept else 0,
        "messages_ram": ready + unacked,
        "message_bytes": octets,
        "message_bytes_ready": queue.ready_octets,
        "message_bytes_unacknowledged": queue.unacked_octets,
        "message_bytes_persistent": octets if is_kept else 0,
        "message_bytes_ram": octets,
        "memory": octets + ENTRY_OCTETS * (ready + unacked),
        "consumers": len(queue.consumers),
        "consumer_utilisation": share,
        "consumer_capacity": share,
        "single_active_consumer_tag": _tag_of(queue.consumers.active),
        "internal": False,
        "internal_owner": False,
        "garbage_collection": {**NO_COLLECTOR},
    }
    if isinstance(queue.exclusive_owner, Connection):
        owner = queue.exclusive_owner
        record["owner_pid_details"] = {
            "name": owner.name,
            "peer_host": owner.peer.address,
            "peer_port": owner.peer.port,
        }
    return record | _TYPE_RECORDS[queue.options.type](queue, node)


def policy_record(applied: Applied) -> Record:
    """Which policies rule something, and what they say together."""
    policy, operator_policy = applied.policy, applied.operator_policy
    return {
        "policy": None if policy is None else policy.name,
        "operator_policy": None if operator_policy is None else operator_policy.name,
        "effective_policy_definition": {**merged(applied)},
    }


def _classic_record(queue: Queue, _node: str) -> Record:
    return {
        "exclusive_consumer_tag": _tag_of(queue.consumers.exclusive),
        "messages_ready_ram": queue.message_count,
        "messages_unacknowledged_ram": queue.unacked_count,
        "storage_version": 2,
    }


def _quorum_record(queue: Queue, node: str) -> Record:
    options = queue.options
    return {
        **_replica_record(node),
        "delivery_limit": -1 if options.delivery_limit is None else options.delivery_limit,
        "open_files": {node: 0},
    }


def _stream_record(queue: Queue, node: str) -> Record:
    assert isinstance(queue, StreamQueue)
    return {
        **_replica_record(node),
        "segments": queue.segment_count,
        "readers": {node: len(queue.consumers)},
    }


def _replica_record(node: str) -> Record:
    return {"leader": node, "members": [node], "online": [node]}


_TYPE_RECORDS: Final[Mapping[QueueType, Callable[[Queue, str], Record]]] = {
    QueueType.CLASSIC: _classic_record,
    QueueType.QUORUM: _quorum_record,
    QueueType.STREAM: _stream_record,
}
"""What only one type of queue has."""


def consumer_record(consumer: Consumer, channel: Channel, node: str) -> Record:
    """A consumer of a queue."""
    queue = consumer.queue
    is_active = not queue.consumers.single_active or queue.consumers.active is consumer
    waits = "single_active" if is_active else "waiting"
    return {
        "consumer_tag": readable(consumer.tag),
        "queue": {"name": readable(queue.name), "vhost": channel.vhost.name},
        "channel_details": channel_details(channel, node),
        "ack_required": not consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch_count,
        "active": is_active,
        "activity_status": waits if queue.consumers.single_active else "up",
        "arguments": json_of_table(consumer.arguments),
        "consumer_timeout": 0,
    }


def channel_details(channel: Channel, node: str) -> Record:
    """Which channel something belongs to."""
    connection = channel.connection
    return {
        "name": channel.name,
        "number": channel.id,
        "connection_name": connection.name,
        "node": node,
        "peer_host": connection.peer.address,
        "peer_port": connection.peer.port,
        "user": connection.user,
    }


def utilisation(queue: Queue) -> float:
    """The share of time in which a consumer could take a message: at this moment all of it, or none."""
    return float(any(consumer.can_take() for consumer in queue.consumers))


def _tag_of(consumer: Consumer | None) -> str | None:
    return None if consumer is None else readable(consumer.tag)
