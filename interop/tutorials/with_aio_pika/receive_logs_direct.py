"""Routing: hear only the severities named.

receive_logs_direct.py SEVERITY...
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


async def on_message(message: AbstractIncomingMessage) -> None:
    print("received", message.routing_key, message.body.decode(), flush=True)


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("direct_logs", aio_pika.ExchangeType.DIRECT)
        queue = await channel.declare_queue("", exclusive=True)
        for binding_key in sys.argv[1:]:
            await queue.bind(exchange, routing_key=binding_key)
        await queue.consume(on_message, no_ack=True)
        print("ready", queue.name, flush=True)
        await interrupted()


async def interrupted() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


if __name__ == "__main__":
    asyncio.run(main())
