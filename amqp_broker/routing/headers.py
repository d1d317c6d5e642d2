"""Headers exchange: binding arguments compared with a message's headers (rules 3.26 to 3.30).

Bindings are found through the headers they ask for, so that a message pays for the bindings that
mention one of its headers with its value, and not for all of them. A header nobody asks for is never
looked into, however deep it is.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

import attrs

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_broker.routing.values import canonical, erlang_term
from amqp_codec import Properties, Table, Value, field_type_name

X_MATCH: Final = "x-match"
MODES: Final = frozenset({b"all", b"any", b"all-with-x", b"any-with-x"})

_PRESENT: Final = None
"""The canonical form of void, which asks for any value; also what a header that *is* void gives."""


@attrs.frozen(eq=False)
class _Rule:
    """A binding's arguments, made ready to be compared."""

    binding: Binding
    any: bool
    wanted: Mapping[str, Hashable]


_Rules = dict[BindingKey, _Rule]


@attrs.define(eq=False)
class HeadersMatcher:
    """Bindings by the headers they ask for; the routing key is ignored."""

    depends_on_message: ClassVar[bool] = True

    _index: Final[dict[str, dict[Hashable, _Rules]]] = attrs.field(factory=dict, init=False)
    """Header, value, rules. An `any` rule stands under each of its headers, an `all` rule under one."""

    _always: Final[_Rules] = attrs.field(factory=dict, init=False)
    """Rules of kind `all` that ask for nothing, and so match every message (rule 3.29)."""

    @property
    def is_empty(self) -> bool:
        """True when no binding has left anything behind."""
        return not (self._index or self._always)

    def check(self, _routing_key: str, arguments: Table) -> None:
        if X_MATCH not in arguments:
            return
        mode = arguments[X_MATCH]
        octets = canonical(mode)
        if not isinstance(octets, bytes):
            raise precondition_failed(
                f"Invalid x-match field type {field_type_name(mode)} (value {erlang_term(mode)}); expected longstr"
            )
        if octets not in MODES:
            raise precondition_failed(
                f"Invalid x-match field value {erlang_term(mode)}; expected all, any, all-with-x, or any-with-x"
            )

    def add(self, binding: Binding) -> None:
        rule = _rule(binding)
        if not rule.wanted and not rule.any:
            self._always[binding.key] = rule
        for name, value in _places(rule):
            self._index.setdefault(name, {}).setdefault(value, {})[binding.key] = rule

    def remove(self, binding: Binding) -> None:
        self._always.pop(binding.key, None)
        for name, value in _places(_rule(binding)):
            by_value = self._index[name]
            rules = by_value[value]
            del rules[binding.key]
            if not rules:
                del by_value[value]
            if not by_value:
                del self._index[name]

    def match(self, _routing_keys: Sequence[str], properties: Properties | None) -> Iterator[Destination]:
        for rule in self._always.values():
            yield rule.binding.destination
        headers = None if properties is None else properties.headers
        if not headers:
            return
        for name, given in headers.items():
            by_value = self._index.get(name)
            if by_value is None:
                continue
            for value in dict.fromkeys((_PRESENT, _comparable(given))):
                for rule in by_value.get(value, {}).values():
                    if rule.any or _has_all(headers, rule.wanted):
                        yield rule.binding.destination


def _rule(binding: Binding) -> _Rule:
    # An x-match that `check` would refuse can come in with definitions only, and counts as `all`.
    mode = canonical(binding.arguments.get(X_MATCH))
    with_x = mode in (b"all-with-x", b"any-with-x")
    wanted = {
        name: _comparable(value)
        for name, value in binding.arguments.items()
        if (name != X_MATCH if with_x else not name.startswith("x-"))
    }
    return _Rule(binding, any=mode in (b"any", b"any-with-x"), wanted=wanted)


def _places(rule: _Rule) -> list[tuple[str, Hashable]]:
    """Where a rule stands in the index: all its headers for `any`; for `all` one, best a valued one."""
    wanted = list(rule.wanted.items())
    if rule.any or not wanted:
        return wanted
    return [next((item for item in wanted if item[1] is not _PRESENT), wanted[0])]


def _has_all(headers: Table, wanted: Mapping[str, Hashable]) -> bool:
    return all(
        name in headers and (value is _PRESENT or _comparable(headers[name]) == value) for name, value in wanted.items()
    )


def _comparable(value: Value) -> Hashable:
    # Here, other than in arguments of declare and bind, a byte array equals a longstr of the same
    # octets, as in RabbitMQ since 3.13: a client that sends bytes matches a binding made of text.
    return bytes(value) if isinstance(value, bytes) else canonical(value)
