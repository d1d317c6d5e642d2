"""pika's adapters that call back: `select` with its own loop, `asyncio` with that of Python. Argument 2 says which."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from interop.clients import playing as play


def parameters() -> pika.URLParameters:
    found = pika.URLParameters(play.URL)
    if play.TLS is not None:
        found.ssl_options = pika.SSLOptions(play.TLS, play.HOST)
    return found


class Player:
    """The scenario as a chain of callbacks, one a reply."""

    def __init__(self, adapter: type) -> None:
        self.connection = adapter(
            parameters(),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.on_channel),
            on_open_error_callback=lambda _connection, error: sys.exit(repr(error)),
            on_close_callback=lambda connection, _error: connection.ioloop.stop(),
        )
        self.confirmed = self.on_published
        self.deliveries = 0

    def on_channel(self, channel: Any) -> None:
        self.channel = channel
        channel.add_on_close_callback(self.on_channel_closed)
        channel.add_on_return_callback(
            lambda _channel, method, _properties, _body: play.tell("returned", method.reply_code, method.routing_key)
        )
        channel.confirm_delivery(lambda _frame: self.confirmed(), callback=self.on_confirm_mode)

    def on_confirm_mode(self, _frame: object) -> None:
        self.channel.exchange_declare(play.EXCHANGE, "topic", durable=True)
        self.channel.queue_declare(play.QUEUE, durable=True, callback=self.on_declared)

    def on_declared(self, frame: Any) -> None:
        play.tell("declared", frame.method.message_count, frame.method.consumer_count)
        self.channel.queue_bind(play.QUEUE, play.EXCHANGE, play.BINDING_KEY, callback=self.on_bound)

    def on_bound(self, _frame: object) -> None:
        properties = pika.BasicProperties(**play.PROPERTIES)
        self.channel.basic_publish(play.EXCHANGE, play.ROUTING_KEY, play.BODY, properties, mandatory=True)

    def on_published(self) -> None:
        play.tell("confirmed")
        self.confirmed = lambda: None
        self.tag = self.channel.basic_consume(play.QUEUE, self.on_delivery)

    def on_delivery(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.deliveries += 1
        if self.deliveries == 1:
            seen = vars(properties)
            play.tell_received(method.exchange, method.routing_key, method.redelivered, body, seen)
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            play.tell("received again", method.redelivered)
            channel.basic_ack(method.delivery_tag)
            channel.basic_cancel(self.tag, callback=self.on_cancelled)

    def on_cancelled(self, _frame: object) -> None:
        self.channel.basic_consume(play.REPLY_TO, self.on_answer, auto_ack=True, callback=self.on_listening)

    def on_listening(self, _frame: object) -> None:
        self.channel.basic_consume(play.QUEUE, self.on_question, auto_ack=True)
        self.channel.basic_publish("", play.QUEUE, play.QUESTION, pika.BasicProperties(reply_to=play.REPLY_TO))

    def on_question(self, channel: Any, _method: object, properties: Any, _body: bytes) -> None:
        channel.basic_publish("", properties.reply_to, play.ANSWER)

    def on_answer(self, channel: Any, _method: object, _properties: object, body: bytes) -> None:
        play.tell("answer", body.decode())
        channel.basic_publish(play.EXCHANGE, play.UNROUTABLE_KEY, b"", mandatory=True)
        channel.queue_declare(play.MISSING_QUEUE, passive=True)

    def on_channel_closed(self, _channel: object, error: Any) -> None:
        play.tell("closed", error.reply_code)
        self.connection.close()


class Restart:
    """The part with the restart: a new connection whenever one is lost, or can't be had."""

    def __init__(self, adapter: type) -> None:
        self.adapter = adapter
        self.is_waiting = self.is_done = False
        self.connect(None)

    def connect(self, ioloop: object) -> None:
        self.connection = self.adapter(
            parameters(),
            custom_ioloop=ioloop,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.on_channel),
            on_open_error_callback=self.on_lost,
            on_close_callback=self.on_lost,
        )

    def on_lost(self, connection: Any, _error: object) -> None:
        if self.is_done:
            connection.ioloop.stop()
        else:
            connection.ioloop.call_later(play.RETRY_S, functools.partial(self.connect, connection.ioloop))

    def on_channel(self, channel: Any) -> None:
        self.channel = channel
        channel.confirm_delivery(lambda _frame: self.on_confirmed())
        channel.queue_declare(play.QUEUE, durable=True)
        if self.is_waiting:
            channel.basic_consume(play.QUEUE, self.on_delivery)
        else:
            self.publish(play.BODY)

    def publish(self, body: bytes) -> None:
        self.channel.basic_publish("", play.QUEUE, body, pika.BasicProperties(delivery_mode=2))

    def on_confirmed(self) -> None:
        play.tell("confirmed")
        if self.is_waiting:
            self.is_done = True
            self.connection.close()
        else:
            self.channel.basic_consume(play.QUEUE, self.on_delivery)

    def on_delivery(self, channel: Any, method: Any, _properties: object, body: bytes) -> None:
        if body == play.ANSWER:
            return
        play.tell("came back" if self.is_waiting else "waiting", body.decode())
        if self.is_waiting:
            channel.basic_ack(method.delivery_tag)
            self.publish(play.ANSWER)
        self.is_waiting = True


adapter = {"select": pika.SelectConnection, "asyncio": AsyncioConnection}[sys.argv[2]]
player = Restart(adapter) if play.IS_RESTART else Player(adapter)
player.connection.ioloop.run_forever() if sys.argv[2] == "asyncio" else player.connection.ioloop.start()
