"""An AMQP 0-9-1 broker on trio.

The rooms, from the edge inwards: `cli` (commands), `perf` (load on any broker), `server` (what runs), `net`
(sockets), `session` (connections and channels, a function a method), `broker` and `vhost` (names), `queues`,
`routing`, `storage`, `auth`, and at the bottom `outbox`, `timers`, `message`, `config`, `errors`. Each
imports only from those after it; only `server`, `net` and `cli` know trio.
"""

from pathlib import Path
from typing import Final

import amqp_codec
from amqp_codec.forms import choose_form

__version__ = "0.1.0"

COMPILED: Final[bool] = choose_form(Path(__path__[0]), below=Path(amqp_codec.__path__[0]))
"""Whether the path of a message is compiled; see docs/decisions/0002-compiled-message-path.md."""
