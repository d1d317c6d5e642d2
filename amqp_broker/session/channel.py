"""One channel of a connection: what its handlers share, and how it ends.

The handlers stand in `topology`, `basic`, `confirm` and `tx`, one function a method, named after it;
`dispatch` has the table.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

from amqp_broker.errors import AMQPError, cut_reply_text
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.unacked import Unacked
from amqp_broker.session.confirms import Confirms
from amqp_broker.session.settle import by_queue
from amqp_codec import BasicCancel, ChannelClose, Method

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.queues.reply import ReplyConsumer
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
        consumers: by consumer tag.
        requester: the consumer of direct replies, if there is one (rule 5.48).
        confirms: set once confirms are selected.
        transaction: set once transactions are selected.
        prefetch_count: the limit that consumers started from now on get (rule 5.33).
        last_queue: the queue that an empty name means (rule 2.12); None before the first declare.
    """

    def __init__(self, channel_id: int, connection: Connection, vhost: Vhost) -> None:
        self.id = channel_id
        self.connection = connection
        self.vhost = vhost
        self.state = ChannelState.OPEN
        self.unacked = Unacked(channel_id, connection.outbox)
        self.consumers: dict[str, Consumer] = {}
        self.requester: ReplyConsumer | None = None
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.prefetch_count = 0
        self.last_queue: str | None = None

    def send(self, method: Method) -> None:
        """Send a method, unless the channel has failed: then nothing follows its close (rule 2.6)."""
        if self.state is ChannelState.OPEN:
            self.connection.send(self.id, method)

    def fail(self, error: AMQPError, class_id: int, method_id: int) -> None:
        """Close because of an error; consumers and unacked messages are released now (rule 2.5)."""
        self.release()
        self.send(
            ChannelClose(
                reply_code=error.code,
                reply_text=cut_reply_text(error.reply_text),
                failing_class_id=class_id,
                failing_method_id=method_id,
            )
        )
        self.state = ChannelState.CLOSING

    def end(self) -> None:
        """Give back everything, and send nothing more: not what storage finishes later either."""
        self.release()
        self.state = ChannelState.ENDED

    def release(self) -> None:
        """Give back all that the channel holds: its consumers end, its unacked messages are requeued."""
        drop_consumers((self,))
        self.requeue_unacked()

    def drop_requester(self) -> None:
        if self.requester is not None:
            self.vhost.remove_requester(self.requester)
            self.requester = None

    def requeue_unacked(self) -> None:
        """Requeue what is out, and what was acked in a transaction that is not committed (rule 6.16)."""
        if self.transaction is not None:
            self.transaction.rollback()
        taken = self.unacked.take_all()
        self.unacked.release(taken)
        for queue, entries in by_queue(taken).items():
            queue.requeue(entries, failed=True)

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """A queue ended one of the subscriptions; tell the client if it wants to know (rule 5.45)."""
        self.consumers.pop(consumer.tag, None)
        if self.connection.client_can("consumer_cancel_notify"):
            self.send(BasicCancel(consumer_tag=consumer.tag, no_wait=True))


def drop_consumers(channels: Collection[Channel]) -> None:
    """End all subscriptions of channels that end together.

    No queue looks for the next consumer before all have left: it could be one that is about to go, and
    what is handed to that one without ack is lost.
    """
    consumers = [consumer for channel in channels for consumer in channel.consumers.values()]
    for consumer in consumers:
        consumer.queue.consumers.remove(consumer)
    for channel in channels:
        channel.consumers.clear()
        channel.drop_requester()
    for queue in dict.fromkeys(consumer.queue for consumer in consumers):
        queue.consumers_removed()
