"""Topics: publish one message under a key.

emit_log_topic.py KEY MESSAGE
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


async def main() -> None:
    routing_key, message = sys.argv[1:]
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("topic_logs", aio_pika.ExchangeType.TOPIC)
        # Nobody may be listening to this key, which is no error here.
        await exchange.publish(aio_pika.Message(message.encode()), routing_key=routing_key, mandatory=False)
        print("sent", routing_key, message)


if __name__ == "__main__":
    asyncio.run(main())
