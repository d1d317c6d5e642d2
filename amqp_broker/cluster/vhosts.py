"""Vhosts come to a running broker, with all that is in them, and leave it.

A broker of a cluster knows every vhost by name, with what describes it and is said of it. One that it does not own
is empty: its exchanges, queues and messages are where its owner is. Its storage is then the broker's, which refuses
whatever would be in there.
"""

from __future__ import annotations

from amqp_broker.broker import Broker, Client
from amqp_broker.chronicle import definitions, restore, restore_vhost, vhost_set
from amqp_broker.storage.definitions import KEYS
from amqp_broker.storage.opening import Opened
from amqp_broker.timers import Branch
from amqp_broker.vhost import Vhost


class HeldVhost:
    """A vhost that this broker owns, on storage of its own.

    Attributes:
        vhost: with all that is in it; in the place of the empty one until `close`.
        storage: where its journal and its streams are, whose committers somebody else runs.

    Args:
        broker: which knows the vhost.
        name: of the vhost.
        opened: what its files hold.
    """

    def __init__(self, broker: Broker, name: str, opened: Opened) -> None:
        self.storage = opened.storage
        self.storage.spare = broker.storage.spare
        self._broker = broker
        self._schedule = Branch(broker.timers)
        self.vhost = vhost = Vhost(name, broker.config, self._schedule, self.storage, broker.events)
        restore_vhost(vhost, vhost_set(broker.vhosts[name]).table)
        topology = (change for change in opened.definitions if change.kind not in KEYS)
        places = [place for change in topology if (place := restore(vhost, change)) is not None]
        broker.vhosts[name] = vhost
        broker.apply_parameters(name)
        for place in places:
            if place.id in opened.queues:
                place.restore(opened.queues[place.id])
        for queue_id in opened.queues.keys() - {place.id for place in places}:
            opened.forget_queue(queue_id)
        opened.queues.clear()
        self.storage.definitions = lambda: definitions(vhost)

    @property
    def clients(self) -> list[Client]:
        """Connections that are in it, or on their way out."""
        return [client for client in self._broker.clients if client.vhost_name == self.vhost.name]

    def close(self, reason: str) -> None:
        """Send its clients away, with 320, and let nobody new in: from now on it is elsewhere."""
        broker, vhost = self._broker, self.vhost
        for client in self.clients:
            client.force_close(reason)
        if broker.vhosts.get(vhost.name) is vhost:
            broker.past.add(vhost.past)
            restore_vhost(broker.make_vhost(vhost.name), vhost_set(vhost).table)
            broker.apply_parameters(vhost.name)

    def settle(self) -> None:
        """All clients have gone: tell storage the last of it, so that it can be written before a clean end."""
        self._schedule.finish_work()
        self._schedule.end()
        self.storage.prepare_stop()

    def abandon(self) -> None:
        """It is not ours any more: nothing that was planned for it happens, and nothing is written."""
        self._schedule.end()
