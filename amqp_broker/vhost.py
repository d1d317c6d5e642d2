"""A virtual host: its exchanges, queues and bindings by name, and the way of a message between them.

Knows no client: permissions, `no-wait` and replies are the session's. Every change of topology goes
through here, and so does every message, published or dead-lettered. Source: chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

from amqp_broker.auth.permissions import Access
from amqp_broker.chronicle import Chronicle
from amqp_broker.config import Config
from amqp_broker.deaths import DeathReason
from amqp_broker.errors import (
    access_refused,
    entity,
    not_found,
    precondition_failed,
    resource_locked,
)
from amqp_broker.events import INTERNAL_USER, Events
from amqp_broker.interceptors import interceptor_from
from amqp_broker.message import Message
from amqp_broker.past import Past
from amqp_broker.policies import NO_POLICIES, Policies, effective_alternate, effective_arguments, merged
from amqp_broker.queues.arguments import (
    QueueOptions,
    QueueType,
    check_equivalent_arguments,
    check_flags,
    options_of,
    parse_arguments,
    with_default_type,
)
from amqp_broker.queues.dead_letter import DeadLetters, dead_lettered, is_cycle
from amqp_broker.queues.furnishing import furnish
from amqp_broker.queues.history import History
from amqp_broker.queues.queue import Queue, QueueHooks
from amqp_broker.queues.quorum import QuorumQueue
from amqp_broker.queues.reply import NoRequester, ReplyConsumer, is_reply_name
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.queues.target import Target
from amqp_broker.routing.binding import Binding
from amqp_broker.routing.declaration import check_alternate, check_same_exchange
from amqp_broker.routing.dice import LocalRandomMatcher
from amqp_broker.routing.duplicates import Admitted, remember
from amqp_broker.routing.equivalence import check_equivalent_flag
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange, alternate_argument, default_exchange, route
from amqp_broker.routing.sources import Sources
from amqp_broker.routing.types import EXCHANGE_TYPES
from amqp_broker.storage.interface import Storage
from amqp_broker.timers import Timers
from amqp_codec import Properties, Table, decode_address, encode_address

PREDECLARED: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}
"""Exchanges every vhost has from the beginning, beside the default one (rule 3.1)."""

QUEUE_CLASSES: Final = {
    QueueType.CLASSIC: Queue,
    QueueType.QUORUM: QuorumQueue,
    QueueType.STREAM: StreamQueue,
}

TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"


Authorize = Callable[[Access, str, str], None]
"""Lets the one who asks do something to a kind of thing ("exchange", "queue") of a name, or raises AMQPError 403."""


class Route:
    """Where messages with one address go: the queues, and the exchange they come through.

    Attributes:
        cacheable: all messages with this address go there, as long as topology stays.
        is_routed: some of the queues is a place to go, and not only where messages are recorded.
        admitted: see `routing.exchange.Route`, as for `is_repeated`.
    """

    __slots__ = ("admitted", "cacheable", "counters", "exchange", "is_repeated", "is_routed", "queues")

    def __init__(
        self,
        exchange: Exchange,
        queues: tuple[Target, ...],
        cacheable: bool,
        is_routed: bool,
        admitted: Admitted,
        is_repeated: bool,
    ) -> None:
        self.exchange = exchange
        self.counters = exchange.counters
        self.queues = queues
        self.cacheable = cacheable
        self.is_routed = is_routed
        self.admitted = admitted
        self.is_repeated = is_repeated


class Vhost:
    """One virtual host.

    Attributes:
        description: for people, as are the tags.
        default_queue_type: of queues whose declare names none (rule 4.16).
        is_tracing: publishes and deliveries are told to the trace exchange too (rule 5.56); see `Broker.set_tracing`.
        is_protected: it must not be deleted.
        max_connections: None or a negative number for no limit (rule 8.8).
        max_queues: the same (rule 4.18).
        policies: what they make of queues and exchanges has been applied.
        requesters: who waits for direct replies, by the name that leads there.
        interceptor: what is done to the header of each message published (rule 5.57); with it, as with tracing,
            no route is remembered.
        routes: for addresses published to before, where they lead; forgotten with every change of
            topology, so that a publish to a known address costs one look-up.
        past: what was counted on channels and queues that are gone.
    """

    def __init__(self, name: str, config: Config, timers: Timers, storage: Storage, events: Events) -> None:
        self.name = name
        self.storage = storage
        self.description = ""
        self.tags: tuple[str, ...] = ()
        self.is_tracing = False
        self.is_protected = False
        self.max_connections: int | None = None
        self.max_queues: int | None = None
        self.default_queue_type = QueueType(config.default_queue_type)
        self.policies = NO_POLICIES
        self.interceptor = interceptor_from(config, timers.now)
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.requesters: dict[str, ReplyConsumer] = {}
        self.routes: dict[bytes, Route] = {}
        self.past = Past()
        self._max_routes = config.max_cached_routes
        self._window_octets = config.queue_window_octets
        self._timers = timers
        self._letters = DeadLetters(self._bury)
        self._hooks = QueueHooks(self._letters.add, self._letters.bury_again, self._unused, self._unused, name)
        self._chronicle = Chronicle(name, storage, events)
        self._sources = Sources()
        self.add_exchange(default_exchange(self._target_named))
        for exchange_name, exchange_type in PREDECLARED.items():
            self.add_exchange(Exchange(exchange_name, exchange_type, durable=True))
        self.add_exchange(Exchange(TRACE_EXCHANGE, "topic", durable=True, internal=True))

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

    def route(
        self,
        exchange: Exchange,
        routing_keys: Sequence[str],
        properties: Properties | None,
        *,
        is_admitted: bool = False,
    ) -> Route:
        """Follow bindings and alternates from an exchange to the queues (rule 3.22); see `routing.exchange.route`."""
        found = route(exchange, routing_keys, properties, self.exchanges.get, is_admitted=is_admitted)
        queues = cast("tuple[Target, ...]", found.queues)
        cacheable = found.cacheable and not self.is_tracing and self.interceptor is None
        return Route(exchange, queues, cacheable, found.is_routed, found.admitted, found.is_repeated)

    def publish(self, message: Message, queues: Sequence[Target]) -> bool:
        """Put a message into queues; what dies of it in some is sent on when all others have it (rule 4.36).

        Returns:
            False when any of them refused it (rule 6.7); the others have it.
        """
        if len(queues) == 1:
            target = queues[0]
            return target.enqueue(message)
        accepted = True
        is_mine = self._letters.hold()
        try:
            self.storage.begin(message)
            for target in queues:
                if not target.enqueue(message):
                    accepted = False
            self.storage.end()
        finally:
            if is_mine:
                self._letters.release()
        return accepted

    def set_tracing(self, on: bool) -> None:
        """Have each publish take the way on which it is traced, or no more; see `Broker.set_tracing`."""
        self.is_tracing = on
        self.routes.clear()

    # Exchanges

    @staticmethod
    def is_predeclared(name: str) -> bool:
        """Whether every vhost has an exchange of this name from the beginning (rule 3.1)."""
        return name in PREDECLARED or name in (DEFAULT_EXCHANGE, TRACE_EXCHANGE)

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
        check_limit: Callable[[str, str], None] | None = None,
        user: str = INTERNAL_USER,
    ) -> Exchange:
        """Make an exchange, or find that it is there as asked.

        Args:
            name: may be that of one that is there.
            type_: any; an unknown one is refused.
            durable: it survives a restart.
            auto_delete: it goes with its last binding.
            internal: clients can't publish to it.
            arguments: the x-arguments as they came.
            authorize: whether they may.
            check_limit: asked before there is one more, with its name and the vhost's; raises AMQPError.
            user: whose doing it is, for events.

        Raises:
            AMQPError: in the order of rule 3.2.
        """
        if type_ not in EXCHANGE_TYPES:
            raise precondition_failed(f"unknown exchange type '{type_}'")
        self.refuse_default_exchange(name)
        authorize(Access.CONFIGURE, "exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is not None:
            check_same_exchange(exchange, type_, durable, auto_delete, internal, arguments, self.name)
            return exchange
        if name.startswith("amq."):
            raise access_refused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
        check_alternate(arguments, name, self.name)
        if check_limit is not None:
            check_limit(name, self.name)
        alternate = alternate_argument(arguments)
        if alternate is not None:
            authorize(Access.READ, "exchange", name)
            authorize(Access.WRITE, "exchange", alternate)
        return self.make_exchange(
            name, type_, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments, user=user
        )

    def make_exchange(
        self,
        name: str,
        type_: str,
        *,
        durable: bool,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Table | None = None,
        user: str,
    ) -> Exchange:
        """Make an exchange, whatever its name. Raises AMQPError 406 for arguments that its type can't have."""
        exchange = Exchange(
            name, type_, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments or {}
        )
        self.add_exchange(exchange)
        self._chronicle.exchange_declared(exchange, user)
        return exchange

    def delete_exchange(self, name: str, *, if_unused: bool, user: str = INTERNAL_USER) -> None:
        """Delete an exchange and all its bindings; a missing one is no error (rules 3.12 and 3.13)."""
        self.refuse_default_exchange(name)
        if name.startswith("amq."):
            raise access_refused(f"deletion of system {entity('exchange', name, self.name)} not allowed")
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.has_bindings:
            raise precondition_failed(f"{entity('exchange', name, self.name)} in use")
        self._remove_exchange(exchange, user)

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
        check_limit: Callable[[str], None] | None = None,
        user: str = INTERNAL_USER,
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
            check_limit: asked before there is one more, with its name; raises AMQPError.
            user: whose doing it is, for events.
        """
        durable = durable and exclusive_owner is None
        arguments = with_default_type(
            arguments,
            self.default_queue_type,
            durable=durable,
            exclusive=exclusive_owner is not None,
            auto_delete=auto_delete,
        )
        authorize(Access.CONFIGURE, "queue", name)
        queue = self.queues.get(name)
        if queue is not None:
            self.usable_queue(name, connection)
            self._check_same_queue(queue, durable, exclusive_owner, auto_delete, arguments)
            queue.redeclared()
            return queue
        self._check_queue_limit(name)
        if check_limit is not None:
            check_limit(name)
        options = parse_arguments(arguments, name, self.name)
        check_flags(
            options.type,
            durable=durable,
            exclusive=exclusive_owner is not None,
            auto_delete=auto_delete,
            name=name,
            vhost=self.name,
        )
        if options.dead_letter_exchange is not None:
            authorize(Access.READ, "queue", name)
            authorize(Access.WRITE, "exchange", options.dead_letter_exchange)
        queue = self.add_queue(
            name,
            queue_id=self.storage.new_queue_id(),
            durable=durable,
            exclusive_owner=exclusive_owner,
            auto_delete=auto_delete,
            arguments=arguments,
            options=options,
        )
        self._chronicle.queue_declared(queue, user)
        return queue

    def delete_queue(
        self, queue: Queue, *, if_unused: bool = False, if_empty: bool = False, user: str = INTERNAL_USER
    ) -> int:
        """Delete a queue; gives the number of ready messages dropped (rules 4.19 to 4.21).

        Raises:
            AMQPError: 406 when a condition does not hold.
        """
        has_conditions = queue.options.type is not QueueType.STREAM
        if if_empty and has_conditions and queue.message_count:
            raise precondition_failed(f"{entity('queue', queue.name, self.name)} not empty")
        if if_unused and has_conditions and len(queue.consumers):
            raise precondition_failed(f"{entity('queue', queue.name, self.name)} in use")
        count = queue.message_count
        self._remove_queue(queue, user)
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

    def bind(
        self,
        source: Exchange,
        destination: Exchange | Queue,
        routing_key: str,
        arguments: Table,
        user: str = INTERNAL_USER,
    ) -> None:
        """Bind; a second time is no error (rule 3.17). Raises AMQPError 406 for what the type refuses."""
        self.check_binding(source, destination, routing_key, arguments)
        binding = self.add_binding(source, destination, routing_key, arguments)
        if binding is not None:
            self._chronicle.bound(binding, user)
            if isinstance(source.recorder, History):
                self._give_history(binding, source.recorder)

    def check_binding(
        self, source: Exchange, destination: Exchange | Queue, routing_key: str, arguments: Table
    ) -> None:
        """Refuse what the source's type can't bind. Raises AMQPError 406 (rules 3.26, 3.33 and 3.34)."""
        source.check_binding(routing_key, arguments)
        if isinstance(source.matcher, LocalRandomMatcher):
            if not isinstance(destination, Queue):
                raise precondition_failed("Destination not found")
            if destination.options.type is not QueueType.CLASSIC:
                raise precondition_failed(
                    f"Queue type rabbit_{destination.options.type}_queue not valid for this exchange type"
                )

    def unbind(
        self,
        source: Exchange,
        destination: Exchange | Queue,
        routing_key: str,
        arguments: Table,
        user: str = INTERNAL_USER,
    ) -> None:
        """Unbind; what is not there is no error (rule 3.18)."""
        binding = source.unbind(destination, routing_key, arguments)
        if binding is not None:
            self._chronicle.unbound(binding, user)
            self._sources.unbound(binding)
            self._drop_unused([source])

    # What is there from now on, whoever asked for it

    def add_exchange(self, exchange: Exchange, keeper_id: int | None = None) -> None:
        """Have an exchange, with all it needs to work; raises AMQPError 406 for arguments it can't have.

        Args:
            exchange: not there yet.
            keeper_id: what storage knows as its messages, if it kept some before a restart.
        """
        furnish(exchange, keeper_id, self._timers, self.storage, self._window_octets, partial(self._release, exchange))
        self.exchanges[exchange.name] = exchange
        if self.policies:
            self._apply_policies_to_exchange(exchange)
        self.routes.clear()

    def add_binding(
        self, source: Exchange, destination: Exchange | Queue, routing_key: str, arguments: Table
    ) -> Binding | None:
        """Bind; gives None when the binding was there already."""
        binding = source.bind(destination, routing_key, arguments)
        if binding is not None:
            self._sources.bound(binding)
            self.routes.clear()
        return binding

    def add_queue(
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
        queue = QUEUE_CLASSES[options.type](
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
        if self.policies:
            self._apply_policies_to_queue(queue)
        self.routes.clear()
        return queue

    # The vhost itself

    def set_policies(self, policies: Policies) -> None:
        """Let other policies rule all there is, from now on (rule 8.6)."""
        self.policies = policies
        for exchange in self.exchanges.values():
            self._apply_policies_to_exchange(exchange)
        for queue in list(self.queues.values()):
            self._apply_policies_to_queue(queue)
        self.routes.clear()

    def delete(self, user: str = INTERNAL_USER) -> None:
        """End all that is in it; storage knows that already, and the connections have been closed."""
        for queue in list(self.queues.values()):
            del self.queues[queue.name]
            self.past.queues[queue.options.type].add(queue.statistics())
            queue.delete()
            self._chronicle.left(queue, user)
        for exchange in self.exchanges.values():
            if exchange.keeper is not None:
                exchange.keeper.delete()
        self.exchanges.clear()
        self.routes.clear()

    # Helpers

    def _apply_policies_to_exchange(self, exchange: Exchange) -> None:
        definition = merged(self.policies.of_exchange(exchange.name))
        exchange.alternate = effective_alternate(alternate_argument(exchange.arguments), definition)

    def _apply_policies_to_queue(self, queue: Queue) -> None:
        queue_type = queue.options.type
        definition = merged(self.policies.of_queue(queue.name, queue_type))
        queue.apply(options_of(queue_type, effective_arguments(queue.arguments, queue_type, definition)))

    def _target_named(self, name: str) -> Target | None:
        """What the default exchange leads to under a name."""
        queue = self.queues.get(name)
        if queue is None and is_reply_name(name):
            return self.requesters.get(name) or NoRequester()
        return queue

    def _check_queue_limit(self, name: str) -> None:
        """Let there be a further queue. Raises AMQPError 406 (rule 4.18)."""
        limit = self.max_queues
        if limit is not None and 0 <= limit <= len(self.queues):
            raise precondition_failed(
                f"cannot declare queue '{name}': queue limit in vhost '{self.name}' ({limit}) is reached"
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

    def _remove_exchange(self, exchange: Exchange, user: str) -> None:
        self._exchange_gone(exchange, user)
        for binding in list(exchange.bindings.values()):
            exchange.unbind(binding.destination, binding.routing_key, binding.arguments)
            self._sources.unbound(binding)
            self._chronicle.cut_off(binding, user)
        self._drop_unused(self._cut_off(exchange, user))

    def _remove_queue(self, queue: Queue, user: str) -> None:
        del self.queues[queue.name]
        self.past.queues[queue.options.type].add(queue.statistics())
        self._chronicle.queue_deleted(queue)
        queue.delete()
        self._chronicle.left(queue, user)
        self._drop_unused(self._cut_off(queue, user))

    def _cut_off(self, destination: Exchange | Queue, user: str) -> list[Exchange]:
        """Remove all bindings to something; gives the exchanges that had them."""
        bindings = self._sources.cut_off(destination)
        for binding in bindings:
            self._chronicle.cut_off(binding, user)
        return [binding.source for binding in bindings]

    def _drop_unused(self, exchanges: list[Exchange]) -> None:
        """Drop the auto-delete exchanges among these that have no binding left, and what they strand.

        A chain or a loop of such exchanges vanishes in one go (rule 3.14), however long it is.
        """
        self.routes.clear()
        while exchanges:
            exchange = exchanges.pop()
            is_there = self.exchanges.get(exchange.name) is exchange
            if is_there and exchange.auto_delete and not exchange.has_bindings:
                self._exchange_gone(exchange, INTERNAL_USER)
                exchanges.extend(self._cut_off(exchange, INTERNAL_USER))

    def _exchange_gone(self, exchange: Exchange, user: str) -> None:
        del self.exchanges[exchange.name]
        self._chronicle.exchange_deleted(exchange, user)
        if exchange.keeper is not None:
            exchange.keeper.delete()

    def _release(self, exchange: Exchange, message: Message) -> None:
        """Route a delayed message whose time has come, by the bindings of this moment (rule 3.31)."""
        self._forward(message, self.route(exchange, message.routing_keys, message.header.properties, is_admitted=True))

    def _give_history(self, binding: Binding, history: History) -> None:
        """A new binding gets the last messages (rule 3.36)."""
        destination = binding.destination
        for message in history.messages:
            if isinstance(destination, Queue):
                self.publish(message, (destination,))
            elif isinstance(destination, Exchange):
                self._forward(message, self.route(destination, message.routing_keys, message.header.properties))

    def _forward(self, message: Message, found: Route) -> None:
        """Put a message where it was found to go, and remember it if it is taken there."""
        if found.queues and self.publish(message, found.queues):
            remember(found.admitted, message.header.properties)

    def _unused(self, queue: Queue) -> None:
        """A queue has ended by itself: auto-delete or expiry."""
        if self.queues.get(queue.name) is queue:
            self._remove_queue(queue, INTERNAL_USER)

    def _bury(self, queue: Queue, message: Message, reason: DeathReason, reached: set[str]) -> bool:
        """Send a dead message on; see `DeadLetters`."""
        options = queue.options
        name = options.dead_letter_exchange
        exchange = None if name is None else self.exchanges.get(name)
        strategy = "disabled" if name is None else "at_least_once" if options.at_least_once else "at_most_once"
        self.past.dead_letters[options.type, strategy, reason] += 1
        if name is None or exchange is None:
            return name is None
        dead = dead_lettered(message, queue.name, reason, self._timers.now(), name, options.dead_letter_routing_key)
        found = self.route(exchange, dead.routing_keys, dead.header.properties)
        targets = [target for target in found.queues if target.name not in reached and not is_cycle(dead, target.name)]
        if not options.at_least_once:
            has_arrived = bool(targets) and self.publish(dead, targets)
        else:
            reached.update(target.name for target in targets if self.publish(dead, (target,)))
            # A duplicate has been there before.
            has_place = found.is_routed or found.is_repeated
            has_arrived = has_place and all(target.name in reached for target in targets)
        if has_arrived:
            remember(found.admitted, dead.header.properties)
        return has_arrived or not options.at_least_once
