import itertools
import random
import time

import pytest

from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.topic import TopicMatcher, normal_form, split_key
from tests.routing.model import Queue, bind_all, sent


def matches(pattern: str, key: str) -> bool:
    exchange = Exchange("x", "topic")
    exchange.bind(Queue("q"), pattern, {})
    return sent(exchange, key) == ["q"]


@pytest.mark.rule("3.24")
@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a", "a", " b A a.a a."),
        ("a.b", "a.b", "a b a.b. a.b.c .a.b a.*"),
        ("*", "a * #", " a.b ."),
        ("*.b", "a.b .b", "b a.c a.a.b"),
        ("a.*", "a.b a.", "a a.b.c"),
        ("a.*.b", "a.c.b a..b", "a.b a.c.c.b"),
        ("#", " a a.b a.b.c . ..", None),
        ("#.#", " a a.b .", None),
        ("a.#", "a a.b a.b.c a. a..", "b b.a "),
        ("#.a", "a b.a c.b.a .a", "a.b a. "),
        ("a.#.b", "a.b a.c.b a.c.d.b a..b a.b.b", "a b a.b.c "),
        ("#.a.#", "a b.a a.b b.a.b", "b b.c "),
        ("#.*", "a a.b .", ""),
        ("*.#", "a a.b .", ""),
        ("*.#.*", "a.b a.b.c .", " a"),
        ("#.*.#.b", "a.b a.a.b b.b", "b a "),
        ("", "", "a ."),
        (".", ".", " a .. a. .a"),
        ("a*", "a*", "a ab a.b"),
        ("#a", "#a", "a b.a"),
        ("a.**", "a.**", "a.b a.b.c"),
        ("##", "##", "a "),
    ],
)
def test_patterns(pattern: str, yes: str, no: str | None) -> None:
    assert [key for key in yes.split(" ") if not matches(pattern, key)] == []
    if no is not None:
        assert [key for key in no.split(" ") if matches(pattern, key)] == []


@pytest.mark.rule("3.24")
def test_the_empty_key_has_no_words() -> None:
    exchange = Exchange("x", "topic")
    bind_all(exchange, ["", "#", "#.#", "*", "*.#", ".", "a"])
    assert set(sent(exchange, "")) == {"", "#", "#.#"}


@pytest.mark.rule("3.24")
def test_patterns_in_one_exchange_do_not_disturb_each_other() -> None:
    exchange = Exchange("x", "topic")
    bind_all(exchange, ["a.b.c", "a.*.c", "a.#", "#.c", "*.*", "#", "a.b", "a.*.*.c", "#.b.#"])
    assert set(sent(exchange, "a.b.c")) == {"a.b.c", "a.*.c", "a.#", "#.c", "#", "#.b.#"}
    assert set(sent(exchange, "a.b")) == {"a.#", "*.*", "#", "a.b", "#.b.#"}
    assert set(sent(exchange, "c")) == {"#.c", "#"}


@pytest.mark.rule("3.17")
def test_patterns_that_mean_the_same_are_bindings_of_their_own() -> None:
    exchange = Exchange("x", "topic")
    bind_all(exchange, ["#", "#.#", "#.*", "*.#"])
    assert len(exchange.bindings) == 4
    assert set(sent(exchange, "a")) == {"#", "#.#", "#.*", "*.#"}
    exchange.unbind(Queue("#"), "#", {})
    assert sent(exchange, "") == ["#.#"]


@pytest.mark.parametrize(
    ("pattern", "normal"),
    [
        ("", ""),
        ("#.#.#", "#"),
        ("#.*", "*.#"),
        ("#.*.#.*.a.#", "*.*.#.a.#"),
        ("*.a.#.#.b", "*.a.#.b"),
        ("*.*", "*.*"),
    ],
)
def test_normal_form(pattern: str, normal: str) -> None:
    assert normal_form(split_key(pattern)) == split_key(normal)


def test_removing_all_bindings_leaves_an_empty_trie() -> None:
    words = ["a", "b", "*", "#", ""]
    patterns = {".".join(chosen) for n in range(5) for chosen in itertools.product(words, repeat=n)}
    shuffled = sorted(patterns)
    random.Random(3).shuffle(shuffled)
    exchange = Exchange("x", "topic")
    bind_all(exchange, shuffled)
    random.Random(4).shuffle(shuffled)
    for pattern in shuffled:
        assert exchange.unbind_destination(Queue(pattern))
    assert isinstance(exchange.matcher, TopicMatcher)
    assert exchange.matcher.is_empty


HOSTILE_KEYS = [
    ".".join("a" * 128),
    ".".join("ab" * 64),
    ".".join(["a"] * 127 + ["z"]),
    "." * 255,
]


@pytest.mark.rule("3.25")
@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: key[-6:])
@pytest.mark.parametrize(
    "pattern",
    [
        ".".join("#" * 128),
        ".".join("#a" * 64),
        ".".join("#*" * 64),
        ".".join(["#", "a"] * 63 + ["b"]),
        ".".join(["#", "a", "*"] * 42 + ["b"]),
        "#" + "." * 254,
    ],
    ids=lambda pattern: pattern[:6],
)
def test_any_number_of_hashes_routes_in_time(pattern: str, key: str) -> None:
    exchange = Exchange("x", "topic")
    exchange.check_binding(pattern, {})
    exchange.bind(Queue("q"), pattern, {})
    began = time.process_time()
    sent(exchange, key)
    # A matcher that tries every way would take longer than the universe has lasted.
    assert time.process_time() - began < 0.5


@pytest.mark.rule("3.25")
@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: key[-6:])
@pytest.mark.parametrize(("head", "words"), [("", ["#.a", "#.b"]), ("#.", ["a", "*"]), ("#.", ["a", "*", "b.#", "#"])])
def test_hundreds_of_hostile_patterns_route_in_time(head: str, words: list[str], key: str) -> None:
    pick = random.Random(0)
    exchange = Exchange("x", "topic")
    bind_all(exchange, [head + ".".join(pick.choices(words, k=60)) for _ in range(500)])
    began = time.process_time()
    sent(exchange, key)
    # Some 60 000 nodes, each visited once; once for each word of the key would be millions.
    assert time.process_time() - began < 1


@pytest.mark.rule("3.25")
def test_many_hashes_still_match_rightly() -> None:
    pattern = ".".join("#a" * 64)
    assert matches(pattern, ".".join("a" * 64))
    assert not matches(pattern, ".".join("a" * 63))
    assert matches(pattern, ".".join("ba" * 64))
    assert not matches(pattern, ".".join("ab" * 64))


@pytest.mark.parametrize("prefix", ["", "#."], ids=["plain", "hash"])
def test_bindings_with_other_words_cost_nothing(prefix: str) -> None:
    exchange = Exchange("x", "topic")
    bind_all(exchange, [f"{prefix}w{i}.x.y" for i in range(20_000)])
    exchange.bind(Queue("q"), f"{prefix}a.#", {})
    began = time.process_time()
    for _ in range(500):
        assert sent(exchange, "a.b.c") == ["q"]
    # Looking at each binding once would be 10 million looks.
    assert time.process_time() - began < 1
