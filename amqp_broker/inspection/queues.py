"""Queues and their consumers."""

from __future__ import annotations

from amqp_broker.inspection.values import Record, json_of_table, readable
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.queue import Queue
from amqp_broker.session.channel import Channel
from amqp_broker.session.connection import Connection
from amqp_broker.vhost import Vhost


def queue_record(queue: Queue, vhost: Vhost, node: str) -> Record:
    """A queue as the management API lists it, without statistics and rates."""
    ready, unacked = queue.message_count, queue.unacked_count
    options = queue.options
    record: Record = {
        "name": readable(queue.name),
        "vhost": vhost.name,
        "type": options.type.value,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.exclusive_owner is not None,
        "arguments": json_of_table(queue.arguments),
        "node": node,
        "state": "running",
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
        "message_bytes": queue.ready_octets + queue.unacked_octets,
        "message_bytes_ready": queue.ready_octets,
        "message_bytes_unacknowledged": queue.unacked_octets,
        "consumers": len(queue.consumers),
        "consumer_utilisation": _utilisation(queue),
        "consumer_capacity": _utilisation(queue),
        "exclusive_consumer_tag": _tag_of(queue.consumers.exclusive),
        "single_active_consumer_tag": _tag_of(queue.consumers.active),
        "internal": False,
    }
    if isinstance(queue.exclusive_owner, Connection):
        owner = queue.exclusive_owner
        record["owner_pid_details"] = {
            "name": owner.name,
            "peer_host": owner.peer.address,
            "peer_port": owner.peer.port,
        }
    if options.type is not QueueType.CLASSIC:
        record |= {"leader": node, "members": [node], "online": [node]}
    if options.type is QueueType.QUORUM:
        record["delivery_limit"] = -1 if options.delivery_limit is None else options.delivery_limit
    return record


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


def _utilisation(queue: Queue) -> float:
    """The share of time in which consumers could take messages: at this moment all of it, or none."""
    return float(any(consumer.can_take() for consumer in queue.consumers))


def _tag_of(consumer: Consumer | None) -> str | None:
    return None if consumer is None else readable(consumer.tag)
