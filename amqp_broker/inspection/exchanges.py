"""Exchanges and bindings."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus

from amqp_broker.inspection.values import Record, json_of_table, readable
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.binding import Binding
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.vhost import Vhost
from amqp_codec import Table, encode_table


def exchange_record(exchange: Exchange, vhost: Vhost) -> Record:
    """An exchange as the management API lists it, without statistics."""
    return {
        "name": readable(exchange.name),
        "vhost": vhost.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": json_of_table(exchange.arguments),
    }


def binding_record(binding: Binding, vhost: Vhost) -> Record:
    """A binding that somebody made."""
    return {
        "source": readable(binding.source.name),
        "vhost": vhost.name,
        "destination": readable(binding.destination.name),
        "destination_type": "exchange" if isinstance(binding.destination, Exchange) else "queue",
        "routing_key": readable(binding.routing_key),
        "arguments": json_of_table(binding.arguments),
        "properties_key": properties_key(binding.routing_key, binding.arguments),
    }


def default_binding_record(queue: Queue, vhost: Vhost) -> Record:
    """The binding that every queue has to the default exchange (rule 3.6)."""
    name = readable(queue.name)
    return {
        "source": DEFAULT_EXCHANGE,
        "vhost": vhost.name,
        "destination": name,
        "destination_type": "queue",
        "routing_key": name,
        "arguments": {},
        "properties_key": properties_key(queue.name, {}),
    }


def bindings_of(vhost: Vhost) -> Iterator[Binding]:
    """All bindings of a vhost that somebody made."""
    for exchange in vhost.exchanges.values():
        yield from exchange.bindings.values()


def bindings_to(vhost: Vhost, destination: Exchange | Queue) -> Iterator[Binding]:
    """The bindings that lead to a queue or an exchange."""
    for exchange in vhost.exchanges.values():
        if exchange.leads_to(destination):
            yield from (binding for binding in exchange.bindings.values() if binding.destination is destination)


NO_KEY: Final = "~"
"""Names a binding without routing key and arguments."""


def properties_key(routing_key: str, arguments: Table) -> str:
    """What tells bindings between the same two things apart, fit for a path."""
    if not routing_key and not arguments:
        return NO_KEY
    key = quote_plus(routing_key.encode("utf-8", "surrogateescape")).replace("~", "%7E")
    if not arguments:
        return key
    in_order = encode_table(dict(sorted(arguments.items())))
    digest = hashlib.blake2b(in_order, digest_size=6).digest()
    return f"{key}~{base64.urlsafe_b64encode(digest).decode()}"
