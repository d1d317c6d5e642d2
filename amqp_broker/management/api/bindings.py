"""Bindings: list, show, make, remove."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final
from urllib.parse import quote, unquote_plus

from amqp_broker.inspection.exchanges import (
    NO_KEY,
    binding_record,
    bindings_of,
    bindings_to,
    default_binding_record,
    properties_key,
)
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.exchanges import exchange_name, exchange_of
from amqp_broker.management.api.queues import queue_of
from amqp_broker.management.call import Call, short
from amqp_broker.management.errors import not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Routes
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.session.binding import Binder
from amqp_broker.vhost import Vhost
from amqp_codec import Table

routes = Routes()

MAX_BINDING_OCTETS: Final = 5000
"""RabbitMQ's limit for what a binding is made from."""


@routes.get("bindings")
def list_bindings(call: Call) -> Listing:
    """All bindings, those to the default exchange as well."""
    return Listing(_records(call.vhosts_here), is_paged=True, name_of=_words)


@routes.get("bindings/{vhost}")
def list_bindings_of_vhost(call: Call) -> Listing:
    """The bindings of a vhost."""
    return Listing(_records([call.vhost]), is_paged=True, name_of=_words)


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


@routes.post("bindings/{vhost}/e/{source}/q/{name}", max_body_octets=MAX_BINDING_OCTETS)
def bind_queue(call: Call) -> Reply:
    """Bind a queue to an exchange."""
    source, name, routing_key, arguments = _asked_for(call)
    _binder(call).bind_queue(source, name, routing_key, arguments)
    return _created(name, routing_key, arguments)


@routes.post("bindings/{vhost}/e/{source}/e/{name}", max_body_octets=MAX_BINDING_OCTETS)
def bind_exchange(call: Call) -> Reply:
    """Bind an exchange to another."""
    source, name, routing_key, arguments = _asked_for(call)
    _binder(call).bind_exchange(source, exchange_name(name), routing_key, arguments)
    return _created(name, routing_key, arguments)


@routes.delete("bindings/{vhost}/e/{source}/q/{name}/{key}")
def unbind_queue(call: Call) -> Reply:
    """Remove one binding of an exchange to a queue."""
    binder, queue = _binder(call), queue_of(call)
    routing_key, arguments = _found(call, queue)
    binder.unbind_queue(exchange_name(call.path["source"]), queue.name, routing_key, arguments)
    return NO_CONTENT


@routes.delete("bindings/{vhost}/e/{source}/e/{name}/{key}")
def unbind_exchange(call: Call) -> Reply:
    """Remove one binding of an exchange to another."""
    binder, exchange = _binder(call), exchange_of(call)
    routing_key, arguments = _found(call, exchange)
    binder.unbind_exchange(exchange_name(call.path["source"]), exchange.name, routing_key, arguments)
    return NO_CONTENT


def _binder(call: Call) -> Binder:
    vhost = call.own_vhost
    return Binder(vhost, call.rights_in(vhost), call.user)


def _asked_for(call: Call) -> tuple[str, str, str, Table]:
    """Source, destination, routing key and arguments of a binding to be made. Raises ApiError 400."""
    source, name = exchange_name(short("source", call.path["source"])), short("destination", call.path["name"])
    return source, name, short("routing_key", call.text("routing_key", "")), call.table("arguments")


def _found(call: Call, destination: Exchange | Queue) -> tuple[str, Table]:
    """Routing key and arguments of the binding that the path names. Raises ApiError 404."""
    source = exchange_of(call, "source")
    if source.name == DEFAULT_EXCHANGE:
        keys: dict[str, tuple[str, Table]] = {properties_key(destination.name, {}): (destination.name, {})}
    else:
        keys = {
            properties_key(binding.routing_key, binding.arguments): (binding.routing_key, binding.arguments)
            for binding in source.bindings.values()
            if binding.destination is destination
        }
    return keys[_key_among(call, keys)]


def _key_among(call: Call, keys: Collection[str]) -> str:
    """The key that the path means, which clients quote once or twice. Raises ApiError 404."""
    wanted = call.path["key"]
    if wanted in keys:
        return wanted
    for key in keys:
        if unquote_plus(key) == wanted != NO_KEY:
            return key
    raise not_found()


def _created(name: str, routing_key: str, arguments: Table) -> Reply:
    """Tell where the binding is, relative to the path that was posted to."""
    location = f"{quote(name, safe='')}/{quote(properties_key(routing_key, arguments), safe='~')}"
    return Reply(201, headers={"location": location})


def _one(call: Call, records: list[Record]) -> Record:
    by_key = {str(record["properties_key"]): record for record in records}
    return by_key[_key_among(call, by_key)]


def _between(vhost: Vhost, source: Exchange, destination: Exchange | Queue) -> list[Record]:
    if source.name == DEFAULT_EXCHANGE:
        return [default_binding_record(destination, vhost)] if isinstance(destination, Queue) else []
    there = (binding for binding in source.bindings.values() if binding.destination is destination)
    return [binding_record(binding, vhost) for binding in there]


def _words(record: Record) -> str:
    """What a search looks at."""
    return f"{record['source']} {record['destination']} {record['routing_key']}"


def _records(vhosts: Iterable[Vhost]) -> Iterator[Record]:
    for vhost in vhosts:
        yield from (default_binding_record(queue, vhost) for _, queue in sorted(vhost.queues.items()))
        yield from (binding_record(binding, vhost) for binding in list(bindings_of(vhost)))


def _to_queue(vhost: Vhost, queue: Queue) -> Iterator[Record]:
    yield default_binding_record(queue, vhost)
    yield from (binding_record(binding, vhost) for binding in list(bindings_to(vhost, queue)))
