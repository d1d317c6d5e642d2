"""An AMQP 0-9-1 broker on trio.

The rooms, from the edge inwards: `cli` (commands), `server` (what runs), `net` (sockets), `session`
(connections and channels, a function a method), `broker` and `vhost` (names), `queues`, `routing`,
`storage`, `auth`, and at the bottom `outbox`, `timers`, `message`, `config`, `errors`. Each imports
only from those after it; only `server`, `net` and `cli` know trio.
"""

__version__ = "0.1.0"
