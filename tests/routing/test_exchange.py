import itertools
import time

import pytest

from amqp_broker.routing.exchange import Exchange, default_exchange, route
from amqp_codec.fields import Table
from tests.routing.model import Queue, bind_all, names, nowhere, sent

Q = Queue("q")


@pytest.mark.rule("3.17")
def test_binding_twice_changes_nothing() -> None:
    exchange = Exchange("x", "direct")
    first = exchange.bind(Q, "k", {"a": 1, "b": b"x"})
    assert first is not None
    assert exchange.bind(Q, "k", {"b": b"x", "a": 1}) is None
    assert list(exchange.bindings.values()) == [first]
    assert exchange.unbind(Q, "k", {"b": b"x", "a": 1}) is first
    assert not exchange.has_bindings
    assert sent(exchange, "k") == []


@pytest.mark.rule("3.17")
def test_bindings_differ_by_kind_name_key_and_arguments() -> None:
    exchange = Exchange("x", "direct")
    made = [
        exchange.bind(Q, "k", {}),
        exchange.bind(Exchange("q", "direct"), "k", {}),
        exchange.bind(Queue("p"), "k", {}),
        exchange.bind(Q, "K", {}),
        exchange.bind(Q, "k", {"a": 1}),
        exchange.bind(Q, "k", {"a": True}),
        exchange.bind(Q, "k", {"a": 1.0}),
        exchange.bind(Q, "k", {"a": b"1"}),
        exchange.bind(Q, "k", {"a": None}),
    ]
    assert None not in made
    assert list(exchange.bindings.values()) == made


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_unbinding_one_leaves_its_twin(kind: str) -> None:
    exchange = Exchange("x", kind)
    exchange.bind(Q, "k", {})
    exchange.bind(Q, "k", {"x-twin": 1})
    assert exchange.unbind(Q, "k", {}) is not None
    assert sent(exchange, "k") == ["q"]
    assert exchange.unbind(Q, "k", {"x-twin": 1}) is not None
    assert sent(exchange, "k") == []


@pytest.mark.rule("3.18")
@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_unbinding_what_is_not_there_is_no_error(kind: str) -> None:
    exchange = Exchange("x", kind)
    exchange.bind(Q, "k", {})
    assert exchange.unbind(Q, "other", {}) is None
    assert exchange.unbind(Queue("other"), "k", {}) is None
    assert exchange.unbind_destination(Queue("other")) == []
    assert sent(exchange, "k") == ["q"]


def test_finding_a_binding() -> None:
    exchange = Exchange("x", "direct")
    binding = exchange.bind(Q, "k", {})
    assert exchange.find_binding(Q, "k", {}) is binding
    assert exchange.find_binding(Q, "k", {"a": 1}) is None


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_unbinding_a_destination_takes_its_bindings_only(kind: str) -> None:
    exchange = Exchange("x", kind)
    exchange.bind(Queue("before"), "k", {})
    one = exchange.bind(Q, "k", {})
    two = exchange.bind(Q, "k.*.#", {"a": 1})
    namesake = exchange.bind(Exchange("q", "fanout"), "k", {})
    assert exchange.unbind_destination(Q) == [one, two]
    assert sent(exchange, "k", headers={"a": 1}) == ["before"]
    assert namesake in exchange.bindings.values()
    assert exchange.unbind_destination(Q) == []


def test_deleting_a_queue_does_not_look_at_other_bindings() -> None:
    exchange = Exchange("x", "fanout")
    queues = [Queue(f"q{i}") for i in range(20_000)]
    for queue in queues:
        exchange.bind(queue, "", {})
    began = time.process_time()
    for queue in queues:
        assert len(exchange.unbind_destination(queue)) == 1
    assert time.process_time() - began < 5  # looking at all, 200 million bindings, takes far longer
    assert not exchange.has_bindings


@pytest.mark.rule("3.20")
def test_a_queue_is_reached_once_however_many_bindings_match() -> None:
    exchange = Exchange("x", "topic")
    for key in ("a.b", "a.*", "#", "#.b"):
        exchange.bind(Q, key, {})
    inner = Exchange("y", "fanout")
    inner.bind(Q, "", {})
    exchange.bind(inner, "a.b", {})
    assert sent(exchange, "a.b") == ["q"]


@pytest.mark.rule("3.20")
def test_messages_flow_from_source_to_destination_only() -> None:
    source, target = Exchange("source", "fanout"), Exchange("target", "fanout")
    source.bind(Queue("at source"), "", {})
    target.bind(Queue("at target"), "", {})
    source.bind(target, "", {})
    assert sent(source, "") == ["at source", "at target"]
    assert sent(target, "") == ["at target"]


@pytest.mark.rule("3.20")
def test_cycles_end() -> None:
    one, two = Exchange("one", "fanout"), Exchange("two", "fanout")
    one.bind(two, "", {})
    two.bind(one, "", {})
    two.bind(two, "", {})
    two.bind(Q, "", {})
    assert sent(one, "") == ["q"]


@pytest.mark.rule("3.20")
def test_a_long_chain_is_followed_to_its_end() -> None:
    chain = [Exchange(str(i), "direct") for i in range(10_000)]
    for source, target in itertools.pairwise(chain):
        source.bind(target, "k", {})
    chain[-1].bind(Q, "k", {})
    assert sent(chain[0], "k") == ["q"]


@pytest.mark.rule("3.20")
def test_a_web_of_exchanges_is_visited_once_each() -> None:
    # Forty layers of two, each leading to both of the next: 2^40 ways, 80 exchanges.
    layers = [[Exchange(f"{depth}.{i}", "fanout") for i in range(2)] for depth in range(40)]
    for upper, lower in itertools.pairwise(layers):
        for source in upper:
            for target in lower:
                source.bind(target, "", {})
    layers[-1][0].bind(Q, "", {})
    assert sent(layers[0][0], "") == ["q"]


def family(*exchanges: Exchange) -> dict[str, Exchange]:
    return {exchange.name: exchange for exchange in exchanges}


def with_alternate(name: str, alternate: str, kind: str = "direct") -> Exchange:
    return Exchange(name, kind, arguments={"alternate-exchange": alternate.encode()})


@pytest.mark.rule("3.21")
def test_alternate_takes_what_has_no_destination() -> None:
    exchange, alternate = with_alternate("x", "alt"), Exchange("alt", "fanout")
    find = family(alternate).get
    exchange.bind(Q, "k", {})
    alternate.bind(Queue("rest"), "", {})
    assert sent(exchange, "k", find_exchange=find) == ["q"]
    assert sent(exchange, "other", find_exchange=find) == ["rest"]


@pytest.mark.rule("3.21")
def test_an_exchange_that_leads_nowhere_is_a_destination_still() -> None:
    exchange, alternate = with_alternate("x", "alt"), Exchange("alt", "fanout")
    alternate.bind(Queue("rest"), "", {})
    exchange.bind(Exchange("dead end", "fanout"), "k", {})
    assert sent(exchange, "k", find_exchange=family(alternate).get) == []
    assert sent(exchange, "other", find_exchange=family(alternate).get) == ["rest"]


@pytest.mark.rule("3.21")
def test_an_exchange_seen_before_is_a_destination_still() -> None:
    exchange, alternate = with_alternate("x", "alt", "fanout"), Exchange("alt", "fanout")
    alternate.bind(Queue("rest"), "", {})
    exchange.bind(exchange, "", {})
    assert sent(exchange, "", find_exchange=family(alternate).get) == []


@pytest.mark.rule("3.21")
def test_a_destination_has_an_alternate_of_its_own() -> None:
    exchange, inner, alternate = (
        Exchange("x", "fanout"),
        with_alternate("y", "alt"),
        Exchange("alt", "fanout"),
    )
    exchange.bind(inner, "", {})
    exchange.bind(Q, "", {})
    alternate.bind(Queue("rest"), "", {})
    assert sent(exchange, "k", find_exchange=family(alternate).get) == ["q", "rest"]


@pytest.mark.rule("3.21")
def test_chains_and_loops_of_alternates() -> None:
    chain = [with_alternate(str(i), str(i + 1)) for i in range(10_000)]
    last = with_alternate("10000", "0")
    find = family(last, *chain).get
    assert sent(chain[0], "k", find_exchange=find) == []
    last.bind(Q, "k", {})
    assert sent(chain[0], "k", find_exchange=find) == ["q"]


@pytest.mark.rule("3.21")
def test_a_missing_alternate_is_nothing() -> None:
    reached = route(with_alternate("x", "alt"), ["k"], None, nowhere)
    assert reached.queues == ()
    assert reached.cacheable


@pytest.mark.rule("3.21")
def test_alternates_see_all_keys() -> None:
    exchange, alternate = with_alternate("x", "alt"), Exchange("alt", "direct")
    bind_all(alternate, ["a", "b"])
    assert sent(exchange, "a", "b", find_exchange=family(alternate).get) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "alternate"),
    [
        ({}, None),
        ({"alternate-exchange": "ä".encode()}, "ä"),
        ({"alternate-exchange": b""}, ""),
        ({"alternate-exchange": b"\xff"}, "\udcff"),
        ({"alternate-exchange": 5}, None),
    ],
)
def test_the_argument_names_the_alternate(arguments: Table, alternate: str | None) -> None:
    assert Exchange("x", "direct", arguments=arguments).alternate == alternate


@pytest.mark.rule("3.22", "5.53")
@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_further_keys_are_matched_too(kind: str) -> None:
    exchange = Exchange("x", kind)
    bind_all(exchange, ["a", "b", "c"])
    assert sent(exchange, "b", "a") == ["b", "a"]


@pytest.mark.rule("3.22", "5.53")
def test_bound_exchanges_see_all_keys() -> None:
    exchange, inner = Exchange("x", "direct"), Exchange("y", "direct")
    exchange.bind(inner, "a", {})
    bind_all(inner, ["a", "b"])
    assert sent(exchange, "a", "b") == ["a", "b"]


@pytest.mark.rule("5.54")
@pytest.mark.parametrize("kind", ["direct", "fanout", "topic"])
def test_one_copy_over_all_keys(kind: str) -> None:
    exchange = Exchange("x", kind)
    exchange.bind(Q, "a", {})
    exchange.bind(Q, "b", {})
    assert sent(exchange, "a", "b", "a") == ["q"]


@pytest.mark.rule("3.22")
def test_a_route_does_not_change_with_later_bindings() -> None:
    exchange = Exchange("x", "fanout")
    exchange.bind(Q, "", {})
    reached = route(exchange, [""], None, nowhere)
    exchange.bind(Queue("later"), "", {})
    exchange.unbind(Q, "", {})
    assert names(reached) == ["q"]


def test_routes_may_be_kept_until_a_headers_exchange_is_asked() -> None:
    exchange, inner = Exchange("x", "direct"), Exchange("y", "headers")
    exchange.bind(inner, "headers", {})
    exchange.bind(Q, "keys", {})
    assert route(exchange, ["keys"], None, nowhere).cacheable
    # Nothing matched there, but with other headers it might have.
    assert not route(exchange, ["headers"], None, nowhere).cacheable
    assert not route(exchange, ["keys", "headers"], None, nowhere).cacheable


def test_an_unknown_type_is_nobody_s_exchange() -> None:
    with pytest.raises(KeyError):
        Exchange("x", "x-no-such-type")


@pytest.mark.rule("3.23", "3.22")
def test_default_exchange_routes_by_queue_name() -> None:
    queues = {name: Queue(name) for name in ("a", "b", "A")}
    exchange = default_exchange(queues.get)
    assert sent(exchange, "a") == ["a"]
    assert sent(exchange, "missing") == []
    assert sent(exchange, "b", "missing", "a", "b") == ["b", "a"]
    del queues["a"]
    assert sent(exchange, "a") == []
    assert not exchange.has_bindings


def test_default_exchange_has_no_alternate() -> None:
    exchange, alternate = default_exchange(nowhere), Exchange("alt", "fanout")
    alternate.bind(Q, "", {})
    exchange.alternate = "alt"  # as a policy for everything would
    assert sent(exchange, "missing", find_exchange=family(alternate).get) == []


def test_default_exchange_stores_no_binding() -> None:
    with pytest.raises(AssertionError):
        default_exchange(nowhere).bind(Q, "k", {})
