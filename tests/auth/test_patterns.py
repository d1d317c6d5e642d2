"""Patterns from users: what they find, and that none takes long."""

from __future__ import annotations

import time

import pytest

from amqp_broker.auth.patterns import MAX_EXHAUSTED, InvalidPatternError, Pattern

EXPLOSIVE = "(a|a)*$"


@pytest.mark.parametrize(
    ("text", "found", "not_found"),
    [
        (".*", ["", "q", "\n"], []),
        ("", ["", "q"], []),
        ("^", ["", "q"], []),
        ("^$", ["", "\n"], ["q"]),
        ("q", ["q", "aqb"], ["Q", ""]),
        (r"^(?!amq\.).*", ["q", ""], ["amq.topic"]),
        (r"^(a|b)\.\d+$", ["a.1", "b.22"], ["a.x", "xa.1"]),
        ("(?i)^ABC", ["abcd"], ["xabc"]),
        ("ü.ß", ["ü-ß"], ["u-s"]),
    ],
)
def test_patterns_are_searched(text: str, found: list[str], not_found: list[str]) -> None:
    pattern = Pattern(text)
    assert [name for name in found + not_found if pattern.search(name)] == found


@pytest.mark.parametrize(
    "text",
    ["*", "(", "[a", "a{2,1}", "(?<n", "\\", "(?:" * 900 + ")" * 900, "a" * 5000, "a{99999999}", "((a{101}){100})"],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPatternError):
        Pattern(text)


def test_a_search_ends_soon_and_counts_as_not_found() -> None:
    pattern = Pattern(EXPLOSIVE)
    begin = time.process_time()
    assert not pattern.search("a" * 100 + "b")
    assert time.process_time() - begin < 2.0
    assert pattern.search("aaa")


def test_a_pattern_that_always_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    pattern = Pattern(EXPLOSIVE)
    for number in range(MAX_EXHAUSTED):
        assert not pattern.search("a" * (100 + number) + "b")
    assert "given up" in caplog.messages[-1]
    assert not pattern.search("aaa")
