from collections.abc import Callable

import pytest

from amqp_codec import (
    BasicAck,
    BasicReturn,
    ExchangeBind,
    Float32,
    Int8,
    Int64,
    Properties,
    QueueBind,
    QueueUnbind,
    Table,
    Timestamp,
    Value,
)
from tests.support.client import ChannelClient
from tests.support.topology import (
    bind,
    bind_exchange,
    confirming,
    delete_exchange,
    delete_queue,
    exchange,
    got,
    reaches,
    refused,
    unbind,
    unbind_exchange,
)

NO_X = "NOT_FOUND - no exchange 'x' in vhost '/'"
NO_Q = "NOT_FOUND - no queue 'q' in vhost '/'"
LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)


# 3.17 to 3.19: what a binding is


@pytest.mark.rule("3.17")
def test_binding_twice_is_one_binding(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct")
    channel.queue("q")
    for _ in range(2):
        bind(channel, "q", "x", "k", {"a": 1, "b": b"two"})
    bind(channel, "q", "x", "k", {"b": b"two", "a": Int64(1)})
    assert reaches(channel, "x", "k", ["q"]) == {"q"}
    unbind(channel, "q", "x", "k", {"a": Int8(1), "b": b"two"})
    assert reaches(channel, "x", "k", ["q"]) == set()


@pytest.mark.rule("3.17")
@pytest.mark.parametrize(
    ("routing_key", "arguments"),
    [("other", {"a": 1}), ("k", {}), ("k", {"a": 2}), ("k", {"a": b"1"}), ("k", {"a": 1, "b": 1}), ("k", {"b": 1})],
)
def test_key_and_arguments_are_part_of_a_binding(channel: ChannelClient, routing_key: str, arguments: Table) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("q")
    bind(channel, "q", "x", "k", {"a": 1})
    bind(channel, "q", "x", routing_key, arguments)
    unbind(channel, "q", "x", "k", {"a": 1})
    assert reaches(channel, "x", "", ["q"]) == {"q"}
    unbind(channel, "q", "x", routing_key, arguments)
    assert reaches(channel, "x", "", ["q"]) == set()


@pytest.mark.rule("3.17")
def test_queue_and_exchange_of_one_name_are_two_destinations(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    exchange(channel, "same", "fanout")
    channel.queue("same")
    channel.queue("behind")
    bind(channel, "behind", "same")
    bind(channel, "same", "x", "k")
    bind_exchange(channel, "same", "x", "k")
    assert reaches(channel, "x", "", ["same", "behind"]) == {"same", "behind"}
    unbind(channel, "same", "x", "k")
    assert reaches(channel, "x", "", ["same", "behind"]) == {"behind"}
    bind(channel, "same", "x", "k")
    delete_exchange(channel, "same")
    assert reaches(channel, "x", "", ["same", "behind"]) == {"same"}


@pytest.mark.rule("3.17", "3.20")
def test_binding_exchanges_twice_is_one_binding(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    exchange(channel, "y", "fanout")
    channel.queue("q")
    bind(channel, "q", "y")
    for _ in range(2):
        bind_exchange(channel, "y", "x", "k")
    unbind_exchange(channel, "y", "x", "k")
    assert reaches(channel, "x", "", ["q"]) == set()


@pytest.mark.rule("3.18")
def test_bind_needs_both_ends_and_tells_of_the_source_first(channel: ChannelClient) -> None:
    refused(channel, QueueBind(queue="q", exchange="x"), 404, NO_X)
    channel.queue("q")
    refused(channel, QueueBind(queue="q", exchange="x"), 404, NO_X)
    delete_queue(channel, "q")
    exchange(channel, "x")
    refused(channel, QueueBind(queue="q", exchange="x"), 404, NO_Q)
    no_y = "NOT_FOUND - no exchange 'y' in vhost '/'"
    refused(channel, ExchangeBind(destination="y", source="x"), 404, no_y)
    refused(channel, ExchangeBind(destination="x", source="y"), 404, no_y)
    refused(channel, ExchangeBind(destination="z", source="y"), 404, no_y)


@pytest.mark.rule("3.18")
def test_unbind_of_whatever_is_missing_succeeds(channel: ChannelClient) -> None:
    unbind(channel, "q", "x", "k")
    unbind_exchange(channel, "y", "x", "k")
    exchange(channel, "x", "headers")
    unbind(channel, "q", "x", "k")
    unbind_exchange(channel, "y", "x", "k")
    unbind_exchange(channel, "x", "y", "k")
    channel.queue("q")
    unbind(channel, "q", "y", "k")
    unbind(channel, "q", "x", "k")
    unbind(channel, "q", "x", "k", {"x-match": b"wrong"})
    exchange(channel, "y", "fanout")
    unbind_exchange(channel, "y", "x", "k")
    bind(channel, "q", "x", "k")
    unbind(channel, "q", "x", "other")
    assert reaches(channel, "x", "", ["q"]) == {"q"}


@pytest.mark.rule("3.19")
def test_default_exchange_is_checked_before_existence(channel: ChannelClient) -> None:
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    refused(channel, QueueBind(queue="missing", exchange=""), 403, text)
    refused(channel, QueueUnbind(queue="missing", exchange=""), 403, text)


@pytest.mark.rule("3.19")
def test_existence_is_checked_before_the_type_validates(channel: ChannelClient) -> None:
    wrong: Table = {"x-match": b"wrong"}
    exchange(channel, "x", "headers")
    refused(channel, QueueBind(queue="q", exchange="x", arguments=wrong), 404, NO_Q)
    text = "NOT_FOUND - no exchange 'y' in vhost '/'"
    refused(channel, ExchangeBind(destination="y", source="x", arguments=wrong), 404, text)


@pytest.mark.rule("3.19")
def test_type_validates_before_exclusivity_is_checked(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("mine", exclusive=True)
    exchange(channel, "x", "headers")
    wrong: Table = {"x-match": b"wrong"}
    text = 'PRECONDITION_FAILED - Invalid x-match field value <<"wrong">>; expected all, any, all-with-x, or any-with-x'
    refused(channel, QueueBind(queue="mine", exchange="x", arguments=wrong), 406, text)
    refused(channel, QueueBind(queue="mine", exchange="x"), 405, LOCKED)


@pytest.mark.rule("3.19")
def test_exclusivity_matters_to_unbind_only_if_the_binding_exists(channel: ChannelClient, other: ChannelClient) -> None:
    other.queue("mine", exclusive=True)
    exchange(channel, "x", "fanout")
    bind(other, "mine", "x", "k")
    unbind(channel, "mine", "x", "other key")
    unbind(channel, "mine", "amq.fanout", "k")
    refused(channel, QueueUnbind(queue="mine", exchange="x", routing_key="k"), 405, LOCKED)
    assert reaches(other, "x", "", ["mine"]) == {"mine"}


@pytest.mark.rule("2.13", "3.17")
def test_empty_queue_and_key_both_mean_the_last_queue(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct")
    channel.queue("q")
    bind(channel, "", "x", "")
    assert reaches(channel, "x", "q", ["q"]) == {"q"}
    assert reaches(channel, "x", "", ["q"]) == set()
    unbind(channel, "q", "x", "")
    assert reaches(channel, "x", "q", ["q"]) == {"q"}
    unbind(channel, "", "x", "")
    assert reaches(channel, "x", "q", ["q"]) == set()
    bind(channel, "q", "x", "")
    assert reaches(channel, "x", "", ["q"]) == {"q"}
    bind(channel, "", "x", "key")
    assert reaches(channel, "x", "key", ["q"]) == {"q"}


# 3.20 to 3.22: the way of a message


@pytest.mark.rule("3.20")
def test_messages_flow_from_source_to_destination(channel: ChannelClient) -> None:
    exchange(channel, "source", "direct")
    exchange(channel, "destination", "direct")
    for queue in ("q", "r"):
        channel.queue(queue)
    bind(channel, "q", "destination", "k")
    bind(channel, "r", "source", "k")
    bind_exchange(channel, "destination", "source", "k")
    assert reaches(channel, "source", "k", ["q", "r"]) == {"q", "r"}
    assert reaches(channel, "destination", "k", ["q", "r"]) == {"q"}
    assert reaches(channel, "source", "other", ["q", "r"]) == set()


@pytest.mark.rule("3.20")
def test_cycles_are_followed_once_and_queues_get_one_copy(channel: ChannelClient) -> None:
    names = ["a", "b", "c"]
    for name in names:
        exchange(channel, name, "topic")
        channel.queue(f"q-{name}")
        bind(channel, f"q-{name}", name, "#")
        bind(channel, f"q-{name}", name, "k.*")
        bind(channel, f"q-{name}", name, "k.k")
    for source in names:
        for destination in names:
            bind_exchange(channel, destination, source, "#")
    for name in names:
        assert reaches(channel, name, "k.k", [f"q-{each}" for each in names]) == {"q-a", "q-b", "q-c"}


@pytest.mark.rule("3.21")
def test_alternate_is_asked_only_when_no_binding_matched(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={"alternate-exchange": b"alternate"})
    exchange(channel, "alternate", "fanout")
    for queue in ("q", "unrouted"):
        channel.queue(queue)
    bind(channel, "q", "x", "k")
    bind(channel, "unrouted", "alternate")
    assert reaches(channel, "x", "k", ["q", "unrouted"]) == {"q"}
    assert reaches(channel, "x", "other", ["q", "unrouted"]) == {"unrouted"}


@pytest.mark.rule("3.21")
def test_binding_to_an_exchange_that_leads_nowhere_counts_as_matched(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={"alternate-exchange": b"alternate"})
    exchange(channel, "alternate", "fanout")
    exchange(channel, "nowhere", "fanout")
    channel.queue("q")
    bind(channel, "q", "alternate")
    bind_exchange(channel, "nowhere", "x", "k")
    assert reaches(channel, "x", "k", ["q"]) == set()
    assert reaches(channel, "x", "other", ["q"]) == {"q"}


@pytest.mark.rule("3.21")
def test_chains_and_loops_of_alternates_end(channel: ChannelClient) -> None:
    for name, alternate in (("a", b"b"), ("b", b"c"), ("c", b"a")):
        exchange(channel, name, "direct", arguments={"alternate-exchange": alternate})
    channel.queue("q")
    bind(channel, "q", "c", "k")
    assert reaches(channel, "a", "k", ["q"]) == {"q"}
    assert reaches(channel, "b", "other", ["q"]) == set()
    exchange(channel, "self", "direct", arguments={"alternate-exchange": b"self"})
    assert reaches(channel, "self", "k", ["q"]) == set()


@pytest.mark.rule("3.21")
def test_alternate_may_be_the_default_exchange(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={"alternate-exchange": b""})
    channel.queue("q")
    assert reaches(channel, "x", "q", ["q"]) == {"q"}


@pytest.mark.rule("3.21")
def test_what_an_alternate_routes_is_not_returned(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={"alternate-exchange": b"alternate"})
    exchange(channel, "alternate", "direct")
    channel.queue("q")
    bind(channel, "q", "alternate", "k")
    confirming(channel)
    channel.publish("k", exchange="x", mandatory=True)
    assert channel.expect(BasicAck).delivery_tag == 1
    channel.publish("other", b"body", exchange="x", mandatory=True)
    returned = channel.expect_delivery(BasicReturn)
    assert (returned.exchange, returned.routing_key, returned.body) == ("x", "other", b"body")
    assert channel.expect(BasicAck).delivery_tag == 2
    channel.expect_nothing()


@pytest.mark.rule("3.22")
def test_queues_are_those_bound_at_the_instant_of_publishing(channel: ChannelClient) -> None:
    """Whatever of the way changes, the next message notices, and what was routed before stays where it is."""
    exchange(channel, "x", "topic")
    exchange(channel, "y", "direct")
    queues = ["q", "r"]
    for queue in queues:
        channel.queue(queue)
    steps: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: None, set()),
        (lambda: bind(channel, "q", "x", "k"), {"q"}),
        (lambda: bind_exchange(channel, "y", "x", "#"), {"q"}),
        (lambda: bind(channel, "r", "y", "k"), {"q", "r"}),
        (lambda: unbind(channel, "q", "x", "k"), {"r"}),
        (lambda: delete_exchange(channel, "y"), set()),
        (lambda: bind(channel, "q", "x", "*"), {"q"}),
        (lambda: (delete_queue(channel, "q"), channel.queue("q")), set()),
    ]
    for change, expected in steps:
        change()
        assert reaches(channel, "x", "k", queues) == expected
    bind(channel, "q", "x", "k")
    channel.publish("k", b"kept", exchange="x")
    unbind(channel, "q", "x", "k")
    assert channel.drain("q") == [b"kept"]


@pytest.mark.rule("3.22")
def test_deleted_exchange_is_gone_for_publishers_that_have_used_it(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    channel.publish("k", exchange="x")
    delete_exchange(channel, "x")
    channel.publish("k", exchange="x")
    channel.expect_close(404, NO_X)


@pytest.mark.rule("3.22", "5.53", "5.54")
def test_copies_are_routed_by_every_kind_of_exchange_and_their_alternates(channel: ChannelClient) -> None:
    exchange(channel, "direct", "direct")
    exchange(channel, "topic", "topic")
    exchange(channel, "alternating", "direct", arguments={"alternate-exchange": b"topic"})
    exchange(channel, "behind", "direct")
    queues = ["main", "cc", "bcc"]
    for queue in queues:
        channel.queue(queue)
        bind(channel, queue, "direct", queue)
        bind(channel, queue, "behind", queue)
        bind(channel, queue, "topic", f"{queue}.#")
    exchange(channel, "front", "topic")
    bind_exchange(channel, "behind", "front", "bcc")
    headers: Table = {"CC": [b"cc", b"main", b"absent"], "BCC": [b"bcc", b"cc"]}
    for source in ("", "direct", "topic", "alternating", "front"):
        channel.publish("main", b"x", exchange=source, properties=Properties(headers=headers))
        for queue in queues:
            delivery = got(channel, queue)
            assert (delivery.routing_key, delivery.exchange) == ("main", source)
            assert delivery.headers == {"CC": [b"cc", b"main", b"absent"]}
            assert channel.get(queue) is None


# 3.23 to 3.29: the types


@pytest.mark.rule("3.23")
def test_default_exchange_leads_to_the_queue_of_that_very_name(channel: ChannelClient) -> None:
    queues = ["q", "Q", "q ", "q.r", "*"]
    for queue in queues:
        channel.queue(queue)
    for queue in queues:
        assert reaches(channel, "", queue, queues) == {queue}
    assert reaches(channel, "", "#", queues) == set()


@pytest.mark.rule("3.23")
def test_direct_compares_keys_octet_by_octet(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct")
    keys = ["", "k", "K", "k.*", "é", "e\u0301"]
    for key in keys:
        channel.queue(f"q-{key}")
        bind(channel, f"q-{key}", "x", key)
    for key in keys:
        assert reaches(channel, "x", key, [f"q-{each}" for each in keys]) == {f"q-{key}"}
    assert reaches(channel, "x", "k.a", [f"q-{each}" for each in keys]) == set()


@pytest.mark.rule("3.23")
def test_fanout_ignores_the_key(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    for queue in ("q", "r"):
        channel.queue(queue)
        bind(channel, queue, "x", f"key-of-{queue}")
    for key in ("", "key-of-q", "whatever"):
        assert reaches(channel, "x", key, ["q", "r"]) == {"q", "r"}


@pytest.mark.rule("3.24")
@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*", ["a", "#", "*"], ["", ".", "a.b"]),
        ("#", ["", "a", "a.b", ".", "..."], []),
        ("#.#", ["", "a", "a.b", "."], []),
        ("", [""], ["a", "."]),
        ("a*", ["a*"], ["ab", "a"]),
        ("a#", ["a#"], ["ab", "a", "a.b"]),
        ("a.*.b", ["a..b", "a.x.b"], ["a.b", "a.x.y.b"]),
        ("a.#.b", ["a.b", "a..b", "a.x.y.b"], ["a", "b", "a.x"]),
        ("*.*", [".", "a.", ".a", "a.b"], ["", "a", "a.b.c"]),
        ("#.a", ["a", "b.a", ".a"], ["", "a.b", "A"]),
    ],
)
def test_topic_matches_word_by_word(
    channel: ChannelClient, pattern: str, matching: list[str], other: list[str]
) -> None:
    exchange(channel, "x", "topic")
    channel.queue("q")
    bind(channel, "q", "x", pattern)
    assert [key for key in matching + other if reaches(channel, "x", key, ["q"])] == matching


def headers_match(channel: ChannelClient, arguments: Table, headers: Table | None) -> bool:
    name = f"x-{channel.world.time}"
    channel.world.advance(1)
    exchange(channel, name, "headers")
    channel.queue("q")
    bind(channel, "q", name, "key", arguments)
    channel.publish("any key", b"?", exchange=name, properties=Properties(headers=headers))
    return channel.drain("q") == [b"?"]


@pytest.mark.rule("3.26")
@pytest.mark.parametrize(
    ("mode", "matching"),
    [
        (None, "ab abc"),
        (b"all", "ab abc"),
        (b"all-with-x", "ab abc"),
        (b"any", "a ab abc"),
        (b"any-with-x", "a ab abc"),
    ],
)
def test_headers_match_all_or_any(channel: ChannelClient, mode: bytes | None, matching: str) -> None:
    wanted: Table = {"a": 1, "b": 2}
    if mode is not None:
        wanted["x-match"] = mode
    messages: dict[str, Table] = {
        "a": {"a": 1},
        "ab": {"a": 1, "b": 2},
        "abc": {"a": 1, "b": 2, "c": 3},
        "a-other-b": {"a": 2, "b": 3},
        "c": {"c": 3},
    }
    found = [name for name, sent in messages.items() if headers_match(channel, wanted, sent)]
    assert found == matching.split()


@pytest.mark.rule("3.26")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (b"ALL", 'Invalid x-match field value <<"ALL">>; expected all, any, all-with-x, or any-with-x'),
        (1, "Invalid x-match field type signedint (value 1); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
    ],
)
def test_other_values_of_x_match_are_refused(channel: ChannelClient, value: Value, text: str) -> None:
    channel.queue("q")
    exchange(channel, "y", "headers")
    arguments: Table = {"x-match": value}
    for method in (
        QueueBind(queue="q", exchange="amq.headers", arguments=arguments),
        ExchangeBind(destination="y", source="amq.match", arguments=arguments),
    ):
        refused(channel, method, 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("3.27")
def test_arguments_beginning_x_count_under_the_with_x_modes_only(channel: ChannelClient) -> None:
    sent: Table = {"a": 1}
    sent_x: Table = {"a": 1, "x-b": 2}
    for mode, without, with_x in (
        (b"all", True, True),
        (b"any", True, True),
        (b"all-with-x", False, True),
        (b"any-with-x", True, True),
    ):
        wanted: Table = {"x-match": mode, "a": 1, "x-b": 2}
        assert headers_match(channel, wanted, sent) is without, mode
        assert headers_match(channel, wanted, sent_x) is with_x, mode
    only_x: Table = {"x-b": 2}
    assert headers_match(channel, {"x-match": b"any-with-x", "x-b": 2}, only_x)
    assert not headers_match(channel, {"x-match": b"any", "x-b": 2}, only_x)
    assert not headers_match(channel, {"x-match": b"any-with-x"}, {"x-match": b"any-with-x"})


@pytest.mark.rule("3.28")
@pytest.mark.parametrize(
    ("wanted", "given", "matches"),
    [
        (None, 1, True),
        (None, b"", True),
        (None, {}, True),
        (1, Int64(1), True),
        (Int8(1), 1, True),
        (1, 1.0, False),
        (1, True, False),
        (1, b"1", False),
        (1, Timestamp(1), False),
        (1.5, Float32(1.5), True),
        (True, True, True),
        (True, b"true", False),
        (b"a", b"a", True),
        (b"a", b"A", False),
        (b"\xff", b"\xff", True),
    ],
)
def test_headers_compare_by_value(channel: ChannelClient, wanted: Value, given: Value, matches: bool) -> None:
    for mode in (b"all", b"any"):
        assert headers_match(channel, {"x-match": mode, "h": wanted}, {"h": given}) is matches
        assert not headers_match(channel, {"x-match": mode, "h": wanted}, {"other": given})


@pytest.mark.rule("3.29")
@pytest.mark.parametrize(
    ("mode", "matches"), [(b"all", True), (b"all-with-x", True), (b"any", False), (b"any-with-x", False)]
)
def test_with_nothing_to_compare_all_matches_and_any_does_not(
    channel: ChannelClient, mode: bytes, matches: bool
) -> None:
    for headers in (None, {}, {"a": 1}):
        assert headers_match(channel, {"x-match": mode}, headers) is matches  # type: ignore[arg-type]
