"""Serves the web page, a few small files that lie in `page/`, and what people read besides.

Files are read once and checked by the browser each time.

The policy sent with them lets the page run only what comes from here, so a name that a client made up can't.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Final

import attrs
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from amqp_broker.management.accepting import accepts_gzip

DIRECTORY: Final = Path(__file__).with_name("page")

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@attrs.frozen
class _File:
    media_type: str
    etag: str
    octets: bytes
    zipped: bytes


class Pages:
    """The files by their paths; `/` is `index.html`."""

    def __init__(self) -> None:
        self._files: Final = {
            f"/{path.relative_to(DIRECTORY).as_posix()}": _file(path.read_bytes(), MEDIA_TYPES[path.suffix])
            for path in DIRECTORY.rglob("*")
            if path.suffix in MEDIA_TYPES
        }
        self._files["/"] = self._files["/index.html"]

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def add(self, path: str, octets: bytes, media_type: str) -> None:
        """Serve something else."""
        self._files[path] = _file(octets, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        file = self._files.get(scope["path"])
        if file is None:
            return PlainTextResponse("There is no such page.", 404, {"x-content-type-options": "nosniff"})
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        asked = {name: value.decode("latin-1") for name, value in scope["headers"]}
        headers = HEADERS | {"etag": file.etag}
        if file.etag in (tag.strip() for tag in asked.get(b"if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        octets = file.octets
        if accepts_gzip(asked.get(b"accept-encoding", "")):
            octets = file.zipped
            headers["content-encoding"] = "gzip"
        response = Response(octets, 200, headers, file.media_type)
        if scope["method"] == "HEAD":
            response.body = b""
        return response


def _file(octets: bytes, media_type: str) -> _File:
    # Weak: the same tag stands for the file as it is and zipped.
    etag = f'W/"{hashlib.blake2b(octets, digest_size=12).hexdigest()}"'
    return _File(media_type, etag, octets, gzip.compress(octets, mtime=0))
