"""What a path of the management port leads to: the API, or the pages."""

from __future__ import annotations

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from amqp_broker.management.app import API_PREFIX
from amqp_broker.management.documents import add_documents
from amqp_broker.management.static import Pages
from amqp_broker.management.writing import empty_response


class Site:
    """The whole port.

    Args:
        api: answers what is below `/api/`.
        prefix: what all paths begin with; whoever comes without is led there from `/`.
    """

    def __init__(self, api: ASGIApp, prefix: str = "") -> None:
        self._prefix = prefix.rstrip("/")
        self._api = api
        self._pages = Pages()
        add_documents(self._pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self._prefix and not _strip(scope, self._prefix):
                is_root = scope["path"] in ("/", self._prefix)
                answer = RedirectResponse(f"{self._prefix}/") if is_root else empty_response(404)
                await answer(scope, receive, send)
            elif scope["path"] in ("/api", "/cli"):
                await RedirectResponse(f"{self._prefix}{scope['path']}/")(scope, receive, send)
            elif scope["path"].startswith(API_PREFIX) and scope["path"] not in self._pages:
                await self._api(scope, receive, send)
            else:
                await self._pages(scope, receive, send)


def _strip(scope: Scope, prefix: str) -> bool:
    """Take the prefix off a path, and say whether it was there."""
    if not scope["path"].startswith(f"{prefix}/"):
        return False
    scope["path"] = scope["path"].removeprefix(prefix)
    if scope.get("raw_path"):
        scope["raw_path"] = scope["raw_path"].removeprefix(prefix.encode())
    return True
