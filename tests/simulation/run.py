"""A seeded run: a broker lives, its clients do what comes to mind, the disk fails it, the power goes; and again.

The model doesn't predict the broker. It compares three accounts of the same life that have to agree: what clients
saw, what storage was told, and what a broker that starts on the remains of the disk has.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

import attrs

import amqp_broker
from amqp_broker.config import Config
from amqp_broker.message import Message
from amqp_broker.queues.arguments import QueueType
from amqp_broker.queues.delay import DelayLine
from amqp_broker.queues.entry import NEVER, QueueEntry
from amqp_broker.queues.history import History
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.quorum import QuorumQueue
from amqp_broker.queues.target import Target
from amqp_broker.storage.definitions import Change
from amqp_broker.storage.journal import SyncMode
from amqp_broker.storage.store import JournalStorage
from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    Command,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    Method,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    Table,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
    parse_content_header,
)
from tests.simulation.lanes import Delivered, Lane, Observer, Subscription, got, take_all
from tests.simulation.ledger import Content, Key, Ledger, RecordedStorage, Stored, as_set, number_of, survey
from tests.simulation.machine import SMALL, Machine
from tests.simulation.operator import administer
from tests.storage.simulated_disk import Crashed, SimulatedDisk
from tests.support.client import Client

EXCHANGES = ("e0", "e1", "e2")
QUEUES = tuple(f"q{number}" for number in range(8))
KEYS = ("a", "b")
LATE = "e2"
"""Mostly the delayed exchange."""

PAST = "e1"
"""Often the exchange with a history."""

DEAD = "e0"
"""The dead-letter exchange of all queues that have one."""

FAR = 1 << 60
"""An instant by which all is due."""

REFUSABLE = ("pwrite", "fsync", "create", "rename", "fsync_directory", "unlink")


@attrs.frozen
class Kind:
    """A way to declare a queue. `is_plain`: messages leave it only through clients."""

    arguments: Table
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    is_plain: bool = True


KINDS = (
    Kind({}),
    Kind({}),
    Kind({"x-max-priority": 3}),
    Kind({"x-dead-letter-exchange": DEAD.encode()}),
    Kind({"x-message-ttl": 3000, "x-dead-letter-exchange": DEAD.encode()}, is_plain=False),
    Kind({"x-max-length": 5, "x-dead-letter-exchange": DEAD.encode()}, is_plain=False),
    Kind({"x-max-length": 5, "x-overflow": b"reject-publish"}, is_plain=False),
    Kind(
        {"x-max-length": 5, "x-overflow": b"reject-publish-dlx", "x-dead-letter-exchange": DEAD.encode()},
        is_plain=False,
    ),
    Kind({"x-queue-type": b"quorum"}, is_plain=False),
    Kind({"x-queue-type": b"quorum", "x-delivery-limit": -1}),
    Kind(
        {"x-queue-type": b"quorum", "x-delivery-limit": 1, "x-dead-letter-exchange": DEAD.encode()},
        is_plain=False,
    ),
    Kind(
        {"x-queue-type": b"quorum", "x-delayed-retry-type": b"all", "x-delayed-retry-min": 200, "x-message-ttl": 9000},
        is_plain=False,
    ),
    Kind(
        {
            "x-queue-type": b"quorum",
            "x-delivery-limit": 1,
            "x-max-length": 5,
            "x-overflow": b"reject-publish",
            "x-dead-letter-exchange": DEAD.encode(),
            "x-dead-letter-strategy": b"at-least-once",
        },
        is_plain=False,
    ),
    Kind({"x-expires": 4000}, is_plain=False),
    Kind({}, auto_delete=True),
    Kind({}, durable=False),
    Kind({}, exclusive=True),
)


@attrs.frozen
class Found:
    """An entry of a queue, in the order it is handed out."""

    key: Key
    stored: Stored
    priority: int
    redelivered: bool
    delivery_count: int
    acquired_count: int


class Run(Observer):
    """All lives of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.sync: SyncMode = random.choice(("always", "always", "always", "interval", "never"))
        self.settings = attrs.evolve(
            SMALL, sync=self.sync, segment_octets=random.choice((2048, 4096, 20_000)), sync_interval_s=0.5
        )
        self.config = Config(queue_window_octets=random.choice((2_000, 8_000, 1 << 20)))
        beginning = Machine(SimulatedDisk(random), config=self.config, settings=self.settings)
        beginning.writer.run()  # what a new broker has is not the same twice, so it is there before the lives begin
        self.disk = self._after_power_cut(beginning.disk)
        self.ledger = Ledger({}, list(beginning.broker.definitions()))
        self.next_number = 0
        self.steps = 0
        self.crashes = self.stops = 0
        self.trail: list[tuple[int, int, int]] = []
        """Of each life: steps, calls of the disk, messages that were left."""
        self.checked = 0
        self.recorded: set[int] = set()
        """Messages of which an exchange has had a copy to give to whoever is bound, also to one who has had it."""
        self.copies: set[tuple[int, int]] = set()
        """Queue id and number of those that were given: no publisher has been promised that they are there."""
        self._reset()

    def _reset(self) -> None:
        self.clients: dict[Client, dict[int, Lane]] = {}
        self.confirmed: set[int] = set()
        self.handed_out: dict[tuple[int, int], int] = {}
        """Queue id and number of what clients got → at which step."""
        self.expected: dict[int, Counter[int]] = {}
        """By queue id, the numbers of the messages that the clients' doings have left there, if it is plain."""
        self.is_exact = True
        """The expectations are up to date: no power cut has fallen into the middle of something."""
        self.promised_changes = 0
        self.promises: dict[tuple[str, ...], bool] = {}
        """What was declared (or deleted) and answered, and not touched since: whether it is there."""

    # What clients see

    def delivered(self, lane: Lane, delivered: Delivered, *, is_gone: bool) -> None:
        queue_id, number = delivered.queue_id, delivered.number
        key = self.ledger.places.get((queue_id, number))
        stored = None if key is None else self.ledger.ever[key]
        queue = self._queue_with_id(queue_id)
        is_dead = b"x-death" in delivered.content.header
        if key is not None and stored is not None and stored.content.header == delivered.content.header:
            assert stored.content.address == delivered.content.address
            assert stored.content.body == delivered.content.body
            in_order = queue is not None and queue.options.max_priority is None
            in_order = in_order and not delivered.redelivered
            in_order = in_order and not self._may_come_again(delivered.content, is_dead=is_dead)
            if in_order and queue is not None and queue.options.type is QueueType.CLASSIC:
                assert lane.order.get(queue_id, -1) < key[1], "out of order"
                lane.order[queue_id] = key[1]
        if not self._may_come_again(delivered.content, is_dead=is_dead):
            # Within one step nobody knows whose delivery was the first.
            before = self.handed_out.setdefault((queue_id, number), self.steps)
            assert delivered.redelivered or before == self.steps, "it was handed out before"
        if is_gone:
            self._left(delivered)

    def promised(self, number: int) -> None:
        self.confirmed.add(number)

    def published(self, message: Message, queues: Sequence[Target]) -> None:
        """The vhost is about to put a message into queues."""
        number = number_of(message.body)
        if any(isinstance(queue, History) for queue in queues):
            self.recorded.add(number)
        elif number in self.recorded:
            self.copies |= {(queue.id, number) for queue in queues if isinstance(queue, Queue)}
        if message.ttl_ms is not None:
            return
        for queue in queues:
            if isinstance(queue, Queue) and self._is_plain(queue):
                is_quorum = queue.options.type is QueueType.QUORUM
                if is_quorum or message.is_persistent:
                    self.expected.setdefault(queue.id, Counter())[number] += 1

    def _may_come_again(self, content: Content, *, is_dead: bool) -> bool:
        """To the same queue: by another death, on another way after a crash in the middle, or out of a history."""
        return is_dead or _was_delayed(content) or content.number in self.recorded

    def _left(self, delivered: Delivered) -> None:
        """A client has taken a message for good."""
        counter = self.expected.get(delivered.queue_id)
        if counter is not None and counter[delivered.number] and not delivered.expires:
            counter[delivered.number] -= 1

    # The broker's life

    def boot(self) -> None:
        """Start on what the disk has; the power may go while it starts."""
        random = self.random
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            self.disk.crash_at = self.disk.calls + random.randint(1, 20)
            try:
                self._machine(self.disk)
            except Crashed:
                self.crashes += 1
            self.disk = self._after_power_cut(self.disk)
        self._boot_for_good()

    def _boot_for_good(self) -> None:
        self.disk.crash_at = -1
        self.machine = self._machine(self.disk)
        if amqp_broker.COMPILED:
            return
        vhost = self.machine.broker.vhosts["/"]
        publish = vhost.publish

        def probe(message: Message, queues: Sequence[Target]) -> bool:
            self.published(message, queues)
            return publish(message, queues)

        vhost.publish = probe  # type: ignore[method-assign]

    def _machine(self, disk: SimulatedDisk, *, is_recorded: bool = True) -> Machine:
        def wrap(storage: JournalStorage) -> RecordedStorage:
            return RecordedStorage(storage, lambda: self.ledger)

        time = self.time
        if is_recorded:
            return Machine(disk, config=self.config, settings=self.settings, time=time, is_eager=False, wrap=wrap)
        return Machine(disk, config=self.config, settings=self.settings, time=time, is_eager=False)

    @property
    def time(self) -> float:
        return self.machine.time if hasattr(self, "machine") else 1_000_000.0

    def live(self, steps: int) -> None:
        """Do things until the power goes, or the steps are done."""
        random = self.random
        self.disk.crash_at = self.disk.calls + random.randint(1, 150) if random.random() < 0.7 else -1
        refuses = random.random() < 0.35
        if random.random() < 0.1:
            self.disk.capacity = random.randint(20_000, 80_000)
        try:
            for _ in range(steps):
                self.steps += 1
                if refuses and random.random() < 0.05:
                    self.disk.fault = self._fault if random.random() < 0.5 else _no_fault
                self._step()
                self._take_all()
            self._check_books()
        except Crashed:
            self.is_exact = False

    def _fault(self, call: str, _path: str) -> OSError | None:
        if call in REFUSABLE and self.random.random() < 0.15:
            return OSError(self.random.choice((errno.ENOSPC, errno.EIO)), "refused")
        return None

    def _take_all(self) -> None:
        for client, lanes in list(self.clients.items()):
            take_all(client, lanes, self)
            assert not any(lane.asked for lane in lanes.values()), "a mandatory message did not come back"

    def end(self) -> None:
        """End this life one way or the other, and check what is left."""
        random = self.random
        is_up = self.disk.crash_at < 0 or self.disk.calls < self.disk.crash_at
        self.disk.fault = _no_fault
        if is_up and random.random() < 0.4:
            self._stop()
        else:
            self.crashes += 1
            after = self._after_power_cut(self.disk)
            self._check_after_crash(after)

    def _after_power_cut(self, disk: SimulatedDisk) -> SimulatedDisk:
        """Power cuts are for those who fsync; the others lose no more than the process."""
        after = disk.crash() if self.sync == "always" else disk.copy()
        after.capacity = 1 << 40
        return after

    def _stop(self) -> None:
        self.stops += 1
        self.disk.crash_at = -1
        self.disk.capacity = 1 << 40
        self.machine.journal.retry()
        self.machine.broker.shut_down()
        self._take_all()
        self.machine.stop()
        self._check_books()
        before, definitions = self._drain(self.machine), as_set(self.machine.broker.definitions())
        after = self._after_power_cut(self.disk)
        machine = self._machine(after.copy(), is_recorded=False)
        assert as_set(machine.broker.definitions()) == definitions
        dead = [segment.number for segment in self.machine.journal.segments.values() if not segment.live]
        assert len(dead) <= 1, f"segments {dead} are dead and still there"
        assert definitions == self.ledger.topologies(len(self.ledger.changes))[0]
        found = self._drain(machine)
        live = self.ledger.live
        assert {each.key for entries in found.values() for each in entries} == live.keys(), "not as it was left"
        for name, entries in found.items():
            queue = machine.broker.vhosts["/"].queues.get(name)
            kept = [each for each in before[name] if each.key in live]
            if queue is not None and queue.options.type is QueueType.QUORUM:
                kept.sort(key=lambda each: each.key)
                entries = sorted(entries, key=lambda each: each.key)
                assert [each.delivery_count for each in entries] == [each.delivery_count for each in kept]
            assert [each.key for each in entries] == [each.key for each in kept], name
            assert [each.redelivered for each in entries] == [each.redelivered for each in kept], name
        self._check_found(machine, found)
        self._go_on(after, found, machine)

    def _check_after_crash(self, after: SimulatedDisk) -> None:
        machine = self._machine(after.copy(), is_recorded=False)
        ledger = self.ledger
        topology = as_set(machine.broker.definitions())
        assert topology in ledger.topologies(self.promised_changes), "topology is not what it was at any time"
        if self.is_exact:
            assert as_set(self.machine.broker.definitions()) == ledger.topologies(len(ledger.changes))[0]
        found = self._drain(machine)
        keys = {each.key for entries in found.values() for each in entries}
        assert keys <= ledger.ever.keys(), f"never published: {sorted(keys - ledger.ever.keys())}"
        vhost = machine.broker.vhosts["/"]
        there = {each.id for each in (*vhost.queues.values(), *_keepers(machine).values())}
        deleted = {queue_id for queue_id, _ in ledger.live} - there
        for key, stored in ledger.live.items():
            if key[0] in deleted or key in keys:
                continue
            assert not self._is_promised(key), f"lost: message {stored.content.number} at {key}"
            ancestors = ledger.ancestors(key)
            if any(self._is_promised(each) for each in ancestors) and not {each[0] for each in ancestors} - there:
                assert keys & ancestors, (
                    f"lost: message {stored.content.number} at {key}, and where it was: {ancestors}"
                )
        self._check_promises(machine)
        self._check_found(machine, found)
        self._go_on(after, found, machine)

    def _is_promised(self, key: Key) -> bool:
        """It was on disk from the beginning, or the publisher was told that it is now."""
        ledger = self.ledger
        content = ledger.ever[key].content
        is_as_published = key not in ledger.predecessors and not content.deaths and not _has_waited(content)
        is_as_published = is_as_published and (key[0], content.number) not in self.copies
        return key in ledger.base or (is_as_published and content.number in self.confirmed)

    def _check_promises(self, machine: Machine) -> None:
        """What was answered and not touched again, a client of the new broker finds."""
        vhost = machine.broker.vhosts["/"]
        for thing, is_there in self.promises.items():
            if thing[0] == "queue":
                assert (thing[1] in vhost.queues) is is_there, thing
            elif thing[0] == "exchange":
                assert (thing[1] in vhost.exchanges) is is_there, thing
            elif is_there:
                _, source, queue, key = thing
                assert vhost.exchanges[source].find_binding(vhost.queues[queue], key, {}) is not None, thing

    def _check_found(self, machine: Machine, found: dict[str, list[Found]]) -> None:
        """Whatever the end was."""
        ledger = self.ledger
        vhost = machine.broker.vhosts["/"]
        for name, entries in found.items():
            queue = vhost.queues.get(name)
            assert queue is None or queue.durable
            assert queue is None or queue.exclusive_owner is None
            if queue is None:  # by the time they are due, or as they came
                dues = [(int(each.stored.expires_at * 1000), each.key) for each in entries]
                assert dues == sorted(dues), f"{name} is out of order"
            elif queue.options.type is QueueType.CLASSIC:
                highest = queue.options.max_priority or 0
                places = [(-min(max(each.priority, 0), highest), each.key) for each in entries]
                assert places == sorted(places), f"{name} is out of order"
            for each in entries:
                stored = ledger.ever[each.key]
                assert each.stored.is_same(stored), f"{each.stored} was {stored}"
                self.checked += 1
                number = stored.content.number
                place = (each.key[0], number)
                was_out = place in self.handed_out and ledger.places[place] == each.key
                if was_out and not self._may_come_again(stored.content, is_dead=bool(stored.content.deaths)):
                    assert each.redelivered, f"message {number} was delivered before, it says it was not"
                if queue is not None and queue.options.type is QueueType.QUORUM:
                    assert (each.acquired_count > 0) == each.redelivered
        for exchange in vhost.exchanges.values():
            assert exchange.durable

    def _check_books(self) -> None:
        """What clients have done to plain queues is what storage was told."""
        if not self.is_exact or amqp_broker.COMPILED:  # nobody can look over the shoulder of what is compiled
            return
        told: dict[int, Counter[int]] = {}
        for (queue_id, _), stored in self.ledger.live.items():
            if stored.expires_at == NEVER:
                told.setdefault(queue_id, Counter())[stored.content.number] += 1
        for queue in self.machine.broker.vhosts["/"].queues.values():
            if self._is_plain(queue):
                wanted = +self.expected.get(queue.id, Counter())
                has = told.get(queue.id, Counter())
                assert has == wanted, f"{queue.name} has {has}, clients left {wanted} in it"

    def _drain(self, machine: Machine) -> dict[str, list[Found]]:
        """Take everything out of the durable queues, long before anything expires."""
        now, machine.time = machine.time, 0.0
        queues = [queue for queue in machine.broker.vhosts["/"].queues.values() if queue.durable]
        found = {}
        for queue in queues:
            entries = []
            while (entry := queue.get()) is not None:
                entries.append(_found(entry))
            assert not queue.message_count
            if isinstance(queue, QuorumQueue):
                for entry in (*queue.delayed.drain(), *queue.undelivered.drain()):
                    if entry.message is None:
                        machine.storage.load([entry])
                    entries.append(_found(entry))
            found[queue.name] = entries
        for name, keeper in _keepers(machine).items():
            kept = found[name] = []
            while taken := (keeper.take_due(FAR) if isinstance(keeper, DelayLine) else keeper.take_all()):
                for entry in taken:
                    if entry.message is None:
                        machine.storage.load([entry])
                    kept.append(_found(entry))
        machine.time = now
        return found

    def _go_on(self, disk: SimulatedDisk, found: dict[str, list[Found]], machine: Machine) -> None:
        """What was found is what the next life begins with."""
        self.trail.append((self.steps, self.disk.calls, sum(map(len, found.values()))))
        base = {each.key: each.stored for entries in found.values() for each in entries}
        self.ledger = Ledger(base, list(machine.broker.definitions()))
        redelivered = {each.key: each.redelivered for entries in found.values() for each in entries}
        self._reset()
        for (queue_id, position), was_out in redelivered.items():
            content = base[queue_id, position].content
            if was_out and not content.deaths:
                self.handed_out[queue_id, content.number] = self.steps
        for key, stored in base.items():
            if stored.expires_at == NEVER:
                self.expected.setdefault(key[0], Counter())[stored.content.number] += 1
        self.disk = disk

    # What clients do

    def _step(self) -> None:
        random = self.random
        what = random.choices(self._actions, self._weights)[0]
        what(self)

    def _lane(self, *modes: str, is_idle: bool = True) -> Lane | None:
        """Some channel that can do something; mostly one that is there."""
        lanes = [
            lane
            for its_lanes in self.clients.values()
            for lane in its_lanes.values()
            if (not modes or lane.mode in modes) and (lane.is_idle if is_idle else lane.may_publish)
        ]
        if lanes and self.random.random() < 0.95:
            return self.random.choice(lanes)
        if len(self.clients) >= 5:
            return self.random.choice(lanes) if lanes else None
        return self._new_lane(self.random.choice(modes or ("confirm", "tx", "plain")))

    def _new_lane(self, mode: str) -> Lane:
        client = self.random.choice([*self.clients, None])
        if client is None or not client.connection.may_read or len(self.clients[client]) >= 3:
            client = self.machine.client()
            self.clients[client] = {}
        lanes = self.clients[client]
        self._take_all()
        channel_id = next(number for number in range(1, 9) if number not in lanes)
        lane = lanes[channel_id] = Lane(client.channel(channel_id), mode)
        if mode == "confirm":
            lane.ask(ConfirmSelect(), ConfirmSelectOk)
        elif mode == "tx":
            lane.ask(TxSelect(), TxSelectOk)
        self._take_all()
        return lane

    def _change(
        self, lane: Lane, method: Method, kind: type[Method], thing: tuple[str, ...], *, becomes: bool | None
    ) -> None:
        """Change topology, and note what the answer promises: that the thing is there, that it isn't, or nothing."""
        ledger = self.ledger
        self.promises.pop(thing, None)
        before = len(ledger.changes)
        changes = before

        def answered(_command: Command) -> None:
            self.promised_changes = max(self.promised_changes, changes)
            if becomes is not None and not any(_touches(change, thing) for change in ledger.changes[changes:]):
                self.promises[thing] = becomes

        lane.ask(method, kind, answered)
        changes = len(ledger.changes)
        for each in [each for each in self.promises if each[0] == "binding"]:
            if any(_touches(change, each) for change in ledger.changes[before:]):
                del self.promises[each]

    def declare_exchange(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        names = [name for name in EXCHANGES if name not in vhost.exchanges]
        lane = self._lane()
        if lane is None or not names:
            return
        name = self.random.choice(names)
        durable = self.random.random() < 0.8
        auto_delete = self.random.random() < 0.1
        kind = self.random.choice(("fanout", "fanout", "direct", "topic", "x-modulus-hash"))
        arguments: Table = {}
        if name == LATE and self.random.random() < 0.8:
            kind, arguments = "x-delayed-message", {"x-delayed-type": kind.encode()}
        elif name == PAST and self.random.random() < 0.4 and not amqp_broker.COMPILED:  # who is given what is seen
            kind, arguments = "x-recent-history", {"x-recent-history-length": self.random.choice((1, 5))}
        method = ExchangeDeclare(
            exchange=name, type=kind, durable=durable, auto_delete=auto_delete, arguments=arguments
        )
        self._change(lane, method, ExchangeDeclareOk, ("exchange", name), becomes=None if auto_delete else durable)

    def delete_exchange(self) -> None:
        lane, name = self._lane(), self.random.choice(EXCHANGES)
        if lane is not None:
            self._change(lane, ExchangeDelete(exchange=name), ExchangeDeleteOk, ("exchange", name), becomes=False)

    def declare_queue(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        names = [name for name in QUEUES if name not in vhost.queues]
        lane = self._lane()
        if lane is None or not names:
            return
        name, kind = self.random.choice(names), self.random.choice(KINDS)
        if kind.exclusive and lane.client.connection.exclusive_queues:
            return
        method = QueueDeclare(
            queue=name,
            durable=kind.durable,
            exclusive=kind.exclusive,
            auto_delete=kind.auto_delete,
            arguments=kind.arguments,
        )
        is_lasting = not kind.auto_delete and "x-expires" not in kind.arguments and not kind.exclusive
        self._change(lane, method, QueueDeclareOk, ("queue", name), becomes=kind.durable if is_lasting else None)

    def delete_queue(self) -> None:
        lane, queue = self._lane(), self._queue()
        if lane is None or queue is None:
            return
        self.expected.pop(queue.id, None)
        self._change(lane, QueueDelete(queue=queue.name), QueueDeleteOk, ("queue", queue.name), becomes=False)

    def bind(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        lane, queue = self._lane(), self._queue()
        names = [name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges]
        if lane is None or queue is None or not names or not self._may_use(lane, queue):
            return
        name, key = self.random.choice(names), self.random.choice(KEYS)
        is_lasting = queue.durable and vhost.exchanges[name].durable and not queue.auto_delete
        is_lasting = is_lasting and queue.options.expires_s is None and not vhost.exchanges[name].auto_delete
        thing = ("binding", name, queue.name, key)
        method = QueueBind(queue=queue.name, exchange=name, routing_key=key)
        self._change(lane, method, QueueBindOk, thing, becomes=True if is_lasting else None)

    def unbind(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        lane, queue = self._lane(), self._queue()
        names = [name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges]
        if lane is None or queue is None or not names or not self._may_use(lane, queue):
            return
        name, key = self.random.choice(names), self.random.choice(KEYS)
        method = QueueUnbind(queue=queue.name, exchange=name, routing_key=key)
        self._change(lane, method, QueueUnbindOk, ("binding", name, queue.name, key), becomes=None)

    def bind_exchange(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        lane = self._lane()
        names = [name for name in EXCHANGES if name in vhost.exchanges]
        if lane is None or len(names) < 2:
            return
        source, destination = self.random.sample(names, 2)
        method = ExchangeBind(source=source, destination=destination, routing_key=self.random.choice(KEYS))
        self._change(lane, method, ExchangeBindOk, ("exchanges", source, destination), becomes=None)

    def administer(self) -> None:
        administer(self.machine.broker, self.random)
        changes = len(self.ledger.changes)

        def promise() -> None:
            self.promised_changes = max(self.promised_changes, changes)

        self.machine.broker.storage.when_durable(promise)

    def publish(self) -> None:
        random = self.random
        lane = self._lane(is_idle=random.random() < 0.9)
        if lane is None:
            return
        octets = b"".join(self._publish(lane) for _ in range(random.choice((1, 1, 1, 2, 5, 20))))
        lane.client.send_octets(octets)

    def _publish(self, lane: Lane) -> bytes:
        random = self.random
        vhost = self.machine.broker.vhosts["/"]
        exchange = random.choice(("", *(name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges)))
        if not lane.is_idle:
            exchange = random.choice(("", "amq.fanout"))  # by the time it is worked off another may be gone
        routing_key = random.choice(QUEUES if exchange == "" else KEYS)
        number, self.next_number = self.next_number, self.next_number + 1
        headers: Table = {"n": number}
        if random.random() < 0.1:
            headers["CC"] = [random.choice(QUEUES).encode()]
        if random.random() < 0.05:
            headers["BCC"] = [random.choice(QUEUES).encode()]
        if exchange == LATE and random.random() < 0.7:
            headers["x-delay"] = random.choice((1, 50, 500, 3000, 100_000))
        properties = Properties(
            delivery_mode=random.choice((2, 2, 2, 1, None)),
            priority=random.choice((None, 0, 1, 2, 5, 9)),
            expiration=random.choice(("0", "100", "2000", "60000")) if random.random() < 0.15 else None,
            headers=headers if random.random() < 0.5 or len(headers) > 1 else None,
            content_type=random.choice((None, "text/plain")),
        )
        body = b"%d:" % number + random.randbytes(random.choice((0, 10, 100, 700)))
        lane.published += 1
        if lane.mode == "confirm":
            lane.unconfirmed[lane.published] = number
        elif lane.mode == "tx":
            lane.uncommitted.append(number)
        is_simple = exchange == "" and lane.mode != "tx" and lane.is_idle and len(headers) == 1
        mandatory = is_simple and random.random() < 0.3
        if mandatory and routing_key not in vhost.queues:
            lane.asked.add(number)
        method = BasicPublish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        return lane.channel.publish_octets(method, body, properties)

    def commit(self) -> None:
        lane = self._lane("tx")
        if lane is None:
            return
        uncommitted, lane.uncommitted = lane.uncommitted, []
        settled, lane.settled = lane.settled, []
        left, lane.released = lane.released, []

        def answered(_command: Command) -> None:
            self.confirmed.update(uncommitted)

        for delivered in left:
            self._left(delivered)
        del settled
        lane.ask(TxCommit(), TxCommitOk, answered)

    def rollback(self) -> None:
        """With settlements it would give back tags; they end with the channel instead."""
        lane = self._lane("tx")
        if lane is not None and not lane.settled:
            lane.uncommitted.clear()
            lane.ask(TxRollback(), TxRollbackOk)

    def consume(self) -> None:
        lane, queue = self._lane(), self._queue()
        if lane is None or queue is None or not self._may_use(lane, queue) or len(lane.subscriptions) >= 3:
            return
        tag = f"c{self.steps}"
        no_ack = self.random.random() < 0.2
        lane.subscriptions[tag] = Subscription(queue.name, queue.id, no_ack)
        lane.ask(BasicConsume(queue=queue.name, consumer_tag=tag, no_ack=no_ack), BasicConsumeOk)

    def cancel(self) -> None:
        lane = self._lane()
        if lane is not None and lane.subscriptions:
            tag = self.random.choice(list(lane.subscriptions))
            lane.ask(BasicCancel(consumer_tag=tag), BasicCancelOk)
            self._take_all()
            lane.subscriptions.pop(tag, None)

    def qos(self) -> None:
        lane = self._lane()
        if lane is not None:
            lane.ask(BasicQos(prefetch_count=self.random.choice((0, 1, 3, 10))), BasicQosOk)

    def get(self) -> None:
        lane, queue = self._lane(), self._queue()
        if lane is None or queue is None or not self._may_use(lane, queue):
            return
        no_ack = self.random.random() < 0.4
        queue_id = queue.id

        def answered(command: Command) -> None:
            delivered = got(command, queue_id)
            method = command.method
            assert isinstance(method, BasicGetOk)
            if not no_ack:
                lane.out[method.delivery_tag] = delivered
            self.delivered(lane, delivered, is_gone=no_ack)

        lane.ask(BasicGet(queue=queue.name, no_ack=no_ack), BasicGetOk, answered)

    def settle(self) -> None:
        """Ack most of it; nack, reject and requeue some."""
        random = self.random
        lanes = [lane for lanes in self.clients.values() for lane in lanes.values() if lane.out and lane.is_idle]
        if not lanes:
            return
        lane = random.choice(lanes)
        tag = random.choice(list(lane.out))
        multiple = random.random() < 0.3
        tags = [each for each in sorted(lane.out) if each <= tag] if multiple else [tag]
        taken = [lane.out.pop(each) for each in tags]
        what = random.choices(("ack", "nack", "requeue", "reject", "return"), (10, 1, 2, 1, 1))[0]
        if what in ("ack", "nack") or (what == "reject" and not multiple):
            if lane.mode == "tx":
                lane.released += taken
            else:
                for delivered in taken:
                    self._left(delivered)
        if lane.mode == "tx":
            lane.settled += taken
        if what == "ack":
            lane.channel.send(BasicAck(delivery_tag=tag, multiple=multiple))
        elif what in ("nack", "requeue") or multiple:
            lane.channel.send(BasicNack(delivery_tag=tag, multiple=multiple, requeue=what != "nack"))
        else:
            lane.channel.send(BasicReject(delivery_tag=tag, requeue=what == "return"))

    def recover(self) -> None:
        lane = self._lane()
        if lane is not None:
            lane.out.clear()
            lane.ask(BasicRecover(requeue=True), BasicRecoverOk)

    def purge(self) -> None:
        lane, queue = self._lane(), self._queue()
        if lane is None or queue is None or not self._may_use(lane, queue):
            return
        lanes = [lane for lanes in self.clients.values() for lane in lanes.values()]
        out = [each.number for lane in lanes for each in lane.held if each.queue_id == queue.id and not each.expires]
        lane.ask(QueuePurge(queue=queue.name), QueuePurgeOk)
        before = self.expected.get(queue.id, Counter())
        self.expected[queue.id] = Counter(out) & before

    def leave(self) -> None:
        """Close a channel or a connection, or lose it."""
        random = self.random
        if not self.clients:
            return
        client = random.choice(list(self.clients))
        lanes = self.clients[client]
        idle = [number for number, lane in lanes.items() if lane.is_idle]
        if random.random() < 0.5 and idle:
            channel_id = random.choice(idle)
            lanes[channel_id].ask(ChannelClose(reply_code=200), ChannelCloseOk)
            self._take_all()
            del lanes[channel_id]
            return
        if random.random() < 0.5 and len(idle) == len(lanes):
            client.send(0, ConnectionClose(reply_code=200))
            client.pump()
            assert isinstance(client.inbox.pop().method, ConnectionCloseOk)
            take_all(client, lanes, self)
        client.drop()
        del self.clients[client]

    def wait(self) -> None:
        self.machine.advance(self.random.choice((0.01, 0.06, 0.3, 1.0, 3.0)))

    def write(self) -> None:
        """The writer takes a batch, or writes it, or reports it; sometimes all it has."""
        if self.random.random() < 0.3:
            self.machine.writer.run()
        else:
            self.machine.writer.step()

    def rewrite(self) -> None:
        self.machine.writer.rewrite(self.random.choice((1, 2000)))

    def retry(self) -> None:
        self.machine.journal.retry()

    _actions = (
        declare_exchange, delete_exchange, declare_queue, delete_queue, bind, unbind, bind_exchange, publish, commit,
        rollback, consume, cancel, qos, get, settle, recover, purge, leave, wait, write, rewrite, retry, administer,
    )  # fmt: skip
    _weights = (4, 1, 8, 1, 6, 1, 1, 30, 3, 1, 5, 2, 2, 8, 16, 1, 1, 2, 8, 40, 6, 2, 4)

    # Helpers

    def _queue(self) -> Queue | None:
        queues = [queue for queue in self.machine.broker.vhosts["/"].queues.values() if queue.exclusive_owner is None]
        return self.random.choice(queues) if queues else None

    @staticmethod
    def _may_use(lane: Lane, queue: Queue) -> bool:
        return queue.exclusive_owner in (None, lane.client.connection)

    def _queue_with_id(self, queue_id: int) -> Queue | None:
        queues: Iterable[Queue] = self.machine.broker.vhosts["/"].queues.values()
        return next((queue for queue in queues if queue.id == queue_id), None)

    @staticmethod
    def _is_plain(queue: Queue) -> bool:
        options = queue.options
        if options.type is QueueType.QUORUM and options.delivery_limit is not None:
            return False
        timeless = options.message_ttl_s is None and options.expires_s is None
        return queue.durable and timeless and options.max_length is None


def _touches(change: Change, thing: tuple[str, ...]) -> bool:
    """Whether a change is about something, or about an end of a binding."""
    names = {value for value in change.table.values() if isinstance(value, str)}
    return not names.isdisjoint(thing[1:3])


def _keepers(machine: Machine) -> dict[str, DelayLine | History]:
    """Where durable exchanges have messages."""
    exchanges = machine.broker.vhosts["/"].exchanges.values()
    keepers = [exchange.keeper for exchange in exchanges if exchange.durable]
    return {keeper.name: keeper for keeper in keepers if isinstance(keeper, DelayLine | History)}


def _was_delayed(content: Content) -> bool:
    """A message that waited, or still waits."""
    return b"x-delay" in content.header


def _has_waited(content: Content) -> bool:
    """It was delayed; if it was kept while it waited, then that is what its publisher was promised."""
    delay = (parse_content_header(content.header).properties.headers or {}).get("x-delay", 0)
    return isinstance(delay, int) and delay < 0


def _found(entry: QueueEntry) -> Found:
    ((key, stored),) = survey({entry.queue.id: [entry]}).items()
    assert entry.message is not None
    priority = entry.message.header.priority
    return Found(key, stored, priority, entry.redelivered, entry.delivery_count, entry.acquired_count)


def _no_fault(_call: str, _path: str) -> None:
    """A disk that does what it is told."""


class _Failures(logging.Handler):
    """Internal errors that the broker caught and logged are the simulation's to raise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.last = record.exc_info[1]


def run(seed: int) -> Run:
    """Live a few lives; raises if a promise is broken."""
    failures = _Failures()
    logger = logging.getLogger("amqp_broker")
    logger.addHandler(failures)
    try:
        simulation = Run(seed)
        for _ in range(simulation.random.randint(2, 5)):
            simulation.boot()
            simulation.live(simulation.random.randint(10, 250))
            simulation.end()
    except BaseException as error:
        error.add_note(f"seed {seed}; again: python -m tests.simulation --seed {seed}")
        if failures.last is not None and failures.last is not error:
            raise AssertionError(f"the broker failed: {failures.last!r}") from failures.last
        raise
    finally:
        logger.removeHandler(failures)
    if failures.last is not None:
        raise AssertionError(f"seed {seed}: the broker failed: {failures.last!r}") from failures.last
    return simulation
