"""Bindings: list, show, make, remove."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amqp_broker.inspection.exchanges import binding_record, bindings_of, bindings_to, default_binding_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.exchanges import exchange_of
from amqp_broker.management.api.queues import queue_of
from amqp_broker.management.call import Call
from amqp_broker.management.errors import not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.routes import Routes
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.vhost import Vhost

routes = Routes()


@routes.get("bindings")
def list_bindings(call: Call) -> Listing:
    """All bindings, those to the default exchange as well."""
    return Listing(_records(call.vhosts))


@routes.get("bindings/{vhost}")
def list_bindings_of_vhost(call: Call) -> Listing:
    """The bindings of a vhost."""
    return Listing(_records([call.vhost]))


@routes.get("queues/{vhost}/{name}/bindings")
def list_bindings_of_queue(call: Call) -> Listing:
    """The bindings that lead to a queue."""
    return Listing(_to_queue(call.vhost, queue_of(call)))


@routes.get("exchanges/{vhost}/{name}/bindings/source")
def list_bindings_from_exchange(call: Call) -> Listing:
    """The bindings of which an exchange is the source."""
    vhost, exchange = call.vhost, exchange_of(call)
    if exchange.name == DEFAULT_EXCHANGE:
        return Listing(default_binding_record(queue, vhost) for _, queue in sorted(vhost.queues.items()))
    return Listing(binding_record(binding, vhost) for binding in list(exchange.bindings.values()))


@routes.get("exchanges/{vhost}/{name}/bindings/destination")
def list_bindings_to_exchange(call: Call) -> Listing:
    """The bindings of which an exchange is the destination."""
    vhost, exchange = call.vhost, exchange_of(call)
    return Listing(binding_record(binding, vhost) for binding in list(bindings_to(vhost, exchange)))


@routes.get("bindings/{vhost}/e/{source}/q/{name}")
def list_bindings_between_exchange_and_queue(call: Call) -> list[Record]:
    """The bindings of an exchange to a queue."""
    return _between(call.vhost, exchange_of(call, "source"), queue_of(call))


@routes.get("bindings/{vhost}/e/{source}/e/{name}")
def list_bindings_between_exchanges(call: Call) -> list[Record]:
    """The bindings of an exchange to another."""
    return _between(call.vhost, exchange_of(call, "source"), exchange_of(call))


@routes.get("bindings/{vhost}/e/{source}/q/{name}/{key}")
def show_binding_to_queue(call: Call) -> Record:
    """One binding of an exchange to a queue."""
    return _one(call, list_bindings_between_exchange_and_queue(call))


@routes.get("bindings/{vhost}/e/{source}/e/{name}/{key}")
def show_binding_to_exchange(call: Call) -> Record:
    """One binding of an exchange to another."""
    return _one(call, list_bindings_between_exchanges(call))


def _one(call: Call, records: list[Record]) -> Record:
    for record in records:
        if record["properties_key"] == call.path["key"]:
            return record
    raise not_found()


def _between(vhost: Vhost, source: Exchange, destination: Exchange | Queue) -> list[Record]:
    if source.name == DEFAULT_EXCHANGE:
        return [default_binding_record(destination, vhost)] if isinstance(destination, Queue) else []
    there = (binding for binding in source.bindings.values() if binding.destination is destination)
    return [binding_record(binding, vhost) for binding in there]


def _records(vhosts: Iterable[Vhost]) -> Iterator[Record]:
    for vhost in vhosts:
        yield from (default_binding_record(queue, vhost) for _, queue in sorted(vhost.queues.items()))
        yield from (binding_record(binding, vhost) for binding in list(bindings_of(vhost)))


def _to_queue(vhost: Vhost, queue: Queue) -> Iterator[Record]:
    yield default_binding_record(queue, vhost)
    yield from (binding_record(binding, vhost) for binding in list(bindings_to(vhost, queue)))
