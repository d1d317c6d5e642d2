"""A virtual host: its exchanges, queues and bindings by name, and the way of a message between them.

Knows no client: permissions, `no-wait` and replies are the session's. Every change of topology goes
through here, and so does every message, published or dead-lettered. Source: chapters 3 and 4.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, cast

from amqp_broker.auth.permissions import Access
from amqp_broker.config import Config
from amqp_broker.deaths import DeathReason
from amqp_broker.errors import (
    access_refused,
    entity,
    not_found,
    not_implemented,
    precondition_failed,
    resource_locked,
)
from amqp_broker.message import Message
from amqp_broker.queues.arguments import (
    QueueOptions,
    QueueType,
    check_equivalent_arguments,
    check_flags,
    parse_arguments,
)
from amqp_broker.queues.dead_letter import dead_lettered, is_cycle
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.queue import Queue, QueueHooks
from amqp_broker.queues.quorum import QuorumQueue
from amqp_broker.queues.reply import NoRequester, ReplyConsumer, is_reply_name
from amqp_broker.routing.binding import Binding, Destination
from amqp_broker.routing.equivalence import check_equivalent_argument, check_equivalent_flag
from amqp_broker.routing.exchange import (
    ALTERNATE_EXCHANGE,
    DEFAULT_EXCHANGE,
    Exchange,
    default_exchange,
    route,
)
from amqp_broker.routing.types import EXCHANGE_TYPES
from amqp_broker.storage.definitions import Change, ChangeKind, text_of
from amqp_broker.storage.interface import Storage
from amqp_broker.timers import Timers
from amqp_codec import ByteArray, Int64, Table, decode_address, encode_address, field_type_name

log = logging.getLogger(__name__)

PREDECLARED: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}
"""Exchanges every vhost has from the beginning, beside the default one (rule 3.1)."""

TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"


Authorize = Callable[[Access, str, str], None]
"""Lets the one who asks do something to a kind of thing ("exchange", "queue") of a name, or raises AMQPError 403."""


class Target(Protocol):
    """Where a message can end: a queue, or a requester that waits for its reply."""

    @property
    def name(self) -> str: ...

    @property
    def is_deleted(self) -> bool: ...

    def enqueue(self, message: Message) -> bool:
        """Take a message; False when it is refused."""


class Route:
    """Where messages with one address go: the queues, and the exchange they come through."""

    __slots__ = ("cacheable", "exchange", "queues")

    def __init__(self, exchange: Exchange, queues: tuple[Target, ...], cacheable: bool) -> None:
        self.exchange = exchange
        self.queues = queues
        self.cacheable = cacheable


class Vhost:
    """One virtual host.

    Attributes:
        max_connections: None or a negative number for no limit (rule 8.8).
        requesters: who waits for direct replies, by the name that leads there.
        routes: for addresses published to before, where they lead; forgotten with every change of
            topology, so that a publish to a known address costs one look-up.
    """

    def __init__(self, name: str, config: Config, timers: Timers, storage: Storage) -> None:
        self.name = name
        self.storage = storage
        self.max_connections: int | None = None
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.requesters: dict[str, ReplyConsumer] = {}
        self.routes: dict[bytes, Route] = {}
        self._max_routes = config.max_cached_routes
        self._window_octets = config.queue_window_octets
        self._timers = timers
        self._hooks = QueueHooks(self._dead_letter, self._unused, self._unused)
        self._sources: dict[tuple[bool, str], dict[Exchange, None]] = {}
        """For each destination (is it an exchange, its name) the exchanges that may have bindings to it."""
        self._dead_letters: deque[tuple[Queue, Message, DeathReason, QueueEntry | None]] = deque()
        self._burying = False
        self._add_exchange(default_exchange(self._target_named))
        for exchange_name, exchange_type in PREDECLARED.items():
            self._add_exchange(Exchange(exchange_name, exchange_type, durable=True))
        self._add_exchange(Exchange(TRACE_EXCHANGE, "topic", durable=True, internal=True))

    # What survives a restart

    def definitions(self) -> Iterator[Change]:
        """The durable topology, as changes that lead to it (rule 7.1)."""
        durable = [exchange for exchange in self.exchanges.values() if exchange.durable]
        yield from (self._exchange_declared(exchange) for exchange in durable if not _is_predeclared(exchange.name))
        yield from (self._queue_declared(queue) for queue in self.queues.values() if queue.durable)
        for exchange in durable:
            for binding in exchange.bindings.values():
                if _is_durable(binding.destination):
                    yield self._binding_change(ChangeKind.BOUND, binding)

    def restore(self, change: Change) -> Queue | None:
        """Carry out what `definitions` gave; gives the queue if it was one."""
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
            self.exchanges[exchange.name] = exchange
        elif change.kind is ChangeKind.QUEUE_DECLARED:
            queue_id = table["id"]
            assert isinstance(queue_id, int)
            return self._make_queue(
                text_of(table, "name"),
                queue_id=int(queue_id),
                durable=True,
                exclusive_owner=None,
                auto_delete=table["auto_delete"] is True,
                arguments=arguments,
                options=parse_arguments(arguments, text_of(table, "name"), self.name),
            )
        else:
            source = self.exchanges.get(text_of(table, "source"))
            name = text_of(table, "destination")
            destination = self.queues.get(name) if table["to_queue"] is True else self.exchanges.get(name)
            if source is None or destination is None:  # its declaration is lost, which only damage does
                log.error("a binding is lost, for one of its ends is: %r", table)
            else:
                self._bind(source, destination, text_of(table, "routing_key"), arguments)
        return None

    # Messages

    def find_route(self, address: bytes) -> Route:
        """Resolve an address that is not in `routes`, and remember it there if that may be.

        Raises:
            AMQPError: 404 for a missing exchange, 403 for an internal one (rules 5.3 and 3.15).
        """
        exchange_name, routing_key = decode_address(address)
        exchange = self.exchange(exchange_name)
        if exchange.internal:
            raise access_refused(f"cannot publish to internal {entity('exchange', exchange_name, self.name)}")
        found = self.route(exchange, (routing_key,), None)
        if len(self.routes) >= self._max_routes:
            self.routes.clear()
        self.routes[address] = found
        return found

    def route(self, exchange: Exchange, routing_keys: Sequence[str], headers: Table | None) -> Route:
        """Follow bindings and alternates from an exchange to the queues (rule 3.22)."""
        found = route(exchange, routing_keys, headers, self.exchanges.get)
        return Route(exchange, cast("tuple[Target, ...]", found.queues), found.cacheable)

    def publish(self, message: Message, queues: Sequence[Target]) -> bool:
        """Put a message into queues.

        Returns:
            False when any of them refused it (rule 6.7); the others have it.
        """
        if len(queues) == 1:
            return queues[0].enqueue(message)
        accepted = True
        self.storage.begin(message)
        for queue in queues:
            if not queue.enqueue(message):
                accepted = False
        self.storage.end()
        return accepted

    # Exchanges

    def exchange(self, name: str) -> Exchange:
        """Look up an exchange. Raises AMQPError 404."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise not_found("exchange", name, self.name)
        return exchange

    def declare_exchange(
        self,
        name: str,
        type_: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        authorize: Authorize,
    ) -> Exchange:
        """Make an exchange, or find that it is there as asked.

        Raises:
            AMQPError: in the order of rule 3.2.
        """
        if type_ not in EXCHANGE_TYPES:
            raise precondition_failed(f"unknown exchange type '{type_}'")
        self.refuse_default_exchange(name)
        authorize(Access.CONFIGURE, "exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is not None:
            self._check_same_exchange(exchange, type_, durable, auto_delete, internal, arguments)
            return exchange
        if name.startswith("amq."):
            raise access_refused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
        alternate = arguments.get(ALTERNATE_EXCHANGE)
        if alternate is not None and (isinstance(alternate, ByteArray) or not isinstance(alternate, bytes)):
            raise precondition_failed(
                f"invalid type '{field_type_name(alternate)}' for arg '{ALTERNATE_EXCHANGE}' "
                f"in {entity('exchange', name, self.name)}"
            )
        exchange = Exchange(
            name, type_, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
        if exchange.alternate is not None:
            authorize(Access.READ, "exchange", name)
            authorize(Access.WRITE, "exchange", exchange.alternate)
        self._add_exchange(exchange)
        if durable:
            self.storage.changed(self._exchange_declared(exchange))
        return exchange

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Delete an exchange and all its bindings; a missing one is no error (rules 3.12 and 3.13)."""
        self.refuse_default_exchange(name)
        if name.startswith("amq."):
            raise access_refused(f"deletion of system {entity('exchange', name, self.name)} not allowed")
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.has_bindings:
            raise precondition_failed(f"{entity('exchange', name, self.name)} in use")
        self._remove_exchange(exchange)

    def refuse_default_exchange(self, name: str) -> None:
        """All that can be done with the default exchange is publish to it (rule 3.6)."""
        if name == DEFAULT_EXCHANGE:
            raise access_refused("operation not permitted on the default exchange")

    # Queues

    def queue(self, name: str) -> Queue:
        """Look up a queue. Raises AMQPError 404."""
        queue = self.queues.get(name)
        if queue is None:
            raise not_found("queue", name, self.name)
        return queue

    def usable_queue(self, name: str, connection: object) -> Queue:
        """Look up a queue that a connection may use. Raises AMQPError 404 or 405 (rule 4.7)."""
        queue = self.queue(name)
        if queue.exclusive_owner not in (None, connection):
            raise resource_locked(name, self.name)
        return queue

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: Table,
        connection: object,
        authorize: Authorize,
    ) -> Queue:
        """Make a queue, or find that it is there as asked (rules 4.3 to 4.17).

        Args:
            name: not empty; generated names are made by the caller.
            durable: ignored for an exclusive queue (rule 4.6).
            exclusive_owner: the declaring connection if the queue is to be exclusive.
            auto_delete: it goes with its last consumer.
            arguments: the x-arguments as they came.
            connection: who asks.
            authorize: whether they may.
        """
        durable = durable and exclusive_owner is None
        authorize(Access.CONFIGURE, "queue", name)
        queue = self.queues.get(name)
        if queue is not None:
            self.usable_queue(name, connection)
            self._check_same_queue(queue, durable, exclusive_owner, auto_delete, arguments)
            queue.redeclared()
            return queue
        options = parse_arguments(arguments, name, self.name)
        check_flags(
            options.type,
            durable=durable,
            exclusive=exclusive_owner is not None,
            auto_delete=auto_delete,
            name=name,
            vhost=self.name,
        )
        if options.type is QueueType.STREAM:
            raise not_implemented("queues of type stream")
        if options.dead_letter_exchange is not None:
            authorize(Access.READ, "queue", name)
            authorize(Access.WRITE, "exchange", options.dead_letter_exchange)
        queue = self._make_queue(
            name,
            queue_id=self.storage.new_queue_id(),
            durable=durable,
            exclusive_owner=exclusive_owner,
            auto_delete=auto_delete,
            arguments=arguments,
            options=options,
        )
        if durable:
            self.storage.changed(self._queue_declared(queue))
        return queue

    def delete_queue(self, queue: Queue, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete a queue; gives the number of ready messages dropped (rules 4.19 to 4.21).

        Raises:
            AMQPError: 406 when a condition does not hold.
        """
        if if_empty and queue.message_count:
            raise precondition_failed(f"{entity('queue', queue.name, self.name)} not empty")
        if if_unused and len(queue.consumers):
            raise precondition_failed(f"{entity('queue', queue.name, self.name)} in use")
        count = queue.message_count
        self._remove_queue(queue)
        return count

    # Direct reply-to

    def add_requester(self, requester: ReplyConsumer) -> None:
        """From now on replies find this requester."""
        self.requesters[requester.name] = requester

    def remove_requester(self, requester: ReplyConsumer) -> None:
        """Replies to it are dropped from now on; no other message is concerned."""
        requester.is_deleted = True
        del self.requesters[requester.name]
        self.routes.pop(encode_address(DEFAULT_EXCHANGE, requester.name), None)

    # Bindings

    def bind(self, source: Exchange, destination: Exchange | Queue, routing_key: str, arguments: Table) -> None:
        """Bind; a second time is no error (rule 3.17). Raises AMQPError 406 for what the type refuses."""
        source.check_binding(routing_key, arguments)
        binding = self._bind(source, destination, routing_key, arguments)
        if binding is not None and source.durable and destination.durable:
            self.storage.changed(self._binding_change(ChangeKind.BOUND, binding))

    def unbind(self, source: Exchange, destination: Exchange | Queue, routing_key: str, arguments: Table) -> None:
        """Unbind; what is not there is no error (rule 3.18)."""
        binding = source.unbind(destination, routing_key, arguments)
        if binding is not None:
            if source.durable and destination.durable:
                self.storage.changed(self._binding_change(ChangeKind.UNBOUND, binding))
            self._forget_source(binding)
            self._drop_unused([source])
            self.routes.clear()

    # Helpers

    def _make_queue(
        self,
        name: str,
        *,
        queue_id: int,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: Table,
        options: QueueOptions,
    ) -> Queue:
        """Make a queue of the type its options name."""
        make = QuorumQueue if options.type is QueueType.QUORUM else Queue
        queue = make(
            name,
            queue_id=queue_id,
            durable=durable,
            exclusive_owner=exclusive_owner,
            auto_delete=auto_delete,
            arguments=arguments,
            options=options,
            timers=self._timers,
            storage=self.storage,
            hooks=self._hooks,
            window_octets=self._window_octets,
        )
        self.queues[name] = queue
        self.routes.clear()
        return queue

    def _exchange_declared(self, exchange: Exchange) -> Change:
        return Change(
            ChangeKind.EXCHANGE_DECLARED,
            {
                "vhost": self.name,
                "name": exchange.name,
                "type": exchange.type,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": exchange.arguments,
            },
        )

    def _queue_declared(self, queue: Queue) -> Change:
        return Change(
            ChangeKind.QUEUE_DECLARED,
            {
                "vhost": self.name,
                "name": queue.name,
                "id": Int64(queue.id),
                "auto_delete": queue.auto_delete,
                "arguments": queue.arguments,
            },
        )

    def _binding_change(self, kind: ChangeKind, binding: Binding) -> Change:
        return Change(
            kind,
            {
                "vhost": self.name,
                "source": binding.source.name,
                "to_queue": isinstance(binding.destination, Queue),
                "destination": binding.destination.name,
                "routing_key": binding.routing_key,
                "arguments": binding.arguments,
            },
        )

    def _deleted(self, kind: ChangeKind, name: str) -> None:
        self.storage.changed(Change(kind, {"vhost": self.name, "name": name}))

    def _bind(
        self, source: Exchange, destination: Exchange | Queue, routing_key: str, arguments: Table
    ) -> Binding | None:
        """Bind; gives None when the binding was there already."""
        binding = source.bind(destination, routing_key, arguments)
        if binding is not None:
            self._sources.setdefault(_identity(destination), {})[source] = None
            self.routes.clear()
        return binding

    def _target_named(self, name: str) -> Target | None:
        """What the default exchange leads to under a name."""
        queue = self.queues.get(name)
        if queue is None and is_reply_name(name):
            return self.requesters.get(name) or NoRequester()
        return queue

    def _add_exchange(self, exchange: Exchange) -> None:
        self.exchanges[exchange.name] = exchange
        self.routes.clear()

    def _check_same_exchange(
        self,
        exchange: Exchange,
        type_: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
    ) -> None:
        where = entity("exchange", exchange.name, self.name)
        check_equivalent_flag("type", exchange.type, type_, where)
        check_equivalent_flag("durable", exchange.durable, durable, where)
        check_equivalent_flag("auto_delete", exchange.auto_delete, auto_delete, where)
        check_equivalent_flag("internal", exchange.internal, internal, where)
        check_equivalent_argument(
            ALTERNATE_EXCHANGE,
            exchange.arguments.get(ALTERNATE_EXCHANGE),
            arguments.get(ALTERNATE_EXCHANGE),
            where,
        )

    def _check_same_queue(
        self, queue: Queue, durable: bool, exclusive_owner: object | None, auto_delete: bool, arguments: Table
    ) -> None:
        if queue.exclusive_owner is not exclusive_owner:
            raise resource_locked(queue.name, self.name)
        where = entity("queue", queue.name, self.name)
        check_equivalent_flag("durable", queue.durable, durable, where)
        check_equivalent_flag("auto_delete", queue.auto_delete, auto_delete, where)
        check_equivalent_arguments(queue.arguments, arguments, queue.options.type, where)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        if exchange.durable:
            self._deleted(ChangeKind.EXCHANGE_DELETED, exchange.name)
        for binding in list(exchange.bindings.values()):
            exchange.unbind(binding.destination, binding.routing_key, binding.arguments)
            self._forget_source(binding)
        self._drop_unused(self._cut_off(exchange))
        self.routes.clear()

    def _remove_queue(self, queue: Queue) -> None:
        del self.queues[queue.name]
        if queue.durable:
            self._deleted(ChangeKind.QUEUE_DELETED, queue.name)
        queue.delete()
        self._drop_unused(self._cut_off(queue))
        self.routes.clear()

    def _cut_off(self, destination: Exchange | Queue) -> list[Exchange]:
        """Remove all bindings to something; gives the exchanges that had them."""
        sources = self._sources.pop(_identity(destination), {})
        return [source for source in sources if source.unbind_destination(destination)]

    def _drop_unused(self, exchanges: list[Exchange]) -> None:
        """Drop the auto-delete exchanges among these that have no binding left, and what they strand.

        A chain or a loop of such exchanges vanishes in one go (rule 3.14), however long it is.
        """
        while exchanges:
            exchange = exchanges.pop()
            is_there = self.exchanges.get(exchange.name) is exchange
            if is_there and exchange.auto_delete and not exchange.has_bindings:
                del self.exchanges[exchange.name]
                if exchange.durable:
                    self._deleted(ChangeKind.EXCHANGE_DELETED, exchange.name)
                exchanges.extend(self._cut_off(exchange))

    def _forget_source(self, binding: Binding) -> None:
        destination = _identity(binding.destination)
        sources = self._sources.get(destination)
        if sources is None or binding.source.leads_to(binding.destination):
            return
        sources.pop(binding.source, None)
        if not sources:
            del self._sources[destination]

    def _unused(self, queue: Queue) -> None:
        """A queue has ended by itself: auto-delete or expiry."""
        if self.queues.get(queue.name) is queue:
            self._remove_queue(queue)

    def _dead_letter(self, queue: Queue, message: Message, reason: DeathReason, entry: QueueEntry | None) -> None:
        """Send a dead message on (rule 4.36).

        One death can cause the next, in a chain as long as somebody cares to declare: they are worked
        off one after the other, not one inside the other.
        """
        self._dead_letters.append((queue, message, reason, entry))
        if self._burying:
            return
        self._burying = True
        try:
            while self._dead_letters:
                queue, message, reason, entry = self._dead_letters.popleft()
                self._bury(queue, message, reason)
                if entry is not None:
                    queue.gone(entry)
        finally:
            self._burying = False

    def _bury(self, queue: Queue, message: Message, reason: DeathReason) -> None:
        name = queue.options.dead_letter_exchange
        exchange = None if name is None else self.exchanges.get(name)
        if name is None or exchange is None:
            return
        dead = dead_lettered(
            message, queue.name, reason, self._timers.now(), name, queue.options.dead_letter_routing_key
        )
        found = self.route(exchange, dead.routing_keys, dead.header.properties.headers)
        self.publish(dead, [target for target in found.queues if not is_cycle(dead, target.name)])


def _is_predeclared(name: str) -> bool:
    return name in PREDECLARED or name in (DEFAULT_EXCHANGE, TRACE_EXCHANGE)


def _is_durable(destination: Exchange | Destination) -> bool:
    return isinstance(destination, Exchange | Queue) and destination.durable


def _identity(destination: Exchange | Destination) -> tuple[bool, str]:
    """Tell a queue from an exchange of the same name."""
    return (isinstance(destination, Exchange), destination.name)
