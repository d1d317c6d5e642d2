"""Dynamic shovels: what the parameters of component `shovel` say, checked with RabbitMQ's words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import attrs

from amqp_broker.administration.errors import validation_failed
from amqp_broker.administration.values import as_table
from amqp_broker.links.uri import InvalidUriError, Uri
from amqp_broker.policies.settings import erlang
from amqp_broker.registry import Json
from amqp_codec import Properties, Table

COMPONENT: Final = "shovel"
PREFETCH_COUNT: Final = 1000
RECONNECT_DELAY_S: Final = 5.0


class AckMode(StrEnum):
    """When a message may be forgotten at its source."""

    NO_ACK = "no-ack"
    ON_PUBLISH = "on-publish"
    ON_CONFIRM = "on-confirm"


@attrs.frozen
class End:
    """One side of a shovel.

    Attributes:
        uris: of which one is taken at each attempt.
        queue: to consume from or to publish to; empty for an exchange.
        exchange: at the source, what a queue of the shovel's own is bound to; at the destination, what is published
            to; None where it is that of each message.
        key: the same for the routing key.
        queue_arguments: for a queue that has to be declared.
        is_predeclared: nothing is declared; what is not there yet is waited for.
    """

    uris: tuple[Uri, ...]
    queue: str = ""
    exchange: str | None = None
    key: str | None = None
    queue_arguments: Table = attrs.Factory(dict)
    is_predeclared: bool = False

    def uri(self) -> Uri:
        """The one to be tried next."""
        return random.choice(self.uris)


@attrs.frozen
class Shovel:
    """What a shovel does.

    Attributes:
        delete_after: messages after which it ends and its parameter goes; None for never, -1 for as many as there
            are when it begins.
        properties: which of the messages' are replaced.
    """

    source: End
    destination: End
    prefetch_count: int = PREFETCH_COUNT
    ack_mode: AckMode = AckMode.ON_CONFIRM
    reconnect_delay_s: float = RECONNECT_DELAY_S
    delete_after: int | None = None
    consumer_arguments: Table = attrs.Factory(dict)
    adds_headers: bool = False
    adds_timestamp: bool = False
    properties: Mapping[str, str | int] = attrs.Factory(dict)


QUEUE_LENGTH: Final = -1


# Checks


_Check: TypeAlias = Callable[[str, Json], None]


def text(key: str, value: Json) -> None:
    """A string. Raises InvalidValueError."""
    if not isinstance(value, str):
        raise validation_failed(f"{key} should be binary, actually was {erlang(value)}")


def boolean(key: str, value: Json) -> None:
    """True or false. Raises InvalidValueError."""
    if not isinstance(value, bool):
        raise validation_failed(f"{key} should be boolean, actually was {erlang(value)}")


def whole(key: str, value: Json) -> None:
    """A number of 0 or more. Raises InvalidValueError."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise validation_failed(f"{key} should be a number, actually was {erlang(value)}")
    if value < 0:
        raise validation_failed(f"{key} should be greater than or equal to zero, actually was {erlang(value)}")


def _object(key: str, value: Json) -> None:
    if not isinstance(value, dict):
        raise validation_failed(f"{key} should be a map, actually was {erlang(value)}")


def _arguments(key: str, value: Json) -> None:
    _object(key, value)
    try:
        _table(value)
    except ValueError as error:
        raise validation_failed(f"{key}: {error}") from None


def one_of(*words: str) -> _Check:
    """One of these words."""

    def check(key: str, value: Json) -> None:
        if value not in words:
            raise validation_failed(f"{key} should be one of [{','.join(words)}], actually was {erlang(value)}")

    return check


def uris(key: str, value: Json) -> None:
    """Some URIs of brokers. Raises InvalidValueError."""
    uris_of(key, value)


def uris_of(key: str, value: Json) -> tuple[Uri, ...]:
    """Read a URI or a list of them. Raises InvalidValueError."""
    texts = value if isinstance(value, list) else [value]
    found = []
    for each in texts:
        if not isinstance(each, str):
            raise validation_failed(f"{key} should be a URI or a list of them, actually was {erlang(value)}")
        try:
            found.append(Uri.parse(each))
        except InvalidUriError as error:
            raise validation_failed(f"{key}: {error}") from None
    if not found:
        raise validation_failed(f"{key} should have at least one element")
    return tuple(found)


def _delete_after(key: str, value: Json) -> None:
    if value not in ("never", "queue-length"):
        whole(key, value)


_PROPERTIES: Final = {name for name in Properties.__dataclass_fields__ if name not in ("headers", "timestamp")}
_NUMBERS: Final = {"delivery_mode", "priority"}


def _properties(key: str, value: Json) -> None:
    _object(key, value)
    assert isinstance(value, dict)
    for name, property_ in value.items():
        if name not in _PROPERTIES:
            raise validation_failed(f"{key} has unknown property {name}")
        if name in _NUMBERS:
            whole(f"{key}.{name}", property_)
        else:
            text(f"{key}.{name}", property_)


_PROTOCOL: Final = one_of("amqp091", "amqp10", "local")

_KEYS: Final[Mapping[str, _Check]] = {
    "internal": boolean,
    "internal_owner": lambda _key, _value: None,
    "ack-mode": one_of(*AckMode),
    "reconnect-delay": whole,
    "src-protocol": _PROTOCOL,
    "src-uri": uris,
    "src-exchange": text,
    "src-exchange-key": text,
    "src-queue": text,
    "src-queue-args": _arguments,
    "src-consumer-args": _arguments,
    "src-predeclared": boolean,
    "src-prefetch-count": whole,
    "prefetch-count": whole,
    "src-delete-after": _delete_after,
    "delete-after": _delete_after,
    "dest-protocol": _PROTOCOL,
    "dest-uri": uris,
    "dest-exchange": text,
    "dest-exchange-key": text,
    "dest-queue": text,
    "dest-queue-args": _arguments,
    "dest-predeclared": boolean,
    "add-forward-headers": boolean,
    "dest-add-forward-headers": boolean,
    "add-timestamp-header": boolean,
    "dest-add-timestamp-header": boolean,
    "publish-properties": _properties,
    "dest-publish-properties": _properties,
}
"""What a shovel between AMQP 0-9-1 brokers is made of."""

_OF_AMQP_10: Final = frozenset(
    {"src-address", "dest-address", "dest-properties", "dest-application-properties", "dest-message-annotations"}
)


def speaks_amqp_10(value: Json) -> bool:
    """Whether one side of a shovel wants AMQP 1.0, which is not spoken here."""
    return isinstance(value, dict) and "amqp10" in (value.get("src-protocol"), value.get("dest-protocol"))


def check_shovel(name: str, value: Json) -> None:
    """Let a shovel's parameter be set. Raises InvalidValueError."""
    fields = check_fields(name, value, _KEYS, required=("src-uri", "dest-uri"), ignored=_OF_AMQP_10)
    if speaks_amqp_10(value):
        return
    for end, is_needed in (("src", True), ("dest", False)):
        has = [f"{end}-{what}" in fields for what in ("exchange", "queue")]
        if all(has):
            raise validation_failed(f"Cannot specify '{end}-exchange' and '{end}-queue'")
        if is_needed and not any(has):
            raise validation_failed(f"Must specify '{end}-exchange' or '{end}-queue'")


def check_fields(
    name: str,
    value: Json,
    checks: Mapping[str, _Check],
    *,
    required: tuple[str, ...] = (),
    ignored: frozenset[str] = frozenset(),
) -> dict[str, Json]:
    """Look at a parameter field by field. Raises InvalidValueError."""
    if not isinstance(value, dict):
        raise validation_failed(f"{name} should be a map, actually was {erlang(value)}")
    for key in required:
        if key not in value:
            raise validation_failed(f'Key "{key}" not found in {name}')
    unknown = value.keys() - checks.keys() - ignored
    if unknown:
        raise validation_failed(f"Unrecognised terms [{', '.join(sorted(unknown))}] in {name}")
    for key, field in value.items():
        if key in checks:
            checks[key](key, field)
    return value


def shovel_of(value: Json) -> Shovel:
    """Read a shovel's parameter, which was checked when it was set."""
    assert isinstance(value, dict)
    fields = value

    def either(key: str, default: Json) -> Json:
        """Look up a key that has a short form, as RabbitMQ's older versions knew it."""
        prefix = "src-" if key in ("prefetch-count", "delete-after") else "dest-"
        return fields.get(prefix + key, fields.get(key, default))

    delete_after = either("delete-after", "never")
    properties = either("publish-properties", {})
    assert isinstance(properties, dict)
    return Shovel(
        source=_end(fields, "src"),
        destination=_end(fields, "dest"),
        prefetch_count=_count(either("prefetch-count", PREFETCH_COUNT)),
        ack_mode=AckMode(str(fields.get("ack-mode", AckMode.ON_CONFIRM))),
        reconnect_delay_s=float(str(fields.get("reconnect-delay", RECONNECT_DELAY_S))),
        delete_after={"never": None, "queue-length": QUEUE_LENGTH}[delete_after]
        if isinstance(delete_after, str)
        else _count(delete_after),
        consumer_arguments=_table(fields.get("src-consumer-args", {})),
        adds_headers=either("add-forward-headers", False) is True,
        adds_timestamp=either("add-timestamp-header", False) is True,
        properties={key: each for key, each in properties.items() if isinstance(each, str | int)},
    )


def _end(fields: Mapping[str, Json], prefix: str) -> End:
    exchange, key = fields.get(f"{prefix}-exchange"), fields.get(f"{prefix}-exchange-key")
    return End(
        uris=uris_of(f"{prefix}-uri", fields[f"{prefix}-uri"]),
        queue=str(fields.get(f"{prefix}-queue", "")),
        exchange=exchange if isinstance(exchange, str) else None,
        key=key if isinstance(key, str) else None,
        queue_arguments=_table(fields.get(f"{prefix}-queue-args", {})),
        is_predeclared=fields.get(f"{prefix}-predeclared") is True,
    )


def _count(value: Json) -> int:
    assert isinstance(value, int | float)
    return int(value)


def _table(value: Json) -> Table:
    assert isinstance(value, dict)
    return as_table(value)
