"""The keys of a policy's definition, and the values they may have (rules 8.2 to 8.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from amqp_broker.queues.arguments import QueueType

Setting: TypeAlias = "bool | int | float | str | list[Setting] | dict[str, Setting] | None"
"""What JSON has."""

Definition: TypeAlias = Mapping[str, Setting]


class InvalidDefinitionError(ValueError):
    """A definition that is refused; the text is RabbitMQ's."""


_Check: TypeAlias = Callable[[Setting], bool]


def _integer(low: int, high: int | None = None) -> _Check:
    def check(value: Setting) -> bool:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and value >= low and (high is None or value <= high)  # type: ignore[operator]

    return check


def _text(value: Setting) -> bool:
    return isinstance(value, str)


def _one_of(*words: str) -> _Check:
    return lambda value: isinstance(value, str) and value in words


def _any_integer(value: Setting) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _max_age(value: Setting) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0*[1-9][0-9]*[YMDhms]", value) is not None


def _anything(_: Setting) -> bool:
    return True


_KEYS: Final[Mapping[str, tuple[_Check, str]]] = {
    "alternate-exchange": (_text, "alternate exchange name"),
    "consumer-disconnected-timeout": (_integer(0), "consumer disconnected timeout"),
    "consumer-timeout": (_integer(0), "consumer timeout"),
    "dead-letter-exchange": (_text, "dead letter exchange name"),
    "dead-letter-routing-key": (_text, "dead letter routing key"),
    "dead-letter-strategy": (_one_of("at-most-once", "at-least-once"), "dead letter strategy"),
    "delayed-retry-max": (_integer(0), "delayed retry maximum"),
    "delayed-retry-min": (_integer(0), "delayed retry minimum"),
    "delayed-retry-type": (_one_of("disabled", "all", "failed", "returned"), "delayed retry type"),
    "delivery-limit": (_any_integer, "delivery limit"),
    "expires": (_integer(1), "queue expiry"),
    "initial-cluster-size": (_integer(1), "cluster size"),
    "max-age": (_max_age, "max age"),
    "max-in-memory-bytes": (_integer(0), "maximum memory in bytes"),
    "max-in-memory-length": (_integer(0), "maximum memory in messages"),
    "max-length": (_integer(0), "maximum length"),
    "max-length-bytes": (_integer(0), "maximum length in bytes"),
    "message-ttl": (_integer(0), "message TTL"),
    "overflow": (_one_of("drop-head", "reject-publish", "reject-publish-dlx"), "overflow value"),
    "queue-leader-locator": (
        _one_of("client-local", "balanced", "random", "least-leaders", "min-masters"),
        "queue leader locator value",
    ),
    "queue-mode": (_one_of("default", "lazy"), "queue-mode value"),
    "queue-version": (_integer(1, 2), "queue version"),
    "stream-filter-size-bytes": (_integer(16, 255), "filter size. Valid range is 16-255"),
    "stream-max-segment-size-bytes": (_integer(0, 3_000_000_000), "segment size"),
    "target-group-size": (_integer(1), "target quorum queue group size"),
}
"""What each key may be set to, and what RabbitMQ calls it where it complains."""

_WITHOUT_EFFECT: Final = frozenset(
    {
        "federation-upstream",
        "federation-upstream-set",
        "federation-upstream-pattern",
        "ha-mode",
        "ha-params",
        "ha-promote-on-failure",
        "ha-promote-on-shutdown",
        "ha-sync-batch-size",
        "ha-sync-mode",
        "queue-master-locator",
        "routing-key",
        "shards-per-node",
    }
)
"""Keys that say nothing to queues: of federation, of plugins that are not here, of mirrored queues (chapter 9)."""

_OPERATORS: Final = frozenset(
    {
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
        "overflow",
        "queue-version",
        "target-group-size",
    }
)
"""What an operator policy may set (rule 8.4)."""

_MIRRORING = frozenset(key for key in _WITHOUT_EFFECT if key.startswith("ha-"))

UNSUPPORTED: Final[Mapping[QueueType, Collection[str]]] = {
    QueueType.CLASSIC: (),
    QueueType.QUORUM: {
        "initial-cluster-size",
        "max-age",
        "max-priority",
        "queue-master-locator",
        "queue-mode",
        "stream-max-segment-size-bytes",
        *_MIRRORING,
    },
    QueueType.STREAM: {
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-priority",
        "message-ttl",
        "overflow",
        "queue-master-locator",
        "queue-mode",
        "single-active-consumer",
        "target-group-size",
        *_MIRRORING,
    },
}
"""A policy with one of these keys is none for a queue of that type (rule 8.2)."""


def check_definition(definition: Setting, *, is_operators: bool = False, is_imported: bool = False) -> None:
    """Refuse what RabbitMQ refuses.

    Args:
        definition: as JSON has it.
        is_operators: it is an operator policy's.
        is_imported: keys nobody knows are let pass, for they may be those of a plugin elsewhere.

    Raises:
        InvalidDefinitionError: with RabbitMQ's text.
    """
    if not isinstance(definition, dict):
        raise InvalidDefinitionError(f"policy definition should be a JSON object, actually was {erlang(definition)}")
    if not definition:
        raise InvalidDefinitionError("no policy provided")
    known = _OPERATORS if is_operators else _KEYS.keys() | _WITHOUT_EFFECT
    unknown = {key: value for key, value in definition.items() if key not in known}
    if unknown and not is_imported:
        settings = ",".join(f"{{{erlang(key)},{erlang(value)}}}" for key, value in unknown.items())
        raise InvalidDefinitionError(f"[{settings}] are not recognised policy settings")
    for key, value in definition.items():
        check, what = _KEYS.get(key, (_anything, ""))
        if not check(value):
            raise InvalidDefinitionError(f"{erlang(value)} is not a valid {what}")


def numbers_of(value: Setting) -> Setting:
    """Read as numbers what some tools write as text: a whole setting, or those of an object that are numbers."""
    if isinstance(value, dict):
        return {key: each if _is_fit(key, each) else numbers_of(each) for key, each in value.items()}
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _is_fit(key: str, value: Setting) -> bool:
    return _KEYS.get(key, (_anything, ""))[0](value)


def erlang(value: Setting) -> str:
    """Write a value as RabbitMQ's texts do."""
    if isinstance(value, str):
        return f'<<"{value}">>'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(erlang, value))}]"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{erlang(key)} => {erlang(each)}" for key, each in value.items()) + "}"
    return "null" if value is None else str(value)
