"""What policies make of the arguments something was declared with (rules 8.4 and 8.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from amqp_broker.policies.policy import Applied
from amqp_broker.policies.settings import Definition, Setting
from amqp_broker.queues.arguments import QueueType
from amqp_codec import Table, Value

_Merge: TypeAlias = Callable[[int, int], int]


def _delivery_limit(one: int, other: int) -> int:
    """A negative one is no limit, and wins."""
    return max(one, other) if one < 0 or other < 0 else min(one, other)


_NUMBERS: Final[dict[str, _Merge]] = {
    "consumer-disconnected-timeout": min,
    "consumer-timeout": min,
    "delivery-limit": _delivery_limit,
    "expires": min,
    "max-in-memory-bytes": min,
    "max-in-memory-length": min,
    "max-length": min,
    "max-length-bytes": min,
    "message-ttl": min,
}
"""What two numbers become, of policy and operator policy or of policy and argument."""

_POLICY_FIRST: Final = {
    QueueType.CLASSIC: frozenset[str](),
    QueueType.QUORUM: frozenset({"overflow"}),
    QueueType.STREAM: frozenset({"max-age", "max-length-bytes"}),
}
"""Where the argument comes second."""

_NO_ARGUMENT: Final = frozenset({"alternate-exchange", "queue-mode", "queue-version"})
"""Settings that say nothing to a queue."""


def merged(applied: Applied) -> Definition:
    """The definition that policy and operator policy have together (rule 8.4)."""
    definition = {} if applied.policy is None else dict(applied.policy.definition)
    operators = {} if applied.operator_policy is None else applied.operator_policy.definition
    for key, value in operators.items():
        users = definition.get(key)
        is_both = isinstance(users, int) and isinstance(value, int)
        definition[key] = _NUMBERS[key](users, value) if is_both and key in _NUMBERS else value  # type: ignore[arg-type]
    return definition


def effective_arguments(arguments: Table, queue_type: QueueType, definition: Definition) -> Table:
    """The arguments a queue has to go by, given those it was declared with (rule 8.5)."""
    effective = dict(arguments)
    for key, value in definition.items():
        if key in _NO_ARGUMENT:
            continue
        argument = f"x-{key}"
        current = effective.get(argument)
        if current is None or key in _POLICY_FIRST[queue_type]:
            effective[argument] = _as_value(value)
        elif key in _NUMBERS and isinstance(value, int) and isinstance(current, int):
            effective[argument] = _NUMBERS[key](value, int(current))
    return effective


def effective_alternate(argument: str | None, definition: Definition) -> str | None:
    """The alternate exchange: the argument's, or else the policy's (rule 3.21)."""
    value = definition.get("alternate-exchange")
    return argument if argument is not None or not isinstance(value, str) else value


def _as_value(value: Setting) -> Value:
    return value.encode() if isinstance(value, str) else cast("Value", value)
