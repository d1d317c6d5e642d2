"""Publisher confirms: publish without waiting and gather the confirms afterwards.

publisher_confirms_async.py COUNT
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue("", exclusive=True)
        publishes = (
            channel.default_exchange.publish(aio_pika.Message(str(n).encode()), routing_key=queue.name)
            for n in range(int(sys.argv[1]))
        )
        confirms = await asyncio.gather(*publishes)
        print("confirmed", sum(confirm is not None for confirm in confirms))


if __name__ == "__main__":
    asyncio.run(main())
