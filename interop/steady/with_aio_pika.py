"""aio-pika's robust connections: they come back by themselves, with channels, queues and consumers."""

from __future__ import annotations

import asyncio

import aio_pika
import aiormq

from interop.steady import playing as play

LOST = (aiormq.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError, asyncio.CancelledError)


async def connected() -> aio_pika.abc.AbstractRobustConnection:
    url = f"{play.URL}?heartbeat={play.HEARTBEAT_S}&reconnect_interval={play.RETRY_S}"
    return await aio_pika.connect_robust(url)


async def publish(numbers: range) -> None:
    connection = await connected()
    channel = await connection.channel(publisher_confirms=True)
    await channel.declare_queue(play.QUEUE, durable=True)
    for number in numbers:
        play.wait_at(number)
        message = aio_pika.Message(str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        while True:
            try:
                await channel.default_exchange.publish(message, play.QUEUE, timeout=play.CONFIRM_DEADLINE_S)
                break
            except LOST as error:
                play.tell("lost", type(error).__name__)
                await asyncio.sleep(play.RETRY_S)
        play.tell("confirmed", number)
    play.tell("done")
    await connection.close()


async def consume() -> None:
    connection = await connected()
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    queue = await channel.declare_queue(play.QUEUE, durable=True)

    async def got(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        play.tell("got", message.body.decode())
        try:
            await message.ack()
        except LOST as error:
            play.tell("lost", type(error).__name__)

    await queue.consume(got)
    play.tell("ready")
    await asyncio.Future()


asyncio.run(consume() if (numbers := play.parts()) is None else publish(numbers))
