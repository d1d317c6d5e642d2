"""The broker: its vhosts, users, alarms, and who is connected.

Knows connections only as something that can be blocked and closed; the session makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from amqp_broker.auth.users import Users
from amqp_broker.config import Config
from amqp_broker.storage.definitions import Change, text_of
from amqp_broker.storage.interface import MemoryStorage, Storage
from amqp_broker.storage.page import Page
from amqp_broker.timers import Timers, steady_wall_clock
from amqp_broker.vhost import Vhost


class Client(Protocol):
    """A connection, as far as the broker deals with it."""

    @property
    def is_open(self) -> bool:
        """A vhost is open."""

    def alarms_changed(self) -> None:
        """An alarm came or went (rules 1.34 to 1.36)."""

    def force_close(self, reason: str) -> None:
        """Begin to close with 320 (rule 1.42)."""


class Broker:
    """Everything one process serves.

    Attributes:
        clients: who is connected, from the first octet on.
        alarms: what runs short, in words that clients are told: "memory", "disk".
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        now: Callable[[], float] | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.config = config or Config()
        self.timers = Timers(now or steady_wall_clock())
        self.storage = storage or MemoryStorage()
        self.users = Users({"guest": "guest"}, self.config.loopback_users)
        self.vhosts = {"/": Vhost("/", self.config, self.timers, self.storage)}
        self.clients: dict[Client, None] = {}
        self.alarms: dict[str, None] = {}

    def definitions(self) -> Iterator[Change]:
        """The durable topology of all vhosts."""
        for vhost in self.vhosts.values():
            yield from vhost.definitions()

    def restore(self, definitions: Iterable[Change], pages_of: dict[int, list[Page]]) -> set[int]:
        """Make what a restart has left: first all topology, then the messages (chapter 7).

        Args:
            definitions: as `definitions` gave them.
            pages_of: messages by queue id, in pages in the order of positions.

        Returns:
            The ids of the queues that are there.
        """
        restored = [self.vhosts[text_of(change.table, "vhost")].restore(change) for change in definitions]
        queues = [queue for queue in restored if queue is not None]
        for queue in queues:
            if queue.id in pages_of:
                queue.restore(pages_of[queue.id])
        return {queue.id for queue in queues}

    @property
    def open_connections(self) -> int:
        """Connections that have been let in (rule 1.30)."""
        return sum(client.is_open for client in self.clients)

    def set_alarm(self, resource: str, is_short: bool) -> None:
        """Raise or clear an alarm; publishers stop while any is raised."""
        if is_short == (resource in self.alarms):
            return
        if is_short:
            self.alarms[resource] = None
        else:
            del self.alarms[resource]
        for client in list(self.clients):
            client.alarms_changed()

    def shut_down(self) -> None:
        """Tell every client that the broker ends (rule 1.42)."""
        for client in list(self.clients):
            client.force_close("broker forced connection closure with reason 'shutdown'")
