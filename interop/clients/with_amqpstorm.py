"""AMQPStorm, a library of threads."""

from __future__ import annotations

import datetime as dt

import amqpstorm

from interop.clients import playing as play


def connected() -> amqpstorm.Connection:
    tls = {"context": play.TLS, "server_hostname": play.HOST} if play.TLS else None
    return amqpstorm.Connection(
        play.HOST,
        play.USER,
        play.PASSWORD,
        port=play.PORT,
        heartbeat=2,  # nothing else tells 3.1.4 that the broker has gone
        ssl=play.TLS is not None,
        ssl_options=tls,
    )


def main() -> None:
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_deliveries()
        channel.exchange.declare(play.EXCHANGE, "topic", durable=True)
        declared = channel.queue.declare(play.QUEUE, durable=True)
        channel.queue.bind(play.QUEUE, play.EXCHANGE, play.BINDING_KEY)
        play.tell("declared", declared["message_count"], declared["consumer_count"])
        properties = dict(play.PROPERTIES)
        properties["message_type"] = properties.pop("type")
        properties["timestamp"] = dt.datetime.fromtimestamp(properties["timestamp"], dt.UTC)
        message = amqpstorm.Message.create(channel, play.BODY.decode(), properties)
        if message.publish(play.ROUTING_KEY, play.EXCHANGE, mandatory=True):
            play.tell("confirmed")

        tag = channel.basic.consume(queue=play.QUEUE)
        first = next(channel.build_inbound_messages())
        seen = dict(first.properties)
        seen["type"] = seen.pop("message_type")
        seen["timestamp"] = seen["timestamp"].replace(tzinfo=dt.UTC).timestamp()
        method = first.method
        play.tell_received(method["exchange"], method["routing_key"], method["redelivered"], first.body.encode(), seen)
        first.nack(requeue=True)
        second = next(channel.build_inbound_messages())
        play.tell("received again", second.redelivered)
        second.ack()
        channel.basic.cancel(tag)

        channel.basic.consume(queue=play.REPLY_TO, no_ack=True)
        channel.basic.publish(play.QUESTION.decode(), play.QUEUE, properties={"reply_to": play.REPLY_TO})
        question = connection.channel().basic.get(play.QUEUE, no_ack=True)
        channel.basic.publish(play.ANSWER.decode(), question.reply_to)
        play.tell("answer", next(channel.build_inbound_messages()).body)

        try:
            channel.basic.publish("", play.UNROUTABLE_KEY, play.EXCHANGE, mandatory=True)
        except amqpstorm.AMQPMessageError as error:
            play.tell("returned", error.error_code, play.UNROUTABLE_KEY)
        try:
            channel.queue.declare(play.MISSING_QUEUE, passive=True)
        except amqpstorm.AMQPChannelError as error:
            play.tell("closed", error.error_code)


def restart() -> None:
    """What a program does around its connection when the broker may go away."""
    told: list[str] = []

    def session() -> None:
        with connected() as connection:
            channel = connection.channel()
            channel.confirm_deliveries()
            channel.queue.declare(play.QUEUE, durable=True)
            if not told:
                channel.basic.publish(play.BODY.decode(), play.QUEUE, properties={"delivery_mode": 2})
                play.tell("confirmed")
            channel.basic.consume(queue=play.QUEUE)
            for message in channel.build_inbound_messages(break_on_empty=False):
                play.tell("came back" if told else "waiting", message.body)
                if told:
                    message.ack()
                    channel.basic.publish(play.ANSWER.decode(), play.QUEUE, properties={"delivery_mode": 2})
                    play.tell("confirmed")
                    return
                told.append("waiting")
            raise amqpstorm.AMQPConnectionError("lost")  # it only ends the iteration

    play.until_it_came_back(session, (amqpstorm.AMQPError,))


restart() if play.IS_RESTART else main()
