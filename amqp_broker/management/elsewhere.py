"""Requests that another node of the cluster is to answer: about what is in a vhost that it has, or about itself.

They go over the port that nodes have for one another, with the name of the user, who has logged in at this one. Only
where users are known by a backend that somebody else runs, what they have shown to log in goes along.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.inspection.node import Node
from amqp_broker.management.call import Caller
from amqp_broker.management.errors import ApiError
from amqp_broker.management.server import SUBJECT
from amqp_broker.placement import NOBODY, Inquiry

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

ASKED: Final = "amqp_broker.asked"
"""In the scope of a request that another node has passed on, with the inquiry; nobody else can put anything there."""

TIMEOUT_S: Final = 30.0
MAX_ANSWER_OCTETS: Final = 64 << 20
_KEPT: Final = frozenset(("content-type", "etag", "location", "cache-control", "content-disposition", "vary"))
_SENT: Final = frozenset(("authorization", "content-type", "accept", "x-reason", "x-vhost", "if-none-match"))


def _nobody(_octets: int) -> None:
    """Nobody counts."""


@attrs.frozen
class Question:
    """A request to another node.

    Attributes:
        target: path and query.
        peer: who asks.
        user: the name of who asks, who has logged in; None where the headers say it.
        hold: told of octets of the answer as they come. Raises ApiError 503.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    peer: Peer = NOBODY
    user: str | None = None
    hold: Callable[[int], None] = attrs.field(default=_nobody, repr=False)


@attrs.frozen
class Answer:
    """What came to it; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Ask = Callable[[str, Question, float], Awaitable[Answer]]
"""Asks a node, by its name, within so many seconds. Raises OSError."""

Api = Callable[[Scope, Receive, Send], Awaitable[None]]


async def ask_node(asking: Node, node: str, question: Question, timeout_s: float) -> Answer:
    """See `Ask`."""
    assert asking.cluster is not None
    fields = {"method": question.method, "target": question.target, "headers": dict(question.headers)}
    try:
        with trio.fail_after(timeout_s):
            async with await asking.cluster.visit(node, SUBJECT, question.peer, question.user) as stream:
                await _send(stream, fields, question.body)
                said, content = await _receive(stream, question.hold)
                return Answer(said["status"], said["headers"], content)
    except trio.TooSlowError:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise OSError(str(error)) from None


async def answer_node(api: Api, inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
    """Have an API answer another node. Raises trio.TooSlowError: that doesn't say what it wants, or doesn't listen."""
    with trio.fail_after(TIMEOUT_S):
        fields, body = await _receive(stream)
    question = Question(fields["method"], fields["target"], fields["headers"], body)
    answer = await answer_to(api, inquiry, question)
    with trio.fail_after(TIMEOUT_S):
        await _send(stream, {"status": answer.status, "headers": dict(answer.headers)}, answer.content)


async def answer_to(api: Api, inquiry: Inquiry, question: Question) -> Answer:
    """What an API answers to whom an inquiry is from."""
    path, _, query = question.target.partition("?")
    peer = inquiry.peer
    scope: Scope = {
        "type": "http",
        "method": question.method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in question.headers.items()],
        "client": (peer.address, peer.port) if peer.address else None,
        "server": None,
        "scheme": "http",
        ASKED: inquiry,
    }
    said: list[dict[str, Any]] = []
    bodies = iter([{"type": "http.request", "body": question.body, "more_body": False}])

    async def receive() -> Any:
        body = next(bodies, None)
        if body is None:
            await trio.sleep_forever()  # nobody hangs up
        return body

    async def send(message: Any) -> None:
        said.append(message)

    await api(scope, receive, send)
    start, *parts = said
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))


async def _send(stream: trio.abc.HalfCloseableStream, fields: Mapping[str, Any], content: bytes) -> None:
    await stream.send_all(json.dumps(fields).encode() + b"\n")
    await stream.send_all(content)
    await stream.send_eof()


async def _receive(
    stream: trio.abc.HalfCloseableStream, hold: Callable[[int], None] = _nobody
) -> tuple[dict[str, Any], bytes]:
    """Wait for all that the other side says. Raises OSError: it is too much."""
    octets = bytearray()
    async for data in stream:
        hold(len(data))
        octets += data
        if len(octets) > MAX_ANSWER_OCTETS:
            raise OSError(f"it has more than {MAX_ANSWER_OCTETS} octets")
    line, _, content = bytes(octets).partition(b"\n")
    return json.loads(line), content


def inquiry_of(scope: Scope) -> Inquiry | None:
    """By which another node has passed a request on; None of one that comes from a client."""
    found: Inquiry | None = scope.get(ASKED)
    return found


def vouched(config: Config, caller: Caller) -> str | None:
    """Who calls, if it is enough to tell other nodes that: where the broker itself knows its users, as all nodes do."""
    return caller.name if all(entry.authn == "internal" for entry in config.auth_backends) else None


def sent_headers(headers: Mapping[str, str], user: str | None) -> dict[str, str]:
    """What another node is told of a request; of who asks, only what it has to find out itself."""
    sent = {name: value for name, value in headers.items() if name in _SENT}
    if user is not None:
        sent.pop("authorization", None)
    return sent


def node_elsewhere(node: Node, request: Request, names: Mapping[str, str]) -> str | None:
    """The name of the node that is to answer; None where that is this one.

    Raises:
        ApiError: 503, there is none at present.
    """
    cluster = node.cluster
    if cluster is None:
        return None
    is_passed_on = inquiry_of(request.scope) is not None
    subject = request.url.path.partition("/api/")[2].partition("/")[0]
    if request.method in ("GET", "HEAD") and not is_passed_on and subject == "nodes":
        named = names.get("node", node.name)
        return named if named != node.name and any(each.name == named for each in cluster.members()) else None
    vhost = names.get("vhost")
    if vhost is None or vhost not in node.broker.vhosts or node.broker.is_here(vhost) or subject not in CONTENTS:
        return None
    owner = cluster.owner_of(vhost)
    if owner is None or owner.name == node.name or is_passed_on:
        raise ApiError(503, "service_unavailable", f"vhost '{vhost}' is on no node at present")
    return owner.name


async def answer_of(
    ask: Ask,
    request: Request,
    node: str,
    caller: Caller,
    body: bytes,
    user: str | None,
    hold: Callable[[int], None],
) -> Response:
    """Have another node answer; `hold` is that of the question. Raises ApiError."""
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    target = raw_path.decode("ascii")
    if request.scope["query_string"]:
        target += "?" + request.scope["query_string"].decode("ascii")
    headers = sent_headers(request.headers, user)
    try:
        question = Question(request.method, target, headers, body, caller.peer, user, hold)
        answer = await ask(node, question, TIMEOUT_S)
    except OSError as error:
        raise ApiError(503, "service_unavailable", f"node {node}, which has this, does not answer: {error}") from None
    kept = {name: value for name, value in answer.headers.items() if name in _KEPT}
    return Response(answer.content, answer.status, kept)
