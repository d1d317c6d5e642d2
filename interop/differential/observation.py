"""What a step made visible to clients, in a form that two brokers can be compared by.

Kept apart by what has an order: deliveries by consumer, returns, confirmed numbers, the end of a channel.
What has none is sorted, and what no two brokers have in common (instants) is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from interop.differential.wire import Received

Part = dict[str, Any]
"""Of one channel, connection or queue: what happened, by kind."""

PROPERTIES: Final = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


@dataclass
class Observation:
    """Parts by where they happened: `channel 0.1`, `connection 0`, `queue d7.q0`."""

    parts: dict[str, Part] = field(default_factory=dict)

    def part(self, where: str) -> Part:
        return self.parts.setdefault(where, {})

    def add(self, where: str, kind: str, what: Any) -> None:
        """Append to what came in an order."""
        self.part(where).setdefault(kind, []).append(what)

    def add_sorted(self, where: str, kind: str, what: Any) -> None:
        self.add(where, kind, what)
        self.parts[where][kind].sort()


def message_of(received: Received) -> dict[str, Any]:
    """A message as its receiver sees it."""
    method = received.method
    return {
        "exchange": method.exchange,
        "routing_key": method.routing_key,
        "redelivered": getattr(method, "redelivered", None),
        "properties": properties_of(received.properties),
        "body": received.body,
    }


def properties_of(properties: Any) -> dict[str, Any]:
    """The properties that are there; the class of an integer in the headers is part of its value."""
    there = {name: getattr(properties, name) for name in PROPERTIES}
    return {name: _shown(value) for name, value in there.items() if value is not None}


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, datetime):
        return "a time"
    return value if isinstance(value, str) else repr(value)


def close_of(method: Any) -> tuple[int, str, int, int]:
    return method.reply_code, method.reply_text, method.class_id, method.method_id


def reply_of(method: Any) -> str:
    """An answer with all its fields."""
    fields = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(method).items()))
    return f"{method.NAME}({fields})"
