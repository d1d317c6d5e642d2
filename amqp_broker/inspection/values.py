"""AMQP values as JSON has them: text for longstrs, seconds for timestamps, numbers for decimals."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from amqp_codec import Decimal, Table, Value

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What a record is made of."""

Record = dict[str, Json]


def text_or_base64(octets: bytes) -> str:
    """Octets as text; those that are no UTF-8 in the words RabbitMQ uses."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return f"Not UTF-8, base64 is: {base64.b64encode(octets).decode()}"


def json_of(value: Value) -> Json:
    """One value of a field table."""
    if isinstance(value, bytes):
        return text_or_base64(value)
    if isinstance(value, Decimal):
        return float(value.value / 10**value.scale)
    if isinstance(value, dict):
        return json_of_table(value)
    if isinstance(value, list):
        return [json_of(element) for element in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


def json_of_table(table: Table) -> dict[str, Json]:
    """A field table, whose keys need not be UTF-8 either."""
    return {readable(key): json_of(value) for key, value in table.items()}


def readable(name: str) -> str:
    """A name as text that can be encoded: lone surrogates in it stand for octets that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def rfc_3339(at: float) -> str:
    """An instant, in seconds since 1970, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
