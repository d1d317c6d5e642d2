"""Queues: list, show, declare, delete, purge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amqp_broker.inspection.queues import queue_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.consumers import consumer_records
from amqp_broker.management.call import Call
from amqp_broker.management.counts import message_stats, queue_totals
from amqp_broker.management.errors import not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.routes import Routes
from amqp_broker.queues.queue import Queue
from amqp_broker.vhost import Vhost

routes = Routes()


@routes.get("queues")
def list_queues(call: Call) -> Listing:
    """All queues."""
    return Listing(_records(call, call.vhosts), is_paged=True)


@routes.get("queues/detailed")
def list_queues_detailed(call: Call) -> Listing:
    """All queues, with everything there is to say of each."""
    return Listing((detailed(call, queue, vhost) for vhost in call.vhosts for queue in _sorted(vhost)), is_paged=True)


@routes.get("queues/{vhost}")
def list_queues_of_vhost(call: Call) -> Listing:
    """The queues of a vhost."""
    return Listing(_records(call, [call.vhost]), is_paged=True)


@routes.get("queues/{vhost}/{name}")
def show_queue(call: Call) -> Record:
    """One queue."""
    return detailed(call, queue_of(call), call.vhost)


def queue_of(call: Call) -> Queue:
    """The queue that the path names. Raises ApiError 404 or 401."""
    queue = call.vhost.queues.get(call.path["name"])
    if queue is None:
        raise not_found()
    return queue


def detailed(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue with its statistics and its consumers."""
    record = with_statistics(call, queue, vhost)
    record["consumer_details"] = list(consumer_records(call, vhost, queue))
    record["incoming"] = []
    record["deliveries"] = []
    return record


def with_statistics(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue as lists show it."""
    record = queue_record(queue, vhost, call.node.name)
    record |= queue_totals(call.statistics, queue)
    record["message_stats"] = message_stats(call.statistics, queue, queue.statistics())
    return record


def _records(call: Call, vhosts: Iterable[Vhost]) -> Iterator[Record]:
    show = _brief if call.query.get("disable_stats") == "true" else with_statistics
    return (show(call, queue, vhost) for vhost in vhosts for queue in _sorted(vhost))


def _brief(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue without what takes time to find out."""
    record = queue_record(queue, vhost, call.node.name)
    kept = ("name", "vhost", "type", "durable", "auto_delete", "exclusive", "arguments", "node", "state")
    totals = ("messages", "messages_ready", "messages_unacknowledged")
    wanted = kept + totals if call.query.get("enable_queue_totals") == "true" else kept
    return {name: record[name] for name in wanted}


def _sorted(vhost: Vhost) -> list[Queue]:
    return [queue for _, queue in sorted(vhost.queues.items())]
