"""Exchanges that choose one destination by a hash: `x-consistent-hash` and `x-modulus-hash` (rules 3.33 and 3.35).

What hash and what destination a value gives stays the same over restarts, and on every machine.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import ClassVar, Final

import attrs

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_broker.routing.values import canonical, erlang_term
from amqp_codec import ByteArray, Properties, Table, Value

HASH_HEADER: Final = "hash-header"
HASH_PROPERTY: Final = "hash-property"
PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")

MAX_WEIGHT: Final = 10_000

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


@attrs.define(eq=False)
class ConsistentHashMatcher:
    """Each destination has as many buckets as its binding key says; a jump hash chooses a bucket.

    Buckets stand in the order of the bindings, so that a destination that is added takes a share from each
    of the others and moves nothing between them. Of several bindings to one destination the first counts.
    """

    _header: Final[str | None] = None
    _property: Final[str | None] = None

    _bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict, init=False)
    _destinations: list[Destination] = attrs.field(factory=list, init=False)
    _ends: list[int] = attrs.field(factory=list, init=False)
    """Where the buckets of each destination end."""

    @classmethod
    def from_arguments(cls, arguments: Table) -> ConsistentHashMatcher:
        """What to hash instead of the routing key. Raises AMQPError 406 where that can't be."""
        header, property_ = _text(arguments, HASH_HEADER), _text(arguments, HASH_PROPERTY)
        if header is not None and property_ is not None:
            raise precondition_failed(f"{HASH_HEADER} and {HASH_PROPERTY} are mutually exclusive")
        if property_ is not None and property_ not in PROPERTIES:
            raise precondition_failed(f"Unsupported property: {property_}")
        return cls(header, property_)

    @property
    def depends_on_message(self) -> bool:
        return self._header is not None or self._property is not None

    def check(self, routing_key: str, _arguments: Table) -> None:
        """A binding key is a weight (rule 3.33)."""
        if not _INTEGER.fullmatch(routing_key):
            raise precondition_failed(f"The binding key must be an integer: {erlang_term(routing_key)}")
        if int(routing_key) < 1:
            raise precondition_failed("The binding key must be greater than 0")
        if int(routing_key) > MAX_WEIGHT:
            raise precondition_failed(f"The binding key must not exceed {MAX_WEIGHT}")

    def add(self, binding: Binding) -> None:
        self._bindings[binding.key] = binding
        self._fill()

    def remove(self, binding: Binding) -> None:
        del self._bindings[binding.key]
        self._fill()

    def match(self, routing_keys: Sequence[str], properties: Properties | None) -> Iterator[Destination]:
        if self._destinations:
            bucket = jump_hash(stable_hash(self._hashed(routing_keys, properties)), self._ends[-1])
            yield self._destinations[bisect_right(self._ends, bucket)]

    def _hashed(self, routing_keys: Sequence[str], properties: Properties | None) -> Value:
        """What of a message is hashed; what is missing hashes as one constant."""
        if self._header is not None:
            headers = None if properties is None else properties.headers
            return None if headers is None else headers.get(self._header)
        if self._property is not None:
            value = getattr(properties, self._property, None)
            return None if value is None else str(value)
        return routing_keys[0]

    def _fill(self) -> None:
        firsts: dict[tuple[str, str], Binding] = {}
        for binding in self._bindings.values():
            firsts.setdefault((binding.key.kind, binding.key.name), binding)
        self._destinations = [binding.destination for binding in firsts.values()]
        self._ends = []
        end = 0
        for binding in firsts.values():
            end += int(binding.routing_key)
            self._ends.append(end)


@attrs.define(eq=False)
class ModulusHashMatcher:
    """The hash of the routing keys modulo the number of bindings, in the order of their destinations' names."""

    depends_on_message: ClassVar[bool] = False

    _bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict, init=False)
    _destinations: list[Destination] = attrs.field(factory=list, init=False)

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept anything: keys say nothing here."""

    def add(self, binding: Binding) -> None:
        self._bindings[binding.key] = binding
        self._sort()

    def remove(self, binding: Binding) -> None:
        del self._bindings[binding.key]
        self._sort()

    def match(self, routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        if self._destinations:
            hashed: list[Value] = list(routing_keys)
            yield self._destinations[stable_hash(hashed) % len(self._destinations)]

    def _sort(self) -> None:
        keys = sorted(self._bindings, key=lambda key: (key.kind, key.name))
        self._destinations = [self._bindings[key].destination for key in keys]


def stable_hash(value: Value) -> int:
    """64 bits that are the same for values AMQP finds equal, in any process."""
    return int.from_bytes(blake2b(repr(canonical(value)).encode(), digest_size=8).digest(), "big")


def jump_hash(key: int, buckets: int) -> int:
    """Choose a bucket; a bucket that is added at the end takes an equal share from the others.

    Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
    """
    chosen, following = 0, 0
    while following < buckets:
        chosen = following
        key = (key * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        following = int((chosen + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return chosen


def _text(arguments: Table, name: str) -> str | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, ByteArray) or not isinstance(value, bytes):
        raise precondition_failed(f"invalid argument '{name}': expected longstr")
    return value.decode("utf-8", "surrogateescape")
