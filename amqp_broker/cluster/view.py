"""A cluster, as commands and the HTTP API of one of its nodes look at it: `inspection.cluster.Cluster`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import trio

from amqp_broker.auth.users import Peer
from amqp_broker.cluster import membership
from amqp_broker.cluster.log import vhost_key
from amqp_broker.cluster.membership import Membership
from amqp_broker.cluster.meta import Meta
from amqp_broker.cluster.places import Places
from amqp_broker.inspection.cluster import ClusterMember
from amqp_broker.net.forwarding import Answer, Forwarder
from amqp_broker.placement import NOBODY, Elsewhere, Inquiry

CATCH_UP_S: Final = 1.0
"""How long to wait, with an answer for another node, for what that one knows to be known here; NATS may be away."""

ChangeSoon: TypeAlias = "Callable[[membership.Put | membership.Delete], None]"


class View:
    """What is asked of the cluster here, and of this node by others.

    Args:
        known: who is in the cluster, and has what.
        meta: what is administered, as it is known here.
        places: where vhosts are.
        forwarder: reaches other nodes.
        vhosts: gives the names of vhosts by their keys.
        change_soon: has keys changed.

    Attributes:
        answers: to questions of other nodes, by subject.
    """

    def __init__(
        self,
        known: Membership,
        meta: Meta,
        places: Places,
        forwarder: Forwarder,
        vhosts: Callable[[], Mapping[str, str]],
        change_soon: ChangeSoon,
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self._known = known
        self._meta = meta
        self._places = places
        self._forwarder = forwarder
        self._vhosts = vhosts
        self._change_soon = change_soon
        self._heard = trio.Event()

    def heard(self) -> None:
        """The node has worked off what others have told."""
        self._heard.set()
        self._heard = trio.Event()

    def members(self) -> list[ClusterMember]:
        return [self._member(name) for name, each in sorted(self._known.members.items()) if not each.is_gone]

    def _member(self, name: str) -> ClusterMember:
        known = self._known
        return ClusterMember(
            name=name,
            is_running=known.is_alive(name),
            is_draining=name in known.draining,
            vhosts=[vhost for key, vhost in self._vhosts().items() if known.owner_of(key) == name],
        )

    def owner_of(self, vhost: str) -> ClusterMember | None:
        name = self._known.owner_of(vhost_key(vhost))
        is_there = name in self._known.members and not self._known.members[name].is_gone
        return self._member(name) if name is not None and is_there else None

    def is_cut_off(self) -> bool:
        return self._known.is_isolated(time.monotonic())

    def transfer(self, vhost: str, node: str) -> None:
        self._change_soon(membership.transfer(vhost_key(vhost), node))

    def drain(self, node: str) -> None:
        self._change_soon(membership.drain(node))

    def undrain(self, node: str) -> None:
        self._change_soon(membership.undrain(node))

    async def wait_owner(self, vhost: str) -> str:
        there: list[Elsewhere | None] = []
        found = trio.Event()

        def tell(elsewhere: Elsewhere | None) -> None:
            there.append(elsewhere)
            found.set()

        self._places.locate(vhost, tell)
        try:
            await found.wait()
        finally:
            self._places.forget(vhost, tell)
        return self._known.name if there[0] is None else there[0].node

    async def visit(
        self, node: str, subject: str, peer: Peer = NOBODY, user: str | None = None
    ) -> trio.abc.HalfCloseableStream:
        if node not in self._known.members:
            raise OSError(f"there is no node {node}")
        inquiry = Inquiry(subject, peer, user, self._meta.revision)
        return await self._forwarder.visit(inquiry, self._places.of_node(node))

    def answer_with(self, subject: str, answer: Answer) -> None:
        self.answers[subject] = partial(self._answer, answer)

    async def _answer(self, answer: Answer, inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
        with trio.move_on_after(CATCH_UP_S):
            while self._meta.told_revision < inquiry.revision:
                await self._heard.wait()
        await answer(inquiry, stream)
