"""Fetches for authentication backends over HTTP: a few at once, each in a thread, all within their time."""

from __future__ import annotations

import http.client
import logging
import ssl
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.auth.fetching import Fetched, Request, Response

log = logging.getLogger(__name__)

AT_ONCE: Final = 16
MAX_WAITING: Final = 1024
"""Requests that wait for their turn; one more gets no answer."""
MAX_BODY_OCTETS: Final = 256 * 1024


class Fetcher:
    """One for a broker; `run` does the work.

    Args:
        authorities: the `ca` of the requests to come.

    Raises:
        AuthConfigError: these can't be read.
    """

    def __init__(self, authorities: Iterable[Path | None] = ()) -> None:
        self._contexts = {ca: _context_for(ca) for ca in {None, *authorities}}
        self._waiting: deque[tuple[Request, Fetched]] = deque()
        self._arrived = trio.Event()
        # Threads that are given up go on until their socket times out, and count until then.
        self._threads = trio.CapacityLimiter(AT_ONCE)

    def fetch(self, request: Request, done: Fetched) -> None:
        """Begin to fetch; too many at once get no answer."""
        if len(self._waiting) >= MAX_WAITING:
            done(None)
            return
        self._waiting.append((request, done))
        self._arrived.set()

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived = trio.Event() if self._arrived.is_set() else self._arrived
                await self._arrived.wait()
            request, done = self._waiting.popleft()
            response = None
            with trio.move_on_after(request.timeout_s):
                response = await trio.to_thread.run_sync(
                    _fetched, request, self._contexts[request.ca], limiter=self._threads, abandon_on_cancel=True
                )
            try:
                done(response)
            except Exception:
                log.exception("internal error in what waited for an answer")


def _context_for(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise AuthConfigError(f"no certificates in PEM form in {ca} ({error})") from None


def _fetched(request: Request, context: ssl.SSLContext) -> Response | None:
    """Ask and wait, in a thread; None when there is no answer. Follows no redirect."""
    timeout_s = request.timeout_s
    connection: http.client.HTTPConnection
    try:
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if request.method == "POST" else {}
            connection.request(request.method, target, request.form or None, headers)
            answer = connection.getresponse()
            body = answer.read(MAX_BODY_OCTETS + 1)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        log.debug("no answer: %s", error)
        return None
    return Response(answer.status, body) if len(body) <= MAX_BODY_OCTETS else None
