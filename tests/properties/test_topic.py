"""The trie against a matcher that does what rule 3.24 says, word by word, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.topic import TopicMatcher, normal_form, split_key
from tests.routing.model import Queue, sent

KEYS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=6).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#", "#", "a*"]), max_size=6).map(".".join)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=30)


def matches(pattern: list[str], key: list[str]) -> bool:
    if not pattern:
        return not key
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return matches(rest, key) or (bool(key) and matches(pattern, key[1:]))
    return bool(key) and first in ("*", key[0]) and matches(rest, key[1:])


@pytest.mark.rule("3.24", "3.25")
@given(st.lists(PATTERNS, min_size=1, max_size=8), STEPS, st.lists(KEYS, min_size=1, max_size=4))
def test_trie_agrees_with_the_naive_matcher(
    patterns: list[str], steps: list[tuple[bool, int]], keys: list[str]
) -> None:
    exchange = Exchange("x", "topic")
    bound = dict.fromkeys(patterns)
    for pattern in patterns:
        exchange.bind(Queue(pattern), pattern, {})
    for add, index in steps:
        pattern = patterns[index % len(patterns)]
        if add:
            assert (exchange.bind(Queue(pattern), pattern, {}) is None) == (pattern in bound)
            bound[pattern] = None
        else:
            assert (exchange.unbind(Queue(pattern), pattern, {}) is None) == (pattern not in bound)
            bound.pop(pattern, None)
    for key in keys:
        expected = {pattern for pattern in bound if matches(split_key(pattern), split_key(key))}
        reached = sent(exchange, key)
        assert set(reached) == expected
        assert len(reached) == len(expected)
    assert isinstance(exchange.matcher, TopicMatcher)
    assert exchange.matcher.is_empty == (not bound)


@given(PATTERNS, KEYS)
def test_normal_form_matches_the_same_keys(pattern: str, key: str) -> None:
    words = split_key(pattern)
    assert matches(words, split_key(key)) == matches(normal_form(words), split_key(key))
    assert normal_form(normal_form(words)) == normal_form(words)
