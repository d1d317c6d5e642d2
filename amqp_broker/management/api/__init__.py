"""The endpoints, a module for each subject; a handler has the method and path it answers above it."""

from amqp_broker.management.api import (
    bindings,
    channels,
    connections,
    consumers,
    exchanges,
    health,
    nodes,
    overview,
    queues,
    vhosts,
)

ENDPOINTS = (
    *overview.routes,
    *nodes.routes,
    *vhosts.routes,
    *connections.routes,
    *channels.routes,
    *consumers.routes,
    *exchanges.routes,
    *queues.routes,
    *bindings.routes,
    *health.routes,
)
"""All there are."""
