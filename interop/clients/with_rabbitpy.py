"""rabbitpy, a library of threads. Its consumers subscribe when they are read from: no question can be asked before."""

from __future__ import annotations

import datetime as dt
from typing import Any

import rabbitpy

from interop.clients import playing as play


def connected() -> rabbitpy.Connection:
    tls = f"?cacertfile={play.CA}&verify=required" if play.CA else ""
    return rabbitpy.Connection(f"{play.URL}/%2f{tls}")


def main() -> None:
    with connected() as connection, connection.channel() as channel:
        channel.enable_publisher_confirms()
        exchange = rabbitpy.TopicExchange(channel, play.EXCHANGE, durable=True)
        exchange.declare()
        queue = rabbitpy.Queue(channel, play.QUEUE, durable=True)
        messages, consumers = queue.declare()
        queue.bind(exchange, play.BINDING_KEY)
        play.tell("declared", messages, consumers)
        properties = dict(play.PROPERTIES)
        properties["message_type"] = properties.pop("type")
        properties["timestamp"] = dt.datetime.fromtimestamp(properties["timestamp"], dt.UTC)
        message = rabbitpy.Message(channel, play.BODY, properties)
        if message.publish(exchange, play.ROUTING_KEY, mandatory=True):
            play.tell("confirmed")

        deliveries = queue.consume()
        first = next(deliveries)
        seen: dict[str, Any] = dict(first.properties)
        seen["type"] = seen.pop("message_type")
        seen["timestamp"] = seen["timestamp"].replace(tzinfo=dt.UTC).timestamp()
        play.tell_received(first.exchange, first.routing_key, first.redelivered, first.body, seen)
        first.nack(requeue=True)
        second = next(deliveries)
        play.tell("received again", second.redelivered)
        second.ack()
        queue.stop_consuming()

        try:
            rabbitpy.Message(channel, b"").publish(exchange, play.UNROUTABLE_KEY, mandatory=True)
        except rabbitpy.exceptions.MessageReturnedException as error:
            play.tell("returned", error.args[0], play.UNROUTABLE_KEY)
        try:
            rabbitpy.Queue(channel, play.MISSING_QUEUE).declare(passive=True)
        except rabbitpy.exceptions.AMQPNotFound:
            play.tell("closed", 404)


def restart() -> None:
    """What a program does around its connection when the broker may go away."""
    told: list[str] = []

    def session() -> None:
        with connected() as connection, connection.channel() as channel:
            channel.enable_publisher_confirms()
            queue = rabbitpy.Queue(channel, play.QUEUE, durable=True)
            queue.declare()
            if not told:
                rabbitpy.Message(channel, play.BODY, {"delivery_mode": 2}).publish("", play.QUEUE)
                play.tell("confirmed")
            for message in queue.consume():
                play.tell("came back" if told else "waiting", message.body.decode())
                if told:
                    message.ack()
                    rabbitpy.Message(channel, play.ANSWER, {"delivery_mode": 2}).publish("", play.QUEUE)
                    play.tell("confirmed")
                    return
                told.append("waiting")

    lost = (rabbitpy.exceptions.RabbitpyException, rabbitpy.exceptions.AMQPException, OSError, RuntimeError)
    play.until_it_came_back(session, lost)


restart() if play.IS_RESTART else main()
