"""Orders in FastStream: a subscriber that publishes what it makes, a topic exchange, a request with a reply, rejection.

Run it with `python -m interop.applications.faststream_app`.
"""

from __future__ import annotations

import asyncio
import os

from faststream import FastStream
from faststream.exceptions import RejectMessage
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from pydantic import BaseModel

NAME = "interop.faststream"
DEAD_LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{NAME}.dead"}

broker = RabbitBroker(os.environ["AMQP_URL"])
app = FastStream(broker)
events = RabbitExchange(f"{NAME}.events", type=ExchangeType.TOPIC)


class Order(BaseModel):
    """What somebody wants."""

    number: int
    pieces: int


@broker.subscriber(RabbitQueue(f"{NAME}.orders", durable=True, arguments=DEAD_LETTERS))
@broker.publisher(routing_key="order.packed", exchange=events)
async def pack(order: Order) -> dict[str, int]:
    if order.pieces == 0:
        raise RejectMessage
    print(f"packed {order.number}", flush=True)
    return {"number": order.number}


@broker.subscriber(RabbitQueue(f"{NAME}.packed", routing_key="order.*"), events)
async def send(parcel: dict[str, int]) -> None:
    print(f"sent {parcel['number']}", flush=True)


@broker.subscriber(RabbitQueue(f"{NAME}.dead", durable=True))
async def bury(order: Order) -> None:
    print(f"buried {order.number}", flush=True)


@broker.subscriber(f"{NAME}.price")
async def price(order: Order) -> int:
    return order.pieces * 3


@app.after_startup
async def started() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(app.run())
