"""A mailer in dramatiq: retries with a delay of their own queue, a message that is given up, priorities.

Run it with `python -m dramatiq interop.applications.dramatiq_app`.
"""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage

QUEUE = "interop.dramatiq"

broker = RabbitmqBroker(url=os.environ["AMQP_URL"], confirm_delivery=True)
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


def tell(text: str) -> None:
    """Write a line in one piece: there are several threads."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dramatiq.actor(queue_name=QUEUE, max_retries=2, min_backoff=100, max_backoff=200)
def send(address: str) -> None:
    message = CurrentMessage.get_current_message()
    assert message is not None
    retries = message.options.get("retries", 0)
    if address == "nobody" or (address == "busy" and retries < 2):
        raise RuntimeError(address)
    tell(f"sent {address} {retries}")


@dramatiq.actor(queue_name=QUEUE)
def count(number: int) -> None:
    tell(f"counted {number}")
