"""What the API says of the process and the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import attrs


@attrs.frozen
class ListeningPort:
    """An address that is listened on.

    Attributes:
        protocol: in RabbitMQ's words: "amqp", "amqp/ssl", "http", "http/prometheus".
    """

    protocol: str
    address: str
    port: int


@attrs.define(eq=False)
class Node:
    """The node that answers.

    Attributes:
        name: RabbitMQ's `rabbit@host`.
        listeners: what the server listens on at this moment.
        started_at: seconds since the epoch.
    """

    name: str
    listeners: Callable[[], Sequence[ListeningPort]]
    started_at: float = attrs.Factory(time.time)
    os_pid: int = attrs.Factory(os.getpid)

    @property
    def uptime_ms(self) -> int:
        return int((time.time() - self.started_at) * 1000)
