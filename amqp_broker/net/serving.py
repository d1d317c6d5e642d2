"""The one task that serves all clients on plain sockets (decision 13)."""

from __future__ import annotations

from typing import Final

import trio

from amqp_broker.net.hub import Hub, running_hubs

TURN_S: Final = 0.001
"""How long clients are served before all other tasks have a turn."""


async def serve(hub: Hub) -> None:
    """Serve whoever a hub watches until cancelled; the hub can't be used afterwards."""
    hubs = running_hubs()
    hubs.append(hub)
    try:
        while True:
            await trio.lowlevel.wait_readable(hub.epoll)
            while hub.serve_for(TURN_S):
                await trio.lowlevel.checkpoint()
    finally:
        hubs.remove(hub)
        hub.epoll.close()
