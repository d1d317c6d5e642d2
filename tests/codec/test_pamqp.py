"""The codec against pamqp 4, which the clients aiormq and aio-pika speak through.

Where pamqp differs: it refuses names outside its patterns and non-zero reserved fields, so the values here
are tame; it writes "0" into the reserved fields of channel.open and open-ok; it decodes longstrs to `str`
when they are UTF-8; it writes integers in the shortest type that holds them and all floats as `f`; it warns of
basic.recover-async; it knows no class access.
"""

import datetime as dt
import decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import base, commands, decode, encode, frame, header

from amqp_codec import (
    FRAME_HEADER,
    METHODS,
    ByteArray,
    Decimal,
    Float32,
    Int16,
    Int32,
    Int64,
    Method,
    Properties,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    decode_method,
    decode_table,
    encode_content_header,
    encode_frame,
    encode_method_frame,
    encode_table,
    parse_content_header,
)
from tests.codec.codec_strategies import field_names, integers

NAMES = st.from_regex(r"[a-zA-Z0-9\-_.:]{1,40}", fullmatch=True)


def their_class(class_: type[Method]) -> type[base.Frame]:
    return commands.INDEX_MAPPING[class_.class_id << 16 | class_.method_id]


OURS = [class_ for class_ in METHODS.values() if class_.class_id != 30]


@pytest.mark.rule("0.1")
@pytest.mark.parametrize("class_", OURS, ids=lambda class_: class_.name)
@pytest.mark.filterwarnings("ignore:This command is deprecated:DeprecationWarning")
@settings(max_examples=20)
@given(data=st.data())
def test_methods_both_ways(class_: type[Method], data: st.DataObject) -> None:
    arguments: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    their_names = their_class(class_).attributes()
    names = field_names(class_)
    for name, their_name in zip(names, their_names, strict=True):
        default = getattr(class_(), name)
        value: Any
        their_value: Any
        if name.startswith("reserved_") or name == "ticket":
            continue
        if isinstance(default, bool):
            value = their_value = data.draw(st.booleans())
        elif isinstance(default, int):
            value = their_value = data.draw(st.integers(1, 255))
        elif isinstance(default, dict):
            value, their_value = {"x": True, "y": b"text"}, {"x": True, "y": "text"}
        elif isinstance(default, bytes):
            their_value = data.draw(st.text(st.characters(codec="utf-8"), max_size=20))
            value = their_value.encode()
        elif name == "virtual_host":
            value = their_value = "/"
        else:
            value = their_value = data.draw(NAMES)
        arguments[name] = value
        theirs[their_name] = their_value
    ours = class_(**arguments)
    octets = encode_method_frame(3, ours)
    consumed, channel_id, decoded = frame.unmarshal(octets)
    assert (consumed, channel_id) == (len(octets), 3)
    assert type(decoded) is their_class(class_)
    assert {name: getattr(decoded, name) for name in theirs} == theirs
    octets = frame.marshal(their_class(class_)(**theirs), 3)
    read = decode_method(octets[7:-1])
    assert {name: getattr(read, name) for name in arguments} == arguments


TABLES = st.dictionaries(
    st.from_regex(r"[a-z]{1,12}", fullmatch=True),
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.text(st.characters(codec="utf-8"), max_size=20),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
        ),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def with_text(value: Any) -> Any:
    """Longstrs as pamqp gives them."""
    if isinstance(value, dict):
        return {name: with_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@given(TABLES)
def test_tables_both_ways(table: Table) -> None:
    octets = encode_table(table)
    assert decode.field_table(octets) == (len(octets), table)
    octets = encode.field_table(table)  # type: ignore[arg-type]
    decoded, end = decode_table(octets, 0)
    assert (with_text(decoded), end) == (table, len(octets))


@pytest.mark.rule("5.12")
def test_every_tag_they_read() -> None:
    table: Table = {
        "B": UInt8(255),
        "s": Int16(-300),
        "u": UInt16(65535),
        "I": Int32(-70000),
        "i": UInt32(0xFFFFFFFF),
        "l": Int64(-1 << 40),
        "f": Float32(0.5),
        "d": 0.1,
        "T": Timestamp(1_700_000_000),
        "D": Decimal(2, 314),
        "x": ByteArray(b"\xff"),
        "S": b"\xff",
        "V": None,
    }
    octets = encode_table(table)
    assert decode.field_table(octets) == (
        len(octets),
        {
            **table,
            "T": dt.datetime.fromtimestamp(1_700_000_000, tz=dt.UTC),
            "D": decimal.Decimal("3.14"),
            "x": bytearray(b"\xff"),
        },
    )


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "content_type": NAMES,
            "content_encoding": NAMES,
            "headers": st.just({"x": True}),
            "delivery_mode": st.sampled_from([1, 2]),
            "priority": integers(8, False),
            "correlation_id": NAMES,
            "reply_to": NAMES,
            "expiration": NAMES,
            "message_id": NAMES,
            "message_type": NAMES,
            "user_id": NAMES,
            "app_id": NAMES,
        },
    ),
    integers(64, False),
)
def test_properties_both_ways(values: dict[str, Any], body_size: int) -> None:
    ours = Properties(**{name.replace("message_type", "type"): value for name, value in values.items()})
    payload = encode_content_header(ours, body_size)
    _, _, decoded = frame.unmarshal(encode_frame(FRAME_HEADER, 1, payload))
    assert isinstance(decoded, header.ContentHeader)
    assert decoded.body_size == body_size
    properties = decoded.properties
    assert properties is not None
    assert {name: getattr(properties, name) for name in values} == values
    theirs = frame.marshal(header.ContentHeader(0, body_size, commands.Basic.Properties(**values)), 1)
    parsed = parse_content_header(theirs[7:-1])
    assert parsed.body_size == body_size
    assert parsed.properties == ours
