"""The sites of the two ports on their sockets, and the task that takes samples while they are served."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from amqp_broker.inspection.node import Node
from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.app import ManagementApi
from amqp_broker.management.elsewhere import answer_node
from amqp_broker.management.listing import SLICE_S
from amqp_broker.management.metrics.app import MetricsSite
from amqp_broker.management.sampling import sample
from amqp_broker.management.server import Questions
from amqp_broker.management.serving import HttpServer
from amqp_broker.management.site import Site
from amqp_broker.management.statistics import PERIOD_S, Statistics
from amqp_broker.net.doors import Door
from amqp_broker.net.tls import TlsKeeper
from amqp_broker.net.turns import serving_between


async def serve_management(node: Node, doors: Sequence[Door], tls: TlsKeeper | None, questions: Questions) -> None:
    """Serve the API and its page at these doors, and the API to other nodes, until cancelled."""
    broker = node.broker
    statistics = Statistics(broker.timers.now)
    api = ManagementApi(node, statistics, ENDPOINTS)
    site = Site(api, broker.config.management_path_prefix)
    questions.answer_with(partial(answer_node, api))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sample, node, statistics)
        await HttpServer(site, broker.config.management_max_connections, tls).serve(doors)


async def serve_metrics(node: Node, doors: Sequence[Door], tls: TlsKeeper | None, _questions: Questions) -> None:
    """Serve metrics at these doors until cancelled; other nodes ask for none."""
    await HttpServer(MetricsSite(node), node.broker.config.management_max_connections, tls).serve(doors)


async def _sample(node: Node, statistics: Statistics) -> None:
    while True:
        ends = trio.current_time() + SLICE_S
        for _ in serving_between(sample(node, statistics)):
            if trio.current_time() >= ends:
                await trio.lowlevel.checkpoint()
                ends = trio.current_time() + SLICE_S
        await trio.sleep(PERIOD_S)
