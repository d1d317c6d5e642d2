"""The cluster of a node, as commands and the HTTP API look at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs


@attrs.frozen
class ClusterMember:
    """A node of the cluster, as it is known here.

    Attributes:
        is_running: it has been heard of lately.
        is_draining: it is to have no vhosts.
        vhosts: those that it has.
        http: host and port of its HTTP API; None where it serves none.
    """

    name: str
    is_running: bool
    is_draining: bool
    vhosts: Sequence[str]
    http: tuple[str, int] | None


class Cluster(Protocol):
    """Who the nodes are, which has what, and what they can be asked to do."""

    def members(self) -> list[ClusterMember]:
        """All nodes that have been heard of and have not taken leave, by name."""

    def owner_of(self, vhost: str) -> ClusterMember | None:
        """Who has a vhost."""

    def transfer(self, vhost: str, node: str) -> None:
        """Have a vhost move to another node, soon."""

    def drain(self, node: str) -> None:
        """Have a node give its vhosts to others, and get none until `undrain`."""

    def undrain(self, node: str) -> None:
        """Let a node have vhosts again."""
