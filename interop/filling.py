"""Publishes a great many messages with confirms, as fast as one connection can."""

from __future__ import annotations

import time

from amqp_broker.perf.publisher import ConfirmCount
from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import Client


def publish_confirmed(client: Client, frames: bytes, batch: int, messages: int, window: int) -> float:
    """Publish the same batch again and again.

    Args:
        client: its channel is made to confirm.
        frames: of a batch.
        batch: how many messages that is.
        messages: how many to publish; a multiple of that.
        window: how many may be unconfirmed.

    Returns:
        Messages a second, until the last is confirmed.
    """
    client.confirm_select()
    confirms, published = ConfirmCount(), 0
    begins = time.monotonic()
    while confirms.count < messages:
        if published < messages and published - confirms.count + batch <= window:
            client.sock.sendall(frames)
            published += batch
            continue
        data = client.sock.recv(65536)
        if not data:
            raise PerfError("the broker closed the publisher's socket")
        confirms.receive(data)
    return published / (time.monotonic() - begins)
