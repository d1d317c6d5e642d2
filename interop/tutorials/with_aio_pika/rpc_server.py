"""RPC: answer requests for Fibonacci numbers, one at a time."""

from __future__ import annotations

import asyncio
import os
import signal

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


async def answer(exchange: AbstractExchange, request: AbstractIncomingMessage) -> None:
    assert request.reply_to is not None
    response = aio_pika.Message(str(fibonacci(int(request.body))).encode(), correlation_id=request.correlation_id)
    await exchange.publish(response, routing_key=request.reply_to)
    await request.ack()
    print("answered", request.body.decode(), flush=True)


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("rpc_queue")
        await channel.set_qos(prefetch_count=1)
        await queue.consume(lambda request: answer(channel.default_exchange, request))
        print("ready", flush=True)
        await interrupted()


async def interrupted() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


if __name__ == "__main__":
    asyncio.run(main())
