"""Work queues: hand out tasks which survive the broker.

new_task.py TASK...
"""

from __future__ import annotations

import os
import sys

import pika


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("task_queue", durable=True)
        for task in sys.argv[1:]:
            channel.basic_publish(
                exchange="",
                routing_key="task_queue",
                body=task.encode(),
                properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
            )
            print("sent", task)


if __name__ == "__main__":
    main()
