"""Publisher confirms: publish without waiting and keep account of what is still unconfirmed.

publisher_confirms_async.py COUNT
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pika


class Publisher:
    """Publishes `count` messages at once and closes when the last of them is confirmed."""

    def __init__(self, url: str, count: int) -> None:
        self.count = count
        self.unconfirmed: set[int] = set()
        self.confirmed = 0
        self.connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self.on_connection_open)

    def run(self) -> None:
        self.connection.ioloop.start()

    def on_connection_open(self, connection: Any) -> None:
        connection.add_on_close_callback(lambda *_: connection.ioloop.stop())
        connection.channel(on_open_callback=self.on_channel_open)

    def on_channel_open(self, channel: Any) -> None:
        self.channel = channel
        channel.queue_declare("", exclusive=True, callback=self.on_queue_declared)

    def on_queue_declared(self, declared: Any) -> None:
        self.queue = declared.method.queue
        self.channel.confirm_delivery(self.on_confirm, callback=self.on_confirming)

    def on_confirming(self, _selected: Any) -> None:
        for number in range(1, self.count + 1):
            self.unconfirmed.add(number)
            self.channel.basic_publish(exchange="", routing_key=self.queue, body=str(number).encode())

    def on_confirm(self, frame: Any) -> None:
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        settled = {number for number in self.unconfirmed if number <= tag} if multiple else {tag}
        self.unconfirmed -= settled
        if isinstance(frame.method, pika.spec.Basic.Ack):
            self.confirmed += len(settled)
        if not self.unconfirmed:
            print("confirmed", self.confirmed)
            self.connection.close()


if __name__ == "__main__":
    Publisher(os.environ["AMQP_URL"], int(sys.argv[1])).run()
