from dataclasses import replace

import pytest

from amqp_codec import (
    BasicAck,
    BasicNack,
    Int64,
    Properties,
    Table,
    Timestamp,
    Value,
)
from tests.support.client import ChannelClient, Delivery
from tests.support.topology import (
    bind,
    confirming,
    delete_exchange,
    exchange,
    expect_ack,
    got,
    queue_with,
    reject,
)

START = 1_000_000
"""When the clock of these tests begins."""


def to_default(routing_key: str, **arguments: Value) -> Table:
    """Arguments that send dead letters to the queue of that name; `message_ttl=0` is `x-message-ttl`."""
    table: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": routing_key.encode()}
    for name, value in arguments.items():
        table[f"x-{name.replace('_', '-')}"] = value
    return table


def deaths(delivery: Delivery) -> list[tuple[str, str, int]]:
    """Queue, reason and count of each entry of `x-death`, newest first."""
    found = []
    entries = delivery.headers["x-death"]
    assert isinstance(entries, list)
    for entry in entries:
        assert isinstance(entry, dict)
        queue, reason, count = entry["queue"], entry["reason"], entry["count"]
        assert isinstance(queue, bytes)
        assert isinstance(reason, bytes)
        assert isinstance(count, int)
        found.append((queue.decode(), reason.decode(), int(count)))
    return found


def summary(delivery: Delivery, which: str) -> tuple[Value, Value, Value]:
    headers = delivery.headers
    reason, queue, source = (headers[f"x-{which}-death-{part}"] for part in ("reason", "queue", "exchange"))
    return reason, queue, source


# Triggers


@pytest.mark.rule("4.35", "5.41")
@pytest.mark.parametrize("queue_type", [b"classic", b"quorum"])
@pytest.mark.parametrize("cause", ["reject", "nack", "expired", "maxlen", "maxlen octets"])
def test_each_cause_has_its_reason(channel: ChannelClient, queue_type: bytes, cause: str) -> None:
    limits: Table = {
        "expired": {"x-message-ttl": 1000},
        "maxlen": {"x-max-length": 0},
        "maxlen octets": {"x-max-length-bytes": 2},
    }.get(cause, {})  # type: ignore[assignment]
    channel.queue("dead")
    queue_with(channel, "q", {**to_default("dead"), **limits, "x-queue-type": queue_type}, durable=True)
    channel.publish("q", b"body")
    if cause == "reject":
        reject(channel, got(channel, "q"))
    elif cause == "nack":
        channel.send(BasicNack(delivery_tag=got(channel, "q").tag, requeue=False))
    channel.world.advance(1)
    letter = got(channel, "dead")
    assert letter.body == b"body"
    reason = {"reject": "rejected", "nack": "rejected", "expired": "expired"}.get(cause, "maxlen")
    assert deaths(letter) == [("q", reason, 1)]


@pytest.mark.rule("4.35", "4.46")
def test_too_many_deliveries_have_their_reason(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", queue_type=b"quorum", delivery_limit=0), durable=True)
    channel.publish("q", b"body")
    reject(channel, got(channel, "q"), requeue=True)
    assert deaths(got(channel, "dead")) == [("q", "delivery_limit", 1)]


@pytest.mark.rule("4.35")
def test_what_is_no_death_is_not_dead_lettered(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    channel.publish_all("q", b"acked", b"requeued", b"got")
    channel.send(BasicAck(delivery_tag=got(channel, "q").tag))
    reject(channel, got(channel, "q"), requeue=True)
    assert channel.drain("q") == [b"requeued", b"got"]
    assert channel.drain("dead") == []


@pytest.mark.rule("4.35")
def test_nack_of_several_dead_letters_them_in_order(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    channel.publish_all("q", b"1", b"2", b"3")
    last = [got(channel, "q") for _ in range(3)][-1]
    channel.send(BasicNack(delivery_tag=last.tag, multiple=True))
    assert channel.drain("dead") == [b"1", b"2", b"3"]


# Where they go


@pytest.mark.rule("4.36", "4.37")
def test_dead_letter_keeps_its_routing_key(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "direct")
    exchange(channel, "x", "fanout")
    channel.queue("dead")
    bind(channel, "dead", "dlx", "key")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    bind(channel, "q", "x")
    channel.publish("key", b"1", exchange="x")
    channel.publish("other", b"2", exchange="x")
    letter = got(channel, "dead")
    assert (letter.body, letter.exchange, letter.routing_key) == (b"1", "dlx", "key")
    assert channel.get("dead") is None


@pytest.mark.rule("4.36", "4.37")
def test_dead_letter_takes_the_routing_key_of_its_queue(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "direct")
    for queue, key in (("by-new", "new"), ("by-old", "q"), ("by-cc", "cc")):
        channel.queue(queue)
        bind(channel, queue, "dlx", key)
    arguments: Table = {"x-dead-letter-exchange": b"dlx", "x-dead-letter-routing-key": b"new", "x-message-ttl": 0}
    queue_with(channel, "q", arguments)
    channel.publish("q", b"1", properties=Properties(headers={"CC": [b"cc"], "BCC": [b"q"]}))
    letter = got(channel, "by-new")
    assert (letter.exchange, letter.routing_key) == ("dlx", "new")
    assert channel.counts("by-old") == channel.counts("by-cc") == (0, 0)


@pytest.mark.rule("4.36", "5.53")
def test_without_a_new_key_all_keys_count(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "direct")
    for key in ("q", "cc", "bcc", "other"):
        channel.queue(f"by-{key}")
        bind(channel, f"by-{key}", "dlx", key)
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    channel.publish("q", b"1", properties=Properties(headers={"CC": [b"cc"], "BCC": [b"bcc"]}))
    for key in ("q", "cc", "bcc"):
        letter = got(channel, f"by-{key}")
        assert letter.routing_key == "q"
        assert "BCC" not in letter.headers
        assert channel.get(f"by-{key}") is None
    assert channel.counts("by-other") == (0, 0)


@pytest.mark.rule("4.36")
def test_a_dead_letter_comes_behind_the_message_itself(channel: ChannelClient) -> None:
    """Where one publish brings both to a queue, whichever of the queues comes first."""
    channel.queue("z")
    queue_with(channel, "a", to_default("z", max_length=0))
    channel.queue("b")
    for routing_key, copies in (("a", [b"z", b"b"]), ("z", [b"b", b"a"])):
        channel.publish(routing_key, b"1", properties=Properties(headers={"CC": copies}))  # type: ignore[dict-item]
        assert ["x-death" in got(channel, "z").headers for _ in range(2)] == [False, True]


@pytest.mark.rule("4.36")
def test_dead_letter_is_lost_without_exchange_or_route(channel: ChannelClient) -> None:
    """And the exchange is looked up each time."""
    channel.queue("dead")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    confirming(channel)
    channel.publish("q", b"no exchange")
    expect_ack(channel, 1)
    exchange(channel, "dlx", "fanout")
    channel.publish("q", b"no route")
    expect_ack(channel, 2)
    bind(channel, "dead", "dlx")
    channel.publish("q", b"arrives")
    expect_ack(channel, 3)
    delete_exchange(channel, "dlx")
    channel.publish("q", b"no exchange again")
    expect_ack(channel, 4)
    assert channel.drain("dead") == [b"arrives"]


@pytest.mark.rule("4.36")
def test_empty_exchange_name_is_the_default_exchange(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    channel.publish("q", b"1")
    letter = got(channel, "dead")
    assert (letter.exchange, letter.routing_key) == ("", "dead")


@pytest.mark.rule("4.36")
def test_without_dead_letter_exchange_the_dead_are_gone(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"1")
    reject(channel, got(channel, "q"))
    channel.close()
    assert channel.client.channel(1).counts("q") == (0, 0)


@pytest.mark.rule("4.36")
def test_dead_letters_follow_alternates_and_exchange_bindings(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "direct", arguments={"alternate-exchange": b"alternate"})
    exchange(channel, "alternate", "fanout")
    channel.queue("dead")
    bind(channel, "dead", "alternate")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    channel.publish("q", b"1")
    assert got(channel, "dead").exchange == "dlx"


@pytest.mark.rule("4.36")
def test_full_queue_that_refuses_loses_dead_letters(channel: ChannelClient) -> None:
    queue_with(channel, "dead", {"x-max-length": 1, "x-overflow": b"reject-publish"})
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    confirming(channel)
    for number in (1, 2):
        channel.publish("q", b"%d" % number)
        expect_ack(channel, number)
    assert channel.drain("dead") == [b"1"]


@pytest.mark.rule("4.36")
def test_long_chain_of_deaths_is_worked_off(channel: ChannelClient) -> None:
    length = 300
    for number in range(length):
        queue_with(channel, f"q{number}", to_default(f"q{number + 1}", message_ttl=0))
    channel.queue(f"q{length}")
    channel.publish("q0", b"1")
    letter = got(channel, f"q{length}")
    assert len(deaths(letter)) == length
    assert deaths(letter)[0] == (f"q{length - 1}", "expired", 1)


# What they look like


@pytest.mark.rule("4.37")
def test_body_and_properties_stay_but_for_the_expiration(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    properties = Properties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"mine": [1, b"two"]},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=12345,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="cl",
    )
    channel.publish("q", b"body", properties=properties)
    reject(channel, got(channel, "q"))
    letter = got(channel, "dead")
    assert letter.body == b"body"
    headers = letter.headers
    assert headers.pop("mine") == [1, b"two"]
    assert all(name.startswith(("x-death", "x-first-death-", "x-last-death-")) for name in headers)
    assert replace(letter.properties, headers=None) == replace(properties, headers=None, expiration=None)


@pytest.mark.rule("4.37")
@pytest.mark.parametrize("mode", [None, 1, 2])
def test_delivery_mode_stays(channel: ChannelClient, mode: int | None) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    channel.publish("q", properties=Properties(delivery_mode=mode))
    assert got(channel, "dead").properties.delivery_mode == mode


@pytest.mark.rule("4.37")
def test_dead_letter_does_not_expire_again(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    channel.publish("q", b"1", properties=Properties(expiration="1000"))
    channel.world.advance(100)
    assert channel.drain("dead") == [b"1"]


@pytest.mark.rule("4.38", "4.39")
def test_x_death_is_a_table_of_these_fields_and_types(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    bind(channel, "q", "x")
    headers: Table = {"CC": [b"copy"], "BCC": [b"secret"]}
    channel.publish("key", b"1", exchange="x", properties=Properties(headers=headers, expiration="2500"))
    channel.world.advance(3)
    letter = got(channel, "dead")
    entries = letter.headers["x-death"]
    assert entries == [
        {
            "count": 1,
            "reason": b"expired",
            "queue": b"q",
            "time": START + 2,
            "exchange": b"x",
            "routing-keys": [b"key", b"copy"],
            "original-expiration": b"2500",
        }
    ]
    assert isinstance(entries, list)
    assert isinstance(entries[0], dict)
    assert {name: type(value) for name, value in entries[0].items()} == {
        "count": Int64,
        "reason": bytes,
        "queue": bytes,
        "time": Timestamp,
        "exchange": bytes,
        "routing-keys": list,
        "original-expiration": bytes,
    }
    assert summary(letter, "first") == summary(letter, "last") == (b"expired", b"q", b"x")


@pytest.mark.rule("4.38")
def test_original_expiration_is_told_only_if_there_was_one(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    channel.publish("q")
    entries = got(channel, "dead").headers["x-death"]
    assert isinstance(entries, list)
    assert isinstance(entries[0], dict)
    assert "original-expiration" not in entries[0]


@pytest.mark.rule("4.38", "4.39")
def test_newest_death_comes_first_and_a_repeat_is_counted(channel: ChannelClient) -> None:
    """A message goes round by rejections, so that no cycle is found."""
    for queue, after in (("a", "b"), ("b", "c"), ("c", "a")):
        queue_with(channel, queue, to_default(after))
    channel.publish("a", b"1")
    expected: list[tuple[str, str, int]] = []
    for count in (1, 2, 3):
        for queue, after in (("a", "b"), ("b", "c"), ("c", "a")):
            channel.world.advance(1)
            reject(channel, got(channel, queue))
            expected = [(queue, "rejected", count), *(each for each in expected if each[0] != queue)]
            letter = got(channel, after)
            reject(channel, letter, requeue=True)
            assert deaths(letter) == expected
            assert summary(letter, "first") == (b"rejected", b"a", b"")
            assert summary(letter, "last") == (b"rejected", queue.encode(), b"")


@pytest.mark.rule("4.38")
def test_one_entry_per_queue_and_reason(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("q2"))
    queue_with(channel, "q2", to_default("q"))
    channel.publish("q", properties=Properties(expiration="1000"))
    channel.world.advance(1)
    reject(channel, got(channel, "q2"))
    reject(channel, got(channel, "q"))
    assert deaths(got(channel, "q2")) == [("q", "rejected", 1), ("q2", "rejected", 1), ("q", "expired", 1)]


@pytest.mark.rule("4.38", "4.39")
def test_repeated_death_keeps_what_was_noted_the_first_time(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    exchange(channel, "dlx", "fanout")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx"})
    bind(channel, "q", "x")
    bind(channel, "q", "dlx")
    channel.publish("key", exchange="x", properties=Properties(expiration="60000"))
    channel.world.advance(5)
    reject(channel, got(channel, "q"))
    first = got(channel, "q")
    channel.world.advance(50)
    reject(channel, first)
    second = got(channel, "q")
    entries, before = second.headers["x-death"], first.headers["x-death"]
    assert isinstance(entries, list)
    assert isinstance(before, list)
    assert isinstance(before[0], dict)
    assert entries == [{**before[0], "count": 2}]
    assert before[0]["time"] == START + 5
    assert before[0]["exchange"] == b"x"
    assert before[0]["original-expiration"] == b"60000"
    assert summary(second, "first") == (b"rejected", b"q", b"x")


@pytest.mark.rule("4.38", "4.39")
def test_later_deaths_tell_where_the_letter_had_been_published(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "fanout")
    channel.queue("dead")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    queue_with(channel, "q2", to_default("dead", max_length=0))
    bind(channel, "q2", "dlx")
    channel.publish("q", b"1")
    letter = got(channel, "dead")
    assert letter.headers["x-death"] == [
        {
            "count": 1,
            "reason": b"maxlen",
            "queue": b"q2",
            "time": START,
            "exchange": b"dlx",
            "routing-keys": [b"q"],
        },
        {
            "count": 1,
            "reason": b"expired",
            "queue": b"q",
            "time": START,
            "exchange": b"",
            "routing-keys": [b"q"],
        },
    ]
    assert summary(letter, "first") == (b"expired", b"q", b"")
    assert summary(letter, "last") == (b"maxlen", b"q2", b"dlx")
    assert all(type(value) is bytes for value in (*summary(letter, "first"), *summary(letter, "last")))


@pytest.mark.rule("4.38")
def test_one_message_in_two_queues_dies_two_deaths(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    for queue in ("q", "r"):
        channel.queue(f"dead-{queue}")
        queue_with(channel, queue, to_default(f"dead-{queue}"))
        bind(channel, queue, "x")
    channel.publish("key", b"1", exchange="x")
    reject(channel, got(channel, "q"))
    untouched = got(channel, "r")
    assert untouched.properties.headers is None
    reject(channel, untouched)
    assert deaths(got(channel, "dead-q")) == [("q", "rejected", 1)]
    assert deaths(got(channel, "dead-r")) == [("r", "rejected", 1)]


@pytest.mark.rule("4.40")
def test_history_of_a_publisher_passes_through_and_is_not_believed(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead"))
    invented: Table = {
        "x-death": [{"queue": b"q", "reason": b"rejected", "count": Int64(41), "time": Timestamp(1)}],
        "x-first-death-queue": b"invented",
        "x-first-death-reason": b"invented",
        "x-first-death-exchange": b"invented",
        "x-last-death-queue": b"invented",
    }
    channel.publish("q", properties=Properties(headers=invented))
    delivery = got(channel, "q")
    assert delivery.headers == invented
    reject(channel, delivery)
    letter = got(channel, "dead")
    assert deaths(letter) == [("q", "rejected", 1)]
    assert summary(letter, "first") == summary(letter, "last") == (b"rejected", b"q", b"")


@pytest.mark.rule("4.40", "4.41")
@pytest.mark.parametrize("history", [b"nonsense", 1, [b"nonsense"], [{"queue": b"dead", "reason": b"expired"}]])
def test_history_of_a_publisher_makes_no_cycle(channel: ChannelClient, history: Value) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    channel.publish("q", properties=Properties(headers={"x-death": history}))
    assert deaths(got(channel, "dead")) == [("q", "expired", 1)]


@pytest.mark.rule("4.40")
def test_republished_dead_letter_begins_a_new_history(channel: ChannelClient) -> None:
    channel.queue("dead")
    queue_with(channel, "q", to_default("dead", message_ttl=0))
    channel.publish("q", b"1")
    letter = got(channel, "dead")
    channel.publish("q", b"1", properties=letter.properties)
    assert deaths(got(channel, "dead")) == [("q", "expired", 1)]


# Cycles


@pytest.mark.rule("4.41")
@pytest.mark.parametrize("limit", [{"message_ttl": 0}, {"max_length": 0}, {"max_length_bytes": 0}])
def test_queue_that_is_its_own_target_loses_the_message(channel: ChannelClient, limit: dict[str, int]) -> None:
    queue_with(channel, "q", to_default("q", **limit))
    confirming(channel)
    channel.publish("q", b"1")
    expect_ack(channel, 1)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.41")
def test_loop_of_expiries_ends_where_it_began(channel: ChannelClient) -> None:
    queue_with(channel, "a", to_default("b", message_ttl=1000))
    queue_with(channel, "b", to_default("c", message_ttl=1000))
    queue_with(channel, "c", to_default("a", message_ttl=1000))
    channel.publish("a", b"1")
    channel.world.advance(2.5)
    assert channel.counts("c") == (1, 0)
    channel.world.advance(1)
    assert [channel.counts(queue) for queue in "abc"] == [(0, 0)] * 3


@pytest.mark.rule("4.41")
def test_loop_of_expiry_and_length_ends_too(channel: ChannelClient) -> None:
    queue_with(channel, "a", to_default("b", message_ttl=1000))
    queue_with(channel, "b", to_default("a", max_length=0))
    channel.publish("a", b"1")
    channel.world.advance(100)
    assert channel.counts("a") == channel.counts("b") == (0, 0)


@pytest.mark.rule("4.41")
def test_only_the_target_that_makes_the_cycle_is_left_out(channel: ChannelClient) -> None:
    exchange(channel, "dlx", "fanout")
    queue_with(channel, "q", {"x-dead-letter-exchange": b"dlx", "x-message-ttl": 0})
    for queue in ("q", "r", "s"):
        if queue != "q":
            channel.queue(queue)
        bind(channel, queue, "dlx")
    channel.publish("q", b"1")
    assert channel.counts("q") == (0, 0)
    assert channel.drain("r") == [b"1"]
    assert channel.drain("s") == [b"1"]


@pytest.mark.rule("4.41")
def test_loop_of_rejections_goes_on(channel: ChannelClient) -> None:
    queue_with(channel, "q", to_default("q"))
    channel.publish("q", b"1")
    for count in range(1, 10):
        reject(channel, got(channel, "q"))
        letter = got(channel, "q")
        assert deaths(letter) == [("q", "rejected", count)]
        reject(channel, letter, requeue=True)


@pytest.mark.rule("4.41")
def test_retry_by_rejection_and_expiry_goes_on(channel: ChannelClient) -> None:
    """The usual retry: rejected into a waiting room, and back from there when the time is over."""
    queue_with(channel, "work", to_default("wait"))
    queue_with(channel, "wait", to_default("work", message_ttl=1000))
    channel.publish("work", b"1")
    for count in (1, 2, 3):
        reject(channel, got(channel, "work"))
        channel.world.advance(1)
        letter = got(channel, "work")
        assert deaths(letter) == [("wait", "expired", count), ("work", "rejected", count)]
        reject(channel, letter, requeue=True)


@pytest.mark.rule("4.41")
def test_rejection_now_allows_a_queue_that_was_left_by_expiry(channel: ChannelClient) -> None:
    queue_with(channel, "a", to_default("b"))
    queue_with(channel, "b", to_default("a"))
    channel.publish("a", b"1", properties=Properties(expiration="1000"))
    channel.world.advance(1)
    reject(channel, got(channel, "b"))
    assert deaths(got(channel, "a")) == [("b", "rejected", 1), ("a", "expired", 1)]


@pytest.mark.rule("4.41")
def test_rejection_before_the_target_was_last_left_does_not_count(channel: ChannelClient) -> None:
    """Rejected long ago, the message has since come round by expiry alone: the newest entry decides."""
    queue_with(channel, "start", to_default("a"))
    queue_with(channel, "a", to_default("b", message_ttl=1000))
    queue_with(channel, "b", to_default("a", message_ttl=1000))
    channel.publish("start", b"1")
    reject(channel, got(channel, "start"))
    channel.world.advance(1.5)
    letter = got(channel, "b")
    assert deaths(letter) == [("a", "expired", 1), ("start", "rejected", 1)]
    reject(channel, letter, requeue=True)
    channel.world.advance(1)
    assert channel.counts("a") == channel.counts("b") == (0, 0)


@pytest.mark.rule("4.41")
def test_rejection_between_allows_the_queue_again(channel: ChannelClient) -> None:
    """Expired in a, rejected in b, expired in c: on the way from c to a there is a rejection."""
    queue_with(channel, "a", to_default("b", message_ttl=1000))
    queue_with(channel, "b", to_default("c"))
    queue_with(channel, "c", to_default("a", message_ttl=1000))
    channel.publish("a", b"1")
    channel.world.advance(1)
    reject(channel, got(channel, "b"))
    channel.world.advance(1)
    assert deaths(got(channel, "a")) == [("c", "expired", 1), ("b", "rejected", 1), ("a", "expired", 1)]


@pytest.mark.rule("4.41")
def test_delivery_limit_is_no_rejection(channel: ChannelClient) -> None:
    table: Table = {**to_default("q"), "x-queue-type": b"quorum", "x-delivery-limit": 0}
    queue_with(channel, "q", table, durable=True)
    channel.publish("q", b"1")
    reject(channel, got(channel, "q"), requeue=True)
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.41")
def test_history_goes_with_the_message_through_a_quorum_queue(channel: ChannelClient) -> None:
    table: Table = {**to_default("b", message_ttl=1000), "x-queue-type": b"quorum"}
    queue_with(channel, "a", table, durable=True)
    queue_with(channel, "b", {**table, **to_default("a")}, durable=True)
    channel.publish("a", b"1")
    channel.world.advance(1.5)
    assert channel.counts("b") == (1, 0)
    channel.world.advance(1)
    assert channel.counts("a") == channel.counts("b") == (0, 0)
