"""RPC: ask for Fibonacci numbers, all requests on their way before the first answer is awaited.

rpc_client.py N...
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        callback_queue = await channel.declare_queue("", exclusive=True)
        waiting: dict[str | None, asyncio.Future[bytes]] = {}

        async def on_response(message: AbstractIncomingMessage) -> None:
            waiting.pop(message.correlation_id).set_result(message.body)

        await callback_queue.consume(on_response, no_ack=True)

        async def call(n: str) -> None:
            correlation_id = str(uuid.uuid4())
            response = waiting[correlation_id] = asyncio.get_running_loop().create_future()
            request = aio_pika.Message(n.encode(), reply_to=callback_queue.name, correlation_id=correlation_id)
            await channel.default_exchange.publish(request, routing_key="rpc_queue")
            print("fibonacci", n, "is", (await response).decode())

        async with asyncio.TaskGroup() as group:
            for n in sys.argv[1:]:
                group.create_task(call(n))


if __name__ == "__main__":
    asyncio.run(main())
