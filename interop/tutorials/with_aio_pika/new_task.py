"""Work queues: hand out tasks which survive the broker.

new_task.py TASK...
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("task_queue", durable=True)
        for task in sys.argv[1:]:
            message = aio_pika.Message(task.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, routing_key=queue.name)
            print("sent", task)


if __name__ == "__main__":
    asyncio.run(main())
