"""The x-arguments of a queue: which each type knows, what values they may have, when two are equal.

Source: rules 4.11 to 4.18; the texts of the errors are RabbitMQ's, Erlang terms included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from amqp_broker.errors import AMQPError, entity, precondition_failed
from amqp_broker.queues.stream_arguments import seconds_of
from amqp_broker.routing.equivalence import as_text, check_equivalent_argument
from amqp_codec import ByteArray, Table, Value, field_type_name


class QueueType(StrEnum):
    """The values of `x-queue-type`."""

    CLASSIC = "classic"
    QUORUM = "quorum"
    STREAM = "stream"


class Overflow(StrEnum):
    """The values of `x-overflow` (rules 4.29 to 4.31)."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    REJECT_PUBLISH_DLX = "reject-publish-dlx"


@attrs.frozen(kw_only=True)
class DelayedRetry:
    """How long what was returned waits for its next try (rule 4.45).

    Attributes:
        failed: whether returns wait that count as failures.
        returned: whether the others do.
        least_s: multiplied by the number of failures.
        most_s: the longest wait.
    """

    failed: bool
    returned: bool
    least_s: float
    most_s: float

    def delay_s(self, failures: int, *, failed: bool) -> float:
        """The wait after a return, 0 for none."""
        waits = self.failed if failed else self.returned
        return min(self.least_s * max(1, failures), self.most_s) if waits else 0.0


@attrs.frozen(kw_only=True)
class QueueOptions:
    """What the arguments ask for, in the units of the model."""

    type: QueueType = QueueType.CLASSIC
    expires_s: float | None = None
    message_ttl_s: float | None = None
    max_length: int | None = None
    max_length_octets: int | None = None
    overflow: Overflow = Overflow.DROP_HEAD
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_priority: int | None = None
    single_active_consumer: bool = False
    delivery_limit: int | None = None
    """Quorum only; None is no limit."""
    at_least_once: bool = False
    """Quorum only: dead letters stay until they have arrived (rule 4.43)."""
    delayed_retry: DelayedRetry | None = None
    """Quorum only."""
    consumer_timeout_s: float | None = None
    """Quorum only; 0 is no timeout, None leaves it to the configuration (rule 5.47)."""
    max_age_s: float | None = None
    segment_octets: int | None = None
    filter_octets: int | None = None
    """Stream only, like the two before it; None is the default."""


Check = Callable[[Value], "str | None"]
"""Gives the detail of the error (rule 4.13), None when the value will do."""

LONGEST_TIME_MS: Final = 315_360_000_000
"""Ten years; RabbitMQ takes no longer TTL or expiry (rule 4.13)."""

DEFAULT_DELIVERY_LIMIT: Final = 20
"""Rule 4.46."""


def _is_integer(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_longstr(value: Value) -> bool:
    return isinstance(value, bytes | str) and not isinstance(value, ByteArray)


def _integer(low: int, high: int | None, too_large: str = "value_too_large") -> Check:
    def check(value: Value) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return f'"expected integer, got {field_type_name(value)}"'
        if value < 0:
            return f"{{value_negative,{value}}}"
        if value < low:
            return f"{{value_zero,{value}}}"
        if high is not None and value > high:
            return f"{{{too_large},{value}}}"
        return None

    return check


def _longstr(value: Value) -> str | None:
    return None if _is_longstr(value) else f"{{unacceptable_type,{field_type_name(value)}}}"


def _nonempty_longstr(value: Value) -> str | None:
    return _longstr(value) or (None if value else "empty_value")


def _boolean(value: Value) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{field_type_name(value)}}}"


def _anything(_: Value) -> str | None:
    return None


def _one_of(words: frozenset[str], detail: str) -> Check:
    def check(value: Value) -> str | None:
        if not _is_longstr(value):
            return f"{{unacceptable_type,{field_type_name(value)}}}"
        return None if as_text(value) in words else detail

    return check


def _queue_version(value: Value) -> str | None:
    problem = _integer(0, None)(value)
    if problem is None and isinstance(value, int) and value not in (1, 2):
        return f"\"unsupported queue version '{value:d}'\""
    return problem


def _max_age(value: Value) -> str | None:
    if not _is_longstr(value):
        return f"{{unacceptable_type,{field_type_name(value)}}}"
    return None if re.fullmatch(r"0*[1-9][0-9]*[YMDhms]", as_text(value)) else "invalid_max_age"


_OVERFLOWS = frozenset(str(each) for each in Overflow)
_LOCATORS = frozenset({"client-local", "balanced", "random", "least-leaders", "min-masters"})
_STRATEGIES = frozenset({"at-most-once", "at-least-once"})
_RETRY_TYPES = frozenset({"disabled", "all", "failed", "returned"})
_LARGEST_SEGMENT = 3_000_000_000

_COUNT = _integer(0, None)
_TIME = _integer(0, LONGEST_TIME_MS)

_DEAD_LETTERING: Mapping[str, Check] = {
    "x-dead-letter-exchange": _longstr,
    "x-dead-letter-routing-key": _longstr,
}
_OVERFLOW = _one_of(_OVERFLOWS, "invalid_overflow")
_EXPIRES = _integer(1, LONGEST_TIME_MS)
_LOCATOR: Mapping[str, Check] = {"x-queue-leader-locator": _one_of(_LOCATORS, "invalid_queue_locator_arg")}

KNOWN: Final[Mapping[QueueType, Mapping[str, Check]]] = {
    QueueType.CLASSIC: {
        "x-expires": _EXPIRES,
        "x-message-ttl": _TIME,
        **_DEAD_LETTERING,
        "x-max-length": _COUNT,
        "x-max-length-bytes": _COUNT,
        "x-max-priority": _integer(0, 255, "max_value_exceeded"),
        "x-overflow": _OVERFLOW,
        "x-queue-mode": _anything,
        "x-queue-version": _queue_version,
        "x-single-active-consumer": _boolean,
        "x-queue-type": _anything,
        "x-queue-master-locator": _anything,
        **_LOCATOR,
    },
    QueueType.QUORUM: {
        **_DEAD_LETTERING,
        "x-dead-letter-strategy": _one_of(_STRATEGIES, "invalid_dlx_strategy"),
        "x-expires": _EXPIRES,
        "x-max-length": _COUNT,
        "x-max-length-bytes": _COUNT,
        "x-max-in-memory-length": _COUNT,
        "x-max-in-memory-bytes": _COUNT,
        "x-overflow": _OVERFLOW,
        "x-single-active-consumer": _boolean,
        "x-queue-type": _anything,
        "x-quorum-initial-group-size": _integer(1, None),
        "x-delivery-limit": _anything,
        "x-message-ttl": _TIME,
        **_LOCATOR,
        "x-consumer-timeout": _COUNT,
        "x-consumer-disconnected-timeout": _COUNT,
        "x-delayed-retry-type": _one_of(_RETRY_TYPES, "invalid_delayed_retry_type"),
        "x-delayed-retry-min": _COUNT,
        "x-delayed-retry-max": _COUNT,
        "x-member-placement-tag": _nonempty_longstr,
    },
    QueueType.STREAM: {
        "x-max-length-bytes": _COUNT,
        "x-queue-type": _anything,
        "x-max-age": _max_age,
        "x-stream-max-segment-size-bytes": _COUNT,
        "x-stream-filter-size-bytes": _integer(0, None),
        "x-initial-cluster-size": _integer(1, None),
        **_LOCATOR,
    },
}
"""The arguments each type knows, in the order in which RabbitMQ compares them.

Any other is accepted, stored and ignored (rule 4.15).
"""

_EVERY_KNOWN = frozenset(key for known in KNOWN.values() for key in known)

_STREAM_CONSUMER = ("x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered")
"""The arguments that only consumers of streams have (rules 4.52 and 4.55)."""

_ERLANG_NAME = {
    QueueType.CLASSIC: "rabbit_classic_queue",
    QueueType.QUORUM: "rabbit_quorum_queue",
    QueueType.STREAM: "rabbit_stream_queue",
}


def queue_type_of(arguments: Table, name: str, vhost: str) -> QueueType:
    """Read `x-queue-type`; absent and empty mean classic. Raises AMQPError 406 for any other word."""
    value = arguments.get("x-queue-type")
    if value is None or value == b"":
        return QueueType.CLASSIC
    if not _is_longstr(value):
        raise invalid_argument("x-queue-type", name, vhost, f"{{unacceptable_type,{field_type_name(value)}}}")
    try:
        return QueueType(as_text(value))
    except ValueError:
        raise invalid_argument("x-queue-type", name, vhost, f"\"unsupported queue type '{as_text(value)}'\"") from None


def with_default_type(
    arguments: Table, default: QueueType, *, durable: bool, exclusive: bool, auto_delete: bool
) -> Table:
    """Give a queue that asks for no type the vhost's default one, if its flags allow that (rule 4.16)."""
    if default is QueueType.CLASSIC or "x-queue-type" in arguments or exclusive or auto_delete or not durable:
        return arguments
    return {**arguments, "x-queue-type": default.encode()}


def parse_arguments(arguments: Table, name: str, vhost: str) -> QueueOptions:
    """Check the arguments of a queue that is to be made.

    Raises:
        AMQPError: 406 with the texts of rules 4.12 and 4.13.
    """
    queue_type = queue_type_of(arguments, name, vhost)
    known = KNOWN[queue_type]
    for key, value in arguments.items():
        check = known.get(key)
        if check is None:
            if key in _EVERY_KNOWN:
                raise _not_of_type(key, name, vhost, queue_type)
            continue
        detail = check(value)
        if detail is not None:
            raise invalid_argument(key, name, vhost, detail)
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        raise invalid_argument("x-dead-letter-routing-key", name, vhost, "routing_key_but_no_dlx_defined")
    _check_stream_sizes(arguments)
    return options_of(queue_type, arguments)


def options_of(queue_type: QueueType, arguments: Table) -> QueueOptions:
    """Read arguments that have been checked, by `parse_arguments` or as the settings of a policy."""

    def integer(key: str) -> int | None:
        value = arguments.get(key)
        return int(value) if isinstance(value, int) else None

    def seconds(key: str) -> float | None:
        value = integer(key)
        return None if value is None else value / 1000

    def text(key: str) -> str | None:
        return as_text(arguments[key]) if key in arguments else None

    overflow = Overflow(text("x-overflow") or Overflow.DROP_HEAD)
    if queue_type is QueueType.QUORUM and overflow is Overflow.REJECT_PUBLISH_DLX:
        overflow = Overflow.DROP_HEAD
    return QueueOptions(
        type=queue_type,
        expires_s=seconds("x-expires"),
        message_ttl_s=seconds("x-message-ttl"),
        max_length=integer("x-max-length"),
        max_length_octets=integer("x-max-length-bytes"),
        overflow=overflow,
        dead_letter_exchange=text("x-dead-letter-exchange"),
        dead_letter_routing_key=text("x-dead-letter-routing-key"),
        max_priority=integer("x-max-priority"),
        single_active_consumer=arguments.get("x-single-active-consumer") is True,
        at_least_once=text("x-dead-letter-strategy") == "at-least-once" and overflow is Overflow.REJECT_PUBLISH,
        delayed_retry=_delayed_retry(text("x-delayed-retry-type"), seconds),
        consumer_timeout_s=seconds("x-consumer-timeout"),
        delivery_limit=_delivery_limit(arguments) if queue_type is QueueType.QUORUM else None,
        max_age_s=None if (age := text("x-max-age")) is None else seconds_of(age),
        segment_octets=integer("x-stream-max-segment-size-bytes") or None,
        filter_octets=integer("x-stream-filter-size-bytes"),
    )


def _delayed_retry(kind: str | None, seconds: Callable[[str], float | None]) -> DelayedRetry | None:
    least_s, most_s = seconds("x-delayed-retry-min"), seconds("x-delayed-retry-max")
    if kind in (None, "disabled") or not least_s:
        return None
    return DelayedRetry(
        failed=kind in ("all", "failed"),
        returned=kind in ("all", "returned"),
        least_s=least_s,
        most_s=LONGEST_TIME_MS / 1000 if most_s is None else most_s,
    )


def _delivery_limit(arguments: Table) -> int | None:
    """Not validated: what is no integer acts as the default, -1 is none (rule 4.14)."""
    value = arguments.get("x-delivery-limit")
    if not isinstance(value, int) or isinstance(value, bool):
        return DEFAULT_DELIVERY_LIMIT
    return None if value < 0 else int(value)


def _check_stream_sizes(arguments: Table) -> None:
    segment = arguments.get("x-stream-max-segment-size-bytes")
    if isinstance(segment, int) and segment > _LARGEST_SEGMENT:
        raise precondition_failed("Exceeded max value for x-stream-max-segment-size-bytes")
    size = arguments.get("x-stream-filter-size-bytes")
    if isinstance(size, int) and not 16 <= size <= 255:
        raise precondition_failed("Invalid value for x-stream-filter-size-bytes")


def consumer_priority(arguments: Table, queue_type: QueueType, name: str, vhost: str) -> int:
    """Check the arguments of a consumer; gives its priority, 0 when it asks for none (rule 5.23).

    Raises:
        AMQPError: 406.
    """
    priority = arguments.get("x-priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise invalid_argument("x-priority", name, vhost, f'"expected integer, got {field_type_name(priority)}"')
    if queue_type is not QueueType.STREAM:
        for key in _STREAM_CONSUMER:
            if key in arguments:
                raise _not_of_type(key, name, vhost, queue_type)
    return int(priority)


def milliseconds_of(arguments: Table, key: str, name: str, vhost: str) -> int | None:
    """Read a time among the arguments of a consumer. Raises AMQPError 406 when it is none."""
    value = arguments.get(key)
    if value is None:
        return None
    detail = _COUNT(value)
    if detail is not None:
        raise invalid_argument(key, name, vhost, detail)
    assert isinstance(value, int)
    return int(value)


def check_flags(
    queue_type: QueueType, *, durable: bool, exclusive: bool, auto_delete: bool, name: str, vhost: str
) -> None:
    """Quorum queues and streams are durable, shared and stay (rule 4.17)."""
    if queue_type is QueueType.CLASSIC:
        return
    for is_wrong, wrong in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if is_wrong:
            raise precondition_failed(f"invalid property '{wrong}' for {entity('queue', name, vhost)}")


def check_equivalent_arguments(current: Table, received: Table, queue_type: QueueType, where: str) -> None:
    """Compare the arguments this type knows with those of an earlier declare (rule 4.11).

    Raises:
        AMQPError: 406 with the texts of rules 3.8 and 3.9.
    """
    for key in KNOWN[queue_type]:
        check_equivalent_argument(key, _with_default(current, key), _with_default(received, key), where)


def _with_default(arguments: Table, key: str) -> Value:
    value = arguments.get(key)
    if key == "x-queue-type" and (value is None or value == b""):
        return b"classic"
    return value.encode() if isinstance(value, str) else value


def invalid_argument(key: str, name: str, vhost: str, detail: str) -> AMQPError:
    """Say what is wrong with the value of an argument (rule 4.12)."""
    return precondition_failed(f"invalid arg '{key}' for {entity('queue', name, vhost)}: {detail}")


def _not_of_type(key: str, name: str, vhost: str, queue_type: QueueType) -> AMQPError:
    return precondition_failed(
        f"invalid arg '{key}' for {entity('queue', name, vhost)} of queue type {_ERLANG_NAME[queue_type]}"
    )
