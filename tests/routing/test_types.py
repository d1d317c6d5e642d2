import pytest

from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.types import EXCHANGE_TYPES
from amqp_codec import Table
from tests.routing.model import Queue


def test_the_types_of_the_specification_are_there() -> None:
    assert set(EXCHANGE_TYPES) >= {"direct", "fanout", "topic", "headers"}


@pytest.mark.parametrize("kind", EXCHANGE_TYPES)
def test_exchanges_of_one_type_share_nothing(kind: str) -> None:
    arguments: Table = {"x-delayed-type": b"direct", "x-max-hops": 1}
    one, other = Exchange("one", kind, arguments=arguments), Exchange("other", kind, arguments=arguments)
    one.bind(Queue("q"), "1", {})
    assert list(one.matcher.match(["1"], None))
    assert not list(other.matcher.match(["1"], None))
