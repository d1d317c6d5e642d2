"""Publisher confirms of one channel: numbers, and who is told what when (rules 6.1 to 6.8).

A publish is settled as soon as its queues have it; what has gathered by the end of a read is answered
together, with `multiple`, once storage says that all of it is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from amqp_broker.storage.interface import Storage
from amqp_codec import BasicAck, BasicNack, Method


class Confirms:
    """Counts the publishes of a channel in confirm mode and answers each exactly once.

    Attributes:
        published: number of the last publish.
        confirmed: number of the last one that was answered.
        must_wait: something of what is not answered yet was stored, so the answer waits for the disk.
    """

    __slots__ = ("_answered", "_refused", "_send", "_storage", "_waiting", "confirmed", "must_wait", "published")

    def __init__(self, storage: Storage, send: Callable[[Method], None]) -> None:
        self.published = 0
        self.confirmed = 0
        self.must_wait = False
        self._answered = 0
        self._waiting = 0
        self._refused: list[int] = []
        self._storage = storage
        self._send = send

    def refuse_last(self) -> None:
        """A queue refused the last publish: it gets a nack (rule 6.7)."""
        self._refused.append(self.published)

    def flush(self) -> None:
        """Answer what has been published since the last time, as soon as it is safe."""
        if self.published == self._answered:
            return
        first, last, refused = self._answered + 1, self.published, self._refused
        self._answered = last
        self._refused = []
        self._waiting += 1
        if self.must_wait or self._waiting > 1:  # in order, so behind those that wait already
            self.must_wait = False
            self._storage.when_durable(partial(self._answer, first, last, refused))
        else:
            self._answer(first, last, refused)

    def _answer(self, first: int, last: int, refused: list[int]) -> None:
        self._waiting -= 1
        self.confirmed = last
        for number in refused:
            self._ack(first, number - 1)
            self._send(BasicNack(delivery_tag=number))
            first = number + 1
        self._ack(first, last)

    def _ack(self, first: int, last: int) -> None:
        if first <= last:
            self._send(BasicAck(delivery_tag=last, multiple=first < last))
