"""Federation: what the parameters of components `federation-upstream` and `federation-upstream-set` say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from amqp_broker.administration.errors import validation_failed
from amqp_broker.administration.shovels import AckMode, boolean, check_fields, one_of, text, uris, uris_of, whole
from amqp_broker.links.uri import Uri
from amqp_broker.policies.settings import erlang
from amqp_broker.registry import Json, Registry

UPSTREAM: Final = "federation-upstream"
UPSTREAM_SET: Final = "federation-upstream-set"
ALL: Final = "all"
"""The set that every vhost has: all its upstreams."""

PREFETCH_COUNT: Final = 1000
RECONNECT_DELAY_S: Final = 5.0


@attrs.frozen
class Upstream:
    """Where messages come from, as one exchange or queue sees it.

    Attributes:
        name: of the parameter.
        uris: of which one is taken at each attempt.
        exchange: its name there; None for that of the exchange here.
        queue: the same for a queue.
        max_hops: how often a message may be handed on.
        expires_ms: how long the upstream keeps what nobody fetches; None for ever.
        message_ttl_ms: the same for each message.
        trusts_user_id: the property user-id is taken over.
        consumer_tag: of a queue's link.
    """

    name: str
    uris: tuple[Uri, ...]
    exchange: str | None = None
    queue: str | None = None
    prefetch_count: int = PREFETCH_COUNT
    reconnect_delay_s: float = RECONNECT_DELAY_S
    max_hops: int = 1
    expires_ms: int | None = None
    message_ttl_ms: int | None = None
    ack_mode: AckMode = AckMode.ON_CONFIRM
    trusts_user_id: bool = False
    consumer_tag: str = ""


_OWN: Final = {
    "exchange": text,
    "queue": text,
    "consumer-tag": text,
    "prefetch-count": whole,
    "reconnect-delay": whole,
    "max-hops": whole,
    "expires": whole,
    "message-ttl": whole,
    "trust-user-id": boolean,
    "ack-mode": one_of(*AckMode),
    "bind-nowait": boolean,
    "channel-use-mode": one_of("single", "multiple"),
    "ha-policy": text,
    "queue-type": one_of("classic", "quorum"),
    "resource-cleanup-mode": one_of("default", "never"),
}


def check_upstream(name: str, value: Json) -> None:
    """Let an upstream be set. Raises InvalidValueError."""
    check_fields(name, value, {"uri": uris, **_OWN}, required=("uri",))


def check_upstream_set(name: str, value: Json) -> None:
    """Let a set of upstreams be set: objects that name one each, with what is different for it here.

    Raises:
        InvalidValueError: it is none.
    """
    if not isinstance(value, list):
        raise validation_failed(f"{name} should be a list, actually was {erlang(value)}")
    for each in value:
        check_fields(name, each, {"upstream": text, **_OWN}, required=("upstream",))


def upstreams_for(registry: Registry, vhost: str, definition: Mapping[str, object]) -> list[Upstream]:
    """The upstreams that a policy's definition chooses, those first that are named alone."""
    known = registry.parameters_of(vhost, UPSTREAM)
    chosen: list[tuple[str, dict[str, Json]]] = []
    if isinstance(name := definition.get("federation-upstream"), str):
        chosen.append((name, {}))
    if isinstance(pattern := definition.get("federation-upstream-pattern"), str):
        chosen += [(each, {}) for each in known if re.search(pattern, each)]
    if isinstance(name := definition.get("federation-upstream-set"), str):
        listed = registry.parameters.get((vhost, UPSTREAM_SET, name))
        if name == ALL and listed is None:
            chosen += [(each, {}) for each in known]
        elif isinstance(listed, list):
            chosen += [(str(each["upstream"]), each) for each in listed if isinstance(each, dict)]
    return [
        _upstream(name, {**value, **special}) for name, special in chosen if isinstance(value := known.get(name), dict)
    ]


def _upstream(name: str, fields: Mapping[str, Json]) -> Upstream:
    """Read an upstream, which was checked when it was set."""
    exchange, queue = fields.get("exchange"), fields.get("queue")
    return Upstream(
        name=name,
        uris=uris_of("uri", fields["uri"]),
        exchange=str(exchange) if exchange is not None else None,
        queue=str(queue) if queue is not None else None,
        prefetch_count=_number(fields, "prefetch-count") or PREFETCH_COUNT,
        reconnect_delay_s=_number(fields, "reconnect-delay") or RECONNECT_DELAY_S,
        max_hops=_number(fields, "max-hops") or 1,
        expires_ms=_number(fields, "expires"),
        message_ttl_ms=_number(fields, "message-ttl"),
        ack_mode=AckMode(str(fields.get("ack-mode", AckMode.ON_CONFIRM))),
        trusts_user_id=fields.get("trust-user-id") is True,
        consumer_tag=str(fields.get("consumer-tag", f"federation-link-{name}")),
    )


def _number(fields: Mapping[str, Json], key: str) -> int | None:
    value = fields.get(key)
    return int(value) if isinstance(value, int | float) else None
