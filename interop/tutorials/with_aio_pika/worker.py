"""Work queues: take one task at a time and acknowledge it when it is done.

The work of a task is to wait for a line on standard input: whoever runs this decides how long it takes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


async def on_task(message: AbstractIncomingMessage) -> None:
    task = message.body.decode()
    print("working", task, "again" if message.redelivered else "first", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await message.ack()
    print("done", task, flush=True)


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("task_queue", durable=True)
        # Without a prefetch count the broker would deal tasks out in turn, however busy a worker is.
        await channel.set_qos(prefetch_count=1)
        await queue.consume(on_task)
        print("ready", flush=True)
        await interrupted()


async def interrupted() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


if __name__ == "__main__":
    asyncio.run(main())
