"""What a broker has that starts on the remains of the one before, and whether it is what was promised."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

import amqp_broker
from amqp_broker.queues.arguments import QueueOptions, QueueType
from amqp_broker.queues.delay import DelayLine
from amqp_broker.queues.entry import QueueEntry
from amqp_broker.queues.history import History
from amqp_broker.queues.quorum import QuorumQueue
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.storage.stream_log import Cursor, StreamLog
from tests.simulation.accounts import Accounts
from tests.simulation.ledger import Content, Key, Ledger, Stored, as_set, survey
from tests.simulation.machine import Machine

FAR = 1 << 60
"""An instant by which all is due."""


@attrs.frozen
class Found:
    """An entry of a queue, in the order it is handed out."""

    key: Key
    stored: Stored
    priority: int
    redelivered: bool
    delivery_count: int
    acquired_count: int


@attrs.frozen
class Remains:
    """All that a broker has in durable queues and exchanges.

    Attributes:
        entries: by the name of the queue, or of the exchange's keeper.
        streams: their messages as a reader gets them, by stream id and offset.
        next_offsets: of streams, by id.
        options: of queues, with what policies make of them, by name.
    """

    entries: Mapping[str, list[Found]]
    streams: Mapping[int, Mapping[int, Content]]
    next_offsets: Mapping[int, int]
    options: Mapping[str, QueueOptions]

    @property
    def keys(self) -> set[Key]:
        """All places that are taken, those in streams too."""
        in_queues = {each.key for entries in self.entries.values() for each in entries}
        return in_queues | {(stream_id, offset) for stream_id, read in self.streams.items() for offset in read}

    @property
    def count(self) -> int:
        """Messages."""
        return len(self.keys)

    def of_next_life(self, machine: Machine, ledger: Ledger) -> Ledger:
        """What the next life begins with, is what was found."""
        base = {each.key: each.stored for entries in self.entries.values() for each in entries}
        streams = {
            stream_id: {offset: ledger.ever[stream_id, offset].content for offset in read}
            for stream_id, read in self.streams.items()
            if not amqp_broker.COMPILED
        }
        return Ledger(base, list(machine.broker.definitions()), streams)


def drain(machine: Machine) -> Remains:
    """Take everything out of what is durable, long before anything expires."""
    now, machine.time = machine.time, 0.0
    queues = [queue for queue in machine.broker.vhosts["/"].queues.values() if queue.durable]
    entries: dict[str, list[Found]] = {}
    streams: dict[int, dict[int, Content]] = {}
    next_offsets: dict[int, int] = {}
    for queue in queues:
        if isinstance(queue, StreamQueue):
            streams[queue.id] = _read(queue.log)
            next_offsets[queue.id] = queue.log.next_offset
            continue
        found = []
        while (entry := queue.get()) is not None:
            found.append(_found(entry))
        assert not queue.message_count
        if isinstance(queue, QuorumQueue):
            found += [_loaded(machine, entry) for entry in (*queue.delayed.drain(), *queue.undelivered.drain())]
        entries[queue.name] = found
    for name, keeper in _keepers(machine).items():
        kept = entries[name] = []
        while taken := (keeper.take_due(FAR) if isinstance(keeper, DelayLine) else keeper.take_all()):
            kept += [_loaded(machine, entry) for entry in taken]
    machine.time = now
    return Remains(entries, streams, next_offsets, {queue.name: queue.options for queue in queues})


def check_after_stop(accounts: Accounts, before: Remains, machine: Machine, found: Remains) -> None:
    """It is all as it was left, to the last count."""
    ledger, stopped = accounts.ledger, accounts.machine
    definitions = as_set(stopped.broker.definitions())
    assert as_set(machine.broker.definitions()) == definitions == ledger.topologies(len(ledger.changes))[0]
    dead = [segment.number for segment in stopped.journal.segments.values() if not segment.live]
    assert len(dead) <= 1, f"segments {dead} are dead and still there"
    live = ledger.live
    assert {each.key for entries in found.entries.values() for each in entries} == live.keys(), "not as it was left"
    for name, entries in found.entries.items():
        queue = machine.broker.vhosts["/"].queues.get(name)
        kept = [each for each in before.entries[name] if each.key in live]
        if queue is not None:
            assert before.options[name] == found.options[name], "policies rule it otherwise"
        if queue is not None and queue.options.type is QueueType.QUORUM:
            kept.sort(key=lambda each: each.key)
            entries = sorted(entries, key=lambda each: each.key)
            assert [each.delivery_count for each in entries] == [each.delivery_count for each in kept]
        assert [each.key for each in entries] == [each.key for each in kept], name
        assert [each.redelivered for each in entries] == [each.redelivered for each in kept], name
    assert (found.streams, found.next_offsets) == (before.streams, before.next_offsets)
    _check_found(accounts, machine, found)


def check_after_crash(accounts: Accounts, machine: Machine, found: Remains) -> None:
    """Nothing that was promised is missing, and nothing is there that never was."""
    ledger = accounts.ledger
    topology = as_set(machine.broker.definitions())
    assert topology in ledger.topologies(accounts.promised_changes), "topology is not what it was at any time"
    if accounts.is_exact:
        assert as_set(accounts.machine.broker.definitions()) == ledger.topologies(len(ledger.changes))[0]
    keys = found.keys
    vhost = machine.broker.vhosts["/"]
    there = {each.id for each in (*vhost.queues.values(), *_keepers(machine).values())}
    missing = [key for key in ledger.live if key[0] in there and key not in keys]
    for stream_id, next_offset in found.next_offsets.items():
        assert next_offset >= accounts.read.get(stream_id, 0), "lost: a reader has had it"
        missing += [(stream_id, offset) for offset in ledger.streams.get(stream_id, ()) if offset >= next_offset]
    for key in missing:
        number = ledger.ever[key].content.number
        assert not accounts.is_promised(key), f"lost: message {number} at {key}"
        ancestors = ledger.ancestors(key)
        if any(accounts.is_promised(each) for each in ancestors) and not {each[0] for each in ancestors} - there:
            assert keys & ancestors, f"lost: message {number} at {key}, and where it was: {ancestors}"
    _check_promises(accounts, machine)
    _check_found(accounts, machine, found)


def _check_promises(accounts: Accounts, machine: Machine) -> None:
    """What was answered and not touched again, a client of the new broker finds."""
    vhost = machine.broker.vhosts["/"]
    for thing, is_there in accounts.promises.items():
        if thing[0] == "queue":
            assert (thing[1] in vhost.queues) is is_there, thing
        elif thing[0] == "exchange":
            assert (thing[1] in vhost.exchanges) is is_there, thing
        elif is_there:
            _, source, queue, key = thing
            assert vhost.exchanges[source].find_binding(vhost.queues[queue], key, {}) is not None, thing


def _check_found(accounts: Accounts, machine: Machine, found: Remains) -> None:
    """Whatever the end was."""
    vhost = machine.broker.vhosts["/"]
    assert all(queue.durable and queue.exclusive_owner is None for queue in vhost.queues.values())
    assert all(exchange.durable for exchange in vhost.exchanges.values())
    for name, entries in found.entries.items():
        queue = vhost.queues.get(name)
        if queue is None:  # by the time they are due, or as they came
            dues = [(int(each.stored.expires_at * 1000), each.key) for each in entries]
            assert dues == sorted(dues), f"{name} is out of order"
        elif queue.options.type is QueueType.CLASSIC:
            highest = queue.options.max_priority or 0
            places = [(-min(max(each.priority, 0), highest), each.key) for each in entries]
            assert places == sorted(places), f"{name} is out of order"
        for each in entries:
            _check_entry(accounts, each)
            if queue is not None and queue.options.type is QueueType.QUORUM:
                assert (each.acquired_count > 0) == each.redelivered
    for queue in vhost.queues.values():
        if isinstance(queue, StreamQueue):
            _check_stream(accounts, queue, found.streams[queue.id])


def _check_entry(accounts: Accounts, found: Found) -> None:
    ledger = accounts.ledger
    assert found.key in ledger.ever, f"never published: {found.key}"
    stored = ledger.ever[found.key]
    assert found.stored.is_same(stored), f"{found.stored} was {stored}"
    number = stored.content.number
    place = (found.key[0], number)
    was_out = place in accounts.handed_out and ledger.places[place] == found.key
    if was_out and not accounts.may_come_again(stored.content, is_dead=bool(stored.content.deaths)):
        assert found.redelivered, f"message {number} was delivered before, it says it was not"


def _check_stream(accounts: Accounts, queue: StreamQueue, read: Mapping[int, Content]) -> None:
    """A stream has no gaps, each offset has its message, and only retention has taken some."""
    log, limits = queue.log, queue.log.limits
    assert list(read) == list(range(log.first_offset, log.next_offset)), f"{queue.name} has gaps"
    if limits.max_octets is None and limits.max_age_s is None:
        assert log.first_offset == 0
    if not amqp_broker.COMPILED:
        for offset, content in read.items():
            assert content.is_read_of(accounts.ledger.ever[queue.id, offset].content), f"another at offset {offset}"


def _keepers(machine: Machine) -> dict[str, DelayLine | History]:
    """Where durable exchanges have messages."""
    exchanges = machine.broker.vhosts["/"].exchanges.values()
    keepers = [exchange.keeper for exchange in exchanges if exchange.durable]
    return {keeper.name: keeper for keeper in keepers if isinstance(keeper, DelayLine | History)}


def _read(log: StreamLog) -> dict[int, Content]:
    """Read a whole stream."""
    cursor, read = Cursor(log, log.first_offset, None), dict[int, Content]()
    while (message := cursor.next()) is not None:
        read[cursor.offset - 1] = Content.of(message)
    return read


def _loaded(machine: Machine, entry: QueueEntry) -> Found:
    if entry.message is None:
        machine.storage.load([entry])
    return _found(entry)


def _found(entry: QueueEntry) -> Found:
    ((key, stored),) = survey({entry.queue.id: [entry]}).items()
    assert entry.message is not None
    priority = entry.message.header.priority
    return Found(key, stored, priority, entry.redelivered, entry.delivery_count, entry.acquired_count)
