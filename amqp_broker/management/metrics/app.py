"""The ASGI application of the metrics port."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from itertools import chain
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from amqp_broker.auth.patterns import InvalidPatternError, Pattern
from amqp_broker.inspection.memory import memory_record
from amqp_broker.inspection.node import Node
from amqp_broker.management.accepting import accepts_gzip
from amqp_broker.management.listing import SLICE_S
from amqp_broker.management.metrics.exposition import CONTENT_TYPE, Family, Sample, lines
from amqp_broker.management.metrics.objects import FAMILIES, Wanted, of_objects
from amqp_broker.management.metrics.overall import Totals, identity, overall, queue_sums
from amqp_broker.management.names import PATIENCE, SEARCH_S
from amqp_broker.management.writing import GZIP_LEVEL, GZIP_WBITS
from amqp_broker.net.turns import in_turns, serving_between

Page = Callable[[Request], Awaitable[Iterator[Family]]]

LINES: Final = 50
"""Written before the loop has its turn."""

MAX_PATTERNS: Final = 8
"""Of names of queues in one request."""


class BadQueryError(Exception):
    """What a page was asked for can't be understood."""


class MetricsSite:
    """The whole port."""

    def __init__(self, node: Node) -> None:
        self._broker = node.broker
        self._node = node
        self._pages: dict[str, Page] = {
            "/metrics": self._aggregated,
            "/metrics/per-object": self._per_object,
            "/metrics/detailed": self._detailed,
            "/metrics/memory-breakdown": self._memory,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = await self._answer(Request(scope, receive))
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        page = self._pages.get(request.url.path.rstrip("/"))
        if page is None:
            return PlainTextResponse("Not Found", 404)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Method Not Allowed", 405, {"allow": "GET, HEAD"})
        try:
            families = await page(request)
        except (InvalidPatternError, BadQueryError) as error:
            return PlainTextResponse(str(error), 400)
        headers = {"content-type": CONTENT_TYPE, "vary": "accept-encoding"}
        written = _written(families)
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            headers["content-encoding"] = "gzip"
            written = _zipped(written)
        return StreamingResponse(written, media_type=None, headers=headers)

    async def _aggregated(self, _request: Request) -> Iterator[Family]:
        totals = await self._totals()
        return chain(overall(self._node, "aggregated", totals), queue_sums(totals))

    async def _per_object(self, _request: Request) -> Iterator[Family]:
        objects = of_objects(self._broker, "rabbitmq_", FAMILIES, Wanted())
        return chain(overall(self._node, "per-object", await self._totals()), objects)

    async def _totals(self) -> Totals:
        return await in_turns(Totals.counted(self._broker), SLICE_S)

    async def _detailed(self, request: Request) -> Iterator[Family]:
        """Only the families that are asked for, of some vhosts and queues."""
        query = request.query_params
        texts = query.getlist("queue")
        if len(texts) > MAX_PATTERNS:
            raise BadQueryError(f"more than {MAX_PATTERNS} patterns of queues")
        patterns = [Pattern(text, PATIENCE, search_s=SEARCH_S) for text in texts]
        wanted = Wanted(frozenset(query.getlist("vhost")) or None)
        if patterns:
            wanted = wanted._replace(queues=await in_turns(self._names(wanted, patterns), SLICE_S))
        families = of_objects(self._broker, "rabbitmq_detailed_", query.getlist("family"), wanted)
        return chain(identity(self._node, "detailed"), families)

    def _names(self, wanted: Wanted, patterns: list[Pattern]) -> Generator[None, None, frozenset[str]]:
        """The names of queues that fit one of the patterns, found in steps. Raises BadQueryError."""
        names = {name for vhost in wanted.vhosts_of(self._broker) for name in vhost.queues}
        found = set()
        for name in names:
            if any(pattern.search(name) for pattern in patterns):
                found.add(name)
            if any(pattern.is_given_up for pattern in patterns):
                raise BadQueryError("queue is a regular expression that takes too long")
            yield
        return frozenset(found)

    async def _memory(self, _request: Request) -> Iterator[Family]:
        record = memory_record()
        sizes = (
            Family(f"rabbitmq_memory_{name}_bytes", "gauge", f"Memory used by {name}", [Sample(value)])
            for name, value in record.items()
            if isinstance(value, int)
        )
        return chain(identity(self._node, "memory-breakdown"), sizes)


async def _written(families: Iterator[Family]) -> AsyncIterator[bytes]:
    """Write the page in slices, with the loop's turn between them."""
    part: list[str] = []
    for line in serving_between(line for family in families for line in lines(family)):
        part.append(line)
        if len(part) == LINES:
            yield "".join(part).encode()
            part.clear()
            await trio.lowlevel.checkpoint()
    yield "".join(part).encode()


async def _zipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
    async for part in parts:
        if zipped := compressor.compress(part):
            yield zipped
    yield compressor.flush()
