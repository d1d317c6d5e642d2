"""kombu: `ensure` around a publish, and its `ConsumerMixin`."""

from __future__ import annotations

import socket
from typing import Any

import kombu
from kombu.mixins import ConsumerMixin

from interop.steady import playing as play

QUEUE = kombu.Queue(play.QUEUE, durable=True, no_declare=False)
POLICY = {"interval_start": play.RETRY_S, "interval_step": 0, "interval_max": play.RETRY_S, "max_retries": 300}


def connected() -> Any:
    options = {"confirm_publish": True, "read_timeout": play.CONFIRM_DEADLINE_S, "confirm_timeout": 5}
    return kombu.Connection(play.URL, heartbeat=play.HEARTBEAT_S, transport_options=options)


def publish(numbers: range) -> None:
    with connected() as connection:
        producer = connection.Producer()
        send = connection.ensure(producer, producer.publish, errback=lost, **POLICY)
        for number in numbers:
            play.wait_at(number)
            send(
                str(number),
                routing_key=play.QUEUE,
                declare=[QUEUE],
                delivery_mode=2,
                retry=False,
                confirm_timeout=play.CONFIRM_DEADLINE_S,
            )
            play.tell("confirmed", number)
        play.tell("done")


def lost(error: Exception, _interval: float) -> None:
    play.tell("lost", type(error).__name__)


class Consumer(ConsumerMixin):  # type: ignore[misc] # kombu has no types
    """Comes back by itself."""

    connect_max_retries = None

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.live = connection

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        self.live = channel.connection.client  # a clone of the connection, which is made anew each time
        return [consumer([QUEUE], callbacks=[self.got], prefetch_count=10)]

    def on_consume_ready(self, *_: Any, **__: Any) -> None:
        play.tell("ready")

    def on_connection_error(self, error: Exception, interval: float) -> None:
        lost(error, interval)

    def on_iteration(self) -> None:
        self.live.heartbeat_check()

    def consume(self, limit: Any, timeout: Any = None, safety_interval: float = 1, **options: Any) -> Any:
        del timeout, safety_interval  # heartbeats want to be looked at more often
        return super().consume(limit, safety_interval=play.HEARTBEAT_S / 2, **options)

    def got(self, body: Any, message: Any) -> None:
        play.tell("got", body)
        message.ack()


if (wanted := play.parts()) is None:
    socket.setdefaulttimeout(play.CONFIRM_DEADLINE_S)
    Consumer(connected()).run()
else:
    publish(wanted)
