"""Work queues: take one task at a time and acknowledge it when it is done.

The work of a task is to wait for a line on standard input: whoever runs this decides how long it takes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pika


def on_task(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    print("working", body.decode(), "again" if method.redelivered else "first", flush=True)
    sys.stdin.readline()
    channel.basic_ack(method.delivery_tag)
    print("done", body.decode(), flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("task_queue", durable=True)
        # Without a prefetch count the broker would deal tasks out in turn, however busy a worker is.
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("task_queue", on_task)
        print("ready", flush=True)
        try:
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
