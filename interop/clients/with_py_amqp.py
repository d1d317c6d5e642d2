"""py-amqp, the library below kombu."""

from __future__ import annotations

from typing import Any

import amqp

from interop.clients import playing as play


def connected() -> Any:
    return amqp.Connection(
        f"{play.HOST}:{play.PORT}",
        userid=play.USER,
        password=play.PASSWORD,
        confirm_publish=True,
        ssl={"ca_certs": play.CA, "server_hostname": play.HOST} if play.CA else None,
    )


def main() -> None:
    properties = {name: value for name, value in play.PROPERTIES.items() if name != "headers"}
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(play.EXCHANGE, "topic", durable=True, auto_delete=False)
        _, messages, consumers = channel.queue_declare(play.QUEUE, durable=True, auto_delete=False)
        channel.queue_bind(play.QUEUE, play.EXCHANGE, play.BINDING_KEY)
        play.tell("declared", messages, consumers)
        message = amqp.Message(play.BODY, application_headers=play.PROPERTIES["headers"], **properties)
        channel.basic_publish_confirm(message, play.EXCHANGE, play.ROUTING_KEY, mandatory=True)
        play.tell("confirmed")

        deliveries: list[Any] = []
        tag = channel.basic_consume(play.QUEUE, callback=deliveries.append)
        first = next_of(connection, deliveries)
        seen = dict(first.properties)
        seen["headers"] = seen.pop("application_headers")
        play.tell_received(
            first.delivery_info["exchange"],
            first.delivery_info["routing_key"],
            first.delivery_info["redelivered"],
            bytes(first.body.encode() if isinstance(first.body, str) else first.body),
            seen,
        )
        channel.basic_reject(first.delivery_tag, requeue=True)
        second = next_of(connection, deliveries)
        play.tell("received again", second.delivery_info["redelivered"])
        channel.basic_ack(second.delivery_tag)
        channel.basic_cancel(tag)

        channel.basic_consume(play.REPLY_TO, no_ack=True, callback=deliveries.append)
        channel.basic_publish_confirm(amqp.Message(play.QUESTION, reply_to=play.REPLY_TO), "", play.QUEUE)
        question = channel.basic_get(play.QUEUE, no_ack=True)
        channel.basic_publish_confirm(amqp.Message(play.ANSWER), "", question.properties["reply_to"])
        answer = next_of(connection, deliveries)
        play.tell("answer", answer.body.decode())

        channel.events["basic_return"].add(
            lambda error, _exchange, routing_key, _message: play.tell("returned", error.reply_code, routing_key)
        )
        channel.basic_publish_confirm(amqp.Message(b""), play.EXCHANGE, play.UNROUTABLE_KEY, mandatory=True)
        try:
            channel.queue_declare(play.MISSING_QUEUE, passive=True)
        except amqp.NotFound as error:
            play.tell("closed", error.code)


def restart() -> None:
    """What a program does around its connection when the broker may go away."""
    told: list[str] = []

    def session() -> None:
        with connected() as connection:
            channel = connection.channel()
            channel.queue_declare(play.QUEUE, durable=True, auto_delete=False)
            if not told:
                channel.basic_publish_confirm(amqp.Message(play.BODY, delivery_mode=2), "", play.QUEUE)
                play.tell("confirmed")
            deliveries: list[Any] = []
            channel.basic_consume(play.QUEUE, callback=deliveries.append)
            first = next_of(connection, deliveries)
            play.tell("came back" if told else "waiting", first.body)
            if not told:
                told.append("waiting")
                next_of(connection, deliveries)
            channel.basic_ack(first.delivery_tag)
            channel.basic_publish_confirm(amqp.Message(play.ANSWER, delivery_mode=2), "", play.QUEUE)
            play.tell("confirmed")

    play.until_it_came_back(session, (amqp.exceptions.AMQPError, OSError))


def next_of(connection: Any, deliveries: list[Any]) -> Any:
    while not deliveries:
        connection.drain_events(timeout=10)
    return deliveries.pop(0)


restart() if play.IS_RESTART else main()
