"""An AMQP 0-9-1 broker on trio.

A broker inside a program or a test: `run_in_thread` and `open`, see `embedding`.

The rooms, from the edge inwards: `cli` (commands), `ctl` (the control command, which imports nothing of the rest),
`embedding` and `testing`, `perf` (load on any broker), `server` (what runs), `cluster` (several brokers), `net`
(sockets), `session` (connections and channels, a function a method), `broker` and `vhost` (names), `queues`, `routing`,
`storage`, `auth`, and at the bottom `outbox`, `timers`, `message`, `config`, `errors`. Each imports only from those
after it; only `embedding`, `server`, `cluster`, `net` and `cli` know trio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from amqp_broker.forms import is_compiled, leave_open

if TYPE_CHECKING:
    from amqp_broker.embedding import (
        BrokerCrashedError,
        BrokerStoppedError,
        BrokerThread,
        EmbeddedBroker,
        open,  # noqa: A004 - read as amqp_broker.open
        run_in_thread,
    )

    COMPILED: bool
    """Whether the path of a message is compiled; see docs/decisions/0002-compiled-message-path.md."""

__all__ = [
    "COMPILED",
    "BrokerCrashedError",
    "BrokerStoppedError",
    "BrokerThread",
    "EmbeddedBroker",
    "__version__",
    "open",
    "run_in_thread",
]

__version__ = "0.1.0"

leave_open(__path__)


def __getattr__(name: str) -> Any:
    """Import what embeds a broker when somebody asks for it: a client of this package may need only the version."""
    if name == "COMPILED":
        return is_compiled()
    if name in __all__:
        return getattr(import_module("amqp_broker.embedding"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
