from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_codec import (
    MAX_NESTING,
    ByteArray,
    CodecError,
    Decimal,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    ReplyCode,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    Value,
    check_table,
    decode_shortstr,
    decode_table,
    decode_table_items,
    encode_longstr,
    encode_shortstr,
    encode_table,
    field_type_name,
)
from tests.codec.codec_strategies import tables, values, with_types

# Value, its octets with the tag, RabbitMQ's name of the type.
LITERALS: list[tuple[Value, bytes, str]] = [
    (True, b"t\x01", "bool"),
    (False, b"t\x00", "bool"),
    (Int8(-2), b"b\xfe", "byte"),
    (UInt8(254), b"B\xfe", "unsignedbyte"),
    (Int16(-2), b"s\xff\xfe", "short"),
    (UInt16(65534), b"u\xff\xfe", "unsignedshort"),
    (Int32(-2), b"I\xff\xff\xff\xfe", "signedint"),
    (UInt32(1 << 31), b"i\x80\x00\x00\x00", "unsignedint"),
    (Int64(-2), b"l\xff\xff\xff\xff\xff\xff\xff\xfe", "long"),
    (Float32(1.5), b"f\x3f\xc0\x00\x00", "float"),
    (1.5, b"d\x3f\xf8\x00\x00\x00\x00\x00\x00", "double"),
    (Decimal(2, 314), b"D\x02\x00\x00\x01\x3a", "decimal"),
    (b"\xff!", b"S\x00\x00\x00\x02\xff!", "longstr"),
    (ByteArray(b"\xff!"), b"x\x00\x00\x00\x02\xff!", "binary"),
    (Timestamp(1), b"T\x00\x00\x00\x00\x00\x00\x00\x01", "timestamp"),
    (None, b"V", "void"),
    ([True, None], b"A\x00\x00\x00\x03t\x01V", "array"),
    ({"a": None}, b"F\x00\x00\x00\x03\x01aV", "table"),
]


def table_octets(items: bytes) -> bytes:
    return len(items).to_bytes(4) + items


@pytest.mark.rule("5.12", "5.13")
@pytest.mark.parametrize(("value", "octets", "name"), LITERALS, ids=lambda value: repr(value)[:30])
def test_each_tag(value: Value, octets: bytes, name: str) -> None:
    encoded = table_octets(b"\x01k" + octets)
    assert encode_table({"k": value}) == encoded
    table, end = decode_table(b"??" + encoded + b"?", 2)
    assert with_types(table) == with_types({"k": value})
    assert end == 2 + len(encoded)
    assert check_table(encoded, 0, len(encoded)) == len(encoded)
    assert field_type_name(value) == name


@pytest.mark.rule("5.12", "5.15")
def test_plain_integers_take_the_signed_types() -> None:
    table: Table = {"a": 1, "b": (1 << 31) - 1, "c": -(1 << 31), "d": 1 << 31, "e": -(1 << 63)}
    decoded, _ = decode_table(encode_table(table), 0)
    assert decoded == table
    assert [type(value) for value in decoded.values()] == [Int32, Int32, Int32, Int64, Int64]
    assert field_type_name(1) == "signedint"
    assert field_type_name(1 << 31) == "long"


@pytest.mark.rule("5.12", "5.13")
def test_capital_l_is_written_as_small_l() -> None:
    table, _ = decode_table(table_octets(b"\x01kL" + bytes(7) + b"\x05"), 0)
    assert with_types(table) == {"k": (Int64, 5)}
    assert encode_table(table) == table_octets(b"\x01kl" + bytes(7) + b"\x05")


@pytest.mark.rule("5.12")
def test_any_octet_but_zero_is_true() -> None:
    assert decode_table(table_octets(b"\x01kt\x02"), 0)[0] == {"k": True}


def test_text_becomes_a_longstr() -> None:
    assert encode_table({"k": "é"}) == table_octets(b"\x01kS\x00\x00\x00\x02\xc3\xa9")
    assert field_type_name("é") == "longstr"


def test_the_nearest_known_class_decides() -> None:
    class Number(IntEnum):
        ONE = 1

    assert encode_table({"k": Number.ONE}) == encode_table({"k": 1})


@pytest.mark.rule("5.14")
def test_names_that_are_not_utf8_survive() -> None:
    encoded = table_octets(b"\x02\xff\xfeV")
    table, _ = decode_table(encoded, 0)
    assert encode_table(table) == encoded


@pytest.mark.rule("5.14")
def test_names_have_up_to_255_octets() -> None:
    assert decode_table(encode_table({"n" * 255: None}), 0)[0] == {"n" * 255: None}
    with pytest.raises(ValueError, match="at most 255 octets"):
        encode_table({"n" * 256: None})


def test_of_a_name_that_comes_twice_the_last_value_holds() -> None:
    assert decode_table(table_octets(b"\x01kt\x00\x01kt\x01"), 0)[0] == {"k": True}


@pytest.mark.rule("1.7")
def test_a_table_without_its_length() -> None:
    octets = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest"
    assert decode_table_items(octets) == {"LOGIN": b"guest", "PASSWORD": b"guest"}


@pytest.mark.parametrize(
    "value",
    [
        Int8(128),
        UInt8(-1),
        Int16(1 << 15),
        UInt32(1 << 32),
        1 << 63,
        Timestamp(-1),
        Float32(1e300),
        Decimal(256, 0),
        Decimal(0, 1 << 32),
    ],
    ids=repr,
)
def test_numbers_out_of_range_are_value_errors(value: Value) -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode_table({"k": value})


def test_a_class_without_a_tag_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="set"):
        encode_table({"k": {1}})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x01",
        b"\xff\xff\xff\xff",
        table_octets(b"\x01"),
        table_octets(b"\x01k"),
        table_octets(b"\x05k"),
        table_octets(b"\x01kU\x00\x00"),
        table_octets(b"\x01kt"),
        table_octets(b"\x01kI\x00\x00\x00"),
        table_octets(b"\x01kD\x00\x00\x00\x00"),
        table_octets(b"\x01kS\x00\x00\x00"),
        table_octets(b"\x01kS\x00\x00\x00\x01"),
        table_octets(b"\x01kx\xff\xff\xff\xff"),
        table_octets(b"\x01kA\x00\x00\x00\x02"),
        table_octets(b"\x01kA\x00\x00\x00\x01?"),
        table_octets(b"\x01kA\x00\x00\x00\x01I\x00\x00\x00\x00"),
        table_octets(b"\x01kF\x00\x00\x00\x02\x01k"),
        # The value has its octets, but only outside of its table.
        table_octets(b"\x01kI") + bytes(4),
        table_octets(b"\x01kS") + bytes(4),
        table_octets(b"\x01k") + b"V",
    ],
)
def test_malformed_tables_are_refused_by_decoding_and_by_checking(octets: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        decode_table(octets, 0)
    assert caught.value.reply_code is ReplyCode.FRAME_ERROR
    with pytest.raises(CodecError):
        check_table(octets, 0, len(octets))


def test_checking_stays_within_the_end() -> None:
    encoded = encode_table({"k": None})
    with pytest.raises(CodecError):
        check_table(encoded, 0, len(encoded) - 1)


def nested(depth: int, tag: bytes) -> bytes:
    items = b""
    for _ in range(depth - 1):
        items = (b"\x01k" if tag == b"F" else b"") + tag + table_octets(items)
    return table_octets((b"\x01kA" + table_octets(items)) if tag == b"A" else items)


@pytest.mark.parametrize("tag", [b"F", b"A"])
@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 1000, 20000])
def test_deep_nesting_is_an_error_and_no_recursion(tag: bytes, depth: int) -> None:
    octets = nested(depth, tag)
    with pytest.raises(CodecError, match="nested"):
        decode_table(octets, 0)
    with pytest.raises(CodecError, match="nested"):
        check_table(octets, 0, len(octets))


def test_nesting_up_to_the_limit() -> None:
    octets = nested(MAX_NESTING, b"F")
    table, end = decode_table(octets, 0)
    assert end == len(octets) == check_table(octets, 0, end)
    assert encode_table(table) == octets
    with pytest.raises(ValueError, match="nested"):
        encode_table({"k": table})
    array: list[Value] = []
    array.append(array)
    with pytest.raises(ValueError, match="nested"):
        encode_table({"k": array})


@pytest.mark.rule("5.13")
@given(tables)
def test_tables_come_back_with_their_types(table: Table) -> None:
    encoded = encode_table(table)
    decoded, end = decode_table(encoded, 0)
    assert with_types(decoded) == with_types(table)
    assert end == len(encoded) == check_table(encoded, 0, end)


@given(values)
def test_every_value_has_a_type_name(value: Value) -> None:
    assert field_type_name(value)


def accepts(function: str, octets: bytes) -> int | None:
    try:
        if function == "check":
            return check_table(octets, 0, len(octets))
        return decode_table(octets, 0)[1]
    except CodecError:
        return None


@given(tables, st.data())
def test_checking_and_decoding_agree_on_damaged_tables(table: Table, data: st.DataObject) -> None:
    octets = bytearray(encode_table(table))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(octets[: data.draw(st.integers(0, len(octets)))]) + data.draw(st.binary(max_size=3))
    assert accepts("check", damaged) == accepts("decode", damaged)


@given(st.binary(max_size=60))
def test_checking_and_decoding_agree_on_any_octets(items: bytes) -> None:
    octets = table_octets(items)
    assert accepts("check", octets) == accepts("decode", octets)


def test_shortstrs() -> None:
    assert encode_shortstr("é") == b"\x02\xc3\xa9"
    assert decode_shortstr(b"?\x02\xc3\xa9?", 1) == ("é", 4)
    assert decode_shortstr(b"\x01\xff", 0) == ("\udcff", 2)
    assert encode_shortstr("\udcff") == b"\x01\xff"
    assert encode_shortstr("a" * 255)[0] == 255
    with pytest.raises(ValueError, match="at most 255"):
        encode_shortstr("é" * 128)
    for octets in (b"", b"\x01", b"\x02a"):
        with pytest.raises(CodecError):
            decode_shortstr(octets, 0)


def test_longstrs() -> None:
    assert encode_longstr(b"ab") == b"\x00\x00\x00\x02ab"
