"""The endpoints, a module for each subject; a handler has the method and path it answers above it."""

from amqp_broker.management.api import (
    bindings,
    browsing,
    channels,
    cluster,
    connections,
    consumers,
    definitions,
    exchanges,
    features,
    health,
    links,
    logins,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    topology,
    traces,
    users,
    vhosts,
    watching,
)
from amqp_broker.management.openapi import describing

_DESCRIBED = (
    *overview.routes,
    *nodes.routes,
    *cluster.routes,
    *users.routes,
    *permissions.routes,
    *vhosts.routes,
    *connections.routes,
    *channels.routes,
    *consumers.routes,
    *exchanges.routes,
    *queues.routes,
    *bindings.routes,
    *messages.routes,
    *browsing.routes,
    *topology.routes,
    *policies.routes,
    *parameters.routes,
    *definitions.routes,
    *features.routes,
    *logins.routes,
    *links.routes,
    *traces.routes,
    *health.routes,
    *watching.routes,
)

ENDPOINTS = (*_DESCRIBED, *describing(_DESCRIBED))
"""All there are."""
