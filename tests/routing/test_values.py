import pytest

from amqp_broker.routing.values import canonical, erlang_term
from amqp_codec.fields import ByteArray, Decimal, Float32, Int8, Int64, Timestamp, Value

DIFFERENT: list[Value] = [
    None,
    True,
    False,
    0,
    1,
    10,
    10.0,
    1.0,
    b"10",
    b"true",
    b"",
    ByteArray(b"10"),
    Timestamp(10),
    Decimal(0, 10),
    Decimal(1, 100),
    [],
    {},
    [10],
    [10, 10],
    [[10], 10],
    [[10, 10]],
    [[], 10],
    [[10]],
    [10.0],
    [True],
    [None],
    {"a": 10},
    {"a": True},
    {"b": 10},
    {"a": b"b"},
    {"a": 10, "b": 10},
    {"a": {"b": 10}},
    {"a": {}, "b": 10},
    [{"a": 10}],
    [{}, b"a", 10],
]


@pytest.mark.rule("3.10", "3.28")
@pytest.mark.parametrize("one", range(len(DIFFERENT)))
def test_values_of_different_class_or_content_are_different(one: int) -> None:
    same = [other for other, value in enumerate(DIFFERENT) if canonical(value) == canonical(DIFFERENT[one])]
    assert same == [one]


@pytest.mark.rule("3.10", "3.28")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (10, Int64(10)),
        (Int8(10), Int64(10)),
        ("ä", "ä".encode()),
        (0.5, Float32(0.5)),
        (b"x", bytes(bytearray(b"x"))),
        ([10, Int8(0)], [Int64(10), 0]),
        ({"a": 1, "b": 2}, {"b": Int8(2), "a": 1}),
        (float("nan"), float("nan")),
        (Timestamp(5), Timestamp(5)),
    ],
)
def test_values_of_one_class_are_equal_and_hash_alike(one: Value, other: Value) -> None:
    assert canonical(one) == canonical(other)
    assert hash(canonical(one)) == hash(canonical(other))


def test_depth_does_not_matter() -> None:
    def nested(innermost: Value) -> Value:
        for _ in range(50_000):
            innermost = [innermost]
        return innermost

    assert canonical(nested(1)) == canonical(nested(1))
    assert canonical(nested(1)) != canonical(nested(2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"all", '<<"all">>'),
        (b"", "<<>>"),
        (b"a\xff\x00", "<<97,255,0>>"),
        ("é".encode(), '<<"é"/utf8>>'),
        (b'say "x"\\', '<<"say \\"x\\"\\\\">>'),
        ("all", '<<"all">>'),
        (Int8(5), "5"),
        (Timestamp(5), "5"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "undefined"),
        (Decimal(2, 125), "{2,125}"),
        ([], "[]"),
        ({"a": 1}, "[...]"),
    ],
)
def test_erlang_spelling(value: Value, text: str) -> None:
    assert erlang_term(value) == text
