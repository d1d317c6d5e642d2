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


class SizeCounters:
    """How many of the messages that came in had which size, by the limits of RabbitMQ's histogram.

    Attributes:
        octets: the sum of all bodies.
        upto_100: bodies of 100 octets and less; the others likewise, those of one step are in no other.
    """

    __slots__ = (
        "octets",
        "over_100m",
        "upto_1k",
        "upto_1m",
        "upto_10k",
        "upto_10m",
        "upto_50m",
        "upto_100",
        "upto_100k",
        "upto_100m",
    )

    def __init__(self) -> None:
        self.octets = 0
        self.upto_100 = 0
        self.upto_1k = 0
        self.upto_10k = 0
        self.upto_100k = 0
        self.upto_1m = 0
        self.upto_10m = 0
        self.upto_50m = 0
        self.upto_100m = 0
        self.over_100m = 0

    def count(self, octets: int) -> None:
        """A message of this size came in."""
        self.octets += octets
        if octets <= 100:
            self.upto_100 += 1
        elif octets <= 1_000:
            self.upto_1k += 1
        elif octets <= 10_000:
            self.upto_10k += 1
        elif octets <= 100_000:
            self.upto_100k += 1
        elif octets <= 1_000_000:
            self.upto_1m += 1
        elif octets <= 10_000_000:
            self.upto_10m += 1
        elif octets <= 50_000_000:
            self.upto_50m += 1
        elif octets <= 100_000_000:
            self.upto_100m += 1
        else:
            self.over_100m += 1

    def add(self, other: SizeCounters) -> None:
        """Count what another has counted, too."""
        self.octets += other.octets
        self.upto_100 += other.upto_100
        self.upto_1k += other.upto_1k
        self.upto_10k += other.upto_10k
        self.upto_100k += other.upto_100k
        self.upto_1m += other.upto_1m
        self.upto_10m += other.upto_10m
        self.upto_50m += other.upto_50m
        self.upto_100m += other.upto_100m
        self.over_100m += other.over_100m

    def steps(self) -> tuple[tuple[int | None, int], ...]:
        """Each step's largest size in octets, None for the last, and how many messages are in it."""
        return (
            (100, self.upto_100),
            (1_000, self.upto_1k),
            (10_000, self.upto_10k),
            (100_000, self.upto_100k),
            (1_000_000, self.upto_1m),
            (10_000_000, self.upto_10m),
            (50_000_000, self.upto_50m),
            (100_000_000, self.upto_100m),
            (None, self.over_100m),
        )
