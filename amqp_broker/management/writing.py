"""Answers become octets: JSON made in turns when it is long, compressed when that is asked for."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from amqp_broker.management.errors import ApiError
from amqp_broker.management.listing import Listing, collect, columns_of, in_turns
from amqp_broker.management.names import name_matcher

CHUNK_OCTETS: Final = 64 * 1024

MIN_GZIP_OCTETS: Final = 1024
"""Below this compressing saves no packet."""

_ENCODER: Final = msgspec.json.Encoder()

HEADERS: Final = {
    "vary": "accept, accept-encoding, origin",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}
"""Of every answer."""


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status_code=status, headers={**HEADERS, **(headers or {})})


def error_response(error: ApiError) -> Response:
    body = _ENCODER.encode({"error": error.error, "reason": error.reason})
    return Response(body, error.status, {**HEADERS, "content-type": "application/json"})


async def json_response(
    request: Request, body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON, made in turns when it is long."""
    return await octets_response(request, await encode(body), status, headers)


async def octets_response(
    request: Request, octets: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is there already, compressed where that is asked for."""
    all_headers = {**HEADERS, "content-type": "application/json", **(headers or {})}
    if len(octets) >= MIN_GZIP_OCTETS and "gzip" in request.headers.get("accept-encoding", ""):
        all_headers["content-encoding"] = "gzip"
        octets = await trio.to_thread.run_sync(gzip.compress, octets, 1)
    if len(octets) <= CHUNK_OCTETS or request.method == "HEAD":
        response = Response(octets, status, all_headers)
        if request.method == "HEAD":
            response.body = b""
        return response
    all_headers["content-length"] = str(len(octets))
    return StreamingResponse(_chunks(octets), status, all_headers)


async def pause() -> None:
    """Let everybody else go on for a moment."""
    await trio.lowlevel.checkpoint()


async def encode_listing(listing: Listing, query: Mapping[str, str]) -> bytes:
    """What was asked for of a list, as JSON: written down as it is made, unless it has to be there as a whole before.

    Raises:
        ApiError: 400.
    """
    if "sort" in query or (listing.is_paged and "page" in query):
        return await encode(await collect(listing, query, pause, name_matcher))
    return await _encode_list(listing.items, columns_of(query))


async def encode(body: object) -> bytes:
    """JSON, made in turns when it is long."""
    if isinstance(body, list):
        return await _encode_list(body)
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        items = await _encode_list(body["items"])
        rest = _ENCODER.encode({name: value for name, value in body.items() if name != "items"})
        return rest[:-1] + (b"," if len(rest) > 2 else b"") + b'"items":' + items + b"}"
    return _ENCODER.encode(body)


async def _encode_list(items: Iterable[Any], columns: Sequence[str] = ()) -> bytes:
    parts = [_ENCODER.encode(part)[1:-1] async for part in in_turns(items, columns, pause)]
    return b"[" + b",".join(parts) + b"]"


async def _chunks(octets: bytes) -> AsyncIterator[bytes]:
    view = memoryview(octets)
    for start in range(0, len(octets), CHUNK_OCTETS):
        yield bytes(view[start : start + CHUNK_OCTETS])
