"""Where vhosts are, for sessions: here, with another node, or nowhere yet, in which case they wait."""

from __future__ import annotations

from amqp_broker.cluster.log import vhost_key
from amqp_broker.cluster.membership import Membership
from amqp_broker.placement import Elsewhere, Found


class Places:
    """The placement of a node.

    Args:
        membership: who knows the owners.

    Attributes:
        here: vhosts that are open here.
        found: those of which another node has said that it has them, while the table of keys can't be read.
    """

    def __init__(self, membership: Membership) -> None:
        self.here: set[str] = set()
        self.found: dict[str, Elsewhere] = {}
        self._membership = membership
        self._waiting: dict[str, dict[Found, None]] = {}

    def is_here(self, vhost: str) -> bool:
        return vhost in self.here

    def elsewhere(self, vhost: str) -> Elsewhere | None:
        """The other node that has a vhost, if one is known to."""
        if vhost in self.found:
            return self.found[vhost]
        owner = self._membership.owner_of(vhost_key(vhost))
        if owner is None or owner == self._membership.name:
            return None
        return self.of_node(owner)

    def of_node(self, name: str) -> Elsewhere:
        """Where a node takes connections."""
        info = self._membership.members[name].info
        return Elsewhere(name, info["host"], info["port"])

    def has_moved(self, vhost: str, node: str) -> bool:
        """Whether another node is known to have a vhost by now."""
        there = self.elsewhere(vhost)
        return vhost in self.here or (there is not None and there.node != node)

    def others(self) -> list[Elsewhere]:
        """All other nodes that were there when we last heard."""
        members = self._membership.members.values()
        return [self.of_node(each.name) for each in members if each.name != self._membership.name and not each.is_gone]

    def locate(self, vhost: str, found: Found) -> None:
        if vhost in self.here:
            found(None)
        elif (elsewhere := self.elsewhere(vhost)) is not None:
            found(elsewhere)
        else:
            self._waiting.setdefault(vhost, {})[found] = None

    def forget(self, vhost: str, found: Found) -> None:
        self._waiting.get(vhost, {}).pop(found, None)

    def changed(self) -> None:
        """Something may have moved: who waits may know more now."""
        waiting, self._waiting = self._waiting, {}
        for vhost, those in waiting.items():
            for found in those:
                self.locate(vhost, found)
