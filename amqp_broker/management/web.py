"""The web server on trio, and the task that takes samples while it runs."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, cast

import hypercorn.config
import hypercorn.trio
import trio

from amqp_broker.inspection.node import Node
from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.app import ManagementApi
from amqp_broker.management.listing import SLICE_S
from amqp_broker.management.metrics.app import MetricsSite
from amqp_broker.management.sampling import sample
from amqp_broker.management.site import Site
from amqp_broker.management.statistics import PERIOD_S, Statistics

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

log = logging.getLogger(__name__)


async def serve_management(node: Node, listeners: list[trio.SocketListener]) -> None:
    """Serve the API and its page on these sockets until cancelled."""
    broker = node.broker
    statistics = Statistics(broker.timers.now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sample, node, statistics)
        await _serve(Site(ManagementApi(node, statistics, ENDPOINTS), broker.config.management_path_prefix), listeners)


async def serve_metrics(node: Node, listeners: list[trio.SocketListener]) -> None:
    """Serve metrics on these sockets until cancelled."""
    await _serve(MetricsSite(node), listeners)


async def _serve(site: Site | MetricsSite, listeners: list[trio.SocketListener]) -> None:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(listener.socket.fileno())}" for listener in listeners]
    config.errorlog = log
    config.include_server_header = False
    config.keep_alive_timeout = 60
    config.graceful_timeout = 0.5
    app = cast("ASGIFramework", site)
    await hypercorn.trio.serve(app, config, mode="asgi", shutdown_trigger=trio.sleep_forever)


async def _sample(node: Node, statistics: Statistics) -> None:
    while True:
        ends = trio.current_time() + SLICE_S
        for _ in sample(node, statistics):
            if trio.current_time() >= ends:
                await trio.lowlevel.checkpoint()
                ends = trio.current_time() + SLICE_S
        await trio.sleep(PERIOD_S)
