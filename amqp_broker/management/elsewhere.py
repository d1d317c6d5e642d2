"""Requests that another node of the cluster is to answer: about what is in a vhost that it has, or about itself."""

from __future__ import annotations

import http.client
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import attrs
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
MAX_ANSWER_OCTETS: Final = 64 << 20
_KEPT: Final = frozenset(("content-type", "etag", "location", "cache-control", "content-disposition", "vary"))
_SENT: Final = frozenset(
    ("authorization", "content-type", "accept", "x-reason", "x-vhost", "if-none-match", "cookie"),
)


@attrs.frozen
class Question:
    """A request to another node.

    Attributes:
        target: path and query.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@attrs.frozen
class Answer:
    """What came to it; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Ask = Callable[[tuple[str, int], Question, float], Awaitable[Answer]]
"""Asks host and port, within so many seconds. Raises OSError."""


async def ask_over_http(address: tuple[str, int], question: Question, timeout_s: float) -> Answer:
    """See `Ask`."""
    asking = partial(_ask, address, question, timeout_s)
    with trio.move_on_after(timeout_s):
        return await trio.to_thread.run_sync(asking, abandon_on_cancel=True)
    raise TimeoutError(f"no answer within {timeout_s:g} s")


def _ask(address: tuple[str, int], question: Question, timeout_s: float) -> Answer:
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        connection.request(question.method, question.target, question.body or None, dict(question.headers))
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER_OCTETS + 1)
        if len(content) > MAX_ANSWER_OCTETS:
            raise OSError(f"the answer has more than {MAX_ANSWER_OCTETS} octets")
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
    except http.client.HTTPException as error:
        raise OSError(f"not understood: {error!r}") from None
    finally:
        connection.close()


def sent_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What another node is told of a request: who asks, not by way of whom, so that it answers itself."""
    return {name: value for name, value in headers.items() if name in _SENT} | {PASSED_ON: "yes"}


def node_elsewhere(node: Node, request: Request, names: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port of the node that is to answer; None where that is this one.

    Raises:
        ApiError: 503, there is none at present.
    """
    cluster = node.cluster
    if cluster is None:
        return None
    subject = request.url.path.partition("/api/")[2].partition("/")[0]
    is_asked = request.method in ("GET", "HEAD") and PASSED_ON not in request.headers
    if is_asked and subject == "nodes" and names.get("node", node.name) != node.name:
        named = next((each for each in cluster.members() if each.name == names["node"]), None)
        if named is None:
            return None
        return _address(named.http, f"node {named.name}")
    vhost = names.get("vhost")
    if vhost is None or vhost not in node.broker.vhosts or node.broker.is_here(vhost) or subject not in CONTENTS:
        return None
    owner = cluster.owner_of(vhost)
    if owner is None or owner.name == node.name or PASSED_ON in request.headers:
        raise ApiError(503, "service_unavailable", f"vhost '{vhost}' is on no node at present")
    return _address(owner.http, f"vhost '{vhost}' is on node {owner.name}, which")


def _address(http: tuple[str, int] | None, what: str) -> tuple[str, int]:
    if http is None:
        raise ApiError(503, "service_unavailable", f"{what} serves no HTTP")
    return http


async def answer_of(ask: Ask, request: Request, address: tuple[str, int], body: bytes, prefix: str) -> Response:
    """Have another node answer, whose paths have this prefix. Raises ApiError."""
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    target = raw_path.decode("ascii")
    if not target.startswith(prefix):
        target = prefix + target
    if request.scope["query_string"]:
        target += "?" + request.scope["query_string"].decode("ascii")
    question = Question(request.method, target, sent_headers(request.headers), body)
    try:
        answer = await ask(address, question, TIMEOUT_S)
    except OSError as error:
        raise ApiError(503, "service_unavailable", f"the node that has this does not answer: {error}") from None
    kept = {name: value for name, value in answer.headers.items() if name in _KEPT}
    return Response(answer.content, answer.status, kept)
