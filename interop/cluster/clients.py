"""Publishers and consumers that go on whatever happens, each as its library wants it to be used."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import cycle
from random import Random

import aio_pika
import pika
import pika.exceptions

from interop.cluster.history import History

HEARTBEAT_S = 1
TIMEOUT_S = 1.0
"""As who wants to go on within seconds would have them: a paused broker still takes connections, and is silent."""
PUBLISH_S = 2.5
"""For a confirm, with aio-pika: heartbeats take either library 6 s at least to find a broker silent. A vhost
moves in about so long. What was in doubt is not published again."""
LOST_S = 2.0
"""For what a publisher sent with pika to be acknowledged by the broker's kernel: longer means that the link is gone.
Consumers take their time: one that is back before its broker misses it gets what it had not acked after what is new."""
LET_GO_S = 0.2
"""For a broker's goodbye: who has found it silent does not wait for that as well."""
RETRY_S = 0.1
WINDOW = 16


class Worker:
    """A client that connects to any of the brokers, again and again, until it is stopped."""

    def __init__(self, history: History, urls: Sequence[str], queue: str, seed: int) -> None:
        self.history = history
        self.queue = queue
        self.stopping = threading.Event()
        self._urls = cycle(Random(seed).sample(list(urls), len(urls)))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, deadline_s: float = 30.0) -> None:
        self.stopping.set()
        self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._connected(next(self._urls))
            except (Exception, asyncio.CancelledError) as error:  # a task of aiormq's may end so
                self.history.errors[f"{type(self).__name__}: {type(error).__name__}"] += 1
            time.sleep(RETRY_S)

    def _connected(self, url: str) -> None:
        """Work on one connection until it breaks."""
        raise NotImplementedError


def _pika(url: str, tcp_options: dict[str, int] | None = None) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_S
    parameters.socket_timeout = parameters.stack_timeout = TIMEOUT_S
    parameters.blocked_connection_timeout = 3600
    parameters.tcp_options = tcp_options
    return pika.BlockingConnection(parameters)


class PikaPublisher(Worker):
    """One message at a time, each confirmed before the next."""

    def __init__(self, name: str, history: History, urls: Sequence[str], queue: str, seed: int, pause_s: float) -> None:
        super().__init__(history, urls, queue, seed)
        self.name = name
        self._pause_s = pause_s
        self._number = 0
        history.queue_of[name] = queue

    def _connected(self, url: str) -> None:
        connection = _pika(url, {"TCP_USER_TIMEOUT": int(1000 * LOST_S)})
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            while not self.stopping.is_set():
                self._number += 1
                self.history.attempts.append((self.name, self._number))
                body = f"{self.name}:{self._number}".encode()
                channel.basic_publish("", self.queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
                self.history.confirmed(self.name, self._number)
                connection.sleep(self._pause_s)
        finally:
            _drop(connection)


class PikaConsumer(Worker):
    """Acks each message when it has been entered."""

    def _connected(self, url: str) -> None:
        connection = _pika(url)
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=20)
            for method, _, body in channel.consume(self.queue, inactivity_timeout=0.2):
                if self.stopping.is_set():
                    return
                if method is not None:
                    self.history.delivered(self.queue, body, method.redelivered)
                    channel.basic_ack(method.delivery_tag)
        finally:
            _drop(connection)


def _drop(connection: pika.BlockingConnection) -> None:
    try:
        if connection.is_open:
            connection.close()
    except pika.exceptions.AMQPError:
        pass


class _AioWorker(Worker):
    def _connected(self, url: str) -> None:
        asyncio.run(self._work(url))

    async def _work(self, url: str) -> None:
        connection = await aio_pika.connect(f"{url}?heartbeat={HEARTBEAT_S}", timeout=TIMEOUT_S)
        try:
            await self._use(connection)
        finally:
            try:
                await asyncio.wait_for(connection.close(), LET_GO_S)
            except (Exception, asyncio.CancelledError):
                self.history.errors["aio-pika did not close"] += 1

    async def _use(self, connection: aio_pika.abc.AbstractConnection) -> None:
        raise NotImplementedError


class AioPublisher(_AioWorker):
    """Several messages at once, in order."""

    def __init__(self, name: str, history: History, urls: Sequence[str], queue: str, seed: int, pause_s: float) -> None:
        super().__init__(history, urls, queue, seed)
        self.name = name
        self._pause_s = pause_s
        self._number = 0
        history.queue_of[name] = queue

    async def _use(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True)
        under_way: set[asyncio.Task[None]] = set()
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        try:
            while not self.stopping.is_set() and not lost.is_set():
                self._number += 1
                self.history.attempts.append((self.name, self._number))
                under_way.add(asyncio.create_task(self._publish(channel, self._number)))
                await asyncio.sleep(self._pause_s)
                while len(under_way) >= WINDOW or any(task.done() for task in under_way):
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            await asyncio.wait_for(asyncio.gather(*under_way), TIMEOUT_S)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _publish(self, channel: aio_pika.abc.AbstractChannel, number: int) -> None:
        body = f"{self.name}:{number}".encode()
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, self.queue, mandatory=True, timeout=PUBLISH_S)
        self.history.confirmed(self.name, number)


class AioConsumer(_AioWorker):
    """The same as the one with pika."""

    async def _use(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=20)
        queue = await channel.get_queue(self.queue, ensure=False)
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        channel.close_callbacks.add(lambda *_: lost.set())

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self.history.delivered(self.queue, message.body, bool(message.redelivered))
            await message.ack()

        await queue.consume(take)
        while not self.stopping.is_set() and not lost.is_set():  # noqa: ASYNC110 - it is another thread that stops it
            await asyncio.sleep(0.1)
