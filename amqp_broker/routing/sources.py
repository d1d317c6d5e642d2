"""Which exchanges lead to a destination: the bindings of a vhost seen from their other end."""

from __future__ import annotations

from amqp_broker.routing.binding import Binding, Destination
from amqp_broker.routing.exchange import Exchange


class Sources:
    """For each destination the exchanges with bindings to it, so that deleting it needs no search."""

    def __init__(self) -> None:
        self._sources: dict[tuple[bool, str], dict[Exchange, None]] = {}

    def bound(self, binding: Binding) -> None:
        """A binding was made."""
        self._sources.setdefault(_identity(binding.destination), {})[binding.source] = None

    def unbound(self, binding: Binding) -> None:
        """A binding was removed from its source."""
        destination = _identity(binding.destination)
        sources = self._sources.get(destination)
        if sources is None or binding.source.leads_to(binding.destination):
            return
        sources.pop(binding.source, None)
        if not sources:
            del self._sources[destination]

    def cut_off(self, destination: Exchange | Destination) -> list[Binding]:
        """Remove all bindings to something; gives them."""
        sources = self._sources.pop(_identity(destination), {})
        return [binding for source in sources for binding in source.unbind_destination(destination)]


def _identity(destination: Exchange | Destination) -> tuple[bool, str]:
    """Tell a queue from an exchange of the same name."""
    return (isinstance(destination, Exchange), destination.name)
