"""Direct reply-to: a name that leads straight to a channel, with no queue behind it (rules 5.48 to 5.52)."""

from __future__ import annotations

import secrets
from typing import Final

from amqp_broker.message import Message
from amqp_broker.queues.target import Target
from amqp_broker.queues.unacked import Unacked
from amqp_codec import encode_shortstr

REPLY_TO: Final = "amq.rabbitmq.reply-to"
"""The pseudo-queue a requester consumes from, and what it writes into its requests."""

_PREFIX: Final = REPLY_TO + "."


def is_reply_name(name: str) -> bool:
    """Whether a name is, or could have been, that of a requester; the bare name is not (rule 5.51)."""
    return name.startswith(_PREFIX)


class ReplyConsumer(Target):
    """A requester: replies published to its name are delivered at once or not at all.

    Attributes:
        name: the unguessable routing key that leads here (rule 5.50).
        name_octets: the same as a shortstr.
        limit_octets: unsent output of the client at which replies are dropped: there is no queue to keep them.
    """

    def __init__(self, tag: str, unacked: Unacked, limit_octets: int) -> None:
        self.name = _PREFIX + secrets.token_urlsafe(16)
        self.name_octets = encode_shortstr(self.name)
        self.tag = tag
        self.limit_octets = limit_octets
        self.is_deleted = False
        self._unacked = unacked
        self._tag_octets = encode_shortstr(tag)

    def enqueue(self, message: Message) -> bool:
        """Deliver; a reply counts as accepted even when nobody is there to read it."""
        unacked = self._unacked
        if not self.is_deleted and unacked.outbox.size < self.limit_octets:
            unacked.outbox.push_delivery(unacked.channel_id, self._tag_octets, unacked.take_tag(), False, message)
        return True


class NoRequester(Target):
    """Where replies to a requester that has gone lead: they are dropped, and count as routed (rule 5.51)."""

    name = REPLY_TO
    is_deleted = False

    def enqueue(self, _message: Message) -> bool:
        return True
