"""The broker: its vhosts, users, alarms, and who is connected.

Knows connections only as something that can be blocked and closed; the session makes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from amqp_broker.auth.attempts import FailedLogins
from amqp_broker.auth.backends.configured import make_chain
from amqp_broker.auth.fetching import Fetch, fetch_nothing
from amqp_broker.auth.permissions import Permissions
from amqp_broker.auth.users import User, Users
from amqp_broker.chronicle import definitions, restore, restore_vhost, vhost_set
from amqp_broker.config import Config
from amqp_broker.errors import entity, not_allowed, precondition_failed
from amqp_broker.event_exchange import EVENT_EXCHANGE, EventExchange
from amqp_broker.events import INTERNAL_USER, EventKind, Events
from amqp_broker.links.board import Board
from amqp_broker.links.traces import Traces
from amqp_broker.past import Past
from amqp_broker.placement import Placement, Reach
from amqp_broker.queues.queue import Queue
from amqp_broker.registry import CLUSTER_NAME, GLOBAL, LIMITS_NAME, VHOST_LIMITS, Registry, limit_of, policies_of
from amqp_broker.routing.binding import Keeper
from amqp_broker.storage.definitions import KEYS, Change, ChangeKind, text_of
from amqp_broker.storage.interface import MemoryStorage, Storage
from amqp_broker.storage.page import Page
from amqp_broker.system_exchange import PassOn, SystemExchange
from amqp_broker.timers import Timers, steady_wall_clock
from amqp_broker.vhost import Vhost
from amqp_codec import Method

CLUSTER_ID: Final = "internal_cluster_id"
"""The global parameter that tells a broker from all others; set once."""


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

    def forget_rights(self) -> None:
        """Its user's permissions have changed: ask for them again."""

    def tracing_changed(self) -> None:
        """Tracing of some vhost was set on or off (rule 5.56)."""

    def force_close(self, reason: str) -> None:
        """Begin to close with 320 (rule 1.42)."""


class Broker:
    """Everything one process serves.

    Attributes:
        auth: finds out who a client is.
        failed_logins: how long the next refusal waits.
        fetch: what backends ask others with; there is nobody to ask until the edge sets it.
        placement: where vhosts are, in a cluster; None where all are here.
        reach: how links of our own get into vhosts that are not here.
        pass_on: takes what the broker itself publishes where the default vhost is not here.
        system_exchanges: those that it publishes to, by name.
        registry: users and parameters; to be changed through `administration`.
        clients: who is connected, from the first octet on.
        links: the shovels and links of federation that run.
        past: what was counted in vhosts that have been deleted.
        newcomers: who of them has not logged in yet, and what has not come as far as AMQP.
        events: where everything that observers may want to know is told.
        timers: the schedule of all that happens to messages and queues.
        connection_timers: that of heartbeats and of waiting for peers; another one only where the clock of the first
            is moved by hand, which no peer could follow.
        answer_confirms_with: makes what a channel sends its confirms with out of its `send`.
        alarms: what runs short, in words that clients are told: "memory", "disk".
        max_queues: of all vhosts, None for no limit (rule 4.18).
        max_vhosts: the same for vhosts (rule 8.8).
        is_suspended: nobody new is let in, until somebody says otherwise.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        now: Callable[[], float] | None = None,
        connection_now: Callable[[], float] | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.config = config or Config()
        self.timers = Timers(now or steady_wall_clock())
        self.connection_timers = self.timers if connection_now is None else Timers(connection_now)
        self.storage = storage or MemoryStorage()
        self.events = Events()
        self.users = Users(self.config.loopback_users)
        self.registry = Registry(self.users, self.storage)
        self.failed_logins = FailedLogins(
            self.connection_timers.now, self.config.free_login_failures, self.config.login_failure_delay_s
        )
        self.fetch: Fetch = fetch_nothing
        self.auth = make_chain(
            self.config, self.users, lambda request, done: self.fetch(request, done), self.timers.now
        )
        self.placement: Placement | None = None
        self.reach: Reach | None = None
        self.pass_on: PassOn | None = None
        self.system_exchanges: dict[str, SystemExchange] = {}
        self.vhosts: dict[str, Vhost] = {}
        self._event_exchange: EventExchange | None = None
        self.links = Board()
        self.traces = Traces()
        self.past = Past()
        self.clients: dict[Client, None] = {}
        self.newcomers: dict[object, None] = {}
        self.alarms: dict[str, None] = {}
        self.max_queues = self.config.max_queues
        self.max_vhosts = self.config.max_vhosts
        self.is_suspended = False
        self.answer_confirms_with: Callable[[Callable[[Method], None]], Callable[[Method], None]] = lambda send: send
        if storage is None:
            self.restore((), {})

    @property
    def cluster_name(self) -> str:
        """What clients are told: as it was set, or else configured."""
        name = self.registry.parameters.get((GLOBAL, "", CLUSTER_NAME))
        return name if isinstance(name, str) else self.config.cluster_name

    @property
    def storages(self) -> list[Storage]:
        """Where anything is kept: one for all, but where vhosts have their own."""
        return list(dict.fromkeys([self.storage, *(vhost.storage for vhost in self.vhosts.values())]))

    @property
    def stored_count(self) -> int:
        """Of all of them; whoever compares it knows whether something was stored."""
        return sum(storage.stored_count for storage in self.storages)

    def definitions(self) -> Iterator[Change]:
        """All that survives a restart beside messages (rule 7.1)."""
        yield from self.registry.definitions()
        for vhost in self.vhosts.values():
            yield from definitions(vhost)

    def restore(self, changes: Iterable[Change], pages_of: dict[int, list[Page]]) -> set[int]:
        """Make what a restart has left: first all topology, then the messages (chapter 7).

        To be called once, before the first client, unless the broker was made without storage. Where nothing has
        been left, the default vhost and user are made.

        Args:
            changes: as `definitions` gave them.
            pages_of: messages by queue id, in pages in the order of positions.

        Returns:
            The ids of the queues, and of what exchanges keep, that are there.
        """
        places = [place for change in changes if (place := self._restore(change)) is not None]
        for vhost in self.vhosts.values():
            self.apply_parameters(vhost.name)
        self._begin()
        for place in places:
            if place.id in pages_of:
                place.restore(pages_of[place.id])
        return {place.id for place in places}

    def _restore(self, change: Change) -> Queue | Keeper | None:
        if change.kind is ChangeKind.VHOST_SET:
            restore_vhost(self.make_vhost(text_of(change.table, "vhost")), change.table)
        elif change.kind in KEYS:
            self.registry.restore(change)
        else:
            name = text_of(change.table, "vhost")
            return restore(self.vhosts.get(name) or self.make_vhost(name), change)
        return None

    def _begin(self) -> None:
        """Make what a broker has that was never there before (rule 7.14).

        A crash may keep the first part of what is told to storage here, but no other. The user comes after all that
        belongs to it, and the id last: where either is, something has been there before.
        """
        config, registry = self.config, self.registry
        has_id = (GLOBAL, "", CLUSTER_ID) in registry.parameters
        if not has_id and not any(self.users) and config.load_definitions is None:
            vhost = self.vhosts.get(config.default_vhost) or self.make_vhost(config.default_vhost)
            vhost.description = "Default virtual host"
            self.storage.changed(vhost_set(vhost))
            user = User(
                name=config.default_user, password=config.default_password.encode(), tags=config.default_user_tags
            )
            self.users.add(user)
            registry.set_permissions(user.name, vhost.name, Permissions(*config.default_permissions))
            registry.put_user(user)
        if not has_id:
            for name in self.vhosts:
                registry.let_in(config.default_users, name)
            registry.set_parameter(GLOBAL, "", CLUSTER_ID, f"rabbitmq-cluster-id-{secrets.token_urlsafe(16)}")

    def begin_anew(self) -> None:
        """Forget everything there is, and make what a new broker has; clients should have been sent away before."""
        for name in list(self.vhosts):
            self.delete_vhost(name, INTERNAL_USER)
        for user in list(self.users):
            self.registry.remove_user(user.name)
        for key in list(self.registry.parameters):
            self.registry.clear_parameter(*key)
        self._begin()
        for vhost in self.vhosts.values():
            self.events.emit(
                EventKind.VHOST_CREATED,
                name=vhost.name,
                description=vhost.description,
                tags=list(vhost.tags),
                user_who_performed_action=INTERNAL_USER,
            )

    # Vhosts

    def is_here(self, vhost: str) -> bool:
        """Whether the contents of a vhost are on this node."""
        return self.placement is None or self.placement.is_here(vhost)

    def add_vhost(self, name: str) -> Vhost:
        """Make a vhost that is not there; it can be opened at once."""
        vhost = self.make_vhost(name)
        self.storage.changed(vhost_set(vhost))
        return vhost

    def vhost_changed(self, vhost: Vhost) -> None:
        """What describes a vhost has been changed: storage has to know."""
        self.storage.changed(vhost_set(vhost))

    def delete_vhost(self, name: str, user: str) -> None:
        """Delete a vhost with all that is in it or was said of it; its connections are closed (rule 1.33)."""
        self.storage.changed(Change(ChangeKind.VHOST_DELETED, {"vhost": name}))
        self.drop_vhost(name, user)

    def drop_vhost(self, name: str, user: str) -> None:
        """Do as `delete_vhost`, for one that storage knows to be deleted."""
        vhost = self.vhosts.pop(name)
        for client in [client for client in self.clients if client.vhost_name == name]:
            client.force_close(f"vhost '{name}' is deleted")
        vhost.delete(user)
        self.past.add(vhost.past)
        self.registry.forget_vhost(name)
        self.traces.forget_vhost(name)

    def apply_parameters(self, vhost_name: str) -> None:
        """Let the policies and limits of a vhost, as they stand in the registry, take effect (rules 8.6 and 8.9)."""
        vhost = self.vhosts[vhost_name]
        policies = policies_of(self.registry, vhost_name)
        if policies or vhost.policies:
            vhost.set_policies(policies)
        limits = self.registry.parameters.get((vhost_name, VHOST_LIMITS, LIMITS_NAME))
        limits = limits if isinstance(limits, dict) else {}
        vhost.max_connections = limit_of(limits, "max-connections")
        vhost.max_queues = limit_of(limits, "max-queues")

    def make_vhost(self, name: str) -> Vhost:
        """Make a vhost that storage knows, or is told of by the caller."""
        vhost = self.vhosts[name] = Vhost(name, self.config, self.timers, self.storage, self.events)
        return vhost

    # Clients

    def clients_of(self, user: str) -> list[Client]:
        """The connections of a user, from login on."""
        return [client for client in self.clients if client.user == user]

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

    def check_queue_limit(self, name: str) -> None:
        """Let there be one more queue. Raises AMQPError 406 (rule 4.18)."""
        if self.max_queues is None:
            return
        if sum(len(each.queues) for each in self.vhosts.values()) >= self.max_queues:
            raise precondition_failed(
                f"cannot declare queue '{name}': queue limit in cluster ({self.config.max_queues}) is reached"
            )

    def check_channel_limit(self) -> None:
        """Let there be one more channel. Raises AMQPError 530 (rule 2.3)."""
        limit = self.config.max_channels
        if limit is not None and sum(client.channel_count for client in self.clients) >= limit:
            raise not_allowed(
                f"number of channels opened on node '{self.config.node_name}' has reached "
                f"the maximum allowed limit of {limit}"
            )

    def set_tracing(self, vhost: str, on: bool) -> None:
        """Begin or end to republish what goes through a vhost (rule 5.56)."""
        self.vhosts[vhost].set_tracing(on)
        for client in list(self.clients):
            client.tracing_changed()

    def enable_event_exchange(self) -> None:
        """Publish what happens from now on to an exchange of the default vhost, whenever there is one (rule 3.36).

        A second time changes nothing.
        """
        if self._event_exchange is None:
            self._event_exchange = EventExchange(self.add_system_exchange(EVENT_EXCHANGE), self.timers.now)
            self.events.watch(self._event_exchange)

    def add_system_exchange(self, name: str) -> SystemExchange:
        """Have an exchange in the default vhost that the broker itself publishes to."""
        exchange = self.system_exchanges[name] = SystemExchange(name, self._system_vhost, self.pass_on)
        return exchange

    def _system_vhost(self) -> Vhost | None:
        name = self.config.default_vhost
        return self.vhosts.get(name) if self.is_here(name) else None

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
