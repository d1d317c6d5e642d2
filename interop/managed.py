"""A broker with its management API, ours or a RabbitMQ: parameters and policies are put there alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import httpx
import pika
from pika.adapters.blocking_connection import BlockingChannel

DEADLINE_S = 60


@attrs.frozen
class Side:
    """One of two brokers that have to do with each other.

    Attributes:
        url: where its AMQP clients find it.
    """

    api: httpx.Client
    url: str

    def get(self, path: str) -> Any:
        return self.api.get(path).raise_for_status().json()

    def put(self, path: str, value: object) -> None:
        self.api.put(path, json=value).raise_for_status()

    @contextlib.contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        """A channel that confirms."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel

    def messages_in(self, queue: str) -> int:
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)


@contextlib.contextmanager
def side_of(url: str, management_url: str) -> Iterator[Side]:
    with httpx.Client(base_url=management_url) as api:
        yield Side(api, url)


def until(is_so: Callable[[], bool]) -> None:
    """Ask until it is so. Raises AssertionError after the deadline."""
    ends_at = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < ends_at
