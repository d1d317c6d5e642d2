"""Publish/subscribe: hear everything from now on, through a queue of one's own."""

from __future__ import annotations

import os
from typing import Any

import pika


def on_message(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
    print("received", body.decode(), flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.exchange_declare("logs", exchange_type=pika.exchange_type.ExchangeType.fanout)
        # The empty name asks the broker for one; exclusive, so it goes when we go.
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "logs")
        channel.basic_consume(queue, on_message, auto_ack=True)
        print("ready", queue, flush=True)
        try:
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
