"""Queues: list, show, declare, delete, purge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from amqp_broker.auth.permissions import Access
from amqp_broker.inspection.queues import queue_record, utilisation
from amqp_broker.inspection.values import Json, Record, readable, rfc_3339
from amqp_broker.management.api.consumers import consumer_records
from amqp_broker.management.call import Call, short
from amqp_broker.management.counts import counts_of, lengths_of
from amqp_broker.management.errors import bad_request, not_found
from amqp_broker.management.listing import Listing, Rows
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.queue import Queue
from amqp_broker.session.binding import clean_name, refuse_reserved_name
from amqp_broker.session.topology import NAME_PREFIX
from amqp_broker.vhost import Vhost

routes = Routes()

BRIEF_FIELDS: Final = (
    "name",
    "vhost",
    "type",
    "durable",
    "auto_delete",
    "exclusive",
    "arguments",
    "node",
    "state",
    "policy",
    "operator_policy",
    "effective_policy_definition",
    "leader",
    "members",
    "online",
    "delivery_limit",
)
RATES: Final = ("publish", "deliver_get", "ack")
"""By which of `message_stats` a page is sorted without a record of every queue."""
TOTALS: Final = ("messages", "messages_ready", "messages_unacknowledged")


@routes.get("queues")
def list_queues(call: Call) -> Listing:
    """All queues."""
    return _listing(call, call.vhosts_here)


@routes.get("queues/detailed")
def list_queues_detailed(call: Call) -> Listing:
    """All queues, with everything there is to say of each."""
    return Listing((with_head(call, *subject) for subject in _subjects(call.vhosts_here)), is_paged=True)


@routes.get("queues/{vhost}")
def list_queues_of_vhost(call: Call) -> Listing:
    """The queues of a vhost."""
    return _listing(call, [call.vhost])


@routes.get("queues/{vhost}/{name}")
def show_queue(call: Call) -> Record:
    """One queue."""
    return detailed(call, queue_of(call), call.vhost)


@routes.put("queues/{vhost}/{name}")
def declare_queue(call: Call) -> Reply:
    """Declare a queue; without `durable` it is transient."""
    vhost, name = call.own_vhost, clean_name(short("queue name", call.path["name"]))
    refuse_reserved_name(name)
    is_new = name not in vhost.queues
    arguments = call.table("arguments")
    vhost.declare_queue(
        name,
        durable=call.flag("durable"),
        exclusive_owner=None,
        auto_delete=call.flag("auto_delete"),
        arguments={key: value for key, value in arguments.items() if key != NAME_PREFIX},
        connection=call.user,
        authorize=call.rights_in(vhost).demand,
        check_limit=call.broker.check_queue_limit,
        user=call.user.name,
    )
    return created_or_changed(is_new)


@routes.delete("queues/{vhost}/{name}")
def delete_queue(call: Call) -> Reply:
    """Delete a queue; `if-empty` and `if-unused` are conditions."""
    vhost, name = call.own_vhost, queue_of(call).name
    call.rights_in(vhost).demand(Access.CONFIGURE, "queue", name)
    queue = vhost.usable_queue(name, call.user)
    vhost.delete_queue(
        queue, if_unused=call.asks_for("if-unused"), if_empty=call.asks_for("if-empty"), user=call.user.name
    )
    return NO_CONTENT


@routes.delete("queues/{vhost}/{name}/contents")
def purge_queue(call: Call) -> Reply:
    """Drop the messages that are ready."""
    vhost, name = call.own_vhost, queue_of(call).name
    call.rights_in(vhost).demand(Access.READ, "queue", name)
    vhost.usable_queue(name, call.user).purge()
    return NO_CONTENT


@routes.post("queues/{vhost}/{name}/actions", Needs.ADMINISTRATOR)
def act_on_queue(call: Call) -> Reply:
    """Do what only mirrored queues needed: nothing."""
    queue_of(call)
    if call.text("action") not in ("sync", "cancel_sync"):
        raise bad_request(f"unknown action {call.text('action')}")
    return NO_CONTENT


@routes.post("rebalance/queues", Needs.ADMINISTRATOR)
def rebalance(_call: Call) -> Reply:
    """Spread queues over the nodes, which are one."""
    return NO_CONTENT


def queue_of(call: Call) -> Queue:
    """The queue that the path names. Raises ApiError 404 or 401."""
    queue = call.vhost.queues.get(call.path["name"])
    if queue is None:
        raise not_found()
    return queue


def detailed(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue with its statistics and its consumers."""
    record = with_head(call, queue, vhost)
    record["consumer_details"] = list(consumer_records(call, vhost, queue))
    record["incoming"] = []
    record["deliveries"] = []
    return record


def with_head(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue with its statistics and the time of its oldest message."""
    record = with_statistics(call, queue, vhost)
    if queue.options.type is QueueType.CLASSIC:
        record["head_message_timestamp"] = _head_timestamp(queue)
    return record


def with_statistics(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue as lists show it."""
    figures = call.statistics
    record = queue_record(queue, vhost, call.node.name)
    if queue.consumers:
        share = figures.statistics.share(queue, utilisation(queue))
        record |= {"consumer_utilisation": share, "consumer_capacity": share}
    lengths, counts = lengths_of(queue), counts_of(queue.statistics())
    record |= figures.with_rates(queue, lengths)
    record["message_stats"] = figures.with_rates(queue, counts)
    idle_since = figures.statistics.idle_since(queue, lengths | counts)
    if idle_since is not None:
        record["idle_since"] = rfc_3339(idle_since)
    return record


def _head_timestamp(queue: Queue) -> int | None:
    """What the publisher of the oldest message says is its time."""
    seen = queue.glance(1, 1)
    return seen[0][1].header.properties.timestamp if seen else None


def _listing(call: Call, vhosts: Iterable[Vhost]) -> Listing:
    show = _brief if call.asks_for("disable_stats") else _listed
    vhosts = list(vhosts)

    def make(subject: tuple[Queue, Vhost]) -> Record:
        return show(call, *subject)

    def rate_of(counter: str, subject: tuple[Queue, Vhost]) -> float:
        queue, _ = subject
        return call.statistics.statistics.rates(queue, {counter: getattr(queue.statistics(), counter)})[counter]

    rates = {f"message_stats.{counter}_details.rate": partial(rate_of, counter) for counter in RATES}
    return Listing(map(make, _subjects(vhosts)), is_paged=True, rows=Rows(_subjects(vhosts), make, {**_KEYS, **rates}))


def _subjects(vhosts: Iterable[Vhost]) -> Iterator[tuple[Queue, Vhost]]:
    """All queues by name, with their vhosts; none is looked at before it is its turn."""
    for vhost in vhosts:
        for name in sorted(vhost.queues):
            queue = vhost.queues.get(name)
            if queue is not None:  # it may have gone in the meantime
                yield queue, vhost


_KEYS: dict[str, Callable[[tuple[Queue, Vhost]], Json]] = {
    "name": lambda subject: readable(subject[0].name),
    "vhost": lambda subject: subject[1].name,
    "messages": lambda subject: subject[0].message_count + subject[0].unacked_count,
    "messages_ready": lambda subject: subject[0].message_count,
    "messages_unacknowledged": lambda subject: subject[0].unacked_count,
    "consumers": lambda subject: len(subject[0].consumers),
}


def _listed(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue in a list, where what it hasn't is left out."""
    record = with_statistics(call, queue, vhost)
    return {name: value for name, value in record.items() if value is not None}


def _brief(call: Call, queue: Queue, vhost: Vhost) -> Record:
    """A queue without what takes time to find out."""
    record = queue_record(queue, vhost, call.node.name)
    wanted = BRIEF_FIELDS + TOTALS if call.asks_for("enable_queue_totals") else BRIEF_FIELDS
    return {name: record[name] for name in wanted if name in record}
