"""Fanout exchange: every binding matches, whatever the key (rule 3.23)."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import attrs

from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_codec import Properties, Table


@attrs.define(eq=False)
class FanoutMatcher:
    """All bindings, in the order they were made."""

    depends_on_message: ClassVar[bool] = False

    _bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict, init=False)

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept anything."""

    def add(self, binding: Binding) -> None:
        self._bindings[binding.key] = binding

    def remove(self, binding: Binding) -> None:
        del self._bindings[binding.key]

    def match(self, _routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        for binding in self._bindings.values():
            yield binding.destination
