"""The broker: its vhosts, users, alarms, and who is connected.

Knows connections only as something that can be blocked and closed; the session makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from amqp_broker.auth.users import Users
from amqp_broker.config import Config
from amqp_broker.storage.interface import MemoryStorage, Storage
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
