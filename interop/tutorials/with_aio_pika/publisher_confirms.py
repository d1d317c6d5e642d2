"""Publisher confirms: wait for each message; one that reaches no queue comes back.

publisher_confirms.py COUNT
"""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika
from aio_pika.exceptions import PublishError
from pamqp.commands import Basic


async def main() -> None:
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await channel.declare_queue("", exclusive=True)
        exchange = channel.default_exchange
        count = int(sys.argv[1])
        for n in range(count):
            # Returns once the broker has confirmed, raises if it refuses.
            await exchange.publish(aio_pika.Message(str(n).encode()), routing_key=queue.name)
        print("confirmed", count)
        try:
            await exchange.publish(aio_pika.Message(b"lost"), routing_key=queue.name + ".nobody")
        except PublishError as error:
            returned = error.message
            assert returned is not None
            assert isinstance(returned.delivery, Basic.Return)
            reply = returned.delivery
            print("returned", reply.reply_code, reply.reply_text, returned.body.decode())
        again = await channel.declare_queue(queue.name, passive=True)
        print("queued", again.declaration_result.message_count)


if __name__ == "__main__":
    asyncio.run(main())
