"""Values of the protocol as rows have them: text, numbers, and x-arguments with their types."""

from __future__ import annotations

from typing import Any

from amqp_broker.inspection.values import json_of
from amqp_codec import Table, Value, field_type_name


def argument_table(table: Table) -> dict[str, Any]:
    """Make a row's value: key, RabbitMQ's name of the type, and value, in the order of keys."""
    return {"$table": [[key, _type_of(table[key]), _plain(table[key])] for key in sorted(table)]}


def _type_of(value: Value) -> str:
    """The recorded answers call every integer a long."""
    name = field_type_name(value)
    return "long" if name == "signedint" else name


def _plain(value: Value) -> Any:
    if isinstance(value, dict):
        return argument_table(value)["$table"]
    if isinstance(value, list):
        return [[_type_of(item), _plain(item)] for item in value]
    return json_of(value)
