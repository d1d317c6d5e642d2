"""Publishers and consumers on one event loop: pika's, as an application would use it, all in one thread.

Each enters what happens to it into the ledger. They live through the deaths of brokers: `connect` again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop

from interop.durability.ledger import Ledger, Name, make_body

DEADLINE_S = 60.0


class LoadError(Exception):
    """Something did not happen in time, or a broker said what it should not; the text says what."""


class Loop:
    """An event loop that runs until something has happened; a context manager that closes it."""

    def __init__(self) -> None:
        self.io = IOLoop()
        self._awaited: Callable[[], bool] | None = None

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        self.io.close()

    def run_until(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Run until a condition holds; it is looked at whenever a client calls `changed`.

        Raises:
            LoadError: it does not hold within the deadline.
        """
        if condition():
            return
        late: list[bool] = []

        def give_up() -> None:
            late.append(True)
            self.io.stop()

        timer = self.io.call_later(deadline_s, give_up)
        self._awaited = condition
        self.io.start()
        self._awaited = None
        self.io.remove_timeout(timer)
        if late and not condition():
            raise LoadError(f"within {deadline_s:g} s not: {what}")

    def changed(self) -> None:
        if self._awaited is not None and self._awaited():
            self.io.stop()


class Client:
    """A connection with one channel, time after time.

    Attributes:
        is_connected: from `connect` until the connection is gone, whoever ended it.
        is_blocked: the broker has said so, and not yet taken it back.
    """

    def __init__(self, loop: Loop, ledger: Ledger) -> None:
        self.is_connected = False
        self.is_blocked = False
        self._loop = loop
        self._ledger = ledger
        self._connection: Any = None
        self._channel: Any = None

    def connect(self, url: str) -> None:
        self.is_connected = True
        self.is_blocked = False
        self._connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=self._loop.io,
        )
        self._connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))

    def close(self) -> None:
        """Begin to close in order: what was sent before arrives."""
        if self._connection.is_open:
            self._connection.close()

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        self._ready(channel)

    def _ready(self, channel: Any) -> None:
        raise NotImplementedError

    def _unblocked(self) -> None:
        """Publishing may go on."""

    def _set_blocked(self, is_blocked: bool) -> None:
        self.is_blocked = is_blocked
        if not is_blocked:
            self._unblocked()
        self._loop.changed()

    def _ended(self, *_: object) -> None:
        self.is_connected = False
        self._loop.changed()


class Publisher(Client):
    """Publishes numbered messages as fast as its window of confirms allows.

    Attributes:
        confirmed: how many, on this connection.
        limit: so many on one connection, then no more.

    Args:
        targets: addresses (exchange, routing key) and the queues each reaches; one is drawn for each message.
        window: unconfirmed messages at most.
        max_padding: octets that a body is blown up by, at most; some few bodies get a hundred times as much.
    """

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        name: str,
        targets: dict[tuple[str, str], tuple[str, ...]],
        random: Random,
        *,
        window: int,
        max_padding: int = 1500,
        limit: int = 1_000_000,
    ) -> None:
        super().__init__(loop, ledger)
        self.confirmed = 0
        self.limit = limit
        self._name = name
        self._targets = list(targets.items())
        self._random = random
        self._window = window
        self._max_padding = max_padding
        self._number = 0
        self._open: dict[int, Name] = {}
        """Unconfirmed, by delivery tag, lowest first."""
        self._tag = 0

    def connect(self, url: str) -> None:
        self._open.clear()
        self._tag = self.confirmed = 0
        super().connect(url)

    def _ready(self, channel: Any) -> None:
        channel.confirm_delivery(self._answered, callback=lambda _: self._publish())

    def _unblocked(self) -> None:
        self._publish()

    def _publish(self) -> None:
        while len(self._open) < self._window and not self.is_blocked and self._tag < self.limit:
            name = Name(self._name, self._number)
            self._number += 1
            self._tag += 1
            (exchange, routing_key), queues = self._random.choice(self._targets)
            padding = self._random.randrange(self._max_padding) * (100 if self._random.random() < 0.002 else 1)
            self._open[self._tag] = name
            self._ledger.published(name, queues)
            self._channel.basic_publish(
                exchange, routing_key, make_body(name, padding), pika.BasicProperties(delivery_mode=2)
            )

    def _answered(self, frame: Any) -> None:
        if isinstance(frame.method, pika.spec.Basic.Nack):
            raise LoadError(f"{self._name}: the broker refused number {frame.method.delivery_tag}")
        last = frame.method.delivery_tag
        tags = [tag for tag in self._open if tag <= last] if frame.method.multiple else [last]
        for tag in tags:
            self._ledger.confirmed(self._open.pop(tag))
        self.confirmed += len(tags)
        self._loop.changed()
        if self._connection.is_open:
            self._publish()


class Consumer(Client):
    """Consumes one queue and acknowledges in groups, so that there is always something unacked.

    Attributes:
        delivered: how many, on this connection.
        is_drained: the queue was empty after `drain`, and everything has been acked.
    """

    def __init__(self, loop: Loop, ledger: Ledger, queue: str, random: Random) -> None:
        super().__init__(loop, ledger)
        self.delivered = 0
        self.is_drained = False
        self._queue = queue
        self._random = random
        self._ack_every = 1
        self._unacked: list[tuple[int, Name]] = []
        self._is_draining = False
        self._is_asking = False

    def connect(self, url: str) -> None:
        self._is_draining = self._is_asking = self.is_drained = False
        self._unacked.clear()
        self.delivered = 0
        super().connect(url)

    def drain(self) -> None:
        """From now on ack everything at once, until the queue is empty."""
        self._is_draining = True
        if self._channel is not None and self._channel.is_open:
            self._settle()

    def _ready(self, channel: Any) -> None:
        self._ack_every = self._random.choice((1, 10, 50))
        channel.basic_qos(prefetch_count=self._random.choice((100, 500)))
        channel.basic_consume(self._queue, self._received)
        if self._is_draining:
            self._settle()

    def _received(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self.delivered += 1
        name = self._ledger.delivered(self._queue, body, redelivered=method.redelivered)
        if name is not None:
            self._unacked.append((method.delivery_tag, name))
        if self._channel.is_open and (self._is_draining or len(self._unacked) >= self._ack_every):
            self._settle()
        self._loop.changed()

    def _settle(self) -> None:
        if self._unacked:
            self._channel.basic_ack(self._unacked[-1][0], multiple=True)
            for _, name in self._unacked:
                self._ledger.acked(self._queue, name)
            self._unacked.clear()
        if self._is_draining and not self._is_asking:
            self._is_asking = True
            self._channel.queue_declare(self._queue, passive=True, callback=self._told)

    def _told(self, frame: Any) -> None:
        """The queue's length; what it does not count has come before this answer."""
        self._is_asking = False
        self.is_drained = frame.method.message_count == 0 and not self._unacked
        self._loop.changed()
