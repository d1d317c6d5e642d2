"""What links run in a broker and how they fare: written by their tasks, read by whoever looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import attrs

SHOVEL: Final = "shovel"
FEDERATION: Final = "federation"


class LinkState(StrEnum):
    """How a link fares, as RabbitMQ calls it."""

    STARTING = "starting"
    RUNNING = "running"
    TERMINATED = "terminated"
    """It failed and waits before it tries again, or it can't be."""


LinkKey: TypeAlias = tuple[str, ...]
"""Kind, vhost, and what tells it from others of that kind in that vhost."""


@attrs.define(eq=False)
class Link:
    """A shovel, or one link of federation.

    Attributes:
        key: which it is.
        details: what never changes while it runs, as the management API shows it.
        changed_at: seconds since 1970 at which it came into its state.
        reason: why it terminated.
        is_blocked: the destination takes nothing for the time being.
        forwarded: messages that are safe at the destination.
        pending: messages of which the destination has said nothing yet.
        remaining: messages until it ends; None when it doesn't.
        restart: begins anew at once.
    """

    key: LinkKey
    details: Mapping[str, str | int]
    restart: Callable[[], None]
    changed_at: float = 0.0
    state: LinkState = LinkState.STARTING
    reason: str = ""
    is_blocked: bool = False
    forwarded: int = 0
    pending: int = 0
    remaining: int | None = None

    @property
    def vhost(self) -> str:
        return self.key[1]

    @property
    def name(self) -> str:
        return self.key[2]


class Board:
    """The links of a broker."""

    def __init__(self) -> None:
        self._links: dict[LinkKey, Link] = {}

    def add(self, link: Link) -> None:
        self._links[link.key] = link

    def remove(self, link: Link) -> None:
        if self._links.get(link.key) is link:
            del self._links[link.key]

    def of_kind(self, kind: str) -> Iterator[Link]:
        """All shovels, or all links of federation, by vhost and name."""
        return (link for key, link in sorted(self._links.items()) if key[0] == kind)

    def get(self, key: LinkKey) -> Link | None:
        return self._links.get(key)
