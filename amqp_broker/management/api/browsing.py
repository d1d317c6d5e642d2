"""What the web page does with messages that RabbitMQ's API can't: look at them, move them, send dead letters back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from amqp_broker.auth.permissions import Access
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.messages import MAX_FETCHED_OCTETS, message_record
from amqp_broker.management.api.queues import queue_of
from amqp_broker.management.call import Call, whole_number
from amqp_broker.management.errors import bad_request, no_such
from amqp_broker.management.routes import Routes
from amqp_broker.message import Message, new_message
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE
from amqp_broker.storage.stream_log import Cursor
from amqp_broker.vhost import Vhost
from amqp_codec import ContentHeader, Table, encode_address, with_properties

routes = Routes()

MAX_SEEN: Final = 500
"""Messages that are looked at in one call."""

MAX_MOVED: Final = 1000
"""Messages that are moved in one call; whoever has more to move calls again."""

DEATHS: Final = ("x-death", "x-first-death-", "x-last-death-")
"""How headers begin that tell of deaths."""


@routes.get("queues/{vhost}/{name}/messages")
def browse(call: Call) -> list[Record]:
    """Look at messages and leave no trace: `count`, `truncate`; of a stream, `from` is an offset, first or last."""
    vhost, queue = call.own_vhost, queue_of(call)
    call.rights_in(vhost).demand(Access.READ, "queue", queue.name)
    vhost.usable_queue(queue.name, call.user)
    count = min(max(whole_number("count", call.query.get("count", "10")), 1), MAX_SEEN)
    longest = max(whole_number("truncate", call.query.get("truncate", "50000")), 0)
    if isinstance(queue, StreamQueue):
        return _browse_stream(queue, count, longest, call.query.get("from", "last"))
    left = queue.message_count
    return [
        message_record(message, entry.redelivered, left - number, longest=longest) | {"position": str(entry.position)}
        for number, (entry, message) in enumerate(queue.glance(count, MAX_FETCHED_OCTETS), 1)
    ]


def _browse_stream(stream: StreamQueue, count: int, longest: int, start: str) -> list[Record]:
    first = stream.first_offset
    if start == "last":
        first = max(first, stream.last_offset + 1 - count)
    elif start != "first":
        first = whole_number("from", start)
    cursor = Cursor(stream.log, first, None)
    records: list[Record] = []
    octets = 0
    while len(records) < count and octets < MAX_FETCHED_OCTETS and (message := cursor.next()) is not None:
        left = max(stream.last_offset + 1 - cursor.offset, 0)
        records.append(message_record(message, False, left, longest=longest) | {"position": str(cursor.offset - 1)})
        octets += len(message.body)
    return records


@routes.post("queues/{vhost}/{name}/move")
def move(call: Call) -> Record:
    """Move the first messages to the end of another queue, as if published to it: `destination`, `count`."""
    vhost, queue = _source(call)
    target = _destination(call, vhost, queue, call.text("destination"))
    count = min(max(call.number("count", MAX_MOVED), 0), MAX_MOVED)
    moved = 0
    while moved < count and (entry := queue.get()) is not None:
        if not _transfer(vhost, queue, entry, target, _as_it_is):
            break
        moved += 1
    return {"moved": moved}


@routes.post("queues/{vhost}/{name}/send-back")
def send_back(call: Call) -> Record:
    """Send dead letters, by their `positions`, to the queue where they died first, or to `destination`."""
    vhost, queue = _source(call)
    there = {str(entry.position): (entry, message) for entry, message in queue.glance(MAX_SEEN, MAX_FETCHED_OCTETS)}
    positions = call.words("positions")
    named = call.text("destination", "")
    targets = {
        position: _destination(call, vhost, queue, named or _home_of(there[position][1]))
        for position in positions
        if position in there
    }
    sent = 0
    for position, target in targets.items():
        entry = there[position][0]
        if queue.take(entry) and _transfer(vhost, queue, entry, target, _without_deaths):
            sent += 1
    return {"sent": sent, "missing": len(positions) - sent}


def _source(call: Call) -> tuple[Vhost, Queue]:
    """The queue that messages leave, which has to be one that messages leave. Raises ApiError, AMQPError."""
    vhost, queue = call.own_vhost, queue_of(call)
    call.rights_in(vhost).demand(Access.READ, "queue", queue.name)
    vhost.usable_queue(queue.name, call.user)
    if isinstance(queue, StreamQueue):
        raise bad_request("messages do not leave a stream")
    return vhost, queue


def _destination(call: Call, vhost: Vhost, source: Queue, name: str) -> Queue:
    """The queue that messages go to, through the default exchange. Raises ApiError, AMQPError."""
    call.rights_in(vhost).demand(Access.WRITE, "exchange", DEFAULT_EXCHANGE)
    if name not in vhost.queues:
        raise no_such("queue")
    target = vhost.usable_queue(name, call.user)
    if target is source:
        raise bad_request("the messages are there already")
    return target


def _transfer(
    vhost: Vhost, source: Queue, entry: QueueEntry, target: Queue, header_of: Callable[[Message], ContentHeader]
) -> bool:
    """Publish what was taken out of a queue to another; False, and it is back, when that refuses it."""
    message = entry.message
    assert message is not None
    moved = new_message(encode_address(DEFAULT_EXCHANGE, target.name), header_of(message), message.body)
    if header_of is _as_it_is:
        moved.deaths = message.deaths
    if not vhost.publish(moved, (target,)):
        source.put_back(entry)
        return False
    source.let_go(entry)
    return True


def _as_it_is(message: Message) -> ContentHeader:
    return message.header


def _without_deaths(message: Message) -> ContentHeader:
    """The header of a message that begins anew."""
    properties = message.header.properties
    headers: Table = {name: value for name, value in (properties.headers or {}).items() if not name.startswith(DEATHS)}
    return with_properties(message.header, replace(properties, headers=headers or None))


def _home_of(message: Message) -> str:
    """The queue where a message died first. Raises ApiError 400 for one that never did."""
    name = (message.header.properties.headers or {}).get("x-first-death-queue")
    if not isinstance(name, bytes):
        raise bad_request("this message is no dead letter")
    return name.decode("utf-8", "surrogateescape")
