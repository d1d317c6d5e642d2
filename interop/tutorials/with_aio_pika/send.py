"""Hello world: put one message into a queue.

send.py [MESSAGE]
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


async def main() -> None:
    body = sys.argv[1] if len(sys.argv) > 1 else "Hello World!"
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("hello")
        await channel.default_exchange.publish(aio_pika.Message(body.encode()), routing_key=queue.name)
        print("sent", body)


if __name__ == "__main__":
    asyncio.run(main())
