"""What a run sends, where, and how it is acknowledged: values only, with the names that follow from them.

All queue names of a run are of one length, and so are its routing keys and consumer tags. That makes all deliveries to
one consumer the same size, which is what lets them be counted by octets.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

EXCHANGE_TYPES: Final = ("direct", "fanout", "topic")

STAMP_OCTETS: Final = 8
"""A body of this size or more carries the time it was sent."""

MAX_LEAD: Final = 50_000
MAX_LEAD_OCTETS: Final = 64 << 20
BATCH_OCTETS: Final = 1 << 17
MAX_BATCH: Final = 1000
"""A batch is what is sent with one call: large enough to cost little, small against the lead."""
MAX_PREPARED_OCTETS: Final = 256 << 20

Argument = str | int | bool


@attrs.frozen(kw_only=True)
class Workload:
    """One load.

    On the default exchange a publisher sends to its queues by turns; with fewer publishers than queues it has several,
    with more they share. Consumers divide the queues in the same way.

    Attributes:
        publishers, consumers: processes, each with a connection and a channel.
        body_octets: size of every message.
        persistent: delivery mode 2.
        message_ids: a message-id in each, different from its neighbours': without it all messages are the same
            octets, which flatters a broker that remembers the last header it has parsed.
        confirm_window: publisher confirms with at most so many messages unconfirmed; 0 is no confirms.
        ack_every: acknowledge after so many deliveries; 0 is automatic acknowledgement.
        prefetch_count: as in basic.qos; 0 is no limit.
        rate: messages per second of each publisher; 0 is as many as go.
        count: messages of each publisher; 0 is no limit.
        queues: durable ones.
        queue_arguments: of all of them.
        exchange_type: empty for the default exchange.
        routing_keys: different ones in use, by turns; 0 stands for one, and for one a queue where `bindings` is 0.
        bindings: to the exchange, dealt out to the queues, each with a key of its own; half of a topic exchange's with
            a `*`. 0 stands for as many as there are queues and routing keys.
        max_lead: messages that publishers may be ahead of consumers, so that queues stay short and memory bounded;
            0 is no limit. Never slows a broker down as long as it is large against what passes through the broker
            in a few milliseconds.
        prefix: of the names of queues and exchange.
    """

    publishers: int = 1
    consumers: int = 1
    body_octets: int = 16
    persistent: bool = False
    message_ids: bool = False
    confirm_window: int = 0
    ack_every: int = 0
    prefetch_count: int = 0
    rate: float = 0.0
    count: int = 0
    queues: int = 1
    queue_arguments: Mapping[str, Argument] = attrs.field(factory=dict[str, Argument])
    exchange_type: str = ""
    routing_keys: int = 0
    bindings: int = 0
    max_lead: int = MAX_LEAD
    prefix: str = attrs.field(factory=lambda: f"amqp-perf-{secrets.token_hex(4)}")

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for what cannot be run."""
        if self.publishers < 1:
            raise ValueError("at least one publisher is needed")
        if self.queues < 1:
            raise ValueError("at least one queue is needed")
        if 0 < self.prefetch_count < self.ack_every:
            raise ValueError(
                f"a prefetch of {self.prefetch_count} is used up before {self.ack_every} deliveries are acknowledged"
            )
        if not self.exchange_type and (self.routing_keys or self.bindings):
            raise ValueError("routing keys and bindings need an exchange: give its type")
        if self.exchange_type and self.key_count > self.binding_count:
            raise ValueError(f"{self.key_count} routing keys need at least as many bindings, not {self.binding_count}")
        if self.exchange_type and self.queues > self.binding_count:
            raise ValueError(f"{self.queues} queues need at least as many bindings, not {self.binding_count}")
        if self.batch * self.body_octets > MAX_PREPARED_OCTETS:
            raise ValueError(f"{self.batch} messages of {self.body_octets} octets are too many to prepare")

    @property
    def exchange(self) -> str:
        return f"{self.prefix}-{self.exchange_type}" if self.exchange_type else ""

    def queue_name(self, number: int) -> str:
        return f"{self.prefix}-{number:05}"

    @property
    def binding_count(self) -> int:
        return self.bindings or max(self.queues, self.routing_keys)

    @property
    def key_count(self) -> int:
        if not self.routing_keys and not self.bindings and self.exchange_type != "fanout":
            return self.queues
        return self.routing_keys or 1

    @property
    def copies(self) -> int:
        """Queues that every message reaches."""
        return self.queues if self.exchange_type == "fanout" else 1

    @property
    def is_stamped(self) -> bool:
        return self.body_octets >= STAMP_OCTETS

    @property
    def lead(self) -> int:
        """`max_lead`, less for large messages; 0 is no limit."""
        if not self.max_lead or not self.consumers:
            return 0
        return min(self.max_lead, max(100, MAX_LEAD_OCTETS // (self.body_octets * self.copies + 1)))

    @property
    def batch(self) -> int:
        """Messages that a publisher prepares: a whole number of times through its addresses."""
        addresses = self.key_count if self.exchange_type else -(-self.queues // self.publishers)
        return -(-self.send_at_most // addresses) * addresses

    @property
    def send_at_most(self) -> int:
        """Messages sent with one call: at most a quarter of any window, which is so never a single batch."""
        limits = [MAX_BATCH, max(1, BATCH_OCTETS // (self.body_octets + 64))]
        if self.lead:
            limits.append(max(1, self.lead // 4 // self.publishers))
        if self.confirm_window:
            limits.append(max(1, self.confirm_window // 4))
        return min(limits)

    def addresses(self, publisher: int) -> list[tuple[str, str]]:
        """Exchanges and routing keys that a publisher uses by turns."""
        if self.exchange_type:
            numbers = [number * self.binding_count // self.key_count for number in range(self.key_count)]
            return [(self.exchange, f"perf.key.{number:06}") for number in numbers]
        return [("", self.queue_name(number)) for number in self._share(publisher, self.publishers)]

    def queues_of(self, consumer: int) -> list[str]:
        """Queues that a consumer consumes from."""
        return [self.queue_name(number) for number in self._share(consumer, self.consumers)]

    def _share(self, number: int, of: int) -> list[int]:
        return list(range(number, self.queues, of)) or [number % self.queues]

    def iter_bindings(self) -> Iterator[tuple[str, str]]:
        """Queue and binding key."""
        for number in range(self.binding_count if self.exchange_type else 0):
            middle = "*" if self.exchange_type == "topic" and number % 2 else "key"
            yield self.queue_name(number % self.queues), f"perf.{middle}.{number:06}"
