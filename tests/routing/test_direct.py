import pytest

from amqp_broker.routing.exchange import Exchange
from tests.routing.model import Queue, bind_all, sent


@pytest.mark.rule("3.23")
@pytest.mark.parametrize("other", ["", "K", "k ", "k.", "*", "#", "e\u0301"])
def test_a_key_matches_itself_only(other: str) -> None:
    exchange = Exchange("x", "direct")
    bind_all(exchange, ["k", "\u00e9", "k.k"])
    assert sent(exchange, "k") == ["k"]
    assert sent(exchange, "\u00e9") == ["\u00e9"]
    assert sent(exchange, other) == []


@pytest.mark.rule("3.23")
def test_wildcards_are_ordinary_keys() -> None:
    exchange = Exchange("x", "direct")
    bind_all(exchange, ["*", "#"])
    assert sent(exchange, "k") == []
    assert sent(exchange, "#") == ["#"]


def test_all_queues_of_a_key_in_order_of_binding() -> None:
    exchange = Exchange("x", "direct")
    for name in ("b", "a", "c"):
        exchange.bind(Queue(name), "k", {})
    assert sent(exchange, "k") == ["b", "a", "c"]
    exchange.unbind(Queue("a"), "k", {})
    assert sent(exchange, "k") == ["b", "c"]
