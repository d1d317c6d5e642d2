"""What is on its way from one broker to another, and what the first may forget.

A message is acked at its source only when the destination has confirmed it: whichever side dies, it is still at one of
them. It may be at both; then it was confirmed, and the ack was lost.
"""

from __future__ import annotations

from collections import deque

from amqp_codec import BasicAck, BasicNack, Method


class Transfer:
    """Numbers of messages: delivery tags of the source, publish numbers of the destination.

    Attributes:
        published: messages sent to the destination so far.
        confirmed: those of them that are safe there.
    """

    __slots__ = ("_ackable", "_refused", "_settled", "_waiting", "confirmed", "published")

    def __init__(self) -> None:
        self.published = 0
        self.confirmed = 0
        self._waiting: deque[tuple[int, int]] = deque()
        """Publish number and delivery tag, in order."""
        self._settled: set[int] = set()
        """Publish numbers that were settled before an earlier one."""
        self._refused: set[int] = set()
        """Which of these, or of the next to be taken off, were refused."""
        self._ackable = 0
        """The last delivery tag that may be acked and is not yet; 0 for none."""

    @property
    def waiting(self) -> int:
        """Messages of which the destination has said nothing."""
        return len(self._waiting) - len(self._settled)

    def publish(self, delivery_tag: int) -> None:
        """The next message of the source is sent to the destination."""
        self.published += 1
        self._waiting.append((self.published, delivery_tag))

    def acked(self, number: int, *, multiple: bool) -> None:
        """The destination has confirmed a message, or all up to it."""
        waiting = self._waiting
        if multiple:
            while waiting and waiting[0][0] <= number:
                self._take_off()
        elif waiting and waiting[0][0] == number:
            self._take_off()
        else:
            self._settled.add(number)
        while waiting and waiting[0][0] in self._settled:
            self._take_off()

    def refused(self, number: int, *, multiple: bool) -> list[Method]:
        """The destination has refused a message, or all up to it: they go back, to be tried again.

        Returns:
            What to send to the source.
        """
        methods: list[Method] = []
        for at, tag in self._waiting:
            if at not in self._settled and (at == number or (multiple and at < number)):
                self._refused.add(at)
                self._settled.add(at)
                methods.append(BasicNack(delivery_tag=tag, requeue=True))
        while self._waiting and self._waiting[0][0] in self._settled:
            self._take_off()
        return methods

    def acks(self) -> list[Method]:
        """What to send to the source for all that was confirmed since the last call."""
        if not self._ackable:
            return []
        tag, self._ackable = self._ackable, 0
        return [BasicAck(delivery_tag=tag, multiple=True)]

    def _take_off(self) -> None:
        number, tag = self._waiting.popleft()
        self._settled.discard(number)
        if number in self._refused:
            self._refused.discard(number)
        else:
            self._ackable = tag
            self.confirmed += 1
