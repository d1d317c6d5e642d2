"""The calls that are made here and on a RabbitMQ, in this order."""

from __future__ import annotations

from typing import Any, Final

import attrs


@attrs.frozen
class Asked:
    """One call; `path` is below `/api/`."""

    method: str
    path: str
    body: Any = None
    user: str = "guest"

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + ("" if self.user == "guest" else f" as {self.user}")


USERS: Final = {"guest": "guest", "mon": "pw", "pol": "pw", "man": "pw", "none": "pw", "nobody": "pw"}


def _rights(configure: str) -> dict[str, str]:
    return {"configure": configure, "write": ".*", "read": ".*"}


def _message(payload: str, **other: object) -> dict[str, object]:
    return {"properties": {}, "routing_key": "b", "payload": payload, "payload_encoding": "string"} | other


def _get(count: object, ackmode: str = "ack_requeue_true", **other: object) -> dict[str, object]:
    return {"count": count, "ackmode": ackmode, "encoding": "auto"} | other


def _words(text: str) -> list[str]:
    return text.split()


_LENGTH: Final = {"max-length": 50}

DECLARED: Final = (
    Asked("PUT", "vhosts/v1", {"description": "one", "tags": "a,b"}),
    Asked("PUT", "vhosts/v1"),
    Asked("PUT", "users/mon", {"password": "pw", "tags": "monitoring"}),
    Asked("PUT", "users/pol", {"password": "pw", "tags": "policymaker"}),
    Asked("PUT", "users/man", {"password": "pw", "tags": "management"}),
    Asked("PUT", "users/none", {"password": "pw", "tags": ""}),
    Asked("PUT", "users/man", {"password": "pw", "tags": "management"}),
    Asked("PUT", "users/bad", {"password": "pw"}),
    Asked("PUT", "permissions/v1/guest", _rights(".*")),
    Asked("PUT", "permissions/v1/pol", _rights(".*")),
    Asked("PUT", "permissions/v1/man", _rights(".*")),
    Asked("PUT", "permissions/v1/nobody", _rights(".*")),
    Asked("PUT", "permissions/v1/man", {"configure": ".*"}),
    Asked("PUT", "permissions/v1/man", _rights("(")),
    Asked("PUT", "topic-permissions/v1/man", {"exchange": "amq.topic", "write": "^a", "read": ".*"}),
    Asked(
        "PUT", "exchanges/v1/x", {"type": "topic", "durable": True, "arguments": {"alternate-exchange": "amq.fanout"}}
    ),
    Asked("PUT", "exchanges/v1/x", {"type": "fanout", "durable": True}),
    Asked("PUT", "exchanges/v1/y", {"type": "headers", "internal": True, "auto_delete": False}),
    Asked("PUT", "exchanges/v1/z", {"type": "nothing"}),
    Asked("PUT", "exchanges/v1/amq.mine", {"type": "direct"}),
    Asked("PUT", "queues/v1/q", {"durable": True, "arguments": {"x-max-length": 100}}),
    Asked("PUT", "queues/v1/q", {"durable": True}),
    Asked("PUT", "queues/v1/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}}),
    Asked("PUT", "queues/v1/stream", {"durable": True, "arguments": {"x-queue-type": "stream"}}),
    Asked("PUT", "queues/v1/bad", {"durable": True, "arguments": {"x-message-ttl": -1}}),
    Asked("PUT", "queues/nowhere/q", {"durable": True}),
    Asked("PUT", "queues/v1/amq.mine", {"durable": True}),
    Asked("POST", "bindings/v1/e/x/q/q", {"routing_key": "a.#", "arguments": {}}),
    Asked("POST", "bindings/v1/e/x/e/y", {"routing_key": "", "arguments": {"n": 1}}),
    Asked("POST", "bindings/v1/e/x/q/nothing", {"routing_key": "a.#"}),
    Asked("PUT", "policies/v1/p", {"pattern": "^q", "definition": _LENGTH, "priority": 3, "apply-to": "queues"}),
    Asked("PUT", "policies/v1/p2", {"pattern": "(", "definition": _LENGTH}),
    Asked("PUT", "policies/v1/p2", {"pattern": "a", "definition": {"max-length": "x"}}),
    Asked("PUT", "policies/v1/p2", {"pattern": "a"}),
    Asked("PUT", "operator-policies/v1/o", {"pattern": "^nope", "definition": _LENGTH}),
    Asked("PUT", "operator-policies/v1/o", {"pattern": "^nope", "definition": _LENGTH}, "pol"),
    Asked("PUT", "vhost-limits/v1/max-queues", {"value": 20}),
    Asked("PUT", "vhost-limits/v1/nothing", {"value": 20}),
    Asked("PUT", "user-limits/man/max-connections", {"value": 20}),
    Asked("PUT", "global-parameters/g", {"value": {"a": 1}}),
    Asked("PUT", "cluster-name", {"name": "same"}),
    Asked("PUT", "parameters/nothing/v1/p", {"value": 1}),
)
"""What there is to be, before any client comes."""

_READ: Final = """
    overview cluster-name nodes extensions whoami vhosts vhosts/v1 vhosts/v1/permissions vhosts/v1/topic-permissions
    vhosts/v1/connections vhosts/v1/channels users users/man users/without-permissions users/man/permissions
    users/man/topic-permissions permissions permissions/v1/man topic-permissions topic-permissions/v1/man connections
    channels consumers consumers/v1 exchanges exchanges/v1 exchanges/v1/x exchanges/v1/amq.default
    exchanges/v1/x/bindings/source exchanges/v1/y/bindings/destination queues queues/v1 queues/v1/q queues/v1/quorum
    queues/v1/stream queues/v1/q/bindings bindings bindings/v1 bindings/v1/e/x/q/q bindings/v1/e/x/e/y
    bindings/v1/e/x/q/q/a.%23 policies policies/v1 policies/v1/p operator-policies operator-policies/v1/o parameters
    parameters/nothing global-parameters global-parameters/g vhost-limits vhost-limits/v1 user-limits user-limits/man
    definitions definitions/v1 feature-flags health/checks/alarms health/checks/local-alarms health/checks/virtual-hosts
    health/checks/port-listener/1 health/checks/protocol-listener/amqp health/checks/protocol-listener/mqtt
    health/checks/node-is-quorum-critical health/checks/certificate-expiration/1/weeks healthchecks/node
    auth auth/hash_password/x nothing queues/v1/nope queues/nope exchanges/v1/nope users/nope
    vhosts/nope permissions/v1/nope connections/nope channels/nope policies/v1/nope
    queues/v1?page=1&page_size=2 queues/v1?page=9 queues?page=x queues/v1?page=1&name=Q&use_regex=true
    queues?page=1&name=(&use_regex=true queues/v1?columns=name,message_stats.publish
    queues/v1/?sort=name&sort_reverse=true queues/v1?lengths_age=60&lengths_incr=5
    exchanges?page=1 connections?page=1 channels?page=1
"""
_READ_BY_OTHERS: Final = """
    overview whoami nodes vhosts vhosts/v1 users connections channels consumers queues queues/v1 queues/v1/q queues/%2F
    exchanges/%2F/amq.direct policies policies/v1 policies/v1/p parameters definitions permissions vhost-limits
    user-limits/man global-parameters bindings/%2F operator-policies
"""
READ: Final = (
    *(Asked("GET", path) for path in _words(_READ)),
    *(Asked("GET", path, user=user) for user in USERS if user != "guest" for path in _words(_READ_BY_OTHERS)),
)
"""What is asked while clients are at work."""

USED: Final = (
    Asked("POST", "exchanges/v1/x/publish", _message("ü", properties={"headers": {"n": 1}}, routing_key="a.b")),
    Asked("POST", "exchanges/v1/x/publish", _message("AAE=", payload_encoding="base64")),
    Asked("POST", "exchanges/v1/x/publish", _message("!", payload_encoding="base64")),
    Asked("POST", "exchanges/v1/nope/publish", _message("")),
    Asked("POST", "exchanges/v1/x/publish", {"routing_key": "b", "payload": "", "payload_encoding": "string"}),
    Asked("POST", "exchanges/v1/x/publish", _message("", properties={"delivery_mode": "x"})),
    Asked("POST", "queues/v1/q/get", _get(2)),
    Asked("POST", "queues/v1/q/get", _get(1, "ack_requeue_false", encoding="base64", truncate=1)),
    Asked("POST", "queues/v1/q/get", _get(1, "wrong")),
    Asked("POST", "queues/v1/q/get", _get("x")),
    Asked("POST", "queues/v1/q/get", {"count": 1}),
    Asked("POST", "queues/v1/nope/get", _get(1)),
    Asked("POST", "queues/v1/q/actions", {"action": "sync"}),
    Asked("POST", "queues/v1/q/actions", {"action": "jump"}),
    Asked("POST", "definitions", {"queues": [{"name": "d", "vhost": "v1", "durable": True, "auto_delete": False}]}),
    Asked("POST", "definitions", {"queues": [{"name": "d"}]}),
    Asked("POST", "users/bulk-delete", {"users": ["none", "nobody"]}),
    Asked("DELETE", "queues/v1/q/contents"),
    Asked("DELETE", "queues/v1/nope/contents"),
    Asked("DELETE", "queues/v1/used?if-unused=true"),
    Asked("DELETE", "queues/v1/filled?if-empty=true"),
    Asked("DELETE", "bindings/v1/e/x/q/q/nope"),
    Asked("DELETE", "bindings/v1/e/x/q/q/a.%23"),
    Asked("DELETE", "exchanges/v1/x?if-unused=true"),
    Asked("DELETE", "exchanges/v1/amq.direct"),
    Asked("DELETE", "exchanges/v1/amq.default"),
    Asked("DELETE", "exchanges/v1/y"),
    Asked("DELETE", "exchanges/v1/y"),
    Asked("DELETE", "queues/v1/q"),
    Asked("DELETE", "queues/v1/q"),
    Asked("DELETE", "policies/v1/p"),
    Asked("DELETE", "policies/v1/p"),
    Asked("DELETE", "operator-policies/v1/o"),
    Asked("DELETE", "vhost-limits/v1/max-queues"),
    Asked("DELETE", "user-limits/man/max-connections"),
    Asked("DELETE", "global-parameters/g"),
    Asked("DELETE", "parameters/nothing/v1/p"),
    Asked("DELETE", "topic-permissions/v1/man"),
    Asked("DELETE", "permissions/v1/man"),
    Asked("DELETE", "permissions/v1/man"),
    Asked("DELETE", "users/man"),
    Asked("DELETE", "users/man"),
    Asked("DELETE", "connections/nope"),
    Asked("POST", "overview"),
    Asked("PUT", "users"),
)
"""What is done while clients are at work."""

ENDED: Final = (Asked("DELETE", "vhosts/v1"), Asked("DELETE", "vhosts/v1"))
"""What is done when they have gone."""
