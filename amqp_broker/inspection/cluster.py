"""The cluster of a node, as commands and the HTTP API look at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs
import trio

from amqp_broker.auth.users import Peer
from amqp_broker.placement import NOBODY, Inquiry


@attrs.frozen
class ClusterMember:
    """A node of the cluster, as it is known here.

    Attributes:
        is_running: it has been heard of lately.
        is_draining: it is to have no vhosts.
        vhosts: those that it has.
    """

    name: str
    is_running: bool
    is_draining: bool
    vhosts: Sequence[str]


class Cluster(Protocol):
    """Who the nodes are, which has what, and what they can be asked to do."""

    def members(self) -> list[ClusterMember]:
        """All nodes that have been heard of and have not taken leave, by name."""

    def owner_of(self, vhost: str) -> ClusterMember | None:
        """Who has a vhost."""

    def is_cut_off(self) -> bool:
        """Whether this node can't reach what the nodes share, so that others will take it for dead."""

    def transfer(self, vhost: str, node: str) -> None:
        """Have a vhost move to another node, soon."""

    def drain(self, node: str) -> None:
        """Have a node give its vhosts to others, and get none until `undrain`."""

    def undrain(self, node: str) -> None:
        """Let a node have vhosts again."""

    async def wait_owner(self, vhost: str) -> str:
        """The name of the node that has a vhost, this one too; waits until there is one."""

    async def visit(
        self, node: str, subject: str, peer: Peer = NOBODY, user: str | None = None
    ) -> trio.abc.HalfCloseableStream:
        """Go to another node with a question for somebody: see `placement.Inquiry`.

        What is known here of users, vhosts and so on is known there when it is answered.

        Returns:
            Where the question is to be put and answered; the caller closes it.

        Raises:
            OSError: it can't be asked.
        """

    def answer_with(
        self, subject: str, answer: Callable[[Inquiry, trio.abc.HalfCloseableStream], Awaitable[None]]
    ) -> None:
        """Have questions of other nodes answered."""
