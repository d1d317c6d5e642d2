"""The ASGI application of the metrics port."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from amqp_broker.auth.patterns import InvalidPatternError, Pattern
from amqp_broker.inspection.memory import memory_record
from amqp_broker.inspection.node import Node
from amqp_broker.management.metrics.exposition import CONTENT_TYPE, Family, Sample, lines
from amqp_broker.management.metrics.objects import FAMILIES, Wanted, of_objects
from amqp_broker.management.metrics.overall import identity, overall, queue_sums

log = logging.getLogger(__name__)

Page = Callable[[Request], Iterator[Family]]

LINES: Final = 50
"""Written before the loop has its turn."""


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
            response = self._answer(Request(scope, receive))
            await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        page = self._pages.get(request.url.path.rstrip("/"))
        if page is None:
            return PlainTextResponse("Not Found", 404)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Method Not Allowed", 405, {"allow": "GET, HEAD"})
        try:
            families = page(request)
        except InvalidPatternError as error:
            return PlainTextResponse(str(error), 400)
        return StreamingResponse(_written(families), media_type=None, headers={"content-type": CONTENT_TYPE})

    def _aggregated(self, _request: Request) -> Iterator[Family]:
        return chain(overall(self._node, "aggregated"), queue_sums(self._broker))

    def _per_object(self, _request: Request) -> Iterator[Family]:
        objects = of_objects(self._broker, "rabbitmq_", FAMILIES, Wanted())
        return chain(overall(self._node, "per-object"), objects)

    def _detailed(self, request: Request) -> Iterator[Family]:
        """Only the families that are asked for, of some vhosts and queues."""
        query = request.query_params
        vhosts = frozenset(query.getlist("vhost")) or None
        patterns = [Pattern(text) for text in query.getlist("queue")]
        wanted = Wanted(vhosts, lambda name: not patterns or any(pattern.search(name) for pattern in patterns))
        families = of_objects(self._broker, "rabbitmq_detailed_", query.getlist("family"), wanted)
        return chain([identity(self._node, "detailed")], families)

    def _memory(self, _request: Request) -> Iterator[Family]:
        yield identity(self._node, "memory-breakdown")
        for name, value in memory_record().items():
            if isinstance(value, int):
                yield Family(f"rabbitmq_memory_{name}_bytes", "gauge", f"Memory used by {name}", [Sample(value)])


async def _written(families: Iterator[Family]) -> AsyncIterator[bytes]:
    """Write the page in slices, with the loop's turn between them."""
    part: list[str] = []
    for family in families:
        for line in lines(family):
            part.append(line)
            if len(part) == LINES:
                yield "".join(part).encode()
                part.clear()
                await trio.lowlevel.checkpoint()
    yield "".join(part).encode()
