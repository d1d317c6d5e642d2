"""The exchange types this broker has, by the name a client declares them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.binding import Matcher
from amqp_broker.routing.delayed import DelayedMatcher
from amqp_broker.routing.dice import LocalRandomMatcher, RandomMatcher
from amqp_broker.routing.direct import DirectMatcher
from amqp_broker.routing.duplicates import DEDUPLICATION
from amqp_broker.routing.fanout import FanoutMatcher
from amqp_broker.routing.federated import FederationUpstreamMatcher
from amqp_broker.routing.hashing import ConsistentHashMatcher, ModulusHashMatcher
from amqp_broker.routing.headers import HeadersMatcher
from amqp_broker.routing.history import HistoryMatcher
from amqp_broker.routing.topic import TopicMatcher
from amqp_codec import Table

DELAYED_TYPE: Final = "x-delayed-type"
DELAYED: Final = "x-delayed-message"
RECENT_HISTORY: Final = "x-recent-history"


def new_matcher(type_: str, arguments: Table) -> Matcher:
    """Make the matcher of an exchange.

    Raises:
        AMQPError: 406 for arguments that this type can't have.
        KeyError: no such type.
    """
    return EXCHANGE_TYPES[type_](arguments)


def _delayed(arguments: Table) -> DelayedMatcher:
    inner = arguments.get(DELAYED_TYPE)
    name = inner.decode("utf-8", "surrogateescape") if isinstance(inner, bytes) else ""
    if name == DELAYED:
        raise precondition_failed(f"Invalid argument, '{DELAYED}' can't be used for '{DELAYED_TYPE}'")
    if name in (RECENT_HISTORY, DEDUPLICATION):
        raise precondition_failed(f"Invalid argument, '{name}' can't be used for '{DELAYED_TYPE}'")
    if name not in EXCHANGE_TYPES:
        raise precondition_failed(f"Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type")
    return DelayedMatcher(new_matcher(name, arguments))


EXCHANGE_TYPES: Final[dict[str, Callable[[Table], Matcher]]] = {
    "direct": lambda _: DirectMatcher(),
    "fanout": lambda _: FanoutMatcher(),
    "headers": lambda _: HeadersMatcher(),
    "topic": lambda _: TopicMatcher(),
    "x-consistent-hash": ConsistentHashMatcher.from_arguments,
    DELAYED: _delayed,
    DEDUPLICATION: lambda _: FanoutMatcher(),
    "x-federation-upstream": FederationUpstreamMatcher.from_arguments,
    "x-local-random": lambda _: LocalRandomMatcher(),
    "x-modulus-hash": lambda _: ModulusHashMatcher(),
    "x-random": lambda _: RandomMatcher(),
    RECENT_HISTORY: HistoryMatcher.from_arguments,
}
"""A further type is one more line; a name that is not here is an unknown type (rule 3.3)."""
