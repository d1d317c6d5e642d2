"""Binding and unbinding in the order of the checks, whoever asks for it (rules 3.17 to 3.19); and what names may be."""

from __future__ import annotations

import attrs

from amqp_broker.auth.permissions import Access
from amqp_broker.errors import access_refused
from amqp_broker.session.rights import Asker, Rights
from amqp_broker.vhost import Vhost
from amqp_codec import Table

RESERVED_PREFIX = "amq."


@attrs.frozen
class Binder:
    """Somebody who binds and unbinds.

    Attributes:
        rights: what this one may do in the vhost.
        owner: who asks, as exclusive queues know it.

    Raises:
        AMQPError: from all methods, before anything has been changed.
        Undecided: the same.
    """

    vhost: Vhost
    rights: Rights
    owner: Asker

    def bind_queue(self, source: str, name: str, routing_key: str, arguments: Table) -> None:
        vhost = self.vhost
        self._authorize("queue", name, source, routing_key)
        exchange = vhost.exchange(source)
        vhost.check_binding(exchange, vhost.queue(name), routing_key, arguments)
        queue = vhost.usable_queue(name, self.owner)
        vhost.bind(exchange, queue, routing_key, arguments, user=self.owner.user)

    def unbind_queue(self, source: str, name: str, routing_key: str, arguments: Table) -> None:
        """Unbind; whatever is missing, that is what was asked for."""
        vhost = self.vhost
        self._authorize("queue", name, source, routing_key)
        exchange, queue = vhost.exchanges.get(source), vhost.queues.get(name)
        if exchange is not None and queue is not None:
            if exchange.find_binding(queue, routing_key, arguments) is not None:
                vhost.usable_queue(name, self.owner)
            vhost.unbind(exchange, queue, routing_key, arguments, user=self.owner.user)

    def bind_exchange(self, source: str, name: str, routing_key: str, arguments: Table) -> None:
        vhost = self.vhost
        self._authorize("exchange", name, source, routing_key)
        vhost.bind(vhost.exchange(source), vhost.exchange(name), routing_key, arguments, user=self.owner.user)

    def unbind_exchange(self, source: str, name: str, routing_key: str, arguments: Table) -> None:
        """Unbind; whatever is missing, that is what was asked for."""
        vhost = self.vhost
        self._authorize("exchange", name, source, routing_key)
        exchange, destination = vhost.exchanges.get(source), vhost.exchanges.get(name)
        if exchange is not None and destination is not None:
            vhost.unbind(exchange, destination, routing_key, arguments, user=self.owner.user)

    def _authorize(self, kind: str, destination: str, source: str, routing_key: str) -> None:
        """Let the user bind or unbind: write on the destination, read on the source and the key."""
        vhost, rights = self.vhost, self.rights
        if kind == "exchange":
            vhost.refuse_default_exchange(destination)
        rights.demand(Access.WRITE, kind, destination)
        vhost.refuse_default_exchange(source)
        rights.demand(Access.READ, "exchange", source)
        exchange = vhost.exchanges.get(source)
        if exchange is not None and exchange.type == "topic" and rights.has_topics:
            rights.demand_key(Access.READ, source, routing_key)


def refuse_reserved_name(name: str) -> None:
    """Let nobody make a queue that is named like the broker's own (rule 4.3). Raises AMQPError 403."""
    if name.startswith(RESERVED_PREFIX):
        raise access_refused(f"queue name '{name}' contains reserved prefix 'amq.*'")


def clean_name(name: str) -> str:
    """CR and LF are not part of a name, wherever they stand in it (rule 3.5)."""
    return name.replace("\r", "").replace("\n", "")
