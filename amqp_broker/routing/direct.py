"""Direct exchange, and the default exchange, which is a direct one without stored bindings.

Keys match as the octets they are, without any folding (rule 3.23).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Final

import attrs

from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_codec import Properties, Table


@attrs.define(eq=False)
class DirectMatcher:
    """Bindings by routing key."""

    depends_on_message: ClassVar[bool] = False

    _by_routing_key: Final[dict[str, dict[BindingKey, Binding]]] = attrs.field(factory=dict, init=False)

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept anything."""

    def add(self, binding: Binding) -> None:
        self._by_routing_key.setdefault(binding.routing_key, {})[binding.key] = binding

    def remove(self, binding: Binding) -> None:
        same_key = self._by_routing_key[binding.routing_key]
        del same_key[binding.key]
        if not same_key:
            del self._by_routing_key[binding.routing_key]

    def match(self, routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        for routing_key in routing_keys:
            for binding in self._by_routing_key.get(routing_key, {}).values():
                yield binding.destination


@attrs.define(eq=False)
class DefaultMatcher:
    """The default exchange's: every queue is bound by its name, without anybody keeping books."""

    depends_on_message: ClassVar[bool] = False

    _find_queue: Final[Callable[[str], Destination | None]]

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept anything: the vhost has refused the bind before (rule 3.6)."""

    def add(self, binding: Binding) -> None:
        raise AssertionError(f"a binding on the default exchange: {binding.key}")

    def remove(self, binding: Binding) -> None:
        raise AssertionError(f"a binding on the default exchange: {binding.key}")

    def match(self, routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        for routing_key in routing_keys:
            queue = self._find_queue(routing_key)
            if queue is not None:
                yield queue
