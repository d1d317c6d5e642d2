"""The turns of one hub, for the committers of several vhosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amqp_broker.net.hub import Hub
from amqp_broker.storage.committer import Turns


class SharedTurns:
    """Whoever asks gets turns of the hub, as if they were the only one.

    Args:
        hub: whose.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._those: dict[_Turns, None] = {}
        hub.at_end = self._turn_ended

    @contextmanager
    def turns(self) -> Iterator[Turns]:
        """Turns, until the end of the block."""
        turns = _Turns(self._hub)
        self._those[turns] = None
        try:
            yield turns
        finally:
            del self._those[turns]

    def _turn_ended(self) -> None:
        for turns in self._those:
            turns.at_end()


class _Turns:
    """The hub's turns, for one of several committers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.at_end: Callable[[], None] = _nothing
        self.watch = hub.watch
        self.forget = hub.forget

    @property
    def is_serving(self) -> bool:
        return self._hub.is_serving

    @is_serving.setter
    def is_serving(self, is_serving: bool) -> None:
        self._hub.is_serving = is_serving


def _nothing() -> None:
    """Nobody wants to know."""
