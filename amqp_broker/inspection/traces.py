"""A message of the firehose as a trace has it, in the formats of RabbitMQ's plugin."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from amqp_broker.inspection.values import Json, Record, json_of, json_of_table, readable, text_or_base64
from amqp_broker.links.traces import Trace, TraceFormat
from amqp_codec import Table

RULE = "=" * 80


def traced(trace: Trace, routing_key: str, headers: Table, body: bytes, at: float) -> bytes:
    """One message.

    Args:
        trace: says in which format.
        routing_key: of the message of the firehose (rule 5.56).
        headers: likewise.
        body: the traced message's.
        at: seconds since 1970.
    """
    kind, _, place = routing_key.partition(".")
    payload = body[: trace.max_payload_octets]
    record: Record = {
        "timestamp": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}:{int(at * 1000) % 1000:03}",
        "type": "published" if kind == "publish" else "received",
        "node": json_of(headers.get("node", b"")),
        "connection": json_of(headers.get("connection", b"")),
        "vhost": json_of(headers.get("vhost", b"")),
        "user": json_of(headers.get("user", b"")),
        "channel": json_of(headers.get("channel", 0)),
        "exchange": json_of(headers.get("exchange_name", b"")),
        "queue": "none" if kind == "publish" else readable(place),
        "routed_queues": json_of(headers.get("routed_queues", b"none")),
        "routing_keys": json_of(headers.get("routing_keys", [])),
        "properties": _properties(headers),
    }
    if trace.format is TraceFormat.JSON:
        record["payload"] = base64.b64encode(payload).decode()
        return json.dumps(record).encode() + b"\n"
    return _text(record, text_or_base64(payload)).encode()


def _properties(headers: Table) -> Json:
    properties = headers.get("properties")
    return json_of_table(properties) if isinstance(properties, dict) else {}


def _text(record: Record, payload: str) -> str:
    labels = {
        "Node": "node",
        "Connection": "connection",
        "Virtual host": "vhost",
        "User": "user",
        "Channel": "channel",
        "Exchange": "exchange",
        "Routing keys": "routing_keys",
        "Queue": "queue",
        "Routed queues": "routed_queues",
        "Properties": "properties",
    }
    left_out = "queue" if record["type"] == "published" else "routed_queues"
    lines = [f"\n{RULE}", f"{record['timestamp']}: Message {record['type']}", ""]
    for label, name in labels.items():
        if name != left_out:
            value = record[name]
            lines.append(f"{label + ':':<14} {value if isinstance(value, str | int) else json.dumps(value)}")
    return "\n".join([*lines, "Payload:", payload, ""])
