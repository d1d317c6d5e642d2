"""Deliveries that are out for too long: they go back to their queue, and their consumer gets no more.

Nothing is noted per delivery. Every now and then the channel's next delivery tag is written down with the
time; whatever is still out below a tag that was written down a timeout ago has had its time. So a delivery
is found between one timeout and one look later. Source: rules 5.46 and 5.47.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from amqp_broker.errors import AMQPError, precondition_failed
from amqp_broker.queues.arguments import QueueType, milliseconds_of
from amqp_broker.queues.consumer import Consumer
from amqp_broker.session.settle import Outcome, Taken, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.config import Config
    from amqp_broker.session.channel import Channel
    from amqp_broker.timers import Timer

LOOK_S: Final = 60.0
"""The longest time between two looks; RabbitMQ looks as often."""

LOOKS: Final = 4
"""Looks during a timeout that is not so long."""


def timeout_of(consumer: Consumer, vhost: str, config: Config) -> float | None:
    """How long a consumer may keep a delivery, in seconds; None for as long as it likes (rule 5.47).

    Raises:
        AMQPError: 406 when its argument is no number of milliseconds.
    """
    options = consumer.queue.options
    if options.type is not QueueType.QUORUM:
        return config.classic_consumer_timeout_s or None
    own_ms = milliseconds_of(consumer.arguments, "x-consumer-timeout", consumer.queue.name, vhost)
    if own_ms is not None:
        return own_ms / 1000 or None
    if options.consumer_timeout_s is not None:
        return options.consumer_timeout_s or None
    return config.consumer_timeout_s or None


class DeliveryTimeouts:
    """Watches the consumers of one channel that have a timeout."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._timers = channel.connection.broker.timers
        self._timeouts: dict[Consumer, float] = {}
        self._marks: deque[tuple[float, int]] = deque()
        """When it was looked, and the tag that was next then; the first is the last that is old enough for all."""
        self._timer: Timer | None = None

    def watch(self, consumer: Consumer, timeout_s: float) -> None:
        """Look after the deliveries of a consumer from now on."""
        self._timeouts[consumer] = timeout_s
        self._plan()

    def stop(self) -> None:
        """The channel ends."""
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self) -> None:
        due = self._timers.now() + min(LOOK_S, *(timeout_s / LOOKS for timeout_s in self._timeouts.values()))
        if self._timer is not None:
            if self._timer.is_planned and self._timer.when <= due:
                return
            self._timer.cancel()
        self._timer = self._timers.at(due, self._look)

    def _look(self) -> None:
        channel, now = self._channel, self._timers.now()
        self._marks.append((now, channel.unacked.next_tag))
        late: dict[Consumer, Taken] = {}
        for tag, entry in channel.unacked.out_before(self._mark_at(now - min(self._timeouts.values()))):
            consumer = entry.consumer
            timeout_s = None if consumer is None else self._timeouts.get(consumer)
            if consumer is not None and timeout_s is not None and tag < self._mark_at(now - timeout_s):
                late.setdefault(consumer, []).append((tag, entry))
        for consumer, taken in late.items():
            try:
                self._give_back(consumer, self._timeouts[consumer], taken)
            except AMQPError as error:
                channel.connection.fail_channel(channel, error)
                return
        self._forget(now)
        if self._timeouts:
            self._plan()

    def _mark_at(self, time: float) -> int:
        """The tag that was next at a time: what has a lower one was out by then."""
        return max((tag for looked_at, tag in self._marks if looked_at <= time), default=0)

    def _forget(self, now: float) -> None:
        """Drop consumers that have left with nothing out, and marks that nobody asks for any more."""
        consumers = self._channel.consumers
        for consumer in list(self._timeouts):
            if consumer.unacked_count == 0 and consumers.get(consumer.tag) is not consumer:
                del self._timeouts[consumer]
        longest_s = max(self._timeouts.values(), default=0.0)
        while len(self._marks) > 1 and self._marks[1][0] <= now - longest_s:
            self._marks.popleft()

    def _give_back(self, consumer: Consumer, timeout_s: float, taken: Taken) -> None:
        """End the subscription and return what is late; acks for that are ignored from now on.

        Raises:
            AMQPError: 406 when the client can't be told so: the channel is to be closed.
        """
        channel, queue = self._channel, consumer.queue
        can_cancel = channel.connection.client_can("consumer_cancel_notify")
        if queue.options.type is not QueueType.QUORUM or not can_cancel:
            raise precondition_failed(
                f"delivery acknowledgement on channel {channel.id} timed out. "
                f"Timeout value used: {timeout_s * 1000:.0f} ms. "
                "This timeout value can be configured, see consumers doc guide to learn more"
            )
        if channel.consumers.get(consumer.tag) is consumer:
            queue.remove_consumer(consumer)
            channel.consumer_cancelled(consumer)
        channel.unacked.give_up(taken)
        settle(channel.unacked, Outcome.REQUEUE, taken)
