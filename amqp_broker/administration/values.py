"""Field tables as JSON, and JSON as field tables, as RabbitMQ's definitions have them."""

from __future__ import annotations

from amqp_broker.registry import Json
from amqp_codec import Decimal, Int64, Table, Value


def as_json(value: Value) -> Json:
    """Write a value; octets become text, and numbers lose their width."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Decimal):
        return float(value.value / 10**value.scale)
    if isinstance(value, list):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return float(value) if isinstance(value, float) else int(value)


def as_value(value: Json) -> Value:
    """Read a value; whole numbers become `l`, as RabbitMQ makes them.

    Raises:
        ValueError: a number no field can hold.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [as_value(each) for each in value]
    if isinstance(value, dict):
        return as_table(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{value} does not fit into 64 bits")
        return Int64(value)
    return value


def as_table(value: dict[str, Json]) -> Table:
    """Read a table. Raises ValueError."""
    for key in value:
        if len(key.encode("utf-8", "surrogateescape")) > 255:
            raise ValueError(f"the name {key[:20]}... is longer than 255 octets")
    return {key: as_value(each) for key, each in value.items()}
