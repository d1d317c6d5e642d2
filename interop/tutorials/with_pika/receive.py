"""Hello world: print what arrives in a queue, until interrupted."""

from __future__ import annotations

import os
from typing import Any

import pika


def on_message(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
    print("received", body.decode(), flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("hello")
        channel.basic_consume("hello", on_message, auto_ack=True)
        print("ready", flush=True)
        try:
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
