"""A client of the HTTP API, with no socket between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from amqp_broker.broker import Broker
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.app import ManagementApi
from amqp_broker.management.site import Site
from amqp_broker.management.statistics import Statistics
from amqp_broker.resources import Resources

GUEST = ("guest", "guest")


def node_of(broker: Broker, *ports: ListeningPort) -> Node:
    """A node that listens, for AMQP if nothing else is said."""
    return Node(broker, Resources(broker), ports or [ListeningPort("amqp", "127.0.0.1", 5672)])


@asynccontextmanager
async def api_of(
    broker: Broker,
    auth: tuple[str, str] | None = GUEST,
    node: Node | None = None,
    statistics: Statistics | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Call the API of a broker; paths begin behind `/api/`."""
    node = node or node_of(broker)
    if statistics is None:
        statistics = Statistics(broker.timers.now)
    site = Site(ManagementApi(node, statistics, ENDPOINTS), broker.config.management_path_prefix)
    transport = httpx.ASGITransport(site)
    async with httpx.AsyncClient(transport=transport, base_url="http://broker/api/", auth=auth) as client:
        yield client
