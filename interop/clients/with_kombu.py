"""kombu, on py-amqp: what Celery stands on."""

from __future__ import annotations

from typing import Any

import amqp
import kombu
from kombu.mixins import ConsumerMixin

from interop.clients import playing as play


def connected() -> Any:
    tls = {"ca_certs": play.CA, "server_hostname": play.HOST} if play.CA else None
    return kombu.Connection(play.URL, ssl=tls, transport_options={"confirm_publish": True})


def main() -> None:
    with connected() as connection:
        exchange = kombu.Exchange(play.EXCHANGE, "topic", durable=True)
        queue = kombu.Queue(play.QUEUE, exchange, play.BINDING_KEY, durable=True)
        channel = connection.channel()
        exchange(channel).declare()
        name, messages, consumers = queue(channel).queue_declare()
        assert name == play.QUEUE
        queue(channel).queue_bind()
        play.tell("declared", messages, consumers)
        producer = connection.Producer(
            channel,
            on_return=lambda error, _exchange, routing_key, _message: play.tell(
                "returned", error.reply_code, routing_key
            ),
        )
        properties = play.PROPERTIES | {"expiration": int(play.PROPERTIES["expiration"]) / 1000}
        producer.publish(play.BODY, exchange=exchange, routing_key=play.ROUTING_KEY, mandatory=True, **properties)
        play.tell("confirmed")

        deliveries: list[Any] = []
        with connection.Consumer([queue], channel=channel, on_message=deliveries.append):
            first = next_of(connection, deliveries)
            seen = first.properties | {
                "content_type": first.content_type,
                "content_encoding": first.content_encoding,
                "headers": first.headers,
            }
            info = first.delivery_info
            play.tell_received(
                info["exchange"], info["routing_key"], info["redelivered"], bytes(first.body.encode()), seen
            )
            first.requeue()
            second = next_of(connection, deliveries)
            play.tell("received again", second.delivery_info["redelivered"])
            second.ack()

        replies = kombu.Queue(play.REPLY_TO, no_ack=True, no_declare=True)
        with connection.Consumer([replies], channel=channel, on_message=deliveries.append, no_ack=True):
            producer.publish(play.QUESTION, routing_key=play.QUEUE, reply_to=play.REPLY_TO)
            question = queue(channel).get(no_ack=True)
            producer.publish(play.ANSWER.decode(), routing_key=question.properties["reply_to"])
            play.tell("answer", next_of(connection, deliveries).payload)

        producer.publish(b"", exchange=exchange, routing_key=play.UNROUTABLE_KEY, mandatory=True)
        try:
            kombu.Queue(play.MISSING_QUEUE)(channel).queue_declare(passive=True)
        except amqp.NotFound as error:
            play.tell("closed", error.code)


class Restart(ConsumerMixin):  # type: ignore[misc] # kombu has no types
    """Comes back by itself, and so does its producer."""

    should_stop = False

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.queue = kombu.Queue(play.QUEUE, durable=True)
        self.producer = connection.clone().Producer()
        self.deliveries = 0
        self.publish(play.BODY)

    def publish(self, body: bytes) -> None:
        again = {"interval_start": play.RETRY_S, "max_retries": 300}
        self.producer.publish(body, routing_key=play.QUEUE, declare=[self.queue], retry=True, retry_policy=again)
        play.tell("confirmed")

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        return [consumer([self.queue], on_message=self.received)]

    def received(self, message: Any) -> None:
        if self.should_stop:
            return  # its own answer
        self.deliveries += 1
        play.tell("waiting" if self.deliveries == 1 else "came back", message.body)
        if self.deliveries > 1:
            message.ack()
            self.should_stop = True
            self.publish(play.ANSWER)


def restart() -> None:
    Restart(connected()).run()


def next_of(connection: Any, deliveries: list[Any]) -> Any:
    while not deliveries:
        connection.drain_events(timeout=10)
    return deliveries.pop(0)


restart() if play.IS_RESTART else main()
