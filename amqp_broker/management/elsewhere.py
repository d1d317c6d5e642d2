"""Requests about what is in a vhost that another node of the cluster has: that node answers them."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from functools import partial
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import Response

from amqp_broker.inspection.node import Node
from amqp_broker.management.errors import ApiError

CONTENTS: Final = {
    "queues",
    "exchanges",
    "bindings",
    "consumers",
    "definitions",
    "topology",
    "traces",
    "shovels",
    "federation-links",
    "aliveness-test",
}
"""What the paths begin with that have a vhost in them and are about what is in there."""

PASSED_ON: Final = "x-amqp-broker-passed-on"
TIMEOUT_S: Final = 30.0
_KEPT: Final = frozenset(("content-type", "etag", "location", "cache-control", "content-disposition", "vary"))
_SENT: Final = frozenset(("authorization", "content-type", "accept", "x-reason", "if-none-match", "cookie"))


def owner_elsewhere(node: Node, request: Request, vhost: str | None) -> tuple[str, int] | None:
    """Host and port of the node that is to answer; None where that is this one.

    Raises:
        ApiError: 503, there is none at present.
    """
    if vhost is None or node.cluster is None or vhost not in node.broker.vhosts or node.broker.is_here(vhost):
        return None
    if request.url.path.partition("/api/")[2].partition("/")[0] not in CONTENTS:
        return None
    owner = node.cluster.owner_of(vhost)
    if owner is None or owner.name == node.name or PASSED_ON in request.headers:
        raise ApiError(503, "service_unavailable", f"vhost '{vhost}' is on no node at present")
    if owner.http is None:
        raise ApiError(503, "service_unavailable", f"vhost '{vhost}' is on node {owner.name}, which serves no HTTP")
    return owner.http


async def answer_of(request: Request, address: tuple[str, int], body: bytes, prefix: str) -> Response:
    """Have another node answer, whose paths have this prefix. Raises ApiError."""
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    target = raw_path.decode("ascii")
    if not target.startswith(prefix):
        target = prefix + target
    if request.scope["query_string"]:
        target += "?" + request.scope["query_string"].decode("ascii")
    headers = {name: value for name, value in request.headers.items() if name in _SENT} | {PASSED_ON: "yes"}
    ask = partial(_ask, address, request.method, target, headers, body)
    try:
        return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
    except (OSError, http.client.HTTPException) as error:
        raise ApiError(503, "service_unavailable", f"the node that has this vhost does not answer: {error}") from None


def _ask(address: tuple[str, int], method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        connection.request(method, target, body or None, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        kept = {name.lower(): value for name, value in answer.getheaders() if name.lower() in _KEPT}
        return Response(content, answer.status, kept)
    finally:
        connection.close()
