import time

import pytest

from amqp_broker.errors import AMQPError
from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.headers import HeadersMatcher
from amqp_codec.constants import ReplyCode
from amqp_codec.fields import ByteArray, Float32, Int8, Int64, Table, Timestamp, Value
from tests.routing.model import Queue, sent


def matches(arguments: Table, headers: Table | None) -> bool:
    exchange = Exchange("x", "headers")
    exchange.check_binding("", arguments)
    exchange.bind(Queue("q"), "", arguments)
    return sent(exchange, "", headers=headers) == ["q"]


@pytest.mark.rule("3.26")
@pytest.mark.parametrize("mode", [{}, {"x-match": b"all"}, {"x-match": b"all-with-x"}])
def test_all_must_be_there(mode: Table) -> None:
    wanted: Table = {"a": 1, "b": b"two", **mode}
    assert matches(wanted, {"a": 1, "b": b"two"})
    assert matches(wanted, {"b": b"two", "more": True, "a": 1})
    assert not matches(wanted, {"a": 1})
    assert not matches(wanted, {"a": 1, "b": b"three"})
    assert not matches(wanted, {"b": b"two"})
    assert not matches(wanted, {})
    assert not matches(wanted, None)


@pytest.mark.rule("3.26")
@pytest.mark.parametrize("mode", [b"any", b"any-with-x"])
def test_any_is_enough(mode: bytes) -> None:
    wanted: Table = {"a": 1, "b": b"two", "x-match": mode}
    assert matches(wanted, {"a": 1})
    assert matches(wanted, {"a": 2, "b": b"two"})
    assert matches(wanted, {"a": 1, "b": b"two"})
    assert not matches(wanted, {"a": 2, "b": b"three"})
    assert not matches(wanted, {"c": 1})
    assert not matches(wanted, None)


@pytest.mark.rule("3.26")
@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (
            b"some",
            'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
        ),
        (b"ALL", 'Invalid x-match field value <<"ALL">>; expected all, any, all-with-x, or any-with-x'),
        (b"", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
        (ByteArray(b"all"), 'Invalid x-match field type binary (value <<"all">>); expected longstr'),
    ],
)
def test_a_bad_x_match_is_refused(mode: Value, text: str) -> None:
    with pytest.raises(AMQPError) as caught:
        Exchange("x", "headers").check_binding("", {"x-match": mode})
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.reply_text == f"PRECONDITION_FAILED - {text}"


@pytest.mark.rule("3.27")
def test_all_and_any_skip_what_begins_with_x() -> None:
    for_all: Table = {"x-match": b"all", "x-a": 1, "b": 2}
    assert matches(for_all, {"b": 2})
    assert matches(for_all, {"x-a": 5, "b": 2})
    for_any: Table = {"x-match": b"any", "x-a": 1, "b": 2}
    assert not matches(for_any, {"x-a": 1})
    assert matches(for_any, {"b": 2})
    assert matches({"x-match": b"all", "X-a": 1}, {"X-a": 1})
    assert not matches({"x-match": b"all", "X-a": 1}, {"X-a": 2})


@pytest.mark.rule("3.27")
def test_with_x_skips_x_match_only() -> None:
    for_all: Table = {"x-match": b"all-with-x", "x-a": 1, "b": 2}
    assert not matches(for_all, {"b": 2})
    assert matches(for_all, {"x-a": 1, "b": 2})
    for_any: Table = {"x-match": b"any-with-x", "x-a": 1, "b": 2}
    assert matches(for_any, {"x-a": 1})
    assert not matches(for_any, {"x-match": b"any-with-x"})


@pytest.mark.rule("3.27")
def test_the_routing_key_is_ignored() -> None:
    exchange = Exchange("x", "headers")
    exchange.bind(Queue("q"), "key", {"a": 1})
    assert sent(exchange, "other", headers={"a": 1}) == ["q"]
    assert sent(exchange, "key", headers={"a": 2}) == []


@pytest.mark.rule("3.28")
@pytest.mark.parametrize("mode", [b"all", b"any"])
@pytest.mark.parametrize("given", [1, b"", None, False, [], {"deep": [1]}])
def test_void_asks_for_presence(mode: bytes, given: Value) -> None:
    wanted: Table = {"x-match": mode, "a": None}
    assert matches(wanted, {"a": given})
    assert not matches(wanted, {"b": given})


@pytest.mark.rule("3.28")
def test_void_beside_a_value() -> None:
    wanted: Table = {"a": None, "b": 1}
    assert matches(wanted, {"a": b"whatever", "b": 1})
    assert not matches(wanted, {"b": 1})
    assert not matches(wanted, {"a": b"whatever"})
    assert not matches(wanted, {"a": b"whatever", "b": 2})


VALUES: list[Value] = [1, 1.0, True, b"1", b"true", b"", b"A", b"a", Timestamp(1), [1], {"n": 1}, 0, False]


@pytest.mark.rule("3.28")
@pytest.mark.parametrize("mode", [b"all", b"any"])
@pytest.mark.parametrize("wanted", VALUES, ids=repr)
def test_values_match_themselves_only(mode: bytes, wanted: Value) -> None:
    found = [given for given in [*VALUES, None] if matches({"x-match": mode, "a": wanted}, {"a": given})]
    assert [(type(value), value) for value in found] == [(type(wanted), wanted)]


@pytest.mark.rule("3.28")
@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (1, Int64(1)),
        (Int8(1), 1),
        (0.5, Float32(0.5)),
        (b"\xff\x00", b"\xff\x00"),
        (b"text", ByteArray(b"text")),
        (ByteArray(b"text"), b"text"),
        ({"n": 1, "m": 2}, {"m": 2, "n": 1}),
    ],
)
def test_values_of_one_class_match(wanted: Value, given: Value) -> None:
    assert matches({"a": wanted}, {"a": given})


@pytest.mark.rule("3.29")
@pytest.mark.parametrize("headers", [None, {}, {"a": 1}])
def test_nothing_to_compare(headers: Table | None) -> None:
    assert matches({}, headers)
    assert matches({"x-match": b"all"}, headers)
    assert matches({"x-match": b"all", "x-skipped": 1}, headers)
    assert matches({"x-match": b"all-with-x"}, headers)
    assert not matches({"x-match": b"any"}, headers)
    assert not matches({"x-match": b"any", "x-skipped": 1}, headers)
    assert not matches({"x-match": b"any-with-x"}, headers)


@pytest.mark.rule("3.30")
def test_a_timestamp_matches_the_same_timestamp() -> None:
    assert matches({"a": Timestamp(1_700_000_000)}, {"a": Timestamp(1_700_000_000)})
    assert not matches({"a": Timestamp(1_700_000_000)}, {"a": Timestamp(1_700_000_001)})


def test_unbinding_leaves_the_others_and_in_the_end_nothing() -> None:
    exchange = Exchange("x", "headers")
    kinds: list[Table] = [
        {"a": 1},
        {"a": 1, "b": None},
        {"a": None},
        {"x-match": b"any", "a": 1, "b": 2},
        {"x-match": b"any", "a": 1, "c": None},
        {},
        {"x-match": b"any"},
    ]
    for number, arguments in enumerate(kinds):
        exchange.bind(Queue(str(number)), "", arguments)
    expected = {"0", "1", "2", "3", "4", "5"}
    for number, arguments in enumerate(kinds):
        assert set(sent(exchange, "", headers={"a": 1, "b": 2})) == expected
        exchange.unbind(Queue(str(number)), "", arguments)
        expected.discard(str(number))
    assert sent(exchange, "", headers={"a": 1, "b": 2, "c": 3}) == []
    assert isinstance(exchange.matcher, HeadersMatcher)
    assert exchange.matcher.is_empty


def test_bindings_for_other_values_cost_nothing() -> None:
    exchange = Exchange("x", "headers")
    for number in range(20_000):
        exchange.bind(Queue(str(number)), "", {"for": number, "kind": b"job"})
    began = time.process_time()
    for number in range(1000):
        assert sent(exchange, "", headers={"for": number, "kind": b"job"}) == [str(number)]
    # Looking at each binding once would be 20 million looks.
    assert time.process_time() - began < 1
