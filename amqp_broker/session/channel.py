"""One channel of a connection: what its handlers share, and how it ends.

The handlers stand in `topology`, `basic`, `confirm` and `tx`, one function a method, named after it;
`dispatch` has the table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import Enum, auto
from functools import partial

from amqp_broker.auth.backend import Resource
from amqp_broker.auth.permissions import Access
from amqp_broker.counters import MessageCounters, SizeCounters
from amqp_broker.errors import AMQPError, cut_reply_text
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.unacked import Unacked
from amqp_broker.session import news, tracing
from amqp_broker.session.confirms import Confirms
from amqp_broker.session.rights import Rights
from amqp_broker.session.settle import Taken, by_queue
from amqp_broker.session.timeouts import DeliveryTimeouts, timeout_of
from amqp_codec import BasicCancel, ChannelClose, Command, Method, PublishCommand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.reply import ReplyConsumer
    from amqp_broker.routing.exchange import Exchange
    from amqp_broker.session.connection import Connection
    from amqp_broker.session.tx import Transaction
    from amqp_broker.vhost import Vhost


class ChannelState(Enum):
    """Where a channel stands; one that was never opened or is closed does not exist."""

    OPEN = auto()
    CLOSING = auto()
    """The broker sent `channel.close`; all that comes is ignored until `close-ok` (rule 2.5)."""
    ENDED = auto()
    """Closed by the client, or gone with its connection; what turns out later has no one to be told."""


class Channel:
    """A channel.

    Attributes:
        unacked: its delivering half.
        sizes: how large the messages were that it published.
        consumers: by consumer tag.
        requester: the consumer of direct replies, if there is one (rule 5.48).
        confirms: set once confirms are selected.
        transaction: set once transactions are selected.
        prefetch_count: the limit that consumers started from now on get (rule 5.33).
        held: commands that came while an answer waits for the disk, or a command for leave, so that replies
            keep their order; None while none does.
        writable: the exchange last published to, which the user may write to.
        generated_queue: a name made up for a declare that is held; empty while none is.
        rights: what its user may do.
        last_queue: the queue that an empty name means (rule 2.12); None before the first declare.
    """

    def __init__(self, channel_id: int, connection: Connection, vhost: Vhost) -> None:
        self.id = channel_id
        self.connection = connection
        self.vhost = vhost
        self.state = ChannelState.OPEN
        self.unacked: Unacked = Unacked(channel_id, connection.outbox)
        self.consumers: dict[str, Consumer] = {}
        self.requester: ReplyConsumer | None = None
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.prefetch_count = 0
        self.held: deque[Command | PublishCommand] | None = None
        self.last_queue: str | None = None
        self.writable: Exchange | None = None
        self.generated_queue = ""
        self.rights = Rights(connection, vhost.name)
        self.follow_tracing()
        self.sizes = SizeCounters()
        self._confirms_counted = 0
        self._timeouts: DeliveryTimeouts | None = None

    @property
    def name(self) -> str:
        """How the command line and the HTTP API call it."""
        return f"{self.connection.name} ({self.id})"

    def follow_tracing(self) -> None:
        """Tap what is delivered while the vhost is traced, and only then (rule 5.56)."""
        self.unacked.tap = partial(tracing.delivered, tracing.party_of(self)) if self.vhost.is_tracing else None

    def statistics(self) -> MessageCounters:
        """What the channel has done with messages."""
        counters = MessageCounters()
        counters.add(self.unacked.counters)
        for consumer in self.consumers.values():
            consumer.count_into(counters)
        if self.confirms is not None:
            counters.confirm = self.confirms.confirmed - self._confirms_counted
        return counters

    def count_for_vhost(self) -> None:
        """Hand what was counted to the vhost, which keeps it when the channel has gone."""
        self.vhost.past.messages.add(self.statistics())
        self.vhost.past.sizes.add(self.sizes)
        self.unacked.counters = MessageCounters()
        self.sizes = SizeCounters()
        if self.confirms is not None:
            self._confirms_counted = self.confirms.confirmed

    def send(self, method: Method) -> None:
        """Send a method, unless the channel has failed: then nothing follows its close (rule 2.6)."""
        if self.state is ChannelState.OPEN:
            self.connection.send(self.id, method)

    def authorize(self, access: Access, kind: str, name: str) -> None:
        """Let the user do something to an exchange or a queue. Raises what `Rights.demand` does."""
        self.rights.demand(access, kind, name)

    def authorize_any(self, kind: str, name: str) -> None:
        """Let the user see that something is there, which any of the three rights allows (rule 8.11)."""
        for access in (Access.WRITE, Access.READ):
            try:
                self.authorize(access, kind, name)
            except AMQPError:
                continue
            return
        self.authorize(Access.CONFIGURE, kind, name)

    def send_stored(self, method: Method) -> None:
        """Send the answer to a change of topology, once the change is safe if it is a durable one (rule 7.5)."""
        if self.vhost.storage.has_unsaved_changes:
            self.send_when_durable(method)
        else:
            self.send(method)

    def send_when_durable(self, method: Method) -> None:
        """Send a method once all that was stored so far is safe; what comes meanwhile is held (rule 6.21)."""
        self.held = deque()
        self.vhost.storage.when_durable(partial(self._stored, method))

    def _stored(self, method: Method) -> None:
        held, self.held = self.held, None
        self.send(method)
        self.connection.resume(held or ())

    def leave_decided(self) -> None:
        """Do again what has waited for leave, and what came after it."""
        held, self.held = self.held, None
        self.connection.resume(held or ())
        if self.held is None:
            self.rights.forget_late()

    def forget_rights(self) -> None:
        """Ask again what the user may do, when it does something."""
        self.rights.forget()
        self.writable = None

    def rights_changed(self) -> None:
        """Ask again what the user may do; subscriptions to what it may no longer read end (rule 1.37)."""
        self.forget_rights()
        identity = self.connection.identity
        assert identity is not None
        for consumer in list(self.consumers.values()):
            resource = Resource(self.vhost.name, "queue", consumer.queue.name, Access.READ)
            identity.authorizer.may_access(identity, resource, partial(self._may_still_read, consumer))

    def _may_still_read(self, consumer: Consumer, allowed: bool) -> None:
        if not allowed and self.consumers.get(consumer.tag) is consumer:
            consumer.queue.remove_consumer(consumer)
            self.consumer_cancelled(consumer)

    def fail(self, error: AMQPError, class_id: int, method_id: int) -> None:
        """Close because of an error; consumers and unacked messages are released now (rule 2.5)."""
        release((self,))
        self.send(
            ChannelClose(
                reply_code=error.code,
                reply_text=cut_reply_text(error.reply_text),
                failing_class_id=class_id,
                failing_method_id=method_id,
            )
        )
        self.state = ChannelState.CLOSING
        news.channel_closed(self)

    def end(self) -> None:
        """Give back everything, and send nothing more: not what storage finishes later either."""
        release((self,))
        if self.state is ChannelState.OPEN:
            news.channel_closed(self)
        self.state = ChannelState.ENDED

    def watch(self, consumer: Consumer) -> None:
        """Mind how long a new consumer keeps its deliveries. Raises AMQPError 406 (rule 5.47)."""
        timeout_s = timeout_of(consumer, self.vhost.name, self.connection.config)
        if timeout_s is not None and not consumer.no_ack:
            if self._timeouts is None:
                self._timeouts = DeliveryTimeouts(self)
            self._timeouts.watch(consumer, timeout_s)

    def forget_timeouts(self) -> None:
        if self._timeouts is not None:
            self._timeouts.stop()
            self._timeouts = None

    def drop_requester(self) -> None:
        if self.requester is not None:
            self.vhost.remove_requester(self.requester)
            self.requester = None

    def take_unacked(self) -> Taken:
        """Take off what is out, and what was acked in a transaction that is not committed (rule 6.16)."""
        if self.transaction is not None:
            self.transaction.rollback()
        taken = self.unacked.take_all()
        self.unacked.release(taken)
        return taken

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """A queue ended one of the subscriptions; tell the client if it wants to know (rule 5.45)."""
        self.consumers.pop(consumer.tag, None)
        news.consumer_deleted(self, consumer)
        if self.connection.client_can("consumer_cancel_notify"):
            self.send(BasicCancel(consumer_tag=consumer.tag, no_wait=True))


def release(channels: Collection[Channel]) -> None:
    """Give back all that channels hold which end together: subscriptions end, unacked messages are requeued.

    No queue looks for the next consumer before all have left: it could be one that is about to go, and
    what is handed to that one without ack is lost. Nor before all is requeued, so that whoever comes next
    gets the oldest first (rule 5.44).
    """
    consumers = [consumer for channel in channels for consumer in channel.consumers.values()]
    for consumer in consumers:
        consumer.queue.consumers.remove(consumer)
    for channel in channels:
        for consumer in channel.consumers.values():
            news.consumer_deleted(channel, consumer)
        channel.consumers.clear()
        channel.forget_timeouts()
        channel.drop_requester()
        channel.count_for_vhost()
    left = dict.fromkeys(consumer.queue for consumer in consumers)
    for queue in left:
        queue.consumers_removed()
    taken = [delivery for channel in channels for delivery in channel.take_unacked()]
    for queue, entries in by_queue(taken).items():
        queue.requeue(entries, failed=True)
    for queue in left:
        queue.dispatch()
