"""What clients of the simulation do with messages, and everything that can be done in a step."""

from __future__ import annotations

from collections import Counter
from random import Random

from amqp_broker.queues.stream import StreamQueue
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
    Command,
    Properties,
    QueuePurge,
    QueuePurgeOk,
    Table,
    Timestamp,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
)
from tests.simulation.accounts import Accounts
from tests.simulation.clients import Clients
from tests.simulation.kinds import EXCHANGES, KEYS, LATE, QUEUES
from tests.simulation.lanes import Lane, Subscription, got
from tests.simulation.topology import Topology, may_use


class Workload:
    """Does something at random.

    Args:
        random: decides what.
        accounts: where promises are noted.
    """

    def __init__(self, random: Random, accounts: Accounts) -> None:
        self.random = random
        self.accounts = accounts
        self.clients = clients = Clients(random, accounts)
        self.topology = topology = Topology(random, accounts, clients)
        self._next_number = 0
        self._actions = {
            topology.declare_exchange: 4,
            topology.delete_exchange: 1,
            topology.declare_queue: 8,
            topology.delete_queue: 1,
            topology.bind: 6,
            topology.unbind: 1,
            topology.bind_exchange: 1,
            topology.administer: 4,
            self.publish: 30,
            self.commit: 3,
            self.rollback: 1,
            self.consume: 7,
            self.cancel: 2,
            self.qos: 2,
            self.get: 8,
            self.settle: 16,
            self.recover: 1,
            self.purge: 1,
            self.clients.leave: 2,
            self.wait: 8,
            self.write: 40,
            self.rewrite: 6,
            self.retry: 2,
        }

    def step(self) -> None:
        """Do something, and have the clients see what comes of it."""
        self.random.choices(list(self._actions), list(self._actions.values()))[0]()
        self.clients.take_all()

    def publish(self) -> None:
        random = self.random
        lane = self.clients.lane(is_idle=random.random() < 0.9)
        if lane is None:
            return
        octets = b"".join(self._publish(lane) for _ in range(random.choice((1, 1, 1, 2, 5, 20))))
        lane.client.send_octets(octets)

    def _publish(self, lane: Lane) -> bytes:
        random = self.random
        vhost = self.accounts.machine.broker.vhosts["/"]
        exchange = random.choice(("", *(name for name in (*EXCHANGES, "amq.fanout") if name in vhost.exchanges)))
        if not lane.is_idle:
            exchange = random.choice(("", "amq.fanout"))  # by the time it is worked off another may be gone
        routing_key = random.choice(QUEUES if exchange == "" else KEYS)
        number, self._next_number = self._next_number, self._next_number + 1
        headers: Table = {"n": number}
        if random.random() < 0.1:
            headers["CC"] = [random.choice(QUEUES).encode()]
        if random.random() < 0.05:
            headers["BCC"] = [random.choice(QUEUES).encode()]
        if exchange == LATE and random.random() < 0.7:
            headers["x-delay"] = random.choice((1, 50, 500, 3000, 100_000))
        if random.random() < 0.1:
            headers["x-deduplication-header"] = random.randrange(5)
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
        lane = self.clients.lane("tx")
        if lane is None:
            return
        uncommitted, lane.uncommitted = lane.uncommitted, []
        lane.settled = []
        left, lane.released = lane.released, []

        def answered(_command: Command) -> None:
            self.accounts.confirmed.update(uncommitted)

        for delivered in left:
            self.accounts.left(delivered)
        lane.ask(TxCommit(), TxCommitOk, answered)

    def rollback(self) -> None:
        """With settlements it would give back tags; they end with the channel instead."""
        lane = self.clients.lane("tx")
        if lane is not None and not lane.settled:
            lane.uncommitted.clear()
            lane.ask(TxRollback(), TxRollbackOk)

    def consume(self) -> None:
        lane, queue = self.clients.lane(), self.topology.queue(is_stream=self.random.choice((None, True)))
        if lane is None or queue is None or not may_use(lane, queue) or len(lane.subscriptions) >= 3:
            return
        no_ack, arguments = self.random.random() < 0.2, Table()
        if isinstance(queue, StreamQueue):
            no_ack, arguments = False, {"x-stream-offset": self._place_in(queue)}
            lane.ask(BasicQos(prefetch_count=self.random.choice((1, 3, 50))), BasicQosOk)
            self.clients.take_all()
            if not lane.is_idle:
                return
        tag = f"c{self.accounts.steps}"
        lane.subscriptions[tag] = Subscription(queue.name, queue.id, no_ack)
        method = BasicConsume(queue=queue.name, consumer_tag=tag, no_ack=no_ack, arguments=arguments)
        lane.ask(method, BasicConsumeOk)

    def _place_in(self, stream: StreamQueue) -> bytes | int | Timestamp:
        """Where a consumer begins."""
        random = self.random
        offset = random.randint(stream.first_offset, stream.last_offset + 1)
        instant = Timestamp(int(self.accounts.machine.time) - random.randrange(5))
        return random.choice((b"first", b"first", b"last", b"next", b"3s", offset, instant))

    def cancel(self) -> None:
        lane = self.clients.lane()
        if lane is not None and lane.subscriptions:
            tag = self.random.choice(list(lane.subscriptions))
            lane.ask(BasicCancel(consumer_tag=tag), BasicCancelOk)
            self.clients.take_all()
            lane.subscriptions.pop(tag, None)

    def qos(self) -> None:
        lane = self.clients.lane()
        if lane is not None:
            lane.ask(BasicQos(prefetch_count=self.random.choice((0, 1, 3, 10))), BasicQosOk)

    def get(self) -> None:
        lane, queue = self.clients.lane(), self.topology.queue(is_stream=False)
        if lane is None or queue is None or not may_use(lane, queue):
            return
        no_ack = self.random.random() < 0.4
        queue_id = queue.id

        def answered(command: Command) -> None:
            delivered = got(command, queue_id)
            method = command.method
            assert isinstance(method, BasicGetOk)
            if not no_ack:
                lane.out[method.delivery_tag] = delivered
            self.accounts.delivered(lane, delivered, is_gone=no_ack)

        lane.ask(BasicGet(queue=queue.name, no_ack=no_ack), BasicGetOk, answered)

    def settle(self) -> None:
        """Ack most of it; nack, reject and requeue some."""
        random = self.random
        lanes = [lane for lane in self.clients.lanes if lane.out and lane.is_idle]
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
                    self.accounts.left(delivered)
        if lane.mode == "tx":
            lane.settled += taken
        if what == "ack":
            lane.channel.send(BasicAck(delivery_tag=tag, multiple=multiple))
        elif what in ("nack", "requeue") or multiple:
            lane.channel.send(BasicNack(delivery_tag=tag, multiple=multiple, requeue=what != "nack"))
        else:
            lane.channel.send(BasicReject(delivery_tag=tag, requeue=what == "return"))

    def recover(self) -> None:
        lane = self.clients.lane()
        if lane is not None:
            lane.out.clear()
            lane.ask(BasicRecover(requeue=True), BasicRecoverOk)

    def purge(self) -> None:
        lane, queue = self.clients.lane(), self.topology.queue(is_stream=False)
        if lane is None or queue is None or not may_use(lane, queue):
            return
        held = [each for lane in self.clients.lanes for each in lane.held if each.queue_id == queue.id]
        out = [each.number for each in held if not each.expires]
        lane.ask(QueuePurge(queue=queue.name), QueuePurgeOk)
        before = self.accounts.expected.get(queue.id, Counter())
        self.accounts.expected[queue.id] = Counter(out) & before

    def wait(self) -> None:
        self.accounts.machine.advance(self.random.choice((0.01, 0.06, 0.3, 1.0, 3.0)))

    def write(self) -> None:
        """The writer takes a batch, or writes it, or reports it; sometimes all it has."""
        if self.random.random() < 0.3:
            self.accounts.machine.writer.run()
        else:
            self.accounts.machine.writer.step()

    def rewrite(self) -> None:
        self.accounts.machine.writer.rewrite(self.random.choice((1, 2000)))

    def retry(self) -> None:
        self.accounts.machine.journal.retry()
        self.accounts.machine.streams.retry()
