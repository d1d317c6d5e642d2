"""The exchange `x-federation-upstream`, which RabbitMQ's federation makes at its upstream (rule 3.39).

A link of a RabbitMQ that has this broker for an upstream declares one between the exchange it follows and its queue.
Messages that have come far enough, or from where the link leads, stay behind here and don't cross the network.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import attrs

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.binding import Destination
from amqp_broker.routing.fanout import FanoutMatcher
from amqp_codec import Properties, Table, Value

MAX_HOPS: Final = "x-max-hops"
DOWNSTREAM_NAME: Final = "x-downstream-name"
DOWNSTREAM_VHOST: Final = "x-downstream-vhost"

RECEIVED_FROM: Final = "x-received-from"
"""The header with a table for each broker that a message has come from, the last one first."""


@attrs.define(eq=False)
class FederationUpstreamMatcher(FanoutMatcher):
    """A fanout for what may still cross the link.

    Attributes:
        max_hops: as for `may_cross`.
        downstream: as for `may_cross`; old links don't tell it.
    """

    depends_on_message: ClassVar[bool] = True

    max_hops: Final[int]
    downstream: Final[tuple[Value, Value]]

    @classmethod
    def from_arguments(cls, arguments: Table) -> "FederationUpstreamMatcher":
        """Raises AMQPError: 406 without a number of hops."""
        if MAX_HOPS not in arguments:
            raise precondition_failed(f"Argument {MAX_HOPS} missing")
        max_hops = arguments[MAX_HOPS]
        if not isinstance(max_hops, int) or isinstance(max_hops, bool):
            raise precondition_failed(f"Argument {MAX_HOPS} must be of type long")
        return cls(max_hops, (arguments.get(DOWNSTREAM_NAME), arguments.get(DOWNSTREAM_VHOST)))

    def match(self, routing_keys: Sequence[str], properties: Properties | None) -> Iterator[Destination]:
        if may_cross(properties, self.max_hops, self.downstream):
            yield from FanoutMatcher.match(self, routing_keys, properties)


def may_cross(properties: Properties | None, max_hops: int, downstream: tuple[Value, Value]) -> bool:
    """Whether a link of federation hands a message on: it has not come far, nor from where it would go.

    Args:
        properties: of the message.
        max_hops: brokers that it has come from are fewer than this.
        downstream: cluster name and vhost of where it would go.
    """
    hops = received_from(properties)
    return not hops or (len(hops) < max_hops and not any(_is(hop, downstream) for hop in hops))


def received_from(properties: Properties | None) -> list[Value]:
    """The brokers that a message has come from; nothing where the header is none of federation's."""
    headers = None if properties is None else properties.headers
    found = None if headers is None else headers.get(RECEIVED_FROM)
    return found if isinstance(found, list) else []


def _is(hop: Value, downstream: tuple[Value, Value]) -> bool:
    return (
        isinstance(hop, dict) and None not in downstream and (hop.get("cluster-name"), hop.get("vhost")) == downstream
    )
