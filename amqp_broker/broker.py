"""The broker: its vhosts, users, alarms, and who is connected.

Knows connections only as something that can be blocked and closed; the session makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from amqp_broker.auth.backends.configured import make_chain
from amqp_broker.auth.fetching import Fetch, fetch_nothing
from amqp_broker.auth.permissions import ALL
from amqp_broker.auth.users import User, Users
from amqp_broker.chronicle import definitions, restore
from amqp_broker.config import Config
from amqp_broker.errors import entity, not_allowed, precondition_failed
from amqp_broker.events import EventKind, Events
from amqp_broker.storage.definitions import Change, text_of
from amqp_broker.storage.interface import MemoryStorage, Storage
from amqp_broker.storage.page import Page
from amqp_broker.timers import Timers, steady_wall_clock
from amqp_broker.vhost import Vhost


class Client(Protocol):
    """A connection, as far as the broker deals with it.

    Attributes:
        user: the name of who is logged in.
    """

    user: str

    @property
    def vhost_name(self) -> str:
        """The vhost that is open, empty before."""

    @property
    def channel_count(self) -> int:
        """Channels that are open."""

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
        auth: finds out who a client is.
        fetch: what backends ask others with; there is nobody to ask until the edge sets it.
        clients: who is connected, from the first octet on.
        newcomers: who of them has not logged in yet, and what has not come as far as AMQP.
        events: where everything that observers may want to know is told.
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
        self.events = Events()
        self.users = Users(self.config.loopback_users)
        self.users.add(User(name="guest", password=b"guest", permissions={"/": ALL}))
        self.fetch: Fetch = fetch_nothing
        self.auth = make_chain(
            self.config, self.users, lambda request, done: self.fetch(request, done), self.timers.now
        )
        self.vhosts = {"/": Vhost("/", self.config, self.timers, self.storage, self.events)}
        self.clients: dict[Client, None] = {}
        self.newcomers: dict[object, None] = {}
        self.alarms: dict[str, None] = {}

    def definitions(self) -> Iterator[Change]:
        """The durable topology of all vhosts."""
        for vhost in self.vhosts.values():
            yield from definitions(vhost)

    def restore(self, changes: Iterable[Change], pages_of: dict[int, list[Page]]) -> set[int]:
        """Make what a restart has left: first all topology, then the messages (chapter 7).

        Args:
            changes: as `definitions` gave them.
            pages_of: messages by queue id, in pages in the order of positions.

        Returns:
            The ids of the queues, and of what exchanges keep, that are there.
        """
        restored = [restore(self.vhosts[text_of(change.table, "vhost")], change) for change in changes]
        places = [place for place in restored if place is not None]
        for place in places:
            if place.id in pages_of:
                place.restore(pages_of[place.id])
        return {place.id for place in places}

    def open_clients(self) -> Iterator[Client]:
        """Connections that have been let in (rule 1.30)."""
        return (client for client in self.clients if client.is_open)

    def check_limits(self, user_name: str, vhost: Vhost) -> None:
        """Let a further connection in, if there may be one. Raises AMQPError 530 (rule 1.30)."""
        clients = list(self.open_clients())
        if vhost.max_connections is not None and vhost.max_connections >= 0:
            there = sum(client.vhost_name == vhost.name for client in clients)
            if there >= vhost.max_connections:
                raise not_allowed(
                    f"access to vhost '{vhost.name}' refused for user '{user_name}': "
                    f"connection limit ({vhost.max_connections}) is reached"
                )
        user = self.users.get(user_name)
        if user is not None and user.max_connections is not None and user.max_connections >= 0:
            theirs = sum(client.user == user_name for client in clients)
            if theirs >= user.max_connections:
                raise not_allowed(
                    f"connection refused for user '{user.name}': "
                    f"user connection limit ({user.max_connections}) is reached"
                )

    def check_exchange_limit(self, name: str, vhost: str) -> None:
        """Let there be one more exchange. Raises AMQPError 406 (rule 3.16)."""
        limit = self.config.max_exchanges
        if limit is not None and sum(len(each.exchanges) for each in self.vhosts.values()) >= limit:
            raise precondition_failed(
                f"cannot declare {entity('exchange', name, vhost)}: exchange limit of {limit} is reached"
            )

    def set_alarm(self, resource: str, is_short: bool) -> None:
        """Raise or clear an alarm; publishers stop while any is raised."""
        if is_short == (resource in self.alarms):
            return
        if is_short:
            self.alarms[resource] = None
        else:
            del self.alarms[resource]
        self.events.emit(EventKind.ALARM_SET if is_short else EventKind.ALARM_CLEARED, source=resource)
        for client in list(self.clients):
            client.alarms_changed()

    def shut_down(self) -> None:
        """Tell every client that the broker ends (rule 1.42)."""
        for client in list(self.clients):
            client.force_close("broker forced connection closure with reason 'shutdown'")
