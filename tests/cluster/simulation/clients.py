"""Publishers and consumers of a simulated cluster, which go wherever their vhost seems to be."""

from __future__ import annotations

from collections.abc import Callable

from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicNack,
    BasicQos,
    ChannelClose,
    ChannelOpen,
    Command,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    Properties,
    QueueDeclare,
    QueueDeclareOk,
    Table,
)
from tests.cluster.simulation.ledger import Ledger, Number, Session
from tests.cluster.simulation.node import Node
from tests.support.client import ChannelClient, Client

STREAM: Table = {"x-queue-type": b"stream"}
KEPT = Properties(delivery_mode=2)


class Actor:
    """Somebody with one connection at a time.

    Attributes:
        node: where it is connected; None while it is not.
    """

    def __init__(self, vhost: str) -> None:
        self.vhost = vhost
        self.node: Node | None = None
        self._client: Client | None = None

    def connect(self, node: Node) -> None:
        """Connect to a node, which may or may not own the vhost."""
        self._client = Client(node)
        self._client.open(vhost=self.vhost)
        self.node = node
        self.channel = ChannelClient(self._client, 1)
        self.channel.send(ChannelOpen())
        self.begin()

    def begin(self) -> None:
        """Say what a new connection begins with."""

    def lose(self, *, is_known: bool = True) -> None:
        """Be disconnected; a node that is paused learns of it later, see `Node.resume`."""
        if self._client is not None and self.node is not None:
            if is_known:
                self._client.drop()
            else:
                self.node.lost_clients.append(self._client)
        self._client = self.node = None

    def step(self) -> None:
        """Take in what has come."""
        client = self._client
        if client is None:
            return
        client.pump()
        while client.inbox:
            command = client.inbox.popleft()
            if isinstance(command.method, ConnectionClose):
                client.send(0, ConnectionCloseOk())
                self.lose()
                return
            assert not isinstance(command.method, ChannelClose), command.method
            self.take(command)
        if client.is_closed or client.is_finished:
            self.lose()

    def take(self, command: Command) -> None:
        raise NotImplementedError


class Publisher(Actor):
    """Publishes numbers to a queue or a stream, each once, and remembers which were confirmed."""

    def __init__(self, vhost: str, number: int, queue: str, ledger: Ledger) -> None:
        super().__init__(vhost)
        self._number = number
        self._queue = queue
        self._ledger = ledger
        self._count = 0
        self._tag = 0
        self._waiting: dict[int, Number] = {}
        self._may_publish = False

    def begin(self) -> None:
        self._tag = 0
        self._waiting = {}
        self._may_publish = False
        self.channel.send(ConfirmSelect())
        arguments = STREAM if self._queue == "s" else {}
        self.channel.send(QueueDeclare(queue=self._queue, durable=True, arguments=arguments))

    def publish(self, padding: int) -> None:
        """Publish something, if there is a queue and the broker reads."""
        client = self._client
        if client is None or not self._may_publish or not client.connection.may_read:
            return
        self._count += 1
        self._tag += 1
        number = self._waiting[self._tag] = Number(self._number, self._count)
        self._ledger.published.add(number)
        self.channel.publish(self._queue, number.body + b" " * padding, properties=KEPT)

    def take(self, command: Command) -> None:
        method = command.method
        if isinstance(method, QueueDeclareOk):
            self._may_publish = True
        elif isinstance(method, BasicAck):
            for tag in [tag for tag in self._waiting if _covers(method, tag)]:
                self._ledger.confirmed.add(self._waiting.pop(tag))
        elif isinstance(method, BasicNack):
            for tag in [tag for tag in self._waiting if _covers(method, tag)]:
                del self._waiting[tag]


class Consumer(Actor):
    """Consumes a queue, and acks what it has, sooner or later.

    Attributes:
        unacked: delivery tags and numbers.
    """

    def __init__(self, vhost: str, ledger: Ledger) -> None:
        super().__init__(vhost)
        self.unacked: dict[int, Number] = {}
        self._ledger = ledger

    def begin(self) -> None:
        self.unacked = {}
        self._session = Session(self._ledger)
        self.channel.send(BasicQos(prefetch_count=20))
        self.channel.send(QueueDeclare(queue="q", durable=True))

    def take(self, command: Command) -> None:
        method = command.method
        if isinstance(method, QueueDeclareOk):
            self.channel.send(BasicConsume(queue="q", consumer_tag="c"))
        elif isinstance(method, BasicDeliver):
            assert command.body is not None
            number = self._session.receive(command.body, is_redelivered=method.redelivered)
            self.unacked[method.delivery_tag] = number

    def ack(self, choose: Callable[[list[int]], int]) -> None:
        """Ack all up to some delivery."""
        if self._client is None or not self.unacked:
            return
        last = choose(list(self.unacked))
        for tag in [tag for tag in self.unacked if tag <= last]:
            self._ledger.acked.add(self.unacked.pop(tag))
        self.channel.send(BasicAck(delivery_tag=last, multiple=True))


class Reader(Consumer):
    """Reads a stream from its beginning."""

    def __init__(self, vhost: str, ledger: Ledger) -> None:
        super().__init__(vhost, ledger)
        self.found: list[Number] = []

    def begin(self) -> None:
        self.unacked = {}
        self._session = Session(self._ledger)
        self.channel.send(BasicQos(prefetch_count=20))
        self.channel.send(QueueDeclare(queue="s", durable=True, arguments=STREAM))

    def take(self, command: Command) -> None:
        if isinstance(command.method, QueueDeclareOk):
            offset: Table = {"x-stream-offset": b"first"}
            self.channel.send(BasicConsume(queue="s", consumer_tag="r", arguments=offset))
            return
        super().take(command)
        if isinstance(command.method, BasicDeliver):
            self.found.append(self.unacked[command.method.delivery_tag])


def _covers(method: BasicAck | BasicNack, tag: int) -> bool:
    return tag == method.delivery_tag or (method.multiple and tag <= method.delivery_tag)
