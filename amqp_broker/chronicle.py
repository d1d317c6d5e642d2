"""Changes of topology, told to storage and to observers, and made again after a restart.

What is durable goes to storage as a change (rule 7.1); everything is an event. Decides nothing: the
vhost says what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from amqp_broker.events import EventKind, Events
from amqp_broker.queues.arguments import QueueType, parse_arguments
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.binding import Binding, Destination, Keeper
from amqp_broker.routing.exchange import Exchange
from amqp_broker.storage.definitions import Change, ChangeKind, queue_id_of, text_of
from amqp_broker.storage.interface import Storage
from amqp_codec import Int64, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.vhost import Vhost

log = logging.getLogger(__name__)


class Chronicle:
    """Where one vhost's changes of topology are told."""

    def __init__(self, vhost: str, storage: Storage, events: Events) -> None:
        self._vhost = vhost
        self._storage = storage
        self._events = events

    def exchange_declared(self, exchange: Exchange, user: str) -> None:
        if exchange.durable:
            self._storage.changed(_exchange_declared(self._vhost, exchange))
        self._events.emit(
            EventKind.EXCHANGE_CREATED,
            name=exchange.name,
            vhost=self._vhost,
            type=exchange.type,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            internal=exchange.internal,
            arguments=exchange.arguments,
            user_who_performed_action=user,
        )

    def exchange_deleted(self, exchange: Exchange, user: str) -> None:
        if exchange.durable:
            self._deleted(ChangeKind.EXCHANGE_DELETED, exchange.name)
        self._events.emit(
            EventKind.EXCHANGE_DELETED, name=exchange.name, vhost=self._vhost, user_who_performed_action=user
        )

    def queue_declared(self, queue: Queue, user: str) -> None:
        if queue.durable:
            self._storage.changed(_queue_declared(self._vhost, queue))
        self._events.emit(
            EventKind.QUEUE_CREATED,
            name=queue.name,
            vhost=self._vhost,
            durable=queue.durable,
            auto_delete=queue.auto_delete,
            exclusive=queue.exclusive_owner is not None,
            type=queue.options.type,
            arguments=queue.arguments,
            user_who_performed_action=user,
        )

    def queue_deleted(self, queue: Queue) -> None:
        """A queue is about to go; `left` is to be told when it has."""
        if queue.durable:
            self._deleted(ChangeKind.QUEUE_DELETED, queue.name)

    def left(self, queue: Queue, user: str) -> None:
        """A queue has gone, as storage knows."""
        self._events.emit(
            EventKind.QUEUE_DELETED,
            name=queue.name,
            vhost=self._vhost,
            type=queue.options.type,
            user_who_performed_action=user,
        )

    def bound(self, binding: Binding, user: str) -> None:
        if _is_durable(binding):
            self._storage.changed(_binding_change(ChangeKind.BOUND, self._vhost, binding))
        self._emit_binding(EventKind.BINDING_CREATED, binding, user)

    def unbound(self, binding: Binding, user: str) -> None:
        if _is_durable(binding):
            self._storage.changed(_binding_change(ChangeKind.UNBOUND, self._vhost, binding))
        self._emit_binding(EventKind.BINDING_DELETED, binding, user)

    def cut_off(self, binding: Binding, user: str) -> None:
        """A binding has gone with one of its ends: storage knows, for it was told of that."""
        self._emit_binding(EventKind.BINDING_DELETED, binding, user)

    def _deleted(self, kind: ChangeKind, name: str) -> None:
        self._storage.changed(Change(kind, {"vhost": self._vhost, "name": name}))

    def _emit_binding(self, kind: EventKind, binding: Binding, user: str) -> None:
        self._events.emit(
            kind,
            vhost=self._vhost,
            source_name=binding.source.name,
            source_kind="exchange",
            destination_name=binding.destination.name,
            destination_kind=binding.key.kind,
            routing_key=binding.routing_key,
            arguments=binding.arguments,
            user_who_performed_action=user,
        )


def definitions(vhost: Vhost) -> Iterator[Change]:
    """A vhost and its durable topology, as changes that lead to it (rule 7.1)."""
    yield vhost_set(vhost)
    durable = [exchange for exchange in vhost.exchanges.values() if exchange.durable]
    yield from (
        _exchange_declared(vhost.name, exchange) for exchange in durable if not vhost.is_predeclared(exchange.name)
    )
    yield from (_queue_declared(vhost.name, queue) for queue in vhost.queues.values() if queue.durable)
    for exchange in durable:
        for binding in exchange.bindings.values():
            if _is_durable(binding):
                yield _binding_change(ChangeKind.BOUND, vhost.name, binding)


def restore(vhost: Vhost, change: Change) -> Queue | Keeper | None:
    """Carry out what `definitions` gave; gives what may have messages to be restored."""
    table = change.table
    arguments = table["arguments"]
    assert isinstance(arguments, dict)
    if change.kind is ChangeKind.EXCHANGE_DECLARED:
        exchange = Exchange(
            text_of(table, "name"),
            text_of(table, "type"),
            durable=True,
            auto_delete=table["auto_delete"] is True,
            internal=table["internal"] is True,
            arguments=arguments,
        )
        vhost.add_exchange(exchange, queue_id_of(table))
        return exchange.keeper
    if change.kind is ChangeKind.QUEUE_DECLARED:
        return vhost.add_queue(
            text_of(table, "name"),
            queue_id=queue_id_of(table),
            durable=True,
            exclusive_owner=None,
            auto_delete=table["auto_delete"] is True,
            arguments=arguments,
            options=parse_arguments(arguments, text_of(table, "name"), vhost.name),
        )
    source = vhost.exchanges.get(text_of(table, "source"))
    name = text_of(table, "destination")
    destination = vhost.queues.get(name) if table["to_queue"] is True else vhost.exchanges.get(name)
    if source is None or destination is None:  # its declaration is lost, which only damage does
        log.error("a binding is lost, for one of its ends is: %r", table)
    else:
        vhost.add_binding(source, destination, text_of(table, "routing_key"), arguments)
    return None


def vhost_set(vhost: Vhost) -> Change:
    """A vhost as it is now, without what is in it."""
    return Change(
        ChangeKind.VHOST_SET,
        {
            "vhost": vhost.name,
            "description": vhost.description,
            "tags": list(vhost.tags),
            "default_queue_type": str(vhost.default_queue_type),
            "is_tracing": vhost.is_tracing,
            "is_protected": vhost.is_protected,
        },
    )


def restore_vhost(vhost: Vhost, table: Table) -> None:
    """Make a vhost what `vhost_set` told of it."""
    tags = table["tags"]
    assert isinstance(tags, list)
    vhost.description = text_of(table, "description")
    vhost.tags = tuple(tag.decode() if isinstance(tag, bytes) else str(tag) for tag in tags)
    vhost.default_queue_type = QueueType(text_of(table, "default_queue_type"))
    vhost.is_tracing = table["is_tracing"] is True
    vhost.is_protected = table["is_protected"] is True


def _exchange_declared(vhost: str, exchange: Exchange) -> Change:
    table: Table = {
        "vhost": vhost,
        "name": exchange.name,
        "type": exchange.type,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": exchange.arguments,
    }
    if exchange.keeper is not None:
        table["id"] = Int64(exchange.keeper.id)
    return Change(ChangeKind.EXCHANGE_DECLARED, table)


def _queue_declared(vhost: str, queue: Queue) -> Change:
    return Change(
        ChangeKind.QUEUE_DECLARED,
        {
            "vhost": vhost,
            "name": queue.name,
            "id": Int64(queue.id),
            "auto_delete": queue.auto_delete,
            "arguments": queue.arguments,
        },
    )


def _binding_change(kind: ChangeKind, vhost: str, binding: Binding) -> Change:
    return Change(
        kind,
        {
            "vhost": vhost,
            "source": binding.source.name,
            "to_queue": isinstance(binding.destination, Queue),
            "destination": binding.destination.name,
            "routing_key": binding.routing_key,
            "arguments": binding.arguments,
        },
    )


def _is_durable(binding: Binding) -> bool:
    """A binding is durable when both its ends are (rule 7.1)."""
    return binding.source.durable and _has_durable_end(binding.destination)


def _has_durable_end(destination: Exchange | Destination) -> bool:
    return isinstance(destination, Exchange | Queue) and destination.durable
