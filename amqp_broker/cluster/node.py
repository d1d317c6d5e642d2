"""A broker of a cluster: what it shares with the others, and the vhosts that it has for the time being.

Made before the event loop runs, and then waits for NATS as long as that takes. Threads of NATS tell through a queue.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import attrs
import trio

from amqp_broker.broker import Broker
from amqp_broker.cluster import membership
from amqp_broker.cluster.bucket import Bucket
from amqp_broker.cluster.entering import enter
from amqp_broker.cluster.jetstream import StreamLanes
from amqp_broker.cluster.keeper import VHOSTS_AT_ONCE, Keeper
from amqp_broker.cluster.log import Conflict, LogUnavailable, vhost_key
from amqp_broker.cluster.membership import Membership
from amqp_broker.cluster.meta import carry_out
from amqp_broker.cluster.nats import Nats
from amqp_broker.cluster.places import Places
from amqp_broker.cluster.shared_turns import SharedTurns
from amqp_broker.cluster.vhost_logs import LoggedMeta, VhostLogs
from amqp_broker.cluster.view import View
from amqp_broker.config import Config
from amqp_broker.net.doors import open_http
from amqp_broker.net.forwarding import Forwarder, Gate
from amqp_broker.net.hub import Hub
from amqp_broker.net.tls import NodeTlsKeeper
from amqp_broker.placement import Elsewhere
from amqp_broker.storage.committer import Turns
from amqp_broker.storage.definitions import Change
from amqp_broker.storage.lock import DirectoryLock
from amqp_broker.storage.settings import JournalSettings

log = logging.getLogger(__name__)

TICK_S: Final = 0.2
RETRY_S: Final = 0.5
ASK_S: Final = 0.5
ASKED_AT_ONCE: Final = 32
"""So many vhosts, of which there may be thousands: each question is a connection."""


class ClusterNode:
    """One node.

    Args:
        config: the broker's.
        urls: servers of NATS.
        directory: for the files of vhosts.
        make_broker: takes a `Config` and `storage`.
        settings: of journals.
        lock: of the data directory, which it keeps.
        tls: for connections between nodes; None for plain TCP.

    Attributes:
        broker: what it serves.
        view: the cluster as others look at it.
        places: where vhosts are.
        forwarder: hands connections over.
        gate: lets those of others in, and who asks.
        tls: for both.
        doors: where other nodes hand connections over; open once it runs, to be accepted on and closed by others.
        on_stalled: told when something can't be written, and, with None, when all can be again.
    """

    doors: Sequence[trio.SocketListener] = ()

    def __init__(
        self,
        config: Config,
        urls: Sequence[str],
        directory: Path,
        make_broker: Callable[..., Broker],
        settings: JournalSettings,
        lock: DirectoryLock,
        tls: NodeTlsKeeper | None = None,
    ) -> None:
        self.config = config
        self._lock = lock
        self.tls = tls
        self.name = config.node_name
        self.on_stalled: Callable[[OSError | None], None] = _nobody
        self.limiter = trio.CapacityLimiter(VHOSTS_AT_ONCE)
        self._directory = directory
        self._settings = attrs.evolve(settings, sync="always", reserve_octets=0, room_octets=0)
        self._nats = Nats(urls, self.name)
        self._bucket = Bucket(self._nats, config.cluster_prefix, config.cluster_replicas)
        self._meta = LoggedMeta()
        self._told: SimpleQueue[tuple[str, bytes | None, int]] = SimpleQueue()
        self._meta_wanted = trio.Event()
        self._keepers: dict[str, Keeper] = {}
        self._by_key: dict[str, Keeper] = {}
        self._was_told = self._has_namesake = False
        self._stalled: dict[str, OSError] = {}
        self._turns: SharedTurns | None = None
        self._nursery: trio.Nursery | None = None
        self._ticked = trio.Event()
        self.secret = enter(self._nats, self._bucket, self._meta)
        self.broker = make_broker(config, storage=self._meta)
        self.broker.restore(self._meta.definitions(), {})
        self._logs = VhostLogs(self._bucket, config.cluster_prefix, self.broker.vhosts)
        self._info: dict[str, Any] = {}
        self._run_id = secrets.token_hex(8)
        self.membership = Membership(self.name, self._run_id, self._info, time.monotonic())
        self.places = self.broker.placement = Places(self.membership)
        self.forwarder = Forwarder(self.name, lambda: self.secret, tls)
        self.view = View(self.membership, self._meta, self.places, self.forwarder, self._names, self._change_soon)
        self.gate = Gate(self.name, lambda: self.secret, self._takes_clients_of, self.view.answers)

    # Beginning

    def own_address(self) -> tuple[str, int | None]:
        """Where other nodes reach this one: as configured, or from where it reaches NATS, at its own port (None)."""
        host, colon, port = (self.config.cluster_host or "").rpartition(":")
        if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
            return host.strip("[]"), int(port)
        return self.config.cluster_host or self._nats.own_host, None

    async def run(self, hub: Hub | None, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be one of the cluster until cancelled.

        Args:
            hub: in whose turns journals are written.
            task_status: told when other nodes can connect.

        Raises:
            ListenError: the port for other nodes can't be listened on.
        """
        config = self.config
        host, port = self.own_address()
        # All addresses, as a name by which others know this machine need not be one of its own.
        self.doors = await open_http("" if config.cluster_port else host, config.cluster_port, "cluster_port")
        self._info.update(host=host, port=port or self.doors[0].socket.getsockname()[1])
        self._turns = None if hub is None else SharedTurns(hub)
        token = trio.lowlevel.current_trio_token()

        def told(key: str, value: bytes | None, revision: int) -> None:
            self._told.put((key, value, revision))
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._take_in, idempotent=True)

        stop_watching = self._bucket.watch(told)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._put_meta)
                nursery.start_soon(self._ask_around)
                task_status.started()
                while True:
                    self._tick()
                    self._ticked = trio.Event()
                    with trio.move_on_after(TICK_S):
                        await self._ticked.wait()
        finally:
            stop_watching()
            self._nursery = None

    async def leave(self) -> None:
        """Give all vhosts to other nodes, and take leave; clients of these vhosts are told."""
        self.membership.leave()
        self.tick_soon()
        while self.membership.owned or self._meta.has_unsaved_changes:  # noqa: ASYNC110 - for seconds, once
            await trio.sleep(0.05)
        for action in self.membership.farewell():
            assert isinstance(action, membership.Delete)
            await self._carry_out(action)
        self.forwarder.close()

    def close(self) -> None:
        """Break with NATS; the last there is to do."""
        self._nats.close()
        self._lock.release()

    # What others tell

    def _take_in(self) -> None:
        """Work off what the watch has told."""
        now = time.monotonic()
        while True:
            try:
                key, value, revision = self._told.get_nowait()
            except Empty:
                break
            try:
                self._logs.told(key, value)
                self._do(self._meta.told(key, value, revision))
                self.membership.seen(key, value, revision, now)
                self._look_for_namesake()
            except Exception:
                log.exception("what the cluster says of %r can't be understood", key)
        self.view.heard()
        self.tick_soon()

    def _look_for_namesake(self) -> None:
        """Complain of another node that has our name; what is left of an earlier life of ours is told before us."""
        seen = self.membership.members.get(self.name)
        if seen is None or self._has_namesake:
            return
        if seen.run == self._run_id:
            self._was_told = True
        elif self._was_told:
            self._has_namesake = True
            log.error("another node is called %r as well: give each a name of its own (node_name)", self.name)

    def _do(self, changes: list[Change]) -> None:
        for change in changes:
            carry_out(self.broker, change)

    async def _put_meta(self) -> None:
        """Tell the others what is administered here."""
        self._meta.on_work = lambda: self._meta_wanted.set()
        while True:
            self._meta_wanted = trio.Event()
            puts = self._meta.take()
            if puts is None:
                await self._meta_wanted.wait()
                continue
            await trio.to_thread.run_sync(puts.execute, self._bucket)
            self._do(self._meta.done(puts))
            if puts.error is not None:
                say = log.debug if isinstance(puts.error, Conflict) else log.warning
                say("what has been changed can't be told to the cluster yet: %s", puts.error)
                await trio.sleep(RETRY_S)

    async def _ask_around(self) -> None:
        """While we are cut off from NATS, ask the other nodes whether one of them has what is open here.

        What we have can't be confirmed any more in any case; but clients, who know nothing of that, would stay. When
        nobody has it, which is so when NATS is away for all, they may.
        """
        limiter = trio.CapacityLimiter(ASKED_AT_ONCE)
        while True:
            await trio.sleep(ASK_S)
            if not self.membership.is_isolated(time.monotonic()):
                self.places.found.clear()
                continue
            async with trio.open_nursery() as nursery:
                for vhost in self.places.here:
                    for other in self.places.others():
                        nursery.start_soon(self._ask, vhost, other, limiter)

    async def _ask(self, vhost: str, other: Elsewhere, limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            has_it = await self.forwarder.has(vhost, other)
        if has_it and vhost in self.places.here:
            log.warning("vhost %r: node %s has it, and this one is cut off from NATS", vhost, other.node)
            self.places.found[vhost] = other
            if vhost in self._keepers:
                self._keepers[vhost].abandon()

    # Turns of the membership

    def tick_soon(self) -> None:
        self._ticked.set()

    def _tick(self) -> None:
        assert self._nursery is not None
        self._look_at_vhosts()
        for action in self.membership.tick(time.monotonic()):
            if isinstance(action, membership.TakeOver):
                self._by_key[action.vhost].take_over()
            elif isinstance(action, membership.GiveUp):
                self._by_key[action.vhost].give_up()
            elif isinstance(action, membership.Abandon):
                if action.vhost in self._by_key:
                    self._by_key[action.vhost].abandon()
            else:
                self._nursery.start_soon(self._carry_out, action)
        self.places.changed()
        self.forwarder.drop_those(self.places.has_moved)

    def _look_at_vhosts(self) -> None:
        """Have a keeper for each vhost there is."""
        assert self._nursery is not None
        vhosts = self.broker.vhosts
        gone = [
            each
            for each in self._keepers.values()
            if each.vhost not in vhosts or not self._logs.is_of(each.key, each.log_name)
        ]
        for keeper in gone:
            del self._keepers[keeper.vhost], self._by_key[keeper.key]
            keeper.vhost_deleted()
        for name in [] if gone else vhosts:  # what was held of a namesake is let go first
            if name not in self._keepers and (log_name := self._logs.look_for(name, self._nursery)) is not None:
                self._keepers[name] = self._by_key[vhost_key(name)] = keeper = self._new_keeper(name, log_name)
                self._nursery.start_soon(keeper.run)
        self.membership.vhosts_are(self._by_key)

    def _new_keeper(self, name: str, log_name: str) -> Keeper:
        lanes = StreamLanes(self._nats, f"{self.config.cluster_prefix}-{log_name}", self.config.cluster_replicas)
        return Keeper(self, name, log_name, lanes, self._directory / log_name, self._settings)

    async def _carry_out(self, action: membership.Put | membership.Change | membership.Delete) -> None:
        """Change a key."""
        revision = None
        try:
            if isinstance(action, membership.Put):
                await trio.to_thread.run_sync(self._bucket.put, action.key, action.value)
            elif isinstance(action, membership.Delete):
                await trio.to_thread.run_sync(self._bucket.delete, action.key)
            elif action.revision:
                update = partial(self._bucket.update, action.key, action.value, action.revision)
                revision = await trio.to_thread.run_sync(update)
            else:
                revision = await trio.to_thread.run_sync(self._bucket.create, action.key, action.value)
        except Conflict as error:
            log.debug("%s", error)
        except LogUnavailable as error:
            log.debug("%s: %s", action.key, error)
        if isinstance(action, membership.Change):
            self.membership.done(action, revision)
            self.tick_soon()

    # For the view

    def _names(self) -> dict[str, str]:
        return {key: keeper.vhost for key, keeper in self._by_key.items()}

    def _change_soon(self, action: membership.Put | membership.Delete) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._carry_out, action)

    def _takes_clients_of(self, vhost: str) -> bool:
        return self.places.is_here(vhost) and not self.broker.is_suspended

    # What keepers say

    def turns(self) -> AbstractContextManager[Turns | None]:
        return nullcontext() if self._turns is None else self._turns.turns()

    def opened(self, vhost: str) -> None:
        log.info("vhost %r is here", vhost)
        self.places.here.add(vhost)
        self.membership.opened(vhost_key(vhost))
        for exchange in self.broker.system_exchanges.values():
            exchange.look()
        self._moved()

    def closing(self, vhost: str) -> None:
        self.places.here.discard(vhost)
        self._moved()

    def closed(self, vhost: str) -> None:
        log.info("vhost %r is here no more", vhost)
        self.membership.closed(vhost_key(vhost))
        self._moved()

    def failed(self, vhost: str) -> None:
        self.membership.failed(vhost_key(vhost), time.monotonic())
        self._moved()

    def stalled(self, vhost: str, error: OSError | None) -> None:
        if error is not None:
            self._stalled[vhost] = error
        elif self._stalled.pop(vhost, None) is None:
            return
        self.on_stalled(next(iter(self._stalled.values()), None))

    def _moved(self) -> None:
        self.places.changed()
        self.broker.registry.on_parameters_changed()  # links run where their vhost is
        self.tick_soon()


def _nobody(_error: OSError | None) -> None:
    """Nobody wants to know."""
