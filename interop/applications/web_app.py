"""A web service in FastAPI whose work is done in the background: what is posted is published, consumed and counted.

Run it with `python -m interop.applications.web_app`; it writes the port that it has taken.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import uvicorn
from fastapi import FastAPI

QUEUE = "interop.web"


class Work:
    """What the consumer has done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.changed = asyncio.Condition()

    async def consume(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        async with message.process(), self.changed:
            self.done.append(message.body.decode())
            self.changed.notify_all()


work = Work()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=5)
        queue = await channel.declare_queue(QUEUE, durable=True)
        await queue.consume(work.consume)
        app.state.channel = channel
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/jobs/{name}")
async def accept(name: str) -> dict[str, str]:
    message = aio_pika.Message(name.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await app.state.channel.default_exchange.publish(message, QUEUE)
    return {"accepted": name}


@app.get("/done/{count}")
async def done(count: int) -> list[str]:
    """All that is done, as soon as it is so much."""
    async with work.changed:
        await work.changed.wait_for(lambda: len(work.done) >= count)
        return sorted(work.done)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"port {listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
