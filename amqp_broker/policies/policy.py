"""Which policies apply to a queue or an exchange (rules 8.1 and 8.2)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import attrs

from amqp_broker.auth.patterns import Pattern
from amqp_broker.policies.settings import UNSUPPORTED, Definition
from amqp_broker.queues.arguments import QueueType


class ApplyTo(StrEnum):
    """What a policy is for."""

    ALL = "all"
    QUEUES = "queues"
    CLASSIC_QUEUES = "classic_queues"
    QUORUM_QUEUES = "quorum_queues"
    STREAMS = "streams"
    EXCHANGES = "exchanges"


_FOR_EXCHANGES = frozenset({ApplyTo.ALL, ApplyTo.EXCHANGES})
_FOR_QUEUES = {
    QueueType.CLASSIC: frozenset({ApplyTo.ALL, ApplyTo.QUEUES, ApplyTo.CLASSIC_QUEUES}),
    QueueType.QUORUM: frozenset({ApplyTo.ALL, ApplyTo.QUEUES, ApplyTo.QUORUM_QUEUES}),
    QueueType.STREAM: frozenset({ApplyTo.ALL, ApplyTo.QUEUES, ApplyTo.STREAMS}),
}


@attrs.frozen(eq=False)
class Policy:
    """A policy of either kind.

    Attributes:
        pattern: searched in the name.
        definition: checked before.
        priority: of those that match, only the highest counts.
    """

    name: str
    pattern: Pattern
    definition: Definition
    priority: float = 0
    apply_to: ApplyTo = ApplyTo.ALL

    def is_for_queue(self, name: str, queue_type: QueueType) -> bool:
        return (
            self.apply_to in _FOR_QUEUES[queue_type]
            and not any(key in self.definition for key in UNSUPPORTED[queue_type])
            and self.pattern.search(name)
        )

    def is_for_exchange(self, name: str) -> bool:
        return self.apply_to in _FOR_EXCHANGES and self.pattern.search(name)


@attrs.frozen
class Applied:
    """The one policy of each kind that applies to something, if there is one."""

    policy: Policy | None = None
    operator_policy: Policy | None = None


NOTHING: Final = Applied()


class Policies:
    """The policies of a vhost; a new set takes the place of the old one."""

    def __init__(self, policies: Iterable[Policy] = (), operator_policies: Iterable[Policy] = ()) -> None:
        self._policies = _by_priority(policies)
        self._operator_policies = _by_priority(operator_policies)

    def __bool__(self) -> bool:
        return bool(self._policies or self._operator_policies)

    def of_queue(self, name: str, queue_type: QueueType) -> Applied:
        return Applied(
            next((each for each in self._policies if each.is_for_queue(name, queue_type)), None),
            next((each for each in self._operator_policies if each.is_for_queue(name, queue_type)), None),
        )

    def of_exchange(self, name: str) -> Applied:
        """Operators have no say in exchanges: none of the keys they may set concerns one."""
        return Applied(next((each for each in self._policies if each.is_for_exchange(name)), None))


def _by_priority(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Highest first; the order of equal ones is that of their names, so that it is the same at every start."""
    return tuple(sorted(policies, key=lambda policy: (-policy.priority, policy.name)))


NO_POLICIES: Final = Policies()
