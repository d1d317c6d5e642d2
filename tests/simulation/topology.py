"""What clients and operators of the simulation do to topology, and what the answers promise."""

from __future__ import annotations

from random import Random

import amqp_broker
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.storage.definitions import Change
from amqp_codec import (
    Command,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
    Table,
)
from tests.simulation.accounts import Accounts
from tests.simulation.clients import Clients
from tests.simulation.kinds import EXCHANGES, KEYS, KINDS, LATE, PAST, QUEUES, RULED
from tests.simulation.lanes import Lane
from tests.simulation.operator import administer, rule


class Topology:
    """Exchanges, queues, bindings, and what operators have.

    Args:
        random: decides what is done.
        accounts: where promises are noted.
        clients: who asks for it.
    """

    def __init__(self, random: Random, accounts: Accounts, clients: Clients) -> None:
        self.random = random
        self.accounts = accounts
        self.clients = clients

    def queue(self, *, is_stream: bool | None = None) -> Queue | None:
        """Some queue that all may use."""
        queues = [
            queue
            for queue in self.accounts.machine.broker.vhosts["/"].queues.values()
            if queue.exclusive_owner is None and is_stream in (None, isinstance(queue, StreamQueue))
        ]
        return self.random.choice(queues) if queues else None

    def _change(
        self, lane: Lane, method: Method, kind: type[Method], thing: tuple[str, ...], *, becomes: bool | None
    ) -> None:
        """Change topology, and note what the answer promises: that the thing is there, that it isn't, or nothing."""
        ledger = self.accounts.ledger
        self.accounts.promises.pop(thing, None)
        before = len(ledger.changes)
        changes = before

        def answered(_command: Command) -> None:
            self.accounts.promised_changes = max(self.accounts.promised_changes, changes)
            if becomes is not None and not any(_touches(change, thing) for change in ledger.changes[changes:]):
                self.accounts.promises[thing] = becomes

        lane.ask(method, kind, answered)
        changes = len(ledger.changes)
        for each in [each for each in self.accounts.promises if each[0] == "binding"]:
            if any(_touches(change, each) for change in ledger.changes[before:]):
                del self.accounts.promises[each]

    def declare_exchange(self) -> None:
        vhost = self.accounts.machine.broker.vhosts["/"]
        names = [name for name in EXCHANGES if name not in vhost.exchanges]
        lane = self.clients.lane()
        if lane is None or not names:
            return
        name = self.random.choice(names)
        durable = self.random.random() < 0.8
        auto_delete = self.random.random() < 0.1
        kind = self.random.choice(("fanout", "fanout", "direct", "topic", "x-modulus-hash"))
        arguments: Table = {"x-message-deduplication": True} if self.random.random() < 0.1 else {}
        if name == LATE and self.random.random() < 0.8:
            kind, arguments = "x-delayed-message", {"x-delayed-type": kind.encode()}
        elif name == PAST and self.random.random() < 0.4 and not amqp_broker.COMPILED:  # who is given what is seen
            kind, arguments = "x-recent-history", {"x-recent-history-length": self.random.choice((1, 5))}
        method = ExchangeDeclare(
            exchange=name, type=kind, durable=durable, auto_delete=auto_delete, arguments=arguments
        )
        self._change(lane, method, ExchangeDeclareOk, ("exchange", name), becomes=None if auto_delete else durable)

    def delete_exchange(self) -> None:
        lane, name = self.clients.lane(), self.random.choice(EXCHANGES)
        if lane is not None:
            self._change(lane, ExchangeDelete(exchange=name), ExchangeDeleteOk, ("exchange", name), becomes=False)

    def declare_queue(self) -> None:
        vhost = self.accounts.machine.broker.vhosts["/"]
        names = [name for name in QUEUES if name not in vhost.queues]
        lane = self.clients.lane()
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
        is_lasting = not kind.auto_delete and "x-expires" not in kind.arguments and not kind.exclusive and name != RULED
        self._change(lane, method, QueueDeclareOk, ("queue", name), becomes=kind.durable if is_lasting else None)

    def delete_queue(self) -> None:
        lane, queue = self.clients.lane(), self.queue()
        if lane is None or queue is None:
            return
        self.accounts.expected.pop(queue.id, None)
        self.accounts.read.pop(queue.id, None)
        self._change(lane, QueueDelete(queue=queue.name), QueueDeleteOk, ("queue", queue.name), becomes=False)

    def bind(self) -> None:
        vhost = self.accounts.machine.broker.vhosts["/"]
        lane, queue = self.clients.lane(), self.queue()
        names = [name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges]
        if lane is None or queue is None or not names or not may_use(lane, queue):
            return
        name, key = self.random.choice(names), self.random.choice(KEYS)
        is_lasting = queue.durable and vhost.exchanges[name].durable and not queue.auto_delete and queue.name != RULED
        is_lasting = is_lasting and queue.options.expires_s is None and not vhost.exchanges[name].auto_delete
        thing = ("binding", name, queue.name, key)
        method = QueueBind(queue=queue.name, exchange=name, routing_key=key)
        self._change(lane, method, QueueBindOk, thing, becomes=True if is_lasting else None)

    def unbind(self) -> None:
        vhost = self.accounts.machine.broker.vhosts["/"]
        lane, queue = self.clients.lane(), self.queue()
        names = [name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges]
        if lane is None or queue is None or not names or not may_use(lane, queue):
            return
        name, key = self.random.choice(names), self.random.choice(KEYS)
        method = QueueUnbind(queue=queue.name, exchange=name, routing_key=key)
        self._change(lane, method, QueueUnbindOk, ("binding", name, queue.name, key), becomes=None)

    def bind_exchange(self) -> None:
        vhost = self.accounts.machine.broker.vhosts["/"]
        lane = self.clients.lane()
        names = [name for name in EXCHANGES if name in vhost.exchanges]
        if lane is None or len(names) < 2:
            return
        source, destination = self.random.sample(names, 2)
        method = ExchangeBind(source=source, destination=destination, routing_key=self.random.choice(KEYS))
        self._change(lane, method, ExchangeBindOk, ("exchanges", source, destination), becomes=None)

    def administer(self) -> None:
        broker = self.accounts.machine.broker
        if self.random.random() < 0.3:
            rule(broker, self.random, RULED)
        else:
            administer(broker, self.random)
        changes = len(self.accounts.ledger.changes)

        def promise() -> None:
            self.accounts.promised_changes = max(self.accounts.promised_changes, changes)

        broker.storage.when_durable(promise)


def may_use(lane: Lane, queue: Queue) -> bool:
    return queue.exclusive_owner in (None, lane.client.connection)


def _touches(change: Change, thing: tuple[str, ...]) -> bool:
    """Whether a change is about something, or about an end of a binding."""
    names = {value for value in change.table.values() if isinstance(value, str)}
    return not names.isdisjoint(thing[1:3])
