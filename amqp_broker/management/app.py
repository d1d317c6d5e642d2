"""The ASGI application of the management port: authentication, dispatch, and the shape of every answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, TypeVar

import attrs
import trio
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from amqp_broker.administration import AdministrationError
from amqp_broker.auth.backend import Undecided
from amqp_broker.auth.users import Peer
from amqp_broker.errors import AMQPError
from amqp_broker.inspection.node import Node
from amqp_broker.management.attempts import Attempts
from amqp_broker.management.bodies import read_body, read_form
from amqp_broker.management.call import Call, Caller
from amqp_broker.management.cors import cors_headers
from amqp_broker.management.elsewhere import answer_of, owner_elsewhere
from amqp_broker.management.errors import ApiError, bad_request, from_administration, from_amqp, not_found
from amqp_broker.management.figures import figures_of
from amqp_broker.management.listing import Listing, only
from amqp_broker.management.live import Live, Streams
from amqp_broker.management.login import Login, log_in, login_in_form, login_in_header
from amqp_broker.management.replies import File, Reply, Text
from amqp_broker.management.routes import Endpoint, Found, Needs, Router
from amqp_broker.management.statistics import Statistics
from amqp_broker.management.writing import (
    HEADERS,
    FileResponse,
    empty_response,
    encode,
    encode_listing,
    error_response,
    json_response,
    parts_response,
)
from amqp_broker.net.turns import in_turns, until_stored

log = logging.getLogger(__name__)

API_PREFIX: Final = "/api/"

NOWHERE: Final = "HEAD, GET, OPTIONS"
"""What a path that leads to nothing allows."""

T = TypeVar("T")


class ManagementApi:
    """Answers everything below `/api/`."""

    def __init__(
        self,
        node: Node,
        statistics: Statistics,
        endpoints: Iterable[Endpoint],
    ) -> None:
        self._broker = node.broker
        self._node = node
        self._statistics = statistics
        self._attempts = Attempts()
        self._router = Router(endpoints)
        self._streams = Streams(node.broker.config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        found: Found | None = None
        try:
            found = self._find(scope)
            response = await self._answer(request, found)
        except ApiError as error:
            response = error_response(error)
        except AMQPError as error:
            response = error_response(from_amqp(error))
        except AdministrationError as error:
            response = error_response(from_administration(error))
        except ClientDisconnect:
            return
        except Exception:
            log.exception("management: internal error in %s %r", request.method, request.url.path)
            response = error_response(ApiError(500, "internal_error", "internal error"))
        allow = NOWHERE if found is None else found.allow
        response.headers.update({"allow": allow, **cors_headers(self._broker.config, request.headers, allow)})
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
            return empty_response(200)
        endpoint = found.endpoints.get(method)
        if endpoint is None:
            return empty_response(405)
        caller = None
        body = await self._body_of(request, endpoint) if endpoint.takes_form else None
        elsewhere = owner_elsewhere(self._node, request, found.names.get("vhost"))
        if elsewhere is not None:
            prefix = self._broker.config.management_path_prefix
            return await answer_of(request, elsewhere, await self._octets_of(request), prefix)
        if endpoint.needs is not Needs.NOBODY:
            header = request.headers.get("authorization")
            if body is None and header is None:
                return empty_response(401, {"www-authenticate": 'Basic realm="RabbitMQ Management"'})
            caller = await self._log_in(request, login_in_header(header or "") if body is None else login_in_form(body))
            caller.check(endpoint.needs)
        call = Call(
            node=self._node,
            statistics=figures_of(self._statistics, request.query_params),
            attempts=self._attempts,
            caller=caller,
            path=found.names,
            query=request.query_params,
            body=await self._body_of(request, endpoint) if body is None else body,
            reason=request.headers.get("x-reason", ""),
            only_vhost=request.headers.get("x-vhost", ""),
        )
        stored_before = self._broker.stored_count
        result = await _decided(partial(endpoint.handler, call))
        if isinstance(result, Generator):
            result = await in_turns(result)
        if method != "GET":
            await until_stored(self._broker, stored_before)
        if isinstance(result, Live):
            return self._streams.answer(result, call.user.name, partial(self._ask, call))
        return await _response(request, call, result)

    async def _octets_of(self, request: Request) -> bytes:
        """The body as it came. Raises ApiError where there is too much of it."""
        received = bytearray()
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                received += chunk
                if len(received) > self._broker.config.management_max_body_octets:
                    raise bad_request("the body is too large")
        return bytes(received)

    async def _body_of(self, request: Request, endpoint: Endpoint) -> Any:
        if endpoint.method == "GET":
            return {}
        largest = self._broker.config.management_max_body_octets
        limit = min(largest, endpoint.max_body_octets or largest)
        async with aclosing(request.stream()) as chunks:
            read = (
                read_form
                if endpoint.takes_form
                else partial(read_body, content_type=request.headers.get("content-type", ""))
            )
            return await read(chunks, max_octets=limit)

    async def _ask(self, asker: Call, view: str) -> bytes:
        """What a GET of the path `view` answers to whoever watches it. Raises ApiError."""
        path, _, query_string = view.partition("?")
        found = self._router.find(path)
        endpoint = None if found is None else found.endpoints.get("GET")
        if found is None or endpoint is None:
            raise not_found()
        asker.user.check(endpoint.needs)
        query = QueryParams(query_string)
        statistics = figures_of(self._statistics, query)
        call = attrs.evolve(asker, path=found.names, query=query, statistics=statistics)
        result = await _decided(partial(endpoint.handler, call))
        if isinstance(result, Listing):
            return b"".join(await encode_listing(result, query))
        if isinstance(result, Reply | Text | File | Live):
            raise bad_request("this can't be watched")
        return b"".join(await encode(result))

    async def _log_in(self, request: Request, login: Login | None) -> Caller:
        """Who calls. Raises ApiError 401 when it isn't who it says, or says nothing that can be understood."""
        client = request.client
        peer = Peer() if client is None else Peer(client.host, client.port)
        caller = None if login is None else await log_in(self._broker, login, peer)
        self._attempts.count(caller is not None)
        if caller is None:
            await trio.sleep(self._broker.failed_logins.delay_s(peer.address))
            raise ApiError(401, "not_authorized", "Not_Authorized")
        return caller


async def _decided(handle: Callable[[], T]) -> T:
    """Call a handler, again and again as long as it is not known whether the caller may do that."""
    while True:
        try:
            return handle()
        except Undecided as undecided:
            answered = trio.Event()
            undecided.then(answered.set)
            await answered.wait()


async def _response(request: Request, call: Call, result: object) -> Response:
    if isinstance(result, Listing):
        return await parts_response(request, await encode_listing(result, call.query))
    if isinstance(result, Text):
        return PlainTextResponse(result.content, headers=HEADERS)
    if isinstance(result, File):
        return FileResponse(result.path)
    if isinstance(result, Reply):
        if result.body is None:
            return empty_response(result.status, result.headers)
        return await json_response(request, result.body, result.status, result.headers)
    if isinstance(result, dict) and (columns := call.query.get("columns")):
        result = only(result, columns.split(","))
    return await json_response(request, result)
