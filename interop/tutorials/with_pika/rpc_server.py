"""RPC: answer requests for Fibonacci numbers, one at a time."""

from __future__ import annotations

import os
from typing import Any

import pika


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def on_request(channel: Any, method: Any, properties: Any, body: bytes) -> None:
    channel.basic_publish(
        exchange="",
        routing_key=properties.reply_to,
        properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        body=str(fibonacci(int(body))).encode(),
    )
    channel.basic_ack(method.delivery_tag)
    print("answered", body.decode(), flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("rpc_queue")
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("rpc_queue", on_request)
        print("ready", flush=True)
        try:
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
