"""Where the vhosts of a cluster are: what a session asks, and what it gives away when that is another node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import attrs

from amqp_broker.auth.users import Peer

NOBODY: Final = Peer()
"""For whom a node asks on its own account."""


@attrs.frozen
class Elsewhere:
    """The node that has a vhost.

    Attributes:
        host: where other nodes reach it, with `port`.
    """

    node: str
    host: str
    port: int


@attrs.frozen
class Parcel:
    """A connection that another node is to go on with.

    Attributes:
        peer: whose it is.
        octets: what that node would have received up to `connection.open`, had it been asked first.
    """

    vhost: str
    peer: Peer
    octets: bytes = attrs.field(repr=False)


@attrs.frozen
class Inquiry:
    """What a node wants of another one, where that is no client's connection.

    Attributes:
        subject: what it is about, which says who answers.
        peer: for whom.
        user: who that is, where the node that asks has found it out; None where the question itself has to say it.
        revision: of what is administered, as the node that asks knows it; who answers is to know as much.
    """

    subject: str
    peer: Peer = NOBODY
    user: str | None = None
    revision: int = 0


Found: TypeAlias = "Callable[[Elsewhere | None], None]"


Reach: TypeAlias = "Callable[[str, str], Awaitable[Any]]"
"""Opens a stream into a vhost of another node, for a link of the broker's own, by their names. Raises OSError."""


class Placement(Protocol):
    """Whoever knows."""

    def is_here(self, vhost: str) -> bool:
        """Whether this node has a vhost."""

    def locate(self, vhost: str, found: Found) -> None:
        """Tell who has a vhost, None for this node, at once or as soon as somebody has it."""

    def forget(self, vhost: str, found: Found) -> None:
        """Nobody waits for that any more."""
