"""Publish/subscribe: tell everybody who listens.

emit_log.py MESSAGE...
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("logs", aio_pika.ExchangeType.FANOUT)
        for message in sys.argv[1:]:
            await exchange.publish(aio_pika.Message(message.encode()), routing_key="")
            print("sent", message)


if __name__ == "__main__":
    asyncio.run(main())
