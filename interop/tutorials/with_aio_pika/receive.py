"""Hello world: print what arrives in a queue, until interrupted."""

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
        queue = await channel.declare_queue("hello")
        await queue.consume(on_message, no_ack=True)
        print("ready", flush=True)
        await interrupted()


async def interrupted() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


if __name__ == "__main__":
    asyncio.run(main())
