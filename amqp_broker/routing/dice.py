"""Exchanges that throw dice: `x-random` and `x-local-random` (rule 3.34)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import choice
from typing import ClassVar, Final

import attrs

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_codec import Properties, Table


@attrs.define(eq=False)
class RandomMatcher:
    """One binding at random, whatever the key."""

    depends_on_message: ClassVar[bool] = True

    _bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict, init=False)
    _choices: list[Binding] = attrs.field(factory=list, init=False)

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept anything: keys say nothing here."""

    def add(self, binding: Binding) -> None:
        self._bindings[binding.key] = binding
        self._choices = list(self._bindings.values())

    def remove(self, binding: Binding) -> None:
        del self._bindings[binding.key]
        self._choices = list(self._bindings.values())

    def match(self, _routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        if self._choices:
            yield choice(self._choices).destination


class LocalRandomMatcher(RandomMatcher):
    """As random, over classic queues of this node; that the destination is one is the vhost's to check."""

    def check(self, routing_key: str, _arguments: Table) -> None:
        if routing_key:
            raise precondition_failed(f"Non empty binding '{routing_key}' key not permitted")
