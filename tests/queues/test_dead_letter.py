import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.deaths import Death, DeathReason
from amqp_broker.message import Message, new_message
from amqp_broker.queues.dead_letter import dead_lettered, is_cycle
from amqp_codec import Properties, Table, encode_address, encode_content_header
from amqp_codec.properties import parse_content_header

DEATHS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(DeathReason)), min_size=1, max_size=6, unique=True)


def message(
    routing_key: str = "key", *, exchange: str = "x", headers: Table | None = None, expiration: str | None = None
) -> Message:
    octets = encode_content_header(Properties(headers=headers, expiration=expiration), 4)
    return new_message(encode_address(exchange, routing_key), parse_content_header(octets), b"body")


def death(queue: str, reason: DeathReason) -> Death:
    return Death(queue=queue, reason=reason, count=1, time_s=1, exchange="", routing_keys=(), original_expiration=None)


def test_message_that_died_is_not_changed_itself() -> None:
    headers: Table = {"CC": [b"copy"], "mine": 1}
    original = message(headers=headers, expiration="1000")
    before = (original.address, original.header.raw, original.body)
    dead = dead_lettered(original, "q", DeathReason.EXPIRED, 5.9, "dlx", "new")
    assert (original.address, original.header.raw, original.body) == before
    assert (original.deaths, original.header.properties.headers) == ((), headers)
    assert dead.body is original.body


@pytest.mark.rule("4.36", "4.37")
@pytest.mark.parametrize(("new_key", "keys"), [(None, ("key", "copy", "secret")), ("new", ("new",)), ("", ("",))])
def test_keys_are_all_the_old_ones_or_the_new_one(new_key: str | None, keys: tuple[str, ...]) -> None:
    original = message(headers={"CC": [b"copy"]})
    original.extra_keys = ("copy", "secret")
    dead = dead_lettered(original, "q", DeathReason.REJECTED, 5, "dlx", new_key)
    assert dead.routing_keys == keys
    assert dead.exchange == "dlx"
    assert dead.deaths[0].routing_keys == ("key", "copy")


@pytest.mark.rule("4.38")
def test_names_that_are_no_utf8_come_through() -> None:
    original = message("k\udcff", exchange="x\udcfe")
    dead = dead_lettered(original, "q\udcfd", DeathReason.MAXLEN, 5, "dlx\udcfc", None)
    assert dead.header.properties.headers is not None
    assert dead.header.properties.headers["x-death"] == [
        {
            "count": 1,
            "reason": b"maxlen",
            "queue": b"q\xfd",
            "time": 5,
            "exchange": b"x\xfe",
            "routing-keys": [b"k\xff"],
        }
    ]
    assert dead.header.properties.headers["x-first-death-queue"] == b"q\xfd"
    assert (dead.exchange, dead.routing_key) == ("dlx\udcfc", "k\udcff")


@pytest.mark.rule("4.38")
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(DeathReason)), min_size=1, max_size=20))
def test_history_has_one_entry_per_queue_and_reason_newest_first(story: list[tuple[str, DeathReason]]) -> None:
    dead = message()
    for moment, (queue, reason) in enumerate(story):
        dead = dead_lettered(dead, queue, reason, float(moment), "dlx", None)
    newest_first = list(dict.fromkeys(reversed(story)))
    assert [(each.queue, each.reason) for each in dead.deaths] == newest_first
    for each in dead.deaths:
        assert each.count == story.count((each.queue, each.reason))
        assert each.time_s == story.index((each.queue, each.reason))
        assert each.exchange == ("x" if each.time_s == 0 else "dlx")
    assert dead.header.properties.headers is not None
    assert dead.header.properties.headers["x-death"] == [each.to_table() for each in dead.deaths]
    assert dead.header.properties.headers["x-first-death-reason"] == story[0][1].encode()
    assert dead.header.properties.headers["x-last-death-reason"] == story[-1][1].encode()


@pytest.mark.rule("4.41")
@given(DEATHS, st.sampled_from("abcd"))
def test_cycle_is_what_the_rule_says(story: list[tuple[str, DeathReason]], target: str) -> None:
    dead = message()
    dead.deaths = tuple(death(queue, reason) for queue, reason in story)
    been_there = [index for index, (queue, _) in enumerate(story) if queue == target]
    expected = bool(been_there) and all(reason is not DeathReason.REJECTED for _, reason in story[: been_there[0] + 1])
    assert is_cycle(dead, target) is expected
