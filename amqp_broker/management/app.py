"""The ASGI application of the management port: authentication, dispatch, and the shape of every answer."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.errors import AMQPError
from amqp_broker.management.call import Call, Caller
from amqp_broker.management.errors import ApiError, bad_request, from_amqp, not_found
from amqp_broker.management.listing import Listing, collect, slices
from amqp_broker.management.login import log_in
from amqp_broker.management.names import name_matcher
from amqp_broker.management.node import Node
from amqp_broker.management.replies import Reply
from amqp_broker.management.routes import Endpoint, Found, Needs, Router
from amqp_broker.management.statistics import Statistics

log = logging.getLogger(__name__)

API_PREFIX: Final = "/api/"

MAX_BODY_OCTETS: Final = 20_000_000
"""RabbitMQ's limit; what is longer is a bad request."""

CHUNK_OCTETS: Final = 64 * 1024

_ENCODER: Final = msgspec.json.Encoder()

_JSON_HEADERS: Final = {"content-type": "application/json", "vary": "accept, accept-encoding, origin"}


class ManagementApi:
    """Answers everything below `/api/`."""

    def __init__(
        self,
        broker: Broker,
        node: Node,
        statistics: Statistics,
        endpoints: Iterable[Endpoint],
    ) -> None:
        self._broker = broker
        self._node = node
        self._statistics = statistics
        self._router = Router(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        found: Found | None = None
        try:
            found = self._find(scope)
            response = await self._answer(request, found)
        except ApiError as error:
            response = _error_response(error)
        except AMQPError as error:
            response = _error_response(from_amqp(error))
        except Exception:
            log.exception("management: internal error in %s %s", request.method, request.url.path)
            response = _error_response(ApiError(500, "internal_error", "internal error"))
        if found is not None:
            response.headers["allow"] = found.allow
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> Found:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        try:
            found = self._router.find(raw_path.decode("ascii").removeprefix(API_PREFIX))
        except UnicodeDecodeError:
            raise bad_request("path is not UTF-8") from None
        if found is None:
            raise not_found()
        return found

    async def _answer(self, request: Request, found: Found) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return Response(status_code=200)
        endpoint = found.endpoints.get(method)
        if endpoint is None:
            return Response(status_code=405)
        caller = None
        if endpoint.needs is not Needs.NOBODY:
            caller = await self._log_in(request)
            if caller is None:
                return Response(status_code=401, headers={"www-authenticate": 'Basic realm="RabbitMQ Management"'})
            caller.check(endpoint.needs)
        call = Call(
            broker=self._broker,
            node=self._node,
            statistics=self._statistics,
            caller=caller,
            path=found.names,
            query=request.query_params,
            body=await _body_of(request),
            reason=request.headers.get("x-reason", ""),
        )
        result = endpoint.handler(call)
        if isinstance(result, Listing):
            collected = await collect(result, call.query, _pause, name_matcher)
            return await _json_response(request, collected)
        if isinstance(result, Reply):
            if result.body is None:
                return Response(status_code=result.status, headers=dict(result.headers))
            return await _json_response(request, result.body, result.status, result.headers)
        return await _json_response(request, result)

    async def _log_in(self, request: Request) -> Caller | None:
        """Who the header `authorization` names; None without one. Raises ApiError 401."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, credentials = header.partition(" ")
        try:
            name, separator, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = separator = password = ""
        client = request.client
        peer = Peer() if client is None else Peer(client.host, client.port)
        is_basic = scheme.lower() == "basic" and separator
        caller = await log_in(self._broker, name, password, peer) if is_basic else None
        if caller is None:
            raise ApiError(401, "not_authorized", "Not_Authorized")
        return caller


async def _pause() -> None:
    await trio.lowlevel.checkpoint()


async def _body_of(request: Request) -> Any:
    """The body as JSON, whatever it calls itself; nothing, `null` and `undefined` are `{}`."""
    if request.method in ("GET", "HEAD"):
        return {}
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > MAX_BODY_OCTETS:
            raise bad_request(f"Payload size exceeds the limit of {MAX_BODY_OCTETS} octets")
    text = bytes(octets).strip()
    if text in (b"", b"null", b"undefined"):
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_request("not_json") from None


def _error_response(error: ApiError) -> Response:
    body = _ENCODER.encode({"error": error.error, "reason": error.reason})
    return Response(body, error.status, {**_JSON_HEADERS, "cache-control": "no-cache"})


async def _json_response(
    request: Request, body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON, made in slices when it is long."""
    if isinstance(body, list):
        octets = await _encode_list(body)
    elif isinstance(body, dict) and isinstance(body.get("items"), list):
        items = await _encode_list(body["items"])
        rest = _ENCODER.encode({name: value for name, value in body.items() if name != "items"})
        octets = rest[:-1] + (b"," if len(rest) > 2 else b"") + b'"items":' + items + b"}"
    else:
        octets = _ENCODER.encode(body)
    all_headers = {**_JSON_HEADERS, "cache-control": "no-cache", **(headers or {})}
    if len(octets) <= CHUNK_OCTETS or request.method == "HEAD":
        response = Response(octets, status, all_headers)
        if request.method == "HEAD":
            response.body = b""
        return response
    all_headers["content-length"] = str(len(octets))
    return StreamingResponse(_chunks(octets), status, all_headers)


async def _encode_list(items: Sequence[Any]) -> bytes:
    parts = [_ENCODER.encode(part)[1:-1] async for part in slices(list(items), _pause)]
    return b"[" + b",".join(parts) + b"]"


async def _chunks(octets: bytes) -> AsyncIterator[bytes]:
    view = memoryview(octets)
    for start in range(0, len(octets), CHUNK_OCTETS):
        yield bytes(view[start : start + CHUNK_OCTETS])
