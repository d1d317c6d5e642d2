"""aiormq, the library below aio-pika."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage

from interop.clients import playing as play


async def connected() -> aiormq.abc.AbstractConnection:
    return await aiormq.connect(play.URL, context=play.TLS)


async def main() -> None:
    connection = await connected()
    channel = await connection.channel()
    await channel.exchange_declare(play.EXCHANGE, exchange_type="topic", durable=True)
    declared = await channel.queue_declare(play.QUEUE, durable=True)
    await channel.queue_bind(play.QUEUE, play.EXCHANGE, play.BINDING_KEY)
    play.tell("declared", declared.message_count, declared.consumer_count)
    sent = dict(play.PROPERTIES)
    sent["message_type"] = sent.pop("type")
    sent["timestamp"] = dt.datetime.fromtimestamp(sent["timestamp"], dt.UTC)
    properties = aiormq.spec.Basic.Properties(**sent)
    await channel.basic_publish(
        play.BODY, exchange=play.EXCHANGE, routing_key=play.ROUTING_KEY, properties=properties, mandatory=True
    )
    play.tell("confirmed")

    deliveries: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    consumer = await channel.basic_consume(play.QUEUE, deliveries.put)
    first = await deliveries.get()
    seen: dict[str, Any] = dict(first.header.properties)
    seen["type"] = seen.pop("message_type")
    seen["timestamp"] = seen["timestamp"].timestamp()
    play.tell_received(str(first.exchange), str(first.routing_key), bool(first.redelivered), first.body, seen)
    assert first.delivery_tag is not None
    await channel.basic_nack(first.delivery_tag, requeue=True)
    second = await deliveries.get()
    play.tell("received again", second.redelivered)
    assert second.delivery_tag is not None
    await channel.basic_ack(second.delivery_tag)
    assert consumer.consumer_tag is not None
    await channel.basic_cancel(consumer.consumer_tag)

    await channel.basic_consume(play.REPLY_TO, deliveries.put, no_ack=True)
    ask = aiormq.spec.Basic.Properties(reply_to=play.REPLY_TO)
    await channel.basic_publish(play.QUESTION, routing_key=play.QUEUE, properties=ask)
    question = await channel.basic_get(play.QUEUE, no_ack=True)
    await channel.basic_publish(play.ANSWER, routing_key=str(question.header.properties.reply_to))
    play.tell("answer", (await deliveries.get()).body.decode())

    try:
        await channel.basic_publish(b"", exchange=play.EXCHANGE, routing_key=play.UNROUTABLE_KEY, mandatory=True)
    except aiormq.exceptions.PublishError as error:
        returned: Any = error.message
        play.tell("returned", returned.delivery.reply_code, returned.delivery.routing_key)
    try:
        await channel.queue_declare(play.MISSING_QUEUE, passive=True)
    except aiormq.exceptions.ChannelNotFoundEntity:
        play.tell("closed", 404)
    await connection.close()


async def restart() -> None:
    """What a program does around its connection when the broker may go away."""
    is_waiting = False
    persistent = aiormq.spec.Basic.Properties(delivery_mode=2)
    while True:
        try:
            connection = await connected()
        except (OSError, aiormq.exceptions.AMQPError):
            await asyncio.sleep(play.RETRY_S)
            continue
        channel = await connection.channel()
        await channel.queue_declare(play.QUEUE, durable=True)
        if not is_waiting:
            await channel.basic_publish(play.BODY, routing_key=play.QUEUE, properties=persistent)
            play.tell("confirmed")
        deliveries: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        await channel.basic_consume(play.QUEUE, deliveries.put)
        delivery = await deliveries.get()
        play.tell("came back" if is_waiting else "waiting", delivery.body.decode())
        if is_waiting:
            assert delivery.delivery_tag is not None
            await channel.basic_ack(delivery.delivery_tag)
            await channel.basic_publish(play.ANSWER, routing_key=play.QUEUE, properties=persistent)
            play.tell("confirmed")
            await connection.close()
            return
        is_waiting = True
        with contextlib.suppress(OSError, aiormq.exceptions.AMQPError, asyncio.CancelledError):
            await connection.closing


asyncio.run(restart() if play.IS_RESTART else main())
