"""What a path of the management port leads to: the API, or the pages."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from amqp_broker.management.app import API_PREFIX
from amqp_broker.management.static import Pages


class Site:
    """The whole port."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api
        self._pages = Pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "http":
            if scope["path"].startswith(API_PREFIX):
                await self._api(scope, receive, send)
            else:
                await self._pages(scope, receive, send)


async def live(receive: Receive, send: Send) -> None:
    """Say that nothing needs to be started or stopped."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
