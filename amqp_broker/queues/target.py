"""Where a message can end: what a queue, a requester and one that has gone have in common.

A base class rather than a protocol, so that the compiled message path calls it without looking for a name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.message import Message
    from amqp_broker.queues.entry import QueueEntry


class Target:
    """The end of a route.

    Attributes:
        name: as routing knows it.
        is_deleted: it is gone; what was routed here before finds nobody.
    """

    __slots__ = ()

    name: str
    is_deleted: bool

    def enqueue(self, message: Message) -> bool:
        """Take a message; False when it is refused."""
        raise NotImplementedError

    def ack(self, entry: QueueEntry) -> None:
        """A delivery from here is acknowledged."""
        raise NotImplementedError
