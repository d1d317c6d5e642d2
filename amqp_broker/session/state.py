"""Where a connection stands, between its first octet and its last."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a connection stands."""

    HEADER = auto()
    START = auto()
    TUNE = auto()
    OPEN = auto()
    RUNNING = auto()
    CLOSING = auto()
    """The broker sent `connection.close` and waits for `close-ok` (rule 1.40)."""
    HANDED_OVER = auto()
    """Another node has the vhost, and its session goes on with the client."""
    ENDED = auto()
    """Nothing that comes is looked at any more."""


ERLANG_STATES: Final = {
    State.START: "starting",
    State.TUNE: "tuning",
    State.OPEN: "opening",
    State.RUNNING: "running",
}
"""What RabbitMQ's texts call those in which a client can do something out of turn."""
