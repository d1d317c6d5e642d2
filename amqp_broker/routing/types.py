"""The exchange types this broker has, by the name a client declares them with."""

from collections.abc import Callable
from typing import Final

from amqp_broker.routing.binding import Matcher
from amqp_broker.routing.direct import DirectMatcher
from amqp_broker.routing.fanout import FanoutMatcher
from amqp_broker.routing.headers import HeadersMatcher
from amqp_broker.routing.topic import TopicMatcher

EXCHANGE_TYPES: Final[dict[str, Callable[[], Matcher]]] = {
    "direct": DirectMatcher,
    "fanout": FanoutMatcher,
    "headers": HeadersMatcher,
    "topic": TopicMatcher,
}
"""A further type is one more line; a name that is not here is an unknown type (rule 3.3)."""
