"""The API's own description, OpenAPI 3.0, made from the routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from amqp_broker import __version__
from amqp_broker.management.call import Call
from amqp_broker.management.routes import Endpoint, Needs, Routes

Schema = dict[str, Any]

OBJECT: Final[Schema] = {"type": "object"}
TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NUMBER: Final[Schema] = {"type": "integer"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
ANYTHING: Final[Schema] = {}

_POLICY: Final = {"pattern": TEXT, "definition": OBJECT, "priority": NUMBER, "apply-to": TEXT}
_BINDING: Final = {"routing_key": TEXT, "arguments": OBJECT}

_BODIES: Final[dict[str, dict[str, Schema]]] = {
    "PUT users/{user}": {"password": TEXT, "password_hash": TEXT, "hashing_algorithm": TEXT, "tags": TEXT},
    "POST users/bulk-delete": {"users": TEXTS},
    "PUT user-limits/{user}/{limit}": {"value": NUMBER},
    "PUT permissions/{vhost}/{user}": {"configure": TEXT, "write": TEXT, "read": TEXT},
    "PUT topic-permissions/{vhost}/{user}": {"exchange": TEXT, "write": TEXT, "read": TEXT},
    "PUT vhosts/{vhost}": {"description": TEXT, "tags": TEXT, "default_queue_type": TEXT, "tracing": FLAG},
    "PUT vhost-limits/{vhost}/{limit}": {"value": NUMBER},
    "PUT exchanges/{vhost}/{name}": {
        "type": TEXT,
        "durable": FLAG,
        "auto_delete": FLAG,
        "internal": FLAG,
        "arguments": OBJECT,
    },
    "POST exchanges/{vhost}/{name}/publish": {
        "properties": OBJECT,
        "routing_key": TEXT,
        "payload": TEXT,
        "payload_encoding": {"type": "string", "enum": ["string", "base64"]},
    },
    "PUT queues/{vhost}/{name}": {"durable": FLAG, "auto_delete": FLAG, "arguments": OBJECT, "node": TEXT},
    "POST queues/{vhost}/{name}/get": {
        "count": NUMBER,
        "ackmode": TEXT,
        "encoding": {"type": "string", "enum": ["auto", "base64"]},
        "truncate": NUMBER,
    },
    "POST queues/{vhost}/{name}/actions": {"action": TEXT},
    "POST bindings/{vhost}/e/{source}/q/{name}": _BINDING,
    "POST bindings/{vhost}/e/{source}/e/{name}": _BINDING,
    "PUT policies/{vhost}/{name}": _POLICY,
    "PUT operator-policies/{vhost}/{name}": _POLICY,
    "PUT parameters/{component}/{vhost}/{name}": {"value": ANYTHING},
    "PUT global-parameters/{name}": {"value": ANYTHING},
    "PUT cluster-name": {"name": TEXT},
}
"""What is looked at in a body; of others it is whatever was exported."""

_LISTING: Final = {
    "columns": TEXT,
    "sort": TEXT,
    "sort_reverse": FLAG,
    "page": NUMBER,
    "page_size": NUMBER,
    "name": TEXT,
    "use_regex": FLAG,
}

_ANSWERS: Final[dict[str, Schema]] = {
    "Listing": {"oneOf": [{"type": "array", "items": OBJECT}, OBJECT]},
    "Record": OBJECT,
    "list[Record]": {"type": "array", "items": OBJECT},
    "str": TEXT,
    "object": OBJECT,
}
"""By what handlers say they return; a `Reply` has no body but for exports."""

_ERROR: Final[Schema] = {
    "type": "object",
    "properties": {"error": TEXT, "reason": ANYTHING},
    "required": ["error", "reason"],
}


def describing(endpoints: Iterable[Endpoint]) -> Routes:
    """The endpoint that describes these."""
    routes = Routes()
    described = tuple(endpoints)

    @routes.get("openapi.json", Needs.NOBODY)
    def describe(_call: Call) -> object:
        """This description, for programs."""
        return description_of((*described, *routes))

    return routes


def description_of(endpoints: Iterable[Endpoint]) -> Schema:
    """Describe endpoints."""
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(f"/{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.0.3",
        "info": {"title": "trio-amqp-broker", "version": __version__, "description": "RabbitMQ's management API."},
        "servers": [{"url": "/api"}],
        "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
        "paths": paths,
    }


def _operation(endpoint: Endpoint) -> Schema:
    answer = str(endpoint.handler.__annotations__["return"])
    operation: Schema = {
        "operationId": f"{endpoint.method.lower()} {endpoint.path}",
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, answer)],
        "responses": dict(_responses(endpoint, answer)),
        "security": [] if endpoint.needs is Needs.NOBODY else [{"basic": []}],
    }
    if endpoint.needs not in (Needs.NOBODY, Needs.MANAGEMENT):
        operation["description"] = f"Needs the tag {endpoint.needs.value}."
    if endpoint.method in ("PUT", "POST"):
        fields = _BODIES.get(f"{endpoint.method} {endpoint.path}", {})
        schema = {"type": "object", "properties": fields}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterator[Schema]:
    for segment in endpoint.path.split("/"):
        if segment.startswith("{"):
            schema = {"type": "string", "minLength": 1}
            yield {"name": segment[1:-1], "in": "path", "required": True, "schema": schema}


def _query_parameters(endpoint: Endpoint, answer: str) -> Iterator[Schema]:
    names = dict(_LISTING) if answer == "Listing" else {}
    if endpoint.method == "DELETE" and endpoint.path in ("queues/{vhost}/{name}", "exchanges/{vhost}/{name}"):
        names = {"if-unused": FLAG, "if-empty": FLAG}
    for name, schema in names.items():
        yield {"name": name, "in": "query", "schema": schema}


def _responses(endpoint: Endpoint, answer: str) -> Iterator[tuple[str, Schema]]:
    if answer in ("Text", "File"):
        yield "200", {"description": "What was asked for.", "content": {"text/plain": {"schema": TEXT}}}
    elif answer in _ANSWERS:
        content = {"application/json": {"schema": _ANSWERS[answer]}}
        yield "200", {"description": "What was asked for.", "content": content}
    elif endpoint.method == "GET":
        yield "200", {"description": "What was asked for.", "content": {"application/json": {"schema": OBJECT}}}
    else:
        if endpoint.method in ("PUT", "POST"):
            yield "201", {"description": "Made."}
        yield "204", {"description": "Done."}
    for status, why in _errors(endpoint):
        yield status, {"description": why, "content": {"application/json": {"schema": _ERROR}}}


def _errors(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    yield "400", "Something about the request is wrong."
    if endpoint.needs is not Needs.NOBODY:
        yield "401", "Nobody is logged in, or somebody who may not do this."
    yield "404", "There is no such thing."
    if endpoint.path.startswith(("health", "exchanges/{vhost}/{name}/publish")):
        yield "503", "Not at the moment."
    if (endpoint.method, endpoint.path) == ("DELETE", "vhosts/{vhost}"):
        yield "412", "It is protected from deletion."
