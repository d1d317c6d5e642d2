"""A node of a simulated cluster: what the edge does with threads and tasks, in steps that anything may come between."""

from __future__ import annotations

from random import Random

import attrs

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.vhosts import add_vhost
from amqp_broker.broker import Broker
from amqp_broker.cluster.copy import Copy
from amqp_broker.cluster.disk import Replica, ReplicatedDisk
from amqp_broker.cluster.follower import Follower
from amqp_broker.cluster.lane import LANES
from amqp_broker.cluster.lanes import LanedLog
from amqp_broker.cluster.log import Conflict, Deposed, LogUnavailable, vhost_key
from amqp_broker.cluster.membership import Abandon, Action, Change, Delete, GiveUp, Membership, Put, TakeOver
from amqp_broker.cluster.meta import PREFIX, Meta, Puts, carry_out
from amqp_broker.cluster.vhosts import HeldVhost
from amqp_broker.config import Config
from amqp_broker.storage.definitions import Change as StoredChange
from amqp_broker.storage.opening import open_journal
from amqp_broker.storage.settings import JournalSettings
from tests.cluster.simulated_log import Line, SimulatedLog, SimulatedTable, TableLine, Watch
from tests.simulation.machine import SMALL, Writer
from tests.storage.simulated_disk import SimulatedDisk
from tests.support.client import Client, World

SETTINGS: JournalSettings = attrs.evolve(SMALL, room_octets=0, lazy_delay_s=0.02)

MOST_ATTEMPTS = 20
"""So often opening a vhost may fail before another node is asked to."""


class Cluster:
    """What all nodes share.

    Attributes:
        time: of an observer that sees all.
    """

    def __init__(self, random: Random, vhosts: list[str]) -> None:
        self.random = random
        self.time = 0.0
        self.vhosts = {vhost_key(name): name for name in vhosts}
        self.table = SimulatedTable(random)
        self.lanes = {key: [SimulatedLog(random, f"{key} {n}") for n in range(LANES)] for key in self.vhosts}


class Held:
    """A vhost that is open here."""

    def __init__(self, vhost: HeldVhost, replica: Replica) -> None:
        self.vhost = vhost
        self.replica = replica
        self.writer = Writer(vhost.storage.journal, vhost.storage.streams)
        self.is_closing = False
        self.is_settled = False


class Node(World):
    """One life of a node.

    Attributes:
        name: the same in all its lives.
        disk: what it leaves to the next.
        held: what is open here, by vhost key.
        is_paused: nothing of it runs.
        lost_clients: whose connections have ended meanwhile.
    """

    def __init__(self, cluster: Cluster, name: str, disk: SimulatedDisk, boot: int, life: int) -> None:
        random = cluster.random
        self.cluster = cluster
        self.name = name
        self.disk = disk
        self.boot = boot
        self.life = life
        self.is_paused = False
        self.lost_clients: list[Client] = []
        self.is_cut = False
        self.jumped_s = 0.0
        self._offset = random.uniform(0, 1e6)
        self._rate = random.uniform(0.8, 1.25)
        self.membership = Membership(name, f"{life}", {}, self.now)
        self.meta = Meta()
        self.puts: Puts | None = None
        self.are_put = False
        for key, (value, revision) in cluster.table.values.items():
            if value is not None:
                self.meta.told(key, value, revision)
        self.broker = Broker(Config(), now=lambda: 1e6 + self.now + self.jumped_s, storage=self.meta)
        self.broker.restore(self.meta.definitions(), {})
        self.lines = {key: [Line(lane) for lane in lanes] for key, lanes in cluster.lanes.items()}
        self.logs = {key: LanedLog(*lines) for key, lines in self.lines.items()}
        self.copies: dict[str, Copy] = {}
        self.taking: dict[str, tuple[Replica, int]] = {}
        self.held: dict[str, Held] = {}
        self.table = TableLine(cluster.table)
        cluster.table.watch(self._told)
        self.watch: Watch = cluster.table.watches[-1]

    @property
    def now(self) -> float:
        return self._offset + self._rate * self.cluster.time

    def resume(self) -> None:
        self.is_paused = False
        for client in self.lost_clients:
            client.drop()
        self.lost_clients.clear()

    def end(self) -> None:
        """Nobody tells it anything any more."""
        self.cluster.table.watches.remove(self.watch)

    def cut(self, *, answers_only: bool = False) -> None:
        """It can't reach the engine, or is not heard to be answered."""
        self.is_cut = True
        for line in self._all_lines():
            line.is_cut, line.answers_are_cut = not answers_only, answers_only

    def heal(self) -> None:
        self.is_cut = False
        for line in self._all_lines():
            line.is_cut = line.answers_are_cut = False

    def _all_lines(self) -> list[Line | TableLine]:
        return [self.table, *(line for lines in self.lines.values() for line in lines)]

    # What is administered

    def found(self) -> None:
        """Make the vhosts, as the first node there is."""
        for vhost in self.cluster.vhosts.values():
            if vhost not in self.broker.vhosts:
                add_vhost(self.broker, vhost)
            set_permissions(self.broker, "guest", vhost, ".*", ".*", ".*")
        while self.meta.has_unsaved_changes:
            self.share()

    def share(self) -> None:
        """Do a step of telling the others what is administered here."""
        if self.puts is None:
            self.puts, self.are_put = self.meta.take(), False
        elif not self.are_put:
            self.puts.execute(self.table)
            self.are_put = True
        else:
            puts, self.puts = self.puts, None
            self._change(self.meta.done(puts))

    @property
    def is_behind(self) -> bool:
        """There is something administered of which others don't know, or we."""
        return self.meta.has_unsaved_changes or any(key.startswith(PREFIX) for key, _, _ in self.watch.news)

    def _change(self, changes: list[StoredChange]) -> None:
        for change in changes:
            carry_out(self.broker, change)

    # Membership

    def _told(self, key: str, value: bytes | None, revision: int) -> None:
        self._change(self.meta.told(key, value, revision))
        self.membership.seen(key, value, revision, self.now)

    def tick(self) -> None:
        """Hear some news, and do what follows."""
        if not self.is_cut:
            self.watch.tell(self.cluster.random.choice((0, 1, 3, 100)))
        self.membership.vhosts_are(self.cluster.vhosts)
        for action in self.membership.tick(self.now):
            self.do(action)

    def do(self, action: Action) -> None:
        if isinstance(action, TakeOver):
            if (copy := self._copy(action.vhost)) is None:
                self.membership.failed(action.vhost, self.now)
            else:
                self.taking[action.vhost] = Replica(self.logs[action.vhost], copy, self.name), 0
        elif isinstance(action, GiveUp):
            held = self.held[action.vhost]
            held.is_closing = True
            held.vhost.close("moved")
        elif isinstance(action, Abandon):
            self._drop(action.vhost)
        elif isinstance(action, Change):
            self.membership.done(action, self._put(action))
        else:
            self._put(action)

    def _put(self, action: Put | Delete | Change) -> int | None:
        table = self.table
        try:
            if isinstance(action, Put):
                return table.put(action.key, action.value)
            if isinstance(action, Delete):
                table.delete(action.key)
                return None
            if action.revision:
                return table.update(action.key, action.value, action.revision)
            return table.create(action.key, action.value)
        except (Conflict, LogUnavailable):
            return None

    # Vhosts

    def _copy(self, key: str) -> Copy | None:
        copy = self.copies.get(key)
        if copy is None:
            copy = Copy(self.disk, f"n/{key}", self.logs[key].identity, f"boot {self.boot}")
            try:
                copy.begin(self.logs[key].last())
            except LogUnavailable:
                return None
            self.copies[key] = copy
        return copy

    def follow(self, key: str) -> None:
        """Do a step as a standby, or on the way to be the owner."""
        if key in self.taking:
            self._take(key)
        elif key not in self.held and (copy := self._copy(key)) is not None:
            try:
                Follower(self.logs[key], copy).step(0.0)
            except LogUnavailable:
                return

    def _take(self, key: str) -> None:
        replica, attempts = self.taking[key]
        try:
            replica.take_over()
            settings = SETTINGS
            clock = self._clock
            opened = open_journal(
                replica.copy.directory, settings, ReplicatedDisk(replica), clock, ReplicatedDisk(replica)
            )
        except LogUnavailable:
            self.taking[key] = replica, attempts + 1
            if attempts >= MOST_ATTEMPTS:
                del self.taking[key]
                self.membership.failed(key, self.now)
            return
        except Deposed:
            del self.taking[key]
            self.membership.closed(key)
            return
        del self.taking[key]
        held = HeldVhost(self.broker, self.cluster.vhosts[key], opened)
        self.held[key] = Held(held, replica)
        self.membership.opened(key)

    def _clock(self) -> float:
        return self.now

    def write(self, key: str) -> None:
        """Do a step of writing."""
        held = self.held.get(key)
        if held is None:
            return
        storage, random = held.vhost.storage, self.cluster.random
        try:
            if held.is_closing and not held.is_settled and not held.vhost.clients:
                held.is_settled = True
                held.vhost.settle()
                storage.streams.finish()
            if held.is_settled and storage.streams.is_finished:
                storage.journal.finish()
            did = held.writer.step()
            if not did and random.random() < 0.5:
                storage.journal.retry()
                storage.streams.retry()
            if random.random() < 0.05:
                held.writer.rewrite(2000)
            if random.random() < 0.02:
                held.replica.tidy()
            if random.random() < 0.1:
                held.replica.look_after()
        except Deposed:
            self._drop(key)
            self.membership.closed(key)
            return
        except LogUnavailable:
            return
        if storage.journal.is_finished:
            del self.held[key]
            held.replica.copy.sync()
            self.membership.closed(key)

    def _drop(self, key: str) -> None:
        self.taking.pop(key, None)
        held = self.held.pop(key, None)
        if held is not None:
            if not held.is_closing:
                held.vhost.close("it has moved")
            held.vhost.abandon()
