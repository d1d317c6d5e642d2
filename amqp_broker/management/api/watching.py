"""Figures that are sent on when they change, for the web page."""

from __future__ import annotations

from amqp_broker.management.call import Call
from amqp_broker.management.live import Live
from amqp_broker.management.routes import Routes

routes = Routes()


@routes.get("live")
def watch(call: Call) -> Live:
    """Server-sent events: `view` has paths of GET requests, one a line; each is answered whenever that changes."""
    return Live([view for view in call.query.get("view", "").split("\n") if view])
