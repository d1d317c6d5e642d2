"""Hello world: put one message into a queue.

send.py [MESSAGE]
"""

from __future__ import annotations

import os
import sys

import pika


def main() -> None:
    body = sys.argv[1] if len(sys.argv) > 1 else "Hello World!"
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("hello")
        # The default exchange takes the routing key for the name of a queue.
        channel.basic_publish(exchange="", routing_key="hello", body=body.encode())
        print("sent", body)


if __name__ == "__main__":
    main()
