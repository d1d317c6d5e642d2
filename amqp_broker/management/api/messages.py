"""Publishing a message, and fetching some (reference, 1.3.2 and 1.3.3)."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Any, Final

from amqp_broker.auth.permissions import Access
from amqp_broker.inspection.values import Json, Record, json_of_table, readable
from amqp_broker.management.api.exchanges import exchange_name
from amqp_broker.management.call import Call, short, table_of, whole_number
from amqp_broker.management.errors import ApiError, bad_request, no_such
from amqp_broker.management.routes import Routes
from amqp_broker.message import Message, new_message
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.queue import Queue
from amqp_broker.session.basic import refuse_get
from amqp_broker.session.publishing import publish, too_large
from amqp_broker.session.tracing import Party, delivered
from amqp_broker.vhost import Vhost
from amqp_codec import Properties, encode_address, encode_content_header, parse_content_header

routes = Routes()

MAX_FETCHED_OCTETS: Final = 64 * 1024 * 1024
"""When bodies that long have been fetched, no further message is: an answer is made in memory."""

_NUMBERS: Final = {"delivery_mode": 0xFF, "priority": 0xFF, "timestamp": 0xFFFF_FFFF_FFFF_FFFF}
"""Properties that are whole numbers, with the highest each may be."""

_TEXTS: Final = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


class AckMode(StrEnum):
    """What is to become of messages that were fetched."""

    ACK_REQUEUE_TRUE = "ack_requeue_true"
    ACK_REQUEUE_FALSE = "ack_requeue_false"
    REJECT_REQUEUE_TRUE = "reject_requeue_true"
    REJECT_REQUEUE_FALSE = "reject_requeue_false"
    PEEK = "peek"
    """They stay, and nobody can tell that they were seen; RabbitMQ has no such mode."""


@routes.post("exchanges/{vhost}/{name}/publish")
def publish_message(call: Call) -> Record:
    """Publish a message; answers when it has been routed and, if it is to be kept, stored."""
    vhost = call.own_vhost
    name = exchange_name(call.path["name"])
    if name not in vhost.exchanges:
        raise no_such("exchange")
    call.require("properties", "routing_key", "payload", "payload_encoding")
    body = _payload(call)
    limit = call.broker.config.max_message_octets
    if len(body) > limit:
        raise too_large(len(body), limit)
    if call.broker.alarms:
        raise ApiError(503, "service_unavailable", f"publishers are blocked: low on {', '.join(call.broker.alarms)}")
    try:
        header = parse_content_header(encode_content_header(_properties(call.fields["properties"]), len(body)))
    except ValueError as error:
        raise bad_request(str(error)) from None
    address = encode_address(name, short("routing_key", call.text("routing_key")))
    published = publish(_party(call, vhost), call.rights_in(vhost), call.user, new_message(address, header, body))
    if not published.is_accepted:
        raise bad_request("rejected")
    return {"routed": published.is_routed}


@routes.post("queues/{vhost}/{name}/get")
def fetch_messages(call: Call) -> list[Record]:
    """Fetch messages, all of them before any is settled, so that those that go back keep their order."""
    vhost = call.own_vhost
    queue = vhost.queues.get(call.path["name"])
    if queue is None:
        raise no_such("queue")
    count, mode = _count(call), _mode(call)
    in_base64 = _is_base64("encoding", call.text("encoding"))
    truncate = call.fields.get("truncate")
    longest = None if truncate is None else max(whole_number("truncate", truncate), 0)
    call.rights_in(vhost).demand(Access.READ, "queue", queue.name)
    vhost.usable_queue(queue.name, call.user)
    refuse_get(queue, vhost.name)
    if mode is AckMode.PEEK and queue.options.type is not QueueType.STREAM:
        left = queue.message_count
        return [
            message_record(message, entry.redelivered, left - number, in_base64=in_base64, longest=longest)
            for number, (entry, message) in enumerate(queue.glance(count, MAX_FETCHED_OCTETS), 1)
        ]
    records: list[Record] = []
    entries: list[QueueEntry] = []
    octets = 0
    while len(entries) < count and octets < MAX_FETCHED_OCTETS:
        entry = queue.get()
        if entry is None:
            _count_get(vhost, queue, "get_empty")
            break
        message = queue.outgoing(entry)
        left = queue.message_count
        records.append(message_record(message, entry.redelivered, left, in_base64=in_base64, longest=longest))
        entries.append(entry)
        octets += entry.octets
        if vhost.is_tracing:
            delivered(_party(call, vhost), queue.name, message, entry.redelivered)
        _count_get(vhost, queue, "get_no_ack" if mode is AckMode.ACK_REQUEUE_FALSE else "get")
        if entry.redelivered:
            _count_get(vhost, queue, "redeliver")
    _settle(queue, entries, mode)
    return records


def _party(call: Call, vhost: Vhost) -> Party:
    """How traces show the caller, who has no channel."""
    return Party(vhost, call.node.name, str(call.user.peer), 0, call.user.name)


def _settle(queue: Queue, entries: list[QueueEntry], mode: AckMode) -> None:
    if mode in (AckMode.ACK_REQUEUE_TRUE, AckMode.REJECT_REQUEUE_TRUE):
        if entries:
            queue.requeue(entries, failed=mode is AckMode.REJECT_REQUEUE_TRUE)
        return
    for entry in entries:
        if mode is AckMode.ACK_REQUEUE_FALSE:
            queue.let_go(entry)
        else:
            queue.reject(entry)


def message_record(
    message: Message, redelivered: bool, left: int, *, in_base64: bool = False, longest: int | None = None
) -> Record:
    """A message as the API shows it.

    Args:
        message: as a consumer would see it.
        redelivered: whether somebody had it before.
        left: how many are behind it.
        in_base64: whatever the payload is; otherwise only when it is no text.
        longest: octets of the payload that are shown.
    """
    payload = message.body[:longest]
    text = None if in_base64 else _as_text(payload)
    return {
        "payload_bytes": len(message.body),
        "redelivered": redelivered,
        "exchange": readable(message.exchange),
        "routing_key": readable(message.routing_key),
        "message_count": left,
        "properties": _properties_record(message.header.properties),
        "payload": base64.b64encode(payload).decode() if text is None else text,
        "payload_encoding": "base64" if text is None else "string",
    }


def _as_text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _properties_record(properties: Properties) -> Record:
    """The properties that are there."""
    record: Record = {}
    for name in (*_TEXTS, *_NUMBERS):
        value = getattr(properties, name)
        if value is not None:
            record[name] = readable(value) if isinstance(value, str) else value
    if properties.headers is not None:
        record["headers"] = json_of_table(properties.headers)
    return record


def _count_get(vhost: Vhost, queue: Queue, name: str) -> None:
    for counters in (queue.counters, vhost.past.messages):
        setattr(counters, name, getattr(counters, name) + 1)


def _count(call: Call) -> int:
    wanted = ("count", "encoding") if "requeue" in call.fields else ("count", "ackmode", "encoding")
    call.require(*wanted)
    count = call.number("count")
    if count < 0:
        raise bad_request("count is negative")
    return count


def _mode(call: Call) -> AckMode:
    """What is to become of the messages; old scripts say `requeue` instead."""
    if "ackmode" not in call.fields:
        return AckMode.ACK_REQUEUE_TRUE if call.flag("requeue") else AckMode.ACK_REQUEUE_FALSE
    try:
        return AckMode(call.text("ackmode"))
    except ValueError:
        raise bad_request(f"ackmode has to be one of {', '.join(AckMode)}") from None


def _is_base64(name: str, encoding: str) -> bool:
    if encoding not in ("auto", "base64"):
        raise bad_request(f"{name} has to be auto or base64")
    return encoding == "base64"


def _payload(call: Call) -> bytes:
    payload, encoding = call.text("payload"), call.text("payload_encoding")
    if encoding == "string":
        return payload.encode()
    if encoding != "base64":
        raise bad_request(f"unsupported_encoding: {encoding}")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("payload is not base64") from None


def _properties(value: Any) -> Properties:
    """The properties of a message; unknown ones are ignored. Raises ApiError 400 in RabbitMQ's words."""
    if value == []:
        return Properties()
    if not isinstance(value, dict):
        raise bad_request("properties is not an object")
    there = {name: each for name, each in value.items() if each is not None}
    properties = Properties()
    for name in _TEXTS:
        if name in there:
            if not isinstance(there[name], str):
                raise bad_request(["not_string", name])
            setattr(properties, name, short(name, there[name]))
    for name, highest in _NUMBERS.items():
        if name in there:
            setattr(properties, name, _number(name, there[name], highest))
    if "headers" in there:
        properties.headers = table_of("headers", there["headers"])
    return properties


def _number(name: str, value: Json, highest: int) -> int:
    try:
        number = whole_number(name, value)
    except ApiError:
        raise bad_request(["not_int", name]) from None
    if not 0 <= number <= highest:
        raise bad_request(["not_int", name])
    return number
