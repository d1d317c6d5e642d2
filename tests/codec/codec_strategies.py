"""Values for hypothesis: tables, properties, methods and whole streams of frames."""

from dataclasses import fields
from inspect import get_annotations
from itertools import pairwise, zip_longest
from typing import Any

from hypothesis import strategies as st

from amqp_codec import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_METHOD,
    METHODS,
    BasicPublish,
    ByteArray,
    Decimal,
    Float32,
    Int8,
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
    Value,
    encode_content_header,
    encode_frame,
    encode_method_payload,
)


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


def shortstrs(max_octets: int = 255) -> st.SearchStrategy[str]:
    """Any octets, as surrogateescape shows them."""
    return st.binary(max_size=max_octets).map(lambda octets: octets.decode("utf-8", "surrogateescape"))


utf8_shortstrs = st.text(st.characters(codec="utf-8"), max_size=60)

leaves: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    integers(8, True).map(Int8),
    integers(8, False).map(UInt8),
    integers(16, True).map(Int16),
    integers(16, False).map(UInt16),
    integers(32, True).map(Int32),
    integers(32, False).map(UInt32),
    integers(64, True).map(Int64),
    integers(64, False).map(Timestamp),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, width=32).map(Float32),
    st.binary(max_size=30),
    st.binary(max_size=30).map(ByteArray),
    st.builds(Decimal, integers(8, False), integers(32, False)),
)
values: st.SearchStrategy[Value] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(shortstrs(12), inner, max_size=4),
    max_leaves=12,
)
tables: st.SearchStrategy[Table] = st.dictionaries(shortstrs(20), values, max_size=5)


def with_types(value: Any) -> Any:
    """The value with every class in it, since `Int8(1) == UInt8(1) == True`."""
    if isinstance(value, dict):
        return {name: with_types(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_types(item) for item in value]
    return type(value), value


properties: st.SearchStrategy[Properties] = st.builds(
    Properties,
    **{
        field.name: st.none() | shortstrs(20)
        for field in fields(Properties)
        if field.name not in ("headers", "delivery_mode", "priority", "timestamp")
    },
    headers=st.none() | tables,
    delivery_mode=st.none() | integers(8, False),
    priority=st.none() | integers(8, False),
    timestamp=st.none() | integers(64, False),
)

_BY_DEFAULT: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    bytes: st.binary(max_size=60),
    str: utf8_shortstrs,
    dict: tables,
}
_BITS = {
    "version_major": 8,
    "version_minor": 8,
    "frame_max": 32,
    "message_count": 32,
    "consumer_count": 32,
    "prefetch_size": 32,
    "delivery_tag": 64,
}


def field_names(class_: type[Method]) -> list[str]:
    return list(get_annotations(class_))


def methods_of(class_: type[Method]) -> st.SearchStrategy[Method]:
    arguments: dict[str, st.SearchStrategy[Any]] = {}
    for name in field_names(class_):
        default = getattr(class_(), name)
        if type(default) is int:
            arguments[name] = integers(_BITS.get(name, 16), False)
        else:
            arguments[name] = _BY_DEFAULT[type(default)]
    return st.builds(class_, **arguments)


methods = st.sampled_from(sorted(METHODS.values(), key=lambda class_: class_.name)).flatmap(methods_of)


@st.composite
def frames_of_a_command(draw: st.DrawFn, channel_id: int) -> list[bytes]:
    method = draw(st.builds(BasicPublish, exchange=shortstrs(5), routing_key=shortstrs(5)) | methods)
    frames = [encode_frame(FRAME_METHOD, channel_id, encode_method_payload(method))]
    if method.has_content:
        parts = draw(st.lists(st.binary(max_size=40) | st.just(b"x" * 1100), max_size=4))
        size = sum(map(len, parts))
        frames.append(encode_frame(FRAME_HEADER, channel_id, encode_content_header(draw(properties), size)))
        while parts and not parts[-1]:
            del parts[-1]
        frames += [encode_frame(FRAME_BODY, channel_id, part) for part in parts]
    return frames


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Valid octets of several channels, their frames taking turns."""
    channels = []
    for channel_id in (1, 2, 65535):
        commands = draw(st.lists(frames_of_a_command(channel_id), max_size=4))
        channels.append([frame for command in commands for frame in command])
    interleaved = zip_longest(*channels, fillvalue=b"") if draw(st.booleans()) else channels
    return b"".join(frame for turn in interleaved for frame in turn)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at the places (taken modulo its length)."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(edges)]
