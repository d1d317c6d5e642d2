"""The ASGI application of the management port: authentication, dispatch, and the shape of every answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import attrs
import trio
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from amqp_broker.administration import AdministrationError
from amqp_broker.administration.left import Left
from amqp_broker.auth.backend import Undecided
from amqp_broker.auth.users import Peer
from amqp_broker.errors import AMQPError
from amqp_broker.inspection.node import Node
from amqp_broker.management.attempts import Attempts
from amqp_broker.management.bodies import MAX_VALUES, read_body, read_form, read_octets
from amqp_broker.management.call import Call, Caller
from amqp_broker.management.cors import check_site, cors_headers
from amqp_broker.management.elsewhere import Ask, answer_of, ask_node, inquiry_of, node_elsewhere, vouched
from amqp_broker.management.errors import ApiError, bad_request, from_administration, from_amqp, not_found
from amqp_broker.management.figures import figures_of
from amqp_broker.management.holdings import Holdings, Share
from amqp_broker.management.listing import Listing, only
from amqp_broker.management.live import Live, Streams
from amqp_broker.management.login import Login, log_in, login_in_form, login_in_header
from amqp_broker.management.replies import NO_CONTENT, File, Reply, Text, Whole
from amqp_broker.management.routes import Endpoint, Found, Needs, Router
from amqp_broker.management.statistics import Statistics
from amqp_broker.management.together import Others, complete, find
from amqp_broker.management.writing import (
    HEADERS,
    FileResponse,
    LongResponse,
    empty_response,
    encode,
    encode_listing,
    error_response,
    json_response,
    parts_response,
)
from amqp_broker.net.passing_on import deliver
from amqp_broker.net.turns import in_turns, until_stored
from amqp_broker.placement import Inquiry

log = logging.getLogger(__name__)

API_PREFIX: Final = "/api/"

NOWHERE: Final = "HEAD, GET, OPTIONS"
"""What a path that leads to nothing allows."""

LONG_LISTS: Final = 2
"""How many whole lists are made at a time."""

T = TypeVar("T")


class ManagementApi:
    """Answers everything below `/api/`."""

    def __init__(
        self,
        node: Node,
        statistics: Statistics,
        endpoints: Iterable[Endpoint],
        ask: Ask | None = None,
    ) -> None:
        self._broker = node.broker
        self._node = node
        self._ask_node = ask or partial(ask_node, node)
        self._missing: set[str] = set()
        self._statistics = statistics
        self._attempts = Attempts()
        self._router = Router(endpoints)
        self._streams = Streams(node.broker.config)
        self._held = Holdings(node.broker.config.management_max_held_octets)
        self._long_lists = trio.CapacityLimiter(LONG_LISTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held.share() as share:
            await self._serve(Request(scope, receive), share, send)

    async def _serve(self, request: Request, share: Share, send: Send) -> None:
        found: Found | None = None
        try:
            found = self._find(request.scope)
            response = await self._answer(request, found, share)
            if isinstance(response, LongResponse):
                share.add(response.octets)
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
        await response(request.scope, request.receive, send)

    def _find(self, scope: Scope) -> Found:
        try:
            found = self._router.find(_path_of(scope))
        except UnicodeDecodeError:
            raise bad_request("path is not UTF-8") from None
        if found is None:
            raise not_found()
        return found

    async def _answer(self, request: Request, found: Found, share: Share) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return empty_response(200)
        endpoint = found.endpoints.get(method)
        if endpoint is None:
            return empty_response(405)
        check_site(self._broker.config, method, request.headers)
        caller = None
        body = await self._body_of(request, endpoint, share) if endpoint.takes_form else None
        inquiry = inquiry_of(request.scope)
        if endpoint.needs is not Needs.NOBODY:
            header = request.headers.get("authorization")
            if inquiry is not None and inquiry.user is not None:
                login: Login | None = Login(inquiry.user, None)
            elif body is None and header is None:
                return empty_response(401, {"www-authenticate": 'Basic realm="RabbitMQ Management"'})
            else:
                login = login_in_header(header or "") if body is None else login_in_form(body)
            caller = await self._log_in(request, login, inquiry)
            caller.check(endpoint.needs)
            elsewhere = node_elsewhere(self._node, request, found.names)
            if elsewhere is not None:
                octets = await self._octets_of(request, share)
                user = vouched(self._broker.config, caller)
                return await answer_of(self._ask_node, request, elsewhere, caller, octets, user, share.add)
        call = Call(
            node=self._node,
            statistics=figures_of(self._statistics, request.query_params),
            attempts=self._attempts,
            caller=caller,
            path=found.names,
            query=request.query_params,
            body=await self._body_of(request, endpoint, share) if body is None else body,
            reason=_text(request.headers.get("x-reason", "")),
            only_vhost=_text(request.headers.get("x-vhost", "")),
        )
        stored_before = self._broker.stored_count
        others = None if inquiry is not None else self._others(caller, _path_of(request.scope), request.headers, share)
        result = await self._result(call, endpoint, others)
        if method != "GET":
            await until_stored(self._broker, stored_before)
        if isinstance(result, Live):
            return self._streams.answer(result, call.user.name, partial(self._ask, call, request.headers))
        if isinstance(result, Listing):
            return await parts_response(request, await self._encoded(result, call.query))
        return await _response(request, call, result)

    async def _encoded(self, listing: Listing, query: Mapping[str, str]) -> list[bytes]:
        """JSON of a list. Who wants a whole one waits for those before: each would take a slice of every turn."""
        if listing.is_paged and "page" in query:
            return await encode_listing(listing, query)
        async with self._long_lists:
            return await encode_listing(listing, query)

    async def _result(self, call: Call, endpoint: Endpoint, others: Others | None) -> object:
        """What an endpoint answers, in a cluster together with the other nodes.

        Lists that are there already come as a `Listing`, so that they have columns and an order. Raises ApiError.
        """
        try:
            result = await _decided(partial(endpoint.handler, call))
        except ApiError as error:
            if error.status != 404 or others is None:
                raise
            result = await find(call, endpoint.method, endpoint.path, others)
            if result is None:
                raise
            return result
        if isinstance(result, Generator):
            result = await in_turns(result, see_to=partial(deliver, self._node))
        if isinstance(result, Left):
            await deliver(self._node, result)
            return NO_CONTENT
        if others is not None:
            result = await complete(call, endpoint.method, endpoint.path, result, others)
        return Listing(result) if isinstance(result, list) and endpoint.method == "GET" else result

    def _others(self, caller: Caller | None, path: str, headers: Mapping[str, str], share: Share) -> Others | None:
        """The other nodes; None where there are none."""
        cluster = self._node.cluster
        if cluster is None or caller is None:
            return None
        return Others(
            cluster,
            self._node.name,
            self._ask_node,
            API_PREFIX + path,
            headers,
            caller.peer,
            vouched(self._broker.config, caller),
            self._missing,
            share.add,
        )

    async def _octets_of(self, request: Request, share: Share) -> bytes:
        """The body as it came. Raises ApiError where there is too much of it."""
        async with self._arriving(request, share) as chunks:
            return await read_octets(chunks, self._broker.config.management_max_body_octets)

    @asynccontextmanager
    async def _arriving(self, request: Request, share: Share) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body in chunks, all of which have to come in time. Raises ApiError 408 or 503."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            async with aclosing(request.stream()) as stream:
                async for chunk in stream:
                    share.add(len(chunk))
                    yield chunk

        try:
            with trio.fail_after(self._broker.config.management_request_timeout_s):
                async with aclosing(chunks()) as arriving:
                    yield arriving
        except trio.TooSlowError:
            raise ApiError(408, "request_timeout", "the request took too long to arrive") from None

    async def _body_of(self, request: Request, endpoint: Endpoint, share: Share) -> Any:
        if endpoint.method == "GET":
            return {}
        largest = self._broker.config.management_max_body_octets
        limit = min(largest, endpoint.max_body_octets or largest)
        async with self._arriving(request, share) as chunks:
            if endpoint.takes_form:
                return await read_form(chunks, limit)
            max_values = None if endpoint.needs is Needs.ADMINISTRATOR else MAX_VALUES
            return await read_body(chunks, request.headers.get("content-type", ""), limit, max_values)

    async def _ask(self, asker: Call, headers: Mapping[str, str], view: str) -> bytes:
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
        with self._held.share() as share:
            result = await self._result(call, endpoint, self._others(asker.user, path, headers, share))
            if isinstance(result, Listing):
                return b"".join(await self._encoded(result, query))
        if isinstance(result, Whole):
            return b"".join(await encode(result.body))
        if isinstance(result, Reply | Text | File | Live):
            raise bad_request("this can't be watched")
        return b"".join(await encode(result))

    async def _log_in(self, request: Request, login: Login | None, inquiry: Inquiry | None) -> Caller:
        """Who calls. Raises ApiError 401 when it isn't who it says, or says nothing that can be understood."""
        client = request.client
        peer = inquiry.peer if inquiry is not None else Peer() if client is None else Peer(client.host, client.port)
        caller = None if login is None else await log_in(self._broker, login, peer)
        if inquiry is None:
            self._attempts.count(caller is not None)
        if caller is None:
            await trio.sleep(self._broker.failed_logins.delay_s(peer.address))
            raise ApiError(401, "not_authorized", "Not_Authorized")
        return caller


def _path_of(scope: Scope) -> str:
    """What comes after `/api/`, still percent-encoded. Raises UnicodeDecodeError."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw_path.decode("ascii").removeprefix(API_PREFIX)


async def _decided(handle: Callable[[], T]) -> T:
    """Call a handler, again and again as long as it is not known whether the caller may do that."""
    while True:
        try:
            return handle()
        except Undecided as undecided:
            answered = trio.Event()
            undecided.then(answered.set)
            await answered.wait()


def _text(header: str) -> str:
    """A header as its sender meant it: in UTF-8."""
    return header.encode("latin-1").decode("utf-8", "replace")


async def _response(request: Request, call: Call, result: object) -> Response:
    if isinstance(result, Whole):
        return await json_response(request, result.body)
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
