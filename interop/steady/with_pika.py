"""pika: connections are made anew by the program, as its documentation tells."""

from __future__ import annotations

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from interop.steady import playing as play

LOST = (pika.exceptions.AMQPError, OSError, ValueError)
"""The last is what pika 1.4 raises when a connection is reset while it is being made."""


def connected() -> pika.BlockingConnection:
    parameters = pika.URLParameters(play.URL)
    parameters.heartbeat = play.HEARTBEAT_S
    parameters.connection_attempts, parameters.retry_delay = 300, play.RETRY_S
    parameters.socket_timeout = parameters.stack_timeout = play.CONFIRM_DEADLINE_S
    return pika.BlockingConnection(parameters)


def publish(numbers: range) -> None:
    left, waited = list(numbers), -1
    while left:
        try:
            channel = connected().channel()
            channel.confirm_delivery()
            channel.queue_declare(play.QUEUE, durable=True)
            while left:
                if waited != left[0]:
                    play.wait_at(waited := left[0])
                body = str(left[0]).encode()
                channel.basic_publish("", play.QUEUE, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
                play.tell("confirmed", left.pop(0))
        except LOST as error:
            play.tell("lost", type(error).__name__)
    play.tell("done")


def consume() -> None:
    while True:
        try:
            channel: BlockingChannel = connected().channel()
            channel.queue_declare(play.QUEUE, durable=True)
            channel.basic_qos(prefetch_count=10)
            play.tell("ready")
            for method, _, body in channel.consume(play.QUEUE):
                play.tell("got", body.decode())
                channel.basic_ack(method.delivery_tag)
        except LOST as error:
            play.tell("lost", type(error).__name__)


if (numbers := play.parts()) is None:
    consume()
else:
    publish(numbers)
