"""Topics: hear only what the patterns match: * is one word, # any number.

receive_logs_topic.py PATTERN...
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pika


def on_message(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    print("received", method.routing_key, body.decode(), flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.exchange_declare("topic_logs", exchange_type=pika.exchange_type.ExchangeType.topic)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for binding_key in sys.argv[1:]:
            channel.queue_bind(queue, "topic_logs", routing_key=binding_key)
        channel.basic_consume(queue, on_message, auto_ack=True)
        print("ready", queue, flush=True)
        try:
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
