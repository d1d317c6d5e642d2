"""Strings and field tables (§4.2.5), with RabbitMQ's type tags, not those of the 0-9-1 text (rule 5.12).

A decoded table remembers the width of its numbers in their classes (`Int8`, `UInt16`, `Float32`...), so that
it is written again just as it came (rule 5.13). All of these are ordinary `int`, `float` and `bytes` to a
program that doesn't care. The other way, a plain `int` becomes `I`, or `l` when it doesn't fit into 32 bits.

Nothing here recurses deeper than `MAX_NESTING`, whatever a peer sends.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class, and should look like one
from typing import Final, NamedTuple, TypeAlias

from amqp_codec.constants import ReplyCode
from amqp_codec.errors import CodecError

MAX_NESTING: Final = 128
"""How deep tables and arrays may stand in each other: far above any use, far below Python's recursion
limit."""

SHORTSTR_MAX: Final = 255


class Int8(int):
    """A table's `b`."""

    __slots__ = ()


class UInt8(int):
    """A table's `B`."""

    __slots__ = ()


class Int16(int):
    """A table's `s`; the 0-9-1 text has a short string there, RabbitMQ and its clients don't."""

    __slots__ = ()


class UInt16(int):
    """A table's `u`."""

    __slots__ = ()


class Int32(int):
    """A table's `I`."""

    __slots__ = ()


class UInt32(int):
    """A table's `i`."""

    __slots__ = ()


class Int64(int):
    """A table's `l` or `L`; always written `l`."""

    __slots__ = ()


class Timestamp(int):
    """A table's `T`: seconds since 1970, unsigned."""

    __slots__ = ()


class Float32(float):
    """A table's `f`; a plain `float` is a `d`."""

    __slots__ = ()


class ByteArray(bytes):
    """A table's `x`; plain `bytes` are an `S`."""

    __slots__ = ()


class Decimal(NamedTuple):
    """A table's `D`: the number `value / 10**scale`, both unsigned."""

    scale: int
    value: int


Value: TypeAlias = "bool | int | float | str | bytes | Decimal | list[Value] | dict[str, Value] | None"
Table: TypeAlias = dict[str, Value]

_uint32: Final = Struct(">I")


def _malformed(what: str) -> CodecError:
    return CodecError(ReplyCode.FRAME_ERROR, f"cannot decode {what}")


# Strings


def encode_shortstr(text: str) -> bytes:
    """One octet of length and the text in UTF-8; ValueError when that is above 255 octets."""
    octets = text.encode("utf-8", "surrogateescape")
    if len(octets) > SHORTSTR_MAX:
        raise ValueError(f"a shortstr has at most {SHORTSTR_MAX} octets, not {len(octets)}")
    return bytes((len(octets),)) + octets


def decode_shortstr(data: bytes, offset: int, errors: str = "surrogateescape") -> tuple[str, int]:
    """The text at `offset` and the offset after it.

    With `errors="strict"` octets that aren't UTF-8 raise UnicodeDecodeError, for the caller to put into
    words.
    """
    if offset >= len(data):
        raise _malformed("shortstr")
    start = offset + 1
    end = start + data[offset]
    if end > len(data):
        raise _malformed("shortstr")
    return data[start:end].decode("utf-8", errors), end


def encode_longstr(octets: bytes) -> bytes:
    """Four octets of length and the octets."""
    return _uint32.pack(len(octets)) + octets


def decode_longstr(data: bytes, offset: int) -> tuple[bytes, int]:
    """The octets at `offset` and the offset after them."""
    start, end = _measured(data, offset, len(data), "longstr")
    return data[start:end], end


def _measured(data: bytes, offset: int, limit: int, what: str) -> tuple[int, int]:
    """Start and end of what begins with its length in four octets and may not reach past `limit`."""
    start = offset + 4
    if start > limit:
        raise _malformed(what)
    end = start + int.from_bytes(data[offset:start])
    if end > limit:
        raise _malformed(what)
    return start, end


# Decoding tables

_T, _S, _X, _A, _F, _V, _D = b"tSxAFVD"

_NUMBERS: Final[dict[int, tuple[Struct, Callable[[int], int] | Callable[[float], float]]]] = {
    ord("b"): (Struct(">b"), Int8),
    ord("B"): (Struct(">B"), UInt8),
    ord("s"): (Struct(">h"), Int16),
    ord("u"): (Struct(">H"), UInt16),
    ord("I"): (Struct(">i"), Int32),
    ord("i"): (Struct(">I"), UInt32),
    ord("l"): (Struct(">q"), Int64),
    ord("L"): (Struct(">q"), Int64),
    ord("T"): (Struct(">Q"), Timestamp),
    ord("f"): (Struct(">f"), Float32),
    ord("d"): (Struct(">d"), float),
}
_decimal: Final = Struct(">BI")


def decode_table(data: bytes, offset: int) -> tuple[Table, int]:
    """The table whose length stands at `offset`, and the offset after it.

    Of a key that comes twice the last value holds. Key names that aren't UTF-8 survive by surrogateescape.
    """
    return _decode_table(data, offset, len(data), 1)


def decode_table_items(data: bytes) -> Table:
    """A table without the length before it, as an AMQPLAIN response has it (rule 1.7)."""
    return _decode_items(data, 0, len(data), 1)


def _decode_table(data: bytes, offset: int, limit: int, depth: int) -> tuple[Table, int]:
    start, end = _measured(data, offset, limit, "field table")
    return _decode_items(data, start, end, depth), end


def _decode_items(data: bytes, offset: int, end: int, depth: int) -> Table:
    table: Table = {}
    while offset < end:
        name_start = offset + 1
        offset = name_start + data[offset]
        if offset > end:
            raise _malformed("field table")
        name = data[name_start:offset].decode("utf-8", "surrogateescape")
        table[name], offset = _decode_value(data, offset, end, depth)
    return table


def _decode_array(data: bytes, offset: int, limit: int, depth: int) -> tuple[list[Value], int]:
    offset, end = _measured(data, offset, limit, "field array")
    array: list[Value] = []
    while offset < end:
        value, offset = _decode_value(data, offset, end, depth)
        array.append(value)
    return array, end


def _decode_value(data: bytes, offset: int, limit: int, depth: int) -> tuple[Value, int]:
    """The tagged value at `offset`; `depth` is that of the table or array it stands in."""
    if offset >= limit:
        raise _malformed("field value")
    tag = data[offset]
    offset += 1
    if tag == _S:
        start, end = _measured(data, offset, limit, "longstr")
        return data[start:end], end
    if tag in _NUMBERS:
        struct, make = _NUMBERS[tag]
        end = offset + struct.size
        if end > limit:
            raise _malformed("field value")
        return make(struct.unpack_from(data, offset)[0]), end
    if tag == _T:
        if offset >= limit:
            raise _malformed("field value")
        return data[offset] != 0, offset + 1
    if tag in (_A, _F):
        if depth >= MAX_NESTING:
            raise _malformed(f"field table: nested more than {MAX_NESTING} deep")
        if tag == _F:
            return _decode_table(data, offset, limit, depth + 1)
        return _decode_array(data, offset, limit, depth + 1)
    if tag == _V:
        return None, offset
    if tag == _X:
        start, end = _measured(data, offset, limit, "byte array")
        return ByteArray(data[start:end]), end
    if tag == _D:
        end = offset + _decimal.size
        if end > limit:
            raise _malformed("field value")
        return Decimal(*_decimal.unpack_from(data, offset)), end
    raise _malformed(f"field value: unknown type tag {tag}")


# Checking tables

_UNKNOWN, _MEASURED, _NESTED, _LARGE_L = -1, -2, -3, -4

_WIDTHS: Final = [_UNKNOWN] * 256
for _tag, (_struct, _) in _NUMBERS.items():
    _WIDTHS[_tag] = _struct.size
_WIDTHS[_T] = 1
_WIDTHS[_V] = 0
_WIDTHS[_D] = _decimal.size
_WIDTHS[_S] = _WIDTHS[_X] = _MEASURED
_WIDTHS[_A] = _WIDTHS[_F] = _NESTED
_WIDTHS[ord("L")] = _LARGE_L


def check_table(data: bytes, offset: int, end: int, large_ls: list[int] | None = None) -> int:
    """Walk the table at `offset` without building its values, and give the offset after it.

    Refuses just what `decode_table` refuses. Every published message with headers comes by here, while most
    headers are never looked at; hence a flat loop over widths.

    Args:
        data: where the table is.
        offset: where it begins.
        end: it may not reach beyond this.
        large_ls: gets the offsets of tags `L`, which mean what `l` means and are written so (rule 5.13).
    """
    widths = _WIDTHS
    offset, limit = _measured(data, offset, end, "field table")
    in_table = True
    outer: list[tuple[int, bool]] = []
    while True:
        while offset == limit:
            if not outer:
                return offset
            limit, in_table = outer.pop()
        if in_table:
            offset += 1 + data[offset]
            if offset >= limit:
                raise _malformed("field table")
        width = widths[data[offset]]
        if width >= 0:
            offset += 1 + width
            if offset > limit:
                raise _malformed("field value")
        elif width == _MEASURED:
            _, offset = _measured(data, offset + 1, limit, "longstr")
        elif width == _NESTED:
            if len(outer) + 1 >= MAX_NESTING:
                raise _malformed(f"field table: nested more than {MAX_NESTING} deep")
            outer.append((limit, in_table))
            in_table = data[offset] == _F
            offset, limit = _measured(data, offset + 1, limit, "field table")
        elif width == _LARGE_L:
            if large_ls is not None:
                large_ls.append(offset)
            offset += 9
            if offset > limit:
                raise _malformed("field value")
        else:
            raise _malformed(f"field value: unknown type tag {data[offset]}")


# Encoding tables


def encode_table(table: Table) -> bytes:
    """The table with its length before it.

    Raises:
        ValueError: a name above 255 octets, a number out of its type's range, or nesting beyond
        `MAX_NESTING`. TypeError: a value of a class that no tag stands for.
    """
    return _encode_table(table, 1)


def _encode_table(table: Table, depth: int) -> bytes:
    parts = []
    for name, value in table.items():
        parts.append(encode_shortstr(name))
        parts.append(_encode_value(value, depth))
    return encode_longstr(b"".join(parts))


def _encode_value(value: Value, depth: int) -> bytes:
    if isinstance(value, dict | list):
        if depth >= MAX_NESTING:
            raise ValueError(f"tables and arrays nested more than {MAX_NESTING} deep")
        if isinstance(value, dict):
            return b"F" + _encode_table(value, depth + 1)
        return b"A" + encode_longstr(b"".join([_encode_value(item, depth + 1) for item in value]))
    kind = _kind_of(value)
    try:
        return kind.encode(value)
    except (StructError, OverflowError) as error:
        raise ValueError(f"{value!r} is out of range for {kind.name}") from error


class _Kind(NamedTuple):
    """What a Python class stands for in a table: RabbitMQ's name for it, and how it is written."""

    name: str
    encode: Callable[..., bytes]


_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_tagged_int32: Final = Struct(">ci").pack
_tagged_int64: Final = Struct(">cq").pack


def _encode_int(value: int) -> bytes:
    if _INT32_MIN <= value <= _INT32_MAX:
        return _tagged_int32(b"I", value)
    return _tagged_int64(b"l", value)


def _number(name: str, tag: bytes, format_: str) -> _Kind:
    pack = Struct(">c" + format_).pack
    return _Kind(name, lambda value: pack(tag, value))


_KINDS: Final[dict[type, _Kind]] = {
    bytes: _Kind("longstr", lambda value: b"S" + encode_longstr(value)),
    str: _Kind("longstr", lambda value: b"S" + encode_longstr(value.encode("utf-8", "surrogateescape"))),
    ByteArray: _Kind("binary", lambda value: b"x" + encode_longstr(value)),
    bool: _number("bool", b"t", "?"),
    int: _Kind("signedint", _encode_int),
    Int8: _number("byte", b"b", "b"),
    UInt8: _number("unsignedbyte", b"B", "B"),
    Int16: _number("short", b"s", "h"),
    UInt16: _number("unsignedshort", b"u", "H"),
    Int32: _number("signedint", b"I", "i"),
    UInt32: _number("unsignedint", b"i", "I"),
    Int64: _number("long", b"l", "q"),
    Timestamp: _number("timestamp", b"T", "Q"),
    float: _number("double", b"d", "d"),
    Float32: _number("float", b"f", "f"),
    Decimal: _Kind("decimal", lambda value: b"D" + _decimal.pack(*value)),
    type(None): _Kind("void", lambda _: b"V"),
}


def _kind_of(value: Value) -> _Kind:
    # The nearest class decides, so an IntEnum is written like an int and a bool isn't.
    for class_ in type(value).__mro__:
        if class_ in _KINDS:
            return _KINDS[class_]
    raise TypeError(f"no field table type for {type(value).__name__}")


def field_type_name(value: Value) -> str:
    """RabbitMQ's name for the type, which its error texts show: `longstr`, `signedint`, `table`..."""
    if isinstance(value, dict):
        return "table"
    if isinstance(value, list):
        return "array"
    kind = _kind_of(value)
    if kind is _KINDS[int] and isinstance(value, int) and not _INT32_MIN <= value <= _INT32_MAX:
        return "long"
    return kind.name
