"""RPC: ask for Fibonacci numbers, all requests on their way before the first answer is awaited.

rpc_client.py N...
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import pika


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        callback_queue = channel.queue_declare("", exclusive=True).method.queue
        waiting = {str(uuid.uuid4()): n for n in sys.argv[1:]}

        def on_response(_channel: Any, _method: Any, properties: Any, body: bytes) -> None:
            print("fibonacci", waiting.pop(properties.correlation_id), "is", body.decode())

        channel.basic_consume(callback_queue, on_response, auto_ack=True)
        for correlation_id, n in list(waiting.items()):
            channel.basic_publish(
                exchange="",
                routing_key="rpc_queue",
                properties=pika.BasicProperties(reply_to=callback_queue, correlation_id=correlation_id),
                body=n.encode(),
            )
        while waiting:
            connection.process_data_events(time_limit=None)


if __name__ == "__main__":
    main()
