import pytest

from amqp_broker.routing.exchange import Exchange
from tests.routing.model import Queue, sent


@pytest.mark.rule("3.23")
def test_every_queue_whatever_the_key() -> None:
    exchange = Exchange("x", "fanout")
    exchange.bind(Queue("b"), "some key", {})
    exchange.bind(Queue("a"), "", {})
    assert sent(exchange, "another") == ["b", "a"]
    exchange.unbind(Queue("b"), "some key", {})
    assert sent(exchange, "some key") == ["a"]
