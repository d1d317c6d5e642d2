"""What clients of the simulation declare."""

from __future__ import annotations

import attrs

from amqp_codec import Table

EXCHANGES = ("e0", "e1", "e2")
QUEUES = tuple(f"q{number}" for number in range(8))
KEYS = ("a", "b")
LATE = "e2"
"""Mostly the delayed exchange."""

PAST = "e1"
"""Often the exchange with a history."""

RULED = "q7"
"""The only queue that policies are about."""

DEAD = "e0"
"""The dead-letter exchange of all queues that have one."""


@attrs.frozen
class Kind:
    """A way to declare a queue."""

    arguments: Table
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False


KINDS = (
    Kind({}),
    Kind({}),
    Kind({"x-max-priority": 3}),
    Kind({"x-dead-letter-exchange": DEAD.encode()}),
    Kind({"x-message-ttl": 3000, "x-dead-letter-exchange": DEAD.encode()}),
    Kind({"x-max-length": 5, "x-dead-letter-exchange": DEAD.encode()}),
    Kind({"x-max-length": 5, "x-overflow": b"reject-publish"}),
    Kind(
        {"x-max-length": 5, "x-overflow": b"reject-publish-dlx", "x-dead-letter-exchange": DEAD.encode()},
    ),
    Kind({"x-queue-type": b"quorum"}),
    Kind({"x-queue-type": b"quorum", "x-delivery-limit": -1}),
    Kind(
        {"x-queue-type": b"quorum", "x-delivery-limit": 1, "x-dead-letter-exchange": DEAD.encode()},
    ),
    Kind(
        {"x-queue-type": b"quorum", "x-delayed-retry-type": b"all", "x-delayed-retry-min": 200, "x-message-ttl": 9000},
    ),
    Kind(
        {
            "x-queue-type": b"quorum",
            "x-delivery-limit": 1,
            "x-max-length": 5,
            "x-overflow": b"reject-publish",
            "x-dead-letter-exchange": DEAD.encode(),
            "x-dead-letter-strategy": b"at-least-once",
        },
    ),
    Kind({"x-expires": 4000}),
    Kind({"x-message-deduplication": True, "x-cache-size": 3}),
    Kind({"x-queue-type": b"stream"}),
    Kind({"x-queue-type": b"stream"}),
    Kind({"x-queue-type": b"stream", "x-stream-max-segment-size-bytes": 1500, "x-max-length-bytes": 4000}),
    Kind({"x-queue-type": b"stream", "x-stream-max-segment-size-bytes": 1500, "x-max-age": b"2s"}),
    Kind({}, auto_delete=True),
    Kind({}, durable=False),
    Kind({}, exclusive=True),
)
