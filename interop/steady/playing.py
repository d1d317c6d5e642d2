"""What the programs share: where they go, and the lines they write."""

from __future__ import annotations

import os
import sys

URL = os.environ.get("AMQP_URL", "amqp://")
QUEUE = "interop.steady"
HEARTBEAT_S = 2
"""So that a connection gone silent is noticed soon."""
CONFIRM_DEADLINE_S = 5
RETRY_S = 0.1
PAUSES = (15, 35)


def tell(what: str, number: int | str = "") -> None:
    print(f"{what} {number}".rstrip(), flush=True)


def parts() -> range | None:
    """The numbers to publish; None for a consumer."""
    return range(int(sys.argv[2])) if sys.argv[1] == "publish" else None


def wait_at(number: int) -> None:
    """Wait for a line where something is to happen before this number is published."""
    if number in PAUSES:
        tell("waiting", number)
        sys.stdin.readline()
