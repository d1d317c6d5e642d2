"""Publish/subscribe: hear everything from now on, through a queue of one's own."""

from __future__ import annotations

import asyncio
import os
import signal

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


async def on_message(message: AbstractIncomingMessage) -> None:
    print("received", message.body.decode(), flush=True)


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("logs", aio_pika.ExchangeType.FANOUT)
        # The empty name asks the broker for one; exclusive, so it goes when we go.
        queue = await channel.declare_queue("", exclusive=True)
        await queue.bind(exchange)
        await queue.consume(on_message, no_ack=True)
        print("ready", queue.name, flush=True)
        await interrupted()


async def interrupted() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


if __name__ == "__main__":
    asyncio.run(main())
