"""Answers become octets: JSON made in turns when it is long, compressed when that is asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from amqp_broker.management.accepting import accepts_gzip
from amqp_broker.management.errors import ApiError
from amqp_broker.management.listing import Listing, collect, columns_of, in_turns
from amqp_broker.management.names import name_matcher
from amqp_broker.net.turns import serving_between

CHUNK_OCTETS: Final = 64 * 1024

MIN_GZIP_OCTETS: Final = 1024
"""Below this compressing saves no packet."""

GZIP_LEVEL: Final = 1
GZIP_WBITS: Final = 31
"""What makes zlib write gzip's format."""

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
    return await parts_response(request, await encode(body), status, headers)


async def parts_response(
    request: Request, parts: Sequence[bytes], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is there already, compressed where that is asked for."""
    all_headers = {**HEADERS, "content-type": "application/json", **(headers or {})}
    length = sum(map(len, parts))
    if length >= MIN_GZIP_OCTETS and accepts_gzip(request.headers.get("accept-encoding", "")):
        all_headers["content-encoding"] = "gzip"
        parts = await trio.to_thread.run_sync(_zipped, parts)
        length = sum(map(len, parts))
    all_headers["content-length"] = str(length)
    if request.method == "HEAD":
        return Response(None, status, all_headers)
    if length <= CHUNK_OCTETS:
        return Response(b"".join(parts), status, all_headers)
    return LongResponse(parts, length, status, all_headers)


async def pause() -> None:
    """Let everybody else go on for a moment."""
    await trio.lowlevel.checkpoint()


async def encode_listing(listing: Listing, query: Mapping[str, str]) -> list[bytes]:
    """What was asked for of a list, as JSON: written down as it is made, unless it has to be there as a whole before.

    Raises:
        ApiError: 400.
    """
    if "sort" in query or (listing.is_paged and "page" in query):
        listing = attrs.evolve(listing, items=serving_between(listing.items))
        return await encode(await collect(listing, query, pause, name_matcher))
    return await _encode_list(listing.items, columns_of(query))


async def encode(body: object) -> list[bytes]:
    """JSON, made in turns when it is long.

    It stays in parts: to ask the system for many megabytes at once, and fill them, takes tens of milliseconds, in which
    no message moves.
    """
    if isinstance(body, list):
        return await _encode_list(body)
    if not isinstance(body, dict) or not any(isinstance(value, list) for value in body.values()):
        return [_ENCODER.encode(body)]
    parts: list[bytes] = []
    for name, value in body.items():
        parts.append((b"," if parts else b"{") + _ENCODER.encode(name) + b":")
        parts += await _encode_list(value) if isinstance(value, list) else [_ENCODER.encode(value)]
    return [*parts, b"}"]


async def _encode_list(items: Iterable[Any], columns: Sequence[str] = ()) -> list[bytes]:
    parts: list[bytes] = []
    async for part in in_turns(serving_between(items), columns, pause):
        parts.append((b"," if parts else b"[") + _ENCODER.encode(part)[1:-1])
    return [*parts, b"]"] if parts else [b"[]"]


def _zipped(parts: Iterable[bytes]) -> list[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
    return [*(zipped for part in parts if (zipped := compressor.compress(part))), compressor.flush()]


class LongResponse(Response):
    """Sends a body chunk by chunk; Starlette's own takes a task group, and a thread's worth of imports, for that.

    Attributes:
        octets: how long the body is.
    """

    def __init__(self, parts: Sequence[bytes], octets: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, headers)
        self.octets = octets
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunk: list[bytes] = []
        length = 0
        for part in self._parts:
            chunk.append(part)
            length += len(part)
            if length >= CHUNK_OCTETS:
                await send({"type": "http.response.body", "body": b"".join(chunk), "more_body": True})
                chunk, length = [], 0
        await send({"type": "http.response.body", "body": b"".join(chunk), "more_body": False})


class FileResponse(Response):
    """Sends as much of a text file as there is at the moment."""

    def __init__(self, path: Path) -> None:
        super().__init__(None, headers={**HEADERS, "content-type": "text/plain; charset=utf-8"})
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        async with await trio.open_file(self._path, "rb") as file:
            left = (await trio.Path(self._path).stat()).st_size
            self.headers["content-length"] = str(left)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while scope["method"] != "HEAD" and left > 0 and (octets := await file.read(min(left, CHUNK_OCTETS))):
                left -= len(octets)
                await send({"type": "http.response.body", "body": octets, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
