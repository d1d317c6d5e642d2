"""py-amqp: everything is up to the program."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import urlsplit

import amqp

from interop.steady import playing as play

LOST = (amqp.exceptions.AMQPError, OSError)


def connected() -> Any:
    parts = urlsplit(play.URL)
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username or "guest",
        password=parts.password or "guest",
        heartbeat=play.HEARTBEAT_S,
        confirm_publish=True,
        connect_timeout=play.CONFIRM_DEADLINE_S,
        read_timeout=play.CONFIRM_DEADLINE_S,
        write_timeout=play.CONFIRM_DEADLINE_S,
    )
    connection.connect()
    return connection


def publish(numbers: range) -> None:
    left, waited = list(numbers), -1
    while left:
        try:
            channel = connected().channel()
            channel.queue_declare(play.QUEUE, durable=True, auto_delete=False)
            while left:
                if waited != left[0]:
                    play.wait_at(waited := left[0])
                message = amqp.Message(str(left[0]), delivery_mode=2)
                channel.basic_publish(
                    message, routing_key=play.QUEUE, mandatory=True, confirm_timeout=play.CONFIRM_DEADLINE_S
                )
                play.tell("confirmed", left.pop(0))
        except LOST as error:
            play.tell("lost", type(error).__name__)
            time.sleep(play.RETRY_S)
    play.tell("done")


def consume() -> None:
    while True:
        try:
            connection = connected()
            channel = connection.channel()
            channel.queue_declare(play.QUEUE, durable=True, auto_delete=False)
            channel.basic_qos(0, 10, False)

            def got(message: Any, channel: Any = channel) -> None:
                play.tell("got", message.body)
                channel.basic_ack(message.delivery_tag)

            channel.basic_consume(play.QUEUE, callback=got)
            play.tell("ready")
            while True:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=play.HEARTBEAT_S / 2)
                connection.heartbeat_tick()
        except LOST as error:
            play.tell("lost", type(error).__name__)
            time.sleep(play.RETRY_S)


if (numbers := play.parts()) is None:
    consume()
else:
    publish(numbers)
