"""What has happened to messages, counted: plain integers that whoever wants to know reads, never events.

Plain classes, for every message passes by and the message path is compiled. Names are those of RabbitMQ's
`message_stats`.
"""

from __future__ import annotations


class MessageCounters:
    """What has happened to the messages of a channel, a queue or a vhost since there has been one.

    Attributes:
        publish: messages that came in.
        confirm: publishes that were confirmed.
        return_unroutable: mandatory ones that reached no queue and went back.
        drop_unroutable: others that reached no queue.
        deliver: deliveries to consumers that acknowledge.
        deliver_no_ack: deliveries to consumers that don't.
        get: messages fetched with `basic.get` that are to be acknowledged.
        get_no_ack: fetched ones that are not.
        get_empty: times that nothing was there to fetch.
        redeliver: those of all these that had been delivered before.
        ack: acknowledged messages.
    """

    __slots__ = (
        "ack",
        "confirm",
        "deliver",
        "deliver_no_ack",
        "drop_unroutable",
        "get",
        "get_empty",
        "get_no_ack",
        "publish",
        "redeliver",
        "return_unroutable",
    )

    def __init__(self) -> None:
        self.publish = 0
        self.confirm = 0
        self.return_unroutable = 0
        self.drop_unroutable = 0
        self.deliver = 0
        self.deliver_no_ack = 0
        self.get = 0
        self.get_no_ack = 0
        self.get_empty = 0
        self.redeliver = 0
        self.ack = 0

    def add(self, other: MessageCounters) -> None:
        """Count what another has counted, too."""
        self.publish += other.publish
        self.confirm += other.confirm
        self.return_unroutable += other.return_unroutable
        self.drop_unroutable += other.drop_unroutable
        self.deliver += other.deliver
        self.deliver_no_ack += other.deliver_no_ack
        self.get += other.get
        self.get_no_ack += other.get_no_ack
        self.get_empty += other.get_empty
        self.redeliver += other.redeliver
        self.ack += other.ack

    @property
    def deliver_get(self) -> int:
        """All messages that went out."""
        return self.deliver + self.deliver_no_ack + self.get + self.get_no_ack


class ExchangeCounters:
    """What has passed through an exchange that was published to.

    Attributes:
        publish_in: messages published to it.
        publish_out: the queues they reached, summed up.
    """

    __slots__ = ("publish_in", "publish_out")

    def __init__(self) -> None:
        self.publish_in = 0
        self.publish_out = 0
