import pytest

from amqp_codec import (
    ByteArray,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeUnbind,
    Int64,
    Method,
    Properties,
    QueueBind,
    QueueUnbind,
    Table,
    Value,
)
from tests.support.client import ChannelClient
from tests.support.topology import (
    bind,
    bind_exchange,
    delete_exchange,
    delete_queue,
    exchange,
    has_exchange,
    queue_with,
    reaches,
    refused,
    reopen_after,
    unbind,
    unbind_exchange,
)

NOT_ON_DEFAULT = "ACCESS_REFUSED - operation not permitted on the default exchange"
PREDECLARED = [
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.topic", "topic", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
]


def inequivalent(key: str, name: str, received: str, current: str) -> str:
    where = f"exchange '{name}' in vhost '/'"
    return f"PRECONDITION_FAILED - inequivalent arg '{key}' for {where}: received {received} but current is {current}"


@pytest.mark.rule("3.1", "3.4")
@pytest.mark.parametrize(("name", "kind", "internal"), PREDECLARED)
def test_predeclared_exchanges_are_there(channel: ChannelClient, name: str, kind: str, internal: bool) -> None:
    exchange(channel, name, kind, durable=True, internal=internal)
    as_it_is = {"exchange": name, "type": kind, "durable": True, "internal": internal}
    changes = (("durable", False, True), ("auto_delete", True, False), ("internal", not internal, internal))
    for key, received, current in changes:
        text = inequivalent(key, name, f"'{received}'".lower(), f"'{current}'".lower())
        refused(channel, ExchangeDeclare(**{**as_it_is, key: received}), 406, text)  # type: ignore[arg-type]


@pytest.mark.rule("3.1")
def test_default_exchange_is_there_and_that_of_the_log_is_not(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    assert reaches(channel, "", "q", [queue]) == {queue}
    assert not has_exchange(channel, "amq.rabbitmq.log")


@pytest.mark.rule("3.1", "3.26")
@pytest.mark.parametrize("name", ["amq.headers", "amq.match"])
def test_both_predeclared_headers_exchanges_match_headers(channel: ChannelClient, name: str) -> None:
    queue = channel.queue("q")
    bind(channel, queue, name, "k", {"x-match": b"all", "a": 1})
    channel.publish("k", b"no", exchange=name)
    channel.publish("other", b"yes", exchange=name, properties=Properties(headers={"a": 1}))
    assert channel.drain(queue) == [b"yes"]


@pytest.mark.rule("3.2")
def test_type_is_checked_before_the_default_exchange(channel: ChannelClient) -> None:
    text = "PRECONDITION_FAILED - unknown exchange type 'nope'"
    refused(channel, ExchangeDeclare(exchange="", type="nope"), 406, text)


@pytest.mark.rule("3.2")
def test_type_is_checked_before_the_reserved_name_and_before_equivalence(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    text = "PRECONDITION_FAILED - unknown exchange type 'nope'"
    for name in ("amq.new", "amq.direct", "x"):
        refused(channel, ExchangeDeclare(exchange=name, type="nope"), 406, text)


@pytest.mark.rule("3.2")
def test_reserved_name_is_checked_before_the_alternate_exchange(channel: ChannelClient) -> None:
    bad: Table = {"alternate-exchange": 1}
    text = "ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'"
    refused(channel, ExchangeDeclare(exchange="amq.new", type="direct", arguments=bad), 403, text)


@pytest.mark.rule("3.2")
def test_alternate_exchange_of_an_existing_exchange_is_compared_and_not_validated(channel: ChannelClient) -> None:
    exchange(channel, "x")
    bad: Table = {"alternate-exchange": 1}
    text = inequivalent("alternate-exchange", "x", "the value '1' of type 'signedint'", "none")
    refused(channel, ExchangeDeclare(exchange="x", type="direct", arguments=bad), 406, text)


@pytest.mark.rule("3.3")
def test_unknown_type_closes_the_channel_only(channel: ChannelClient) -> None:
    for kind in ("x-nope", "", "Direct"):
        text = f"PRECONDITION_FAILED - unknown exchange type '{kind}'"
        refused(channel, ExchangeDeclare(exchange="x", type=kind), 406, text)
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.4")
def test_new_reserved_name_is_refused(channel: ChannelClient) -> None:
    for name in ("amq.", "amq.mine"):
        text = f"ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'"
        refused(channel, ExchangeDeclare(exchange=name, type="direct"), 403, text)
    exchange(channel, "amq")
    exchange(channel, "AMQ.x")


@pytest.mark.rule("3.5")
def test_cr_and_lf_are_no_part_of_exchange_names(channel: ChannelClient) -> None:
    exchange(channel, "\r\na\nb\r")
    assert has_exchange(channel, "ab")
    channel.call(ExchangeDeclare(exchange="a\rb", passive=True), ExchangeDeclareOk)
    exchange(channel, "source")
    bind_exchange(channel, "a\nb", "sou\rrce", "k\n")
    queue = channel.queue("q\r\n")
    assert queue == "q"
    bind(channel, "\nq", "ab\r", "k\n")
    assert reaches(channel, "source", "k\n", ["q"]) == {"q"}
    assert reaches(channel, "source", "k", ["q"]) == set()
    unbind(channel, "q\n", "\nab", "k\n")
    assert reaches(channel, "ab", "k\n", ["q"]) == set()
    bind(channel, "q", "ab", "k")
    unbind_exchange(channel, "ab\n", "source\n", "k\n")
    assert reaches(channel, "source", "k", ["q"]) == set()
    delete_exchange(channel, "a\r\nb")
    assert not has_exchange(channel, "ab")
    assert delete_queue(channel, "\rq") == 0
    channel.queue("q")


@pytest.mark.rule("3.5")
def test_cr_and_lf_stay_in_the_name_that_is_published_to(channel: ChannelClient) -> None:
    exchange(channel, "x")
    channel.publish("", exchange="x\n")
    reopen_after(channel, 404, "NOT_FOUND - no exchange 'x\n' in vhost '/'")


@pytest.mark.rule("3.5")
@pytest.mark.parametrize("name", [" ", "a b/c#*.", "žluťoučký kůň 🐎", "x" * 255, "ü" * 127, "\0\t"])
def test_any_other_utf8_is_a_legal_name(channel: ChannelClient, name: str) -> None:
    exchange(channel, name, "fanout")
    assert channel.queue(name) == name
    bind(channel, name, name)
    assert reaches(channel, name, "", [name]) == {name}


@pytest.mark.rule("3.6")
@pytest.mark.parametrize(
    "method",
    [
        ExchangeDeclare(exchange="", type="direct", durable=True),
        ExchangeDeclare(exchange="", passive=True),
        ExchangeDeclare(exchange="\r\n", type="direct"),
        ExchangeDelete(exchange=""),
        ExchangeDelete(exchange="", if_unused=True),
        QueueBind(queue="q", exchange="", routing_key="q"),
        QueueUnbind(queue="q", exchange="", routing_key="q"),
        QueueBind(queue="missing", exchange="", routing_key="q"),
        QueueUnbind(queue="missing", exchange="", routing_key="q"),
        ExchangeBind(destination="", source="x"),
        ExchangeBind(destination="x", source=""),
        ExchangeBind(destination="", source="missing"),
        ExchangeUnbind(destination="", source="x"),
        ExchangeUnbind(destination="x", source=""),
    ],
    ids=str,
)
def test_nothing_but_publish_is_allowed_on_the_default_exchange(channel: ChannelClient, method: Method) -> None:
    channel.queue("q")
    exchange(channel, "x")
    refused(channel, method, 403, NOT_ON_DEFAULT)
    assert reaches(channel, "", "q", ["q"]) == {"q"}


@pytest.mark.rule("3.7")
def test_passive_declare_asks_for_existence_only(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    for kind in ("fanout", "direct", "nope", ""):
        other = ExchangeDeclare(
            exchange="x",
            type=kind,
            passive=True,
            durable=True,
            auto_delete=True,
            internal=True,
            arguments={"alternate-exchange": 1},
        )
        channel.call(other, ExchangeDeclareOk)
    missing = ExchangeDeclare(exchange="y", type="nope", passive=True)
    refused(channel, missing, 404, "NOT_FOUND - no exchange 'y' in vhost '/'")
    refused(channel, missing, 404, "NOT_FOUND - no exchange 'y' in vhost '/'")


@pytest.mark.rule("3.8")
def test_redeclare_is_compared_property_by_property_in_order(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct")
    for options, key, received, current in (
        ({"type": "fanout", "durable": True, "auto_delete": True, "internal": True}, "type", "'fanout'", "'direct'"),
        ({"durable": True, "auto_delete": True, "internal": True}, "durable", "'true'", "'false'"),
        ({"auto_delete": True, "internal": True}, "auto_delete", "'true'", "'false'"),
        ({"internal": True}, "internal", "'true'", "'false'"),
        ({}, "alternate-exchange", "the value 'a' of type 'longstr'", "none"),
    ):
        arguments: Table = {"alternate-exchange": b"a"}
        method = ExchangeDeclare(**{"exchange": "x", "type": "direct", "arguments": arguments, **options})  # type: ignore[arg-type]
        refused(channel, method, 406, inequivalent(key, "x", received, current))
    exchange(channel, "x", "direct")


@pytest.mark.rule("3.8")
def test_redeclare_ignores_every_other_argument(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", arguments={"mine": 1, "gone": b"x"})
    exchange(channel, "x", "direct", arguments={"mine": b"two", "new": True})


@pytest.mark.rule("3.8")
def test_equal_redeclare_keeps_the_bindings(channel: ChannelClient) -> None:
    channel.queue("q")
    for _ in range(2):
        exchange(channel, "x", "fanout", durable=True, auto_delete=True, arguments={"alternate-exchange": b"a"})
        bind(channel, "q", "x")
    assert reaches(channel, "x", "", ["q"]) == {"q"}


@pytest.mark.rule("3.9")
def test_difference_of_arguments_is_told_with_type_where_one_is_absent(channel: ChannelClient) -> None:
    exchange(channel, "with", arguments={"alternate-exchange": b"a"})
    exchange(channel, "without")
    for name, given, received, current in (
        ("with", {}, "none", "the value 'a' of type 'longstr'"),
        ("with", {"alternate-exchange": b"b"}, "'b'", "'a'"),
        ("with", {"alternate-exchange": True}, "'true'", "'a'"),
        ("without", {"alternate-exchange": b"b"}, "the value 'b' of type 'longstr'", "none"),
        ("without", {"alternate-exchange": 7}, "the value '7' of type 'signedint'", "none"),
        ("without", {"alternate-exchange": Int64(7)}, "the value '7' of type 'long'", "none"),
        ("without", {"alternate-exchange": True}, "the value 'true' of type 'bool'", "none"),
    ):
        method = ExchangeDeclare(exchange=name, type="direct", arguments=given)  # type: ignore[arg-type]
        refused(channel, method, 406, inequivalent("alternate-exchange", name, received, current))


@pytest.mark.rule("3.11")
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "signedint"),
        (True, "bool"),
        (Int64(1), "long"),
        (1.5, "double"),
        ([b"a"], "array"),
        ({}, "table"),
        (ByteArray(b"a"), "binary"),
    ],
)
def test_alternate_exchange_is_a_longstr(channel: ChannelClient, value: Value, kind: str) -> None:
    method = ExchangeDeclare(exchange="x", type="direct", arguments={"alternate-exchange": value})
    text = f"PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    refused(channel, method, 406, text)
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.11", "3.21")
def test_alternate_exchange_need_not_exist(channel: ChannelClient) -> None:
    exchange(channel, "x", arguments={"alternate-exchange": b"later"})
    channel.queue("q")
    assert reaches(channel, "x", "k", ["q"]) == set()
    exchange(channel, "later", "fanout")
    bind(channel, "q", "later")
    assert reaches(channel, "x", "k", ["q"]) == {"q"}
    delete_exchange(channel, "later")
    assert reaches(channel, "x", "k", ["q"]) == set()


@pytest.mark.rule("3.12")
def test_delete_of_a_missing_exchange_succeeds(channel: ChannelClient) -> None:
    delete_exchange(channel, "x")
    exchange(channel, "x")
    delete_exchange(channel, "x")
    delete_exchange(channel, "x", if_unused=True)
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.12")
@pytest.mark.parametrize("name", ["amq.direct", "amq.rabbitmq.trace", "amq.absent", "amq."])
def test_system_exchanges_are_not_deleted(channel: ChannelClient, name: str) -> None:
    text = f"ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"
    refused(channel, ExchangeDelete(exchange=name), 403, text)
    refused(channel, ExchangeDelete(exchange=name, if_unused=True), 403, text)


@pytest.mark.rule("3.12")
def test_delete_removes_the_bindings_at_both_ends(channel: ChannelClient) -> None:
    for name in ("before", "x", "after"):
        exchange(channel, name, "fanout")
    channel.queue("q")
    bind_exchange(channel, "x", "before")
    bind_exchange(channel, "after", "x")
    bind(channel, "q", "x")
    bind(channel, "q", "after")
    delete_exchange(channel, "x")
    exchange(channel, "x", "fanout")
    assert reaches(channel, "x", "", ["q"]) == set()
    assert reaches(channel, "before", "", ["q"]) == set()
    assert reaches(channel, "after", "", ["q"]) == {"q"}
    delete_exchange(channel, "before", if_unused=True)


@pytest.mark.rule("3.13")
def test_exchange_in_use_is_not_deleted_if_unused(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    exchange(channel, "y", "fanout")
    channel.queue("q")
    in_use = "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    bind(channel, "q", "x")
    refused(channel, ExchangeDelete(exchange="x", if_unused=True), 406, in_use)
    unbind(channel, "q", "x")
    bind_exchange(channel, "y", "x")
    refused(channel, ExchangeDelete(exchange="x", if_unused=True), 406, in_use)
    assert has_exchange(channel, "x")
    unbind_exchange(channel, "y", "x")
    delete_exchange(channel, "x", if_unused=True)
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.13")
def test_destination_of_a_binding_counts_as_unused(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    exchange(channel, "y", "fanout")
    bind_exchange(channel, "y", "x")
    delete_exchange(channel, "y", if_unused=True)
    delete_exchange(channel, "x", if_unused=True)
    assert not has_exchange(channel, "y")


@pytest.mark.rule("3.13")
def test_exchange_in_use_is_deleted_when_nobody_asks(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("q")
    bind(channel, "q", "x")
    delete_exchange(channel, "x")
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_auto_delete_exchange_goes_with_its_last_unbind(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", auto_delete=True)
    channel.queue("q")
    bind(channel, "q", "x", "a")
    bind(channel, "q", "x", "b")
    unbind(channel, "q", "x", "missing")
    unbind(channel, "q", "x", "a")
    assert has_exchange(channel, "x")
    unbind(channel, "q", "x", "b")
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_auto_delete_exchange_goes_with_its_last_queue(channel: ChannelClient) -> None:
    exchange(channel, "x", "direct", auto_delete=True)
    for queue in ("q", "r"):
        channel.queue(queue)
        bind(channel, queue, "x", "a")
        bind(channel, queue, "x", "b")
    delete_queue(channel, "q")
    assert has_exchange(channel, "x")
    delete_queue(channel, "r")
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_auto_delete_exchange_goes_with_its_last_destination_exchange(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout", auto_delete=True)
    exchange(channel, "y", "fanout")
    bind_exchange(channel, "y", "x")
    delete_exchange(channel, "y")
    assert not has_exchange(channel, "x")
    exchange(channel, "x", "fanout", auto_delete=True)
    exchange(channel, "y", "fanout")
    bind_exchange(channel, "y", "x")
    unbind_exchange(channel, "y", "x")
    assert not has_exchange(channel, "x")
    assert has_exchange(channel, "y")


@pytest.mark.rule("3.14")
def test_auto_delete_exchange_goes_with_queues_that_end_by_themselves(
    channel: ChannelClient, other: ChannelClient
) -> None:
    for name in ("of-exclusive", "of-expired", "of-auto-delete"):
        exchange(channel, name, "fanout", auto_delete=True)
    other.queue("exclusive", exclusive=True)
    bind(other, "exclusive", "of-exclusive")
    other.client.close()
    assert not has_exchange(channel, "of-exclusive")
    queue_with(channel, "expired", {"x-expires": 1000})
    bind(channel, "expired", "of-expired")
    channel.world.advance(1.5)
    assert not has_exchange(channel, "of-expired")
    reader = channel.world.channel()
    reader.queue("auto-delete", auto_delete=True)
    bind(reader, "auto-delete", "of-auto-delete")
    reader.consume("auto-delete")
    reader.close()
    assert not has_exchange(channel, "of-auto-delete")


@pytest.mark.rule("3.14")
def test_auto_delete_exchange_that_was_never_bound_stays(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout", auto_delete=True)
    exchange(channel, "y", "fanout")
    channel.queue("q")
    unbind(channel, "q", "x")
    bind_exchange(channel, "x", "y")
    unbind_exchange(channel, "x", "y")
    bind_exchange(channel, "x", "y")
    delete_exchange(channel, "y")
    delete_queue(channel, "q")
    assert has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_exchange_that_is_not_auto_delete_stays(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout")
    channel.queue("q")
    bind(channel, "q", "x")
    delete_queue(channel, "q")
    assert has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_chain_of_auto_delete_exchanges_vanishes_at_once(channel: ChannelClient) -> None:
    length = 2000
    channel.queue("q")
    for number in range(length):
        exchange(channel, f"x{number}", "fanout", auto_delete=True)
    for number in range(length - 1):
        bind_exchange(channel, f"x{number + 1}", f"x{number}")
    bind(channel, "q", f"x{length - 1}")
    assert reaches(channel, "x0", "", ["q"]) == {"q"}
    delete_queue(channel, "q")
    assert not any(has_exchange(channel, f"x{number}") for number in (0, 1, length // 2, length - 1))


@pytest.mark.rule("3.14")
def test_loop_of_auto_delete_exchanges_vanishes_with_one_of_them(channel: ChannelClient) -> None:
    names = ["a", "b", "c"]
    for name in names:
        exchange(channel, name, "fanout", auto_delete=True)
    for source, destination in (("a", "b"), ("b", "c"), ("c", "a")):
        bind_exchange(channel, destination, source)
    delete_exchange(channel, "b")
    assert [has_exchange(channel, name) for name in names] == [False, False, False]


@pytest.mark.rule("3.14")
def test_exchange_bound_to_itself_can_be_deleted(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout", auto_delete=True)
    bind_exchange(channel, "x", "x")
    delete_exchange(channel, "x")
    assert not has_exchange(channel, "x")
    exchange(channel, "x", "fanout", auto_delete=True)
    bind_exchange(channel, "x", "x")
    unbind_exchange(channel, "x", "x")
    assert not has_exchange(channel, "x")


@pytest.mark.rule("3.14")
def test_auto_delete_in_a_chain_stops_at_an_exchange_still_bound(channel: ChannelClient) -> None:
    for name in ("a", "b"):
        exchange(channel, name, "fanout", auto_delete=True)
    channel.queue("q")
    channel.queue("stays")
    bind_exchange(channel, "b", "a")
    bind(channel, "stays", "a")
    bind(channel, "q", "b")
    delete_queue(channel, "q")
    assert not has_exchange(channel, "b")
    assert reaches(channel, "a", "", ["stays"]) == {"stays"}


@pytest.mark.rule("3.15")
def test_internal_exchange_takes_nothing_from_clients(channel: ChannelClient) -> None:
    exchange(channel, "x", "fanout", internal=True)
    for name in ("x", "amq.rabbitmq.trace", "x"):
        channel.publish("k", exchange=name)
        text = f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'"
        reopen_after(channel, 403, text)


@pytest.mark.rule("3.15")
def test_internal_exchange_takes_messages_from_elsewhere(channel: ChannelClient) -> None:
    exchange(channel, "inner", "fanout", internal=True)
    exchange(channel, "bound", "fanout")
    exchange(channel, "alternating", "direct", arguments={"alternate-exchange": b"inner"})
    channel.queue("q")
    bind(channel, "q", "inner")
    bind_exchange(channel, "inner", "bound")
    assert reaches(channel, "bound", "", ["q"]) == {"q"}
    assert reaches(channel, "alternating", "", ["q"]) == {"q"}
    queue_with(channel, "dying", {"x-dead-letter-exchange": b"inner", "x-message-ttl": 0})
    assert reaches(channel, "", "dying", ["q"]) == {"q"}
