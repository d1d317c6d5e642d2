"""Field values made comparable: equality by class and not by wire type (rules 3.10 and 3.28).

Python finds 1, 1.0 and True equal, AMQP does not. A canonical form is hashable, and two values are
the same to AMQP exactly when their canonical forms are equal in Python. Nothing here recurses, so
that the depth of a table is the codec's concern only.
"""

import math
from collections.abc import Hashable

from amqp_codec.fields import ByteArray, Decimal, Timestamp, Value

_CONTAINERS = (list, dict)


def canonical(value: Value) -> Hashable:
    """Give the form of a value that compares and hashes as AMQP compares it.

    All integer widths are one class, and so are float and double; bool, timestamp, decimal, byte array
    and longstr are classes of their own. A table is the set of its entries, whatever their order.
    """
    if not isinstance(value, _CONTAINERS):
        return _scalar(value)
    # A preorder walk into one flat tuple: every container announces its kind and its length, so no
    # two different values give the same sequence.
    flat: list[Hashable] = []
    pending: list[Value | _Name] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, _Name):
            flat.append(item.name)
        elif isinstance(item, list):
            flat.append(("array", len(item)))
            pending.extend(reversed(item))
        elif isinstance(item, dict):
            flat.append(("table", len(item)))
            for name in sorted(item, reverse=True):
                pending.append(item[name])
                pending.append(_Name(name))
        else:
            flat.append(_scalar(item))
    return tuple(flat)


class _Name:
    """An entry's name waiting in the walk, told from a value by its class."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _scalar(value: Value) -> Hashable:
    # The two classes nearly all values belong to stand for themselves; the others carry their class.
    if isinstance(value, ByteArray):
        return "byte array", bytes(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _octets(value)
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, Timestamp):
        return "timestamp", int(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        # NaN differs from itself; a binding that carries one could never be found again.
        return "float", "nan" if math.isnan(value) else float(value)
    if isinstance(value, Decimal):
        # As written: 1.0 and 1.00 are two values to RabbitMQ.
        return "decimal", value.scale, value.value
    return None


def _octets(text: str) -> bytes:
    # Text comes from this program, or from the names of a table, which the codec escapes likewise.
    return text.encode("utf-8", "surrogateescape")


def erlang_term(value: Value) -> str:
    """Spell a value as RabbitMQ's texts print it, for example `<<"all">>`; containers stay unspelt."""
    if isinstance(value, bytes):
        return _erlang_binary(bytes(value))
    if isinstance(value, str):
        return _erlang_binary(_octets(value))
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "undefined"
    if isinstance(value, _CONTAINERS):
        return "[...]" if value else "[]"
    if isinstance(value, Decimal):
        return f"{{{value.scale},{value.value}}}"
    return str(float(value) if isinstance(value, float) else int(value))


def _erlang_binary(octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        return f"<<{','.join(map(str, octets))}>>"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>' if text.isascii() else f'<<"{escaped}"/utf8>>'
