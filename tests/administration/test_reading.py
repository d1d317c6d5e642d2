"""A file read item by item is what Python's own reader makes of it, and is refused for the same reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.reading import read_document, reading_document

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def outcome(text: str) -> tuple[Any, str]:
    """What Python's reader gives, and says."""
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return None, f"$: line {error.lineno}, column {error.colno}: {error.msg}"


def our_outcome(text: str) -> tuple[Any, str]:
    try:
        return read_document(text.encode()), ""
    except InvalidDefinitionsError as error:
        return None, str(error)


@given(VALUES, st.sampled_from([None, 1]))
def test_what_is_json_is_read(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert our_outcome(text) == (value, "")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[", "{]", "{}x", "[1] 2", '{"a"}', '{"a": }', '{"a": 1', '{"a": 1 "b": 2}', "{a: 1}",
        '{"a": [}', '{"a": [1', '{"a": [1 2]}', '{"a": [1]\n"b"}', '{"a": [1]]', '{"a": "', '{"a": [\n1,\n{"b": x}]}',
        '{"a": 1, "a": [2]}', '{"a": [ ] , "b" : { } }', '{"a": tru}', '{"a": 1e}', '"\\x"', "\x0b{}",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_in_the_same_words(text: str) -> None:
    assert our_outcome(text) == outcome(text)


def test_each_item_is_a_step() -> None:
    work = reading_document(json.dumps({"users": [{}] * 30, "vhosts": [{}] * 20, "x": {"y": [1, 2]}}).encode())
    assert sum(1 for _ in work) == 50
