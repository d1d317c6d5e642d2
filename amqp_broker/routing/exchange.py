"""Exchanges, their bindings, and the way of a message from one exchange to its queues.

An exchange holds the bindings of which it is the source and leaves to its type's matcher which of
them match. Deletion, auto-delete and permissions are the vhost's: it calls `unbind_destination` on
every exchange that may lead to what it deletes, so no binding here outlives its destination.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Final

import attrs

from amqp_broker.counters import ExchangeCounters
from amqp_broker.routing.binding import Binding, BindingKey, Destination, Keeper, Kind, Matcher
from amqp_broker.routing.direct import DefaultMatcher
from amqp_broker.routing.duplicates import Admitted, Duplicates
from amqp_broker.routing.types import new_matcher
from amqp_broker.routing.values import canonical
from amqp_codec import ByteArray, Properties, Table

__all__ = ["Binding", "BindingKey", "Destination", "Exchange", "Route", "default_exchange", "route"]

ALTERNATE_EXCHANGE: Final = "alternate-exchange"
DEFAULT_EXCHANGE: Final = ""


def alternate_argument(arguments: Table) -> str | None:
    """The alternate exchange that arguments name; None where that is no name."""
    name = arguments.get(ALTERNATE_EXCHANGE)
    if isinstance(name, bytes) and not isinstance(name, ByteArray):
        return name.decode("utf-8", "surrogateescape")
    return name if isinstance(name, str) else None


def _alternate_argument(exchange: "Exchange") -> str | None:
    return alternate_argument(exchange.arguments)


def _new_matcher(exchange: "Exchange") -> Matcher:
    return new_matcher(exchange.type, exchange.arguments)


@attrs.define(eq=False)
class Exchange:
    """One exchange.

    Attributes:
        type: a name of `EXCHANGE_TYPES`; any other is a KeyError here, and arguments it can't have an AMQPError.
        bindings: those that have this exchange as source, in the order they were made.
        alternate: the name of the alternate exchange, whether or not it exists. From the argument;
            where that is absent a policy may set it (rule 3.21).
        keeper: where it keeps messages, for types that do.
        recorder: a keeper that gets all that comes through, and is not where it goes.
        duplicates: what it does not let through again.
    """

    name: Final[str]
    type: Final[str]
    durable: Final[bool] = attrs.field(default=False, kw_only=True)
    auto_delete: Final[bool] = attrs.field(default=False, kw_only=True)
    internal: Final[bool] = attrs.field(default=False, kw_only=True)
    arguments: Final[Table] = attrs.field(factory=dict, kw_only=True)
    alternate: str | None = attrs.field(default=attrs.Factory(_alternate_argument, takes_self=True), init=False)
    matcher: Final[Matcher] = attrs.field(
        default=attrs.Factory(_new_matcher, takes_self=True), kw_only=True, repr=False
    )
    keeper: Keeper | None = attrs.field(default=None, init=False, repr=False)
    recorder: Keeper | None = attrs.field(default=None, init=False, repr=False)
    duplicates: Duplicates | None = attrs.field(default=None, init=False, repr=False)
    bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict, init=False, repr=False)
    counters: Final[ExchangeCounters] = attrs.field(factory=ExchangeCounters, init=False, repr=False)
    _by_destination: Final[dict[tuple[Kind, str], dict[BindingKey, Binding]]] = attrs.field(
        factory=dict, init=False, repr=False
    )

    @property
    def has_bindings(self) -> bool:
        """True while this exchange is the source of a binding."""
        return bool(self.bindings)

    def check_binding(self, routing_key: str, arguments: Table) -> None:
        """Refuse what this type can't bind; `bind` itself does not ask.

        Raises:
            AMQPError: 406, for example on an `x-match` nobody knows (rule 3.26).
        """
        self.matcher.check(routing_key, arguments)

    def find_binding(self, destination: "Exchange | Destination", routing_key: str, arguments: Table) -> Binding | None:
        return self.bindings.get(_key(destination, routing_key, arguments))

    def bind(self, destination: "Exchange | Destination", routing_key: str, arguments: Table) -> Binding | None:
        """Add a binding. Returns it, or None if the same one was there already (rule 3.17)."""
        key = _key(destination, routing_key, arguments)
        if key in self.bindings:
            return None
        binding = Binding(self, destination, routing_key, arguments, key)
        self.matcher.add(binding)
        self.bindings[key] = binding
        self._by_destination.setdefault((key.kind, key.name), {})[key] = binding
        return binding

    def unbind(self, destination: "Exchange | Destination", routing_key: str, arguments: Table) -> Binding | None:
        """Remove a binding. Returns it, or None if there was none (rule 3.18)."""
        binding = self.find_binding(destination, routing_key, arguments)
        if binding is not None:
            self._remove(binding)
        return binding

    def leads_to(self, destination: "Exchange | Destination") -> bool:
        """True while this exchange has a binding to that destination."""
        return (_kind(destination), destination.name) in self._by_destination

    def unbind_destination(self, destination: "Exchange | Destination") -> list[Binding]:
        """Remove and return all bindings that lead to one destination, without looking at others."""
        there = self._by_destination.get((_kind(destination), destination.name), {})
        removed = list(there.values())
        for binding in removed:
            self._remove(binding)
        return removed

    def _remove(self, binding: Binding) -> None:
        key = binding.key
        self.matcher.remove(binding)
        del self.bindings[key]
        there = self._by_destination[key.kind, key.name]
        del there[key]
        if not there:
            del self._by_destination[key.kind, key.name]


def default_exchange(find_queue: Callable[[str], Destination | None]) -> Exchange:
    """Make a vhost's default exchange, which asks for a queue of that name instead of keeping bindings."""
    return Exchange(DEFAULT_EXCHANGE, "direct", durable=True, matcher=DefaultMatcher(find_queue))


@attrs.frozen
class Route:
    """Where a message goes.

    Attributes:
        queues: each once; the order is the same whenever the bindings and the message are.
        cacheable: True when every message with these routing keys goes there, as long as no binding,
            exchange, alternate or (default exchange) queue comes or goes.
        is_routed: some of these is a place to go, and not only where it is recorded.
        admitted: what is to be remembered of the message once it has arrived, see `duplicates.remember`.
        is_repeated: an exchange has dropped it as a duplicate; the first one may not be on disk yet.
    """

    queues: tuple[Destination, ...]
    cacheable: bool
    is_routed: bool
    admitted: Admitted = ()
    is_repeated: bool = False


def route(
    exchange: Exchange,
    routing_keys: Sequence[str],
    properties: Properties | None,
    find_exchange: Callable[[str], Exchange | None],
    *,
    is_admitted: bool = False,
) -> Route:
    """Follow a message through bindings and alternates to its queues (rules 3.20 to 3.22).

    Args:
        exchange: where it was published.
        routing_keys: its routing key, then those of CC and BCC; every exchange on the way sees all.
        properties: the message's as published, or None to learn what keys alone decide.
        find_exchange: looks up the name of an alternate.
        is_admitted: the first exchange has seen the message before, and it is no duplicate.
    """
    queues: dict[str, Destination] = {}
    recorders: list[Destination] = []
    admitted: list[tuple[Duplicates, Hashable]] = []
    seen = {exchange}
    pending = [exchange]
    cacheable = True
    is_repeated = False
    for current in pending:  # grows while it is walked
        if current.matcher.depends_on_message:
            cacheable = False
        if current.duplicates is not None:
            cacheable = False
            key = None if properties is None else current.duplicates.key_of(properties)
            if properties is not None and key is not None and not (is_admitted and current is exchange):
                if current.duplicates.has(key):
                    is_repeated = True
                    continue
                admitted.append((current.duplicates, key))
        if current.recorder is not None:
            recorders.append(current.recorder)
        matched = False
        for destination in current.matcher.match(routing_keys, properties):
            matched = True
            if not isinstance(destination, Exchange):
                queues[destination.name] = destination
            elif destination not in seen:
                seen.add(destination)
                pending.append(destination)
        # The default exchange has no alternate, not even where a policy names one for everything.
        if matched or current.alternate is None or current.name == DEFAULT_EXCHANGE:
            continue
        alternate = find_exchange(current.alternate)
        if alternate is not None and alternate not in seen:
            seen.add(alternate)
            pending.append(alternate)
    return Route((*queues.values(), *recorders), cacheable, bool(queues), tuple(admitted), is_repeated)


def _kind(destination: "Exchange | Destination") -> Kind:
    return "exchange" if isinstance(destination, Exchange) else "queue"


def _key(destination: "Exchange | Destination", routing_key: str, arguments: Table) -> BindingKey:
    return BindingKey(_kind(destination), destination.name, routing_key, canonical(arguments))
