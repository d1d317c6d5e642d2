"""How things hang together, for the web page: the topology as a whole, and where a message would go."""

from __future__ import annotations

from itertools import islice
from typing import Final

from amqp_broker.auth.permissions import Access
from amqp_broker.inspection.exchanges import binding_record
from amqp_broker.inspection.values import Record, readable
from amqp_broker.management.api.exchanges import exchange_of
from amqp_broker.management.call import Call, short
from amqp_broker.management.counts import lengths_of
from amqp_broker.management.routes import Routes
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.vhost import Vhost
from amqp_codec import Properties

routes = Routes()

MAX_EXCHANGES: Final = 100
MAX_QUEUES: Final = 150
MAX_BINDINGS: Final = 1000


@routes.get("topology/{vhost}")
def show_topology(call: Call) -> Record:
    """Exchanges, queues and the bindings between them, with counters; of a large vhost, as much as can be drawn."""
    vhost = call.vhost
    exchanges = [each for _, each in sorted(vhost.exchanges.items()) if _is_drawn(vhost, each)]
    queues = _bound_first(vhost, exchanges)
    drawn_exchanges, drawn_queues = exchanges[:MAX_EXCHANGES], queues[:MAX_QUEUES]
    drawn = {*drawn_exchanges, *drawn_queues}
    bindings = (binding for each in drawn_exchanges for binding in each.bindings.values())
    between = (binding_record(each, vhost) for each in bindings if each.destination in drawn)
    return {
        "exchanges": [_exchange_record(each) for each in drawn_exchanges],
        "queues": [_queue_record(each) for each in drawn_queues],
        "bindings": list(islice(between, MAX_BINDINGS)),
        "is_cut": len(drawn) < len(exchanges) + len(queues),
    }


@routes.post("exchanges/{vhost}/{name}/route")
def test_route(call: Call) -> Record:
    """Say which queues a message with this `routing_key` and these `headers` would reach."""
    vhost, exchange = call.own_vhost, exchange_of(call)
    rights = call.rights_in(vhost)
    rights.demand(Access.WRITE, "exchange", exchange.name)
    routing_key = short("routing_key", call.text("routing_key", ""))
    if exchange.type == "topic" and rights.has_topics:
        rights.demand_key(Access.WRITE, exchange.name, routing_key)
    route = vhost.route(exchange, (routing_key,), Properties(headers=call.table("headers")))
    return {"queues": sorted(readable(queue.name) for queue in route.queues if isinstance(queue, Queue))}


def _is_drawn(vhost: Vhost, exchange: Exchange) -> bool:
    """Whether an exchange is part of the picture: those that are always there only when they are used."""
    if exchange.name == DEFAULT_EXCHANGE:
        return False
    return exchange.has_bindings or not vhost.is_predeclared(exchange.name)


def _bound_first(vhost: Vhost, exchanges: list[Exchange]) -> list[Queue]:
    """The queues of a vhost by name, those that are bound before all others."""
    bound = {binding.destination for each in exchanges for binding in each.bindings.values()}
    return sorted(vhost.queues.values(), key=lambda queue: (queue not in bound, queue.name))


def _exchange_record(exchange: Exchange) -> Record:
    return {"name": readable(exchange.name), "type": exchange.type, "publish_in": exchange.counters.publish_in}


def _queue_record(queue: Queue) -> Record:
    counters = queue.statistics()
    return {
        "name": readable(queue.name),
        "type": queue.options.type.value,
        "messages": lengths_of(queue)["messages"],
        "publish": counters.publish,
        "deliver_get": counters.deliver_get,
    }
