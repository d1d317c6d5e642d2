"""The output formats, byte by byte."""

from __future__ import annotations

import pytest

from amqp_broker.ctl.forms import Row, cell, lines_of

ROWS: list[Row] = [{"name": "a\tb", "n": 1}, {"name": 'é,"', "n": None}]


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("table", ["name\tn", "a\\tb\t1", 'é,"\t']),
        ("json", ["[", '{"name":"a\\tb","n":1}', ',{"name":"é,\\"","n":null}', "]"]),
        ("csv", ["name,n", "a\\tb,1", '"é,""",']),
        (
            "pretty_table",
            [
                "┌──────┬───┐",
                "│ name │ n │",
                "├──────┼───┤",
                "│ a\\tb │ 1 │",
                "├──────┼───┤",
                '│ é,"  │   │',
                "└──────┴───┘",
            ],
        ),
    ],
)
def test_form(form: str, lines: list[str]) -> None:
    assert list(lines_of(form, ("name", "n"), ROWS, headers=True)) == lines


def test_without_headers() -> None:
    assert list(lines_of("table", ("name",), ROWS[:1], headers=False)) == ["a\\tb"]
    assert list(lines_of("csv", ("name",), ROWS[:1], headers=False)) == ["a\\tb"]


def test_no_rows_have_no_header() -> None:
    assert list(lines_of("table", ("name",), [], headers=True)) == []
    assert list(lines_of("json", ("name",), [], headers=True)) == ["[", "]"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, ""),
        (["a", "b"], "[a, b]"),
        ({"b": 1, "a": "x"}, '{"a":"x","b":1}'),
        (
            {"$table": [["k", "long", 5], ["s", "longstr", 'a"b'], ["b", "bool", True]]},
            '[{"k",5},{"s","a\\"b"},{"b",true}]',
        ),
        (
            {"$table": [["t", "table", [["k", "long", 1]]], ["l", "array", [["long", 2]]]]},
            '[{"t",[{"k",1}]},{"l",[2]}]',
        ),
        ("a\x1b[31m", "a\\x1b[31m"),
    ],
)
def test_cell(value: object, text: str) -> None:
    assert cell(value) == text
