"""What can be set: one frozen value, made once by whoever starts the broker.

Units stand in the names: `_s` seconds, `_octets` octets. Every limit has a default here.
"""

from pathlib import Path
from typing import Literal

import attrs

KIB = 1024
MIB = 1024 * KIB


@attrs.frozen(kw_only=True)
class Config:
    """Settings of one broker; the defaults are RabbitMQ's where it has the same thing."""

    host: str = "127.0.0.1"
    port: int = 5672
    data_dir: Path | None = None
    """Where durable state is kept; None keeps everything in memory."""
    sync: Literal["always", "interval", "never"] = "always"
    """When a confirm may leave: after an fsync, or after the write with an fsync every second or none at all."""

    product: str = "RabbitMQ"
    """Clients branch on it (rule 1.16)."""
    version: str = "4.2.0"
    """The RabbitMQ version that clients are told; chapter 9 of the conformance document says why."""
    cluster_name: str = "amqp-broker@localhost"

    channel_max: int = 2047
    frame_max_octets: int = 128 * KIB
    handshake_frame_max_octets: int = 8 * KIB
    """Payload limit before tuning (rule 1.15)."""
    heartbeat_s: int = 60
    handshake_timeout_s: float = 10.0
    """From accepting the socket to open-ok (rule 1.3)."""
    login_failure_delay_s: float = 3.0
    """How long a refused login is kept waiting before the socket closes (rule 1.12)."""
    close_timeout_s: float = 30.0
    """The longest wait for a peer to finish closing (rule 1.39)."""
    shutdown_timeout_s: float = 4.0
    """How long a stop waits for clients to answer connection.close."""

    max_connections: int | None = None
    """Connections of the node (rule 1.30); None is no limit."""
    max_consumers_per_channel: int | None = None
    """Rule 2.11; None is no limit."""
    max_message_octets: int = 16 * MIB
    """Largest body (rule 5.5)."""
    max_partial_octets: int = 64 * MIB
    """Content of one connection, over all its channels, that has not arrived in full."""
    max_cached_routes: int = 65_536
    """Addresses of one vhost whose routing is remembered."""
    default_queue_type: Literal["classic", "quorum", "stream"] = "classic"
    """Of queues that ask for none, in vhosts that don't say otherwise (rule 4.16)."""
    queue_window_octets: int = 64 * MIB
    """What one queue holds in memory of its ready messages, and again of unacked ones; the rest is on disk."""

    read_octets: int = 256 * KIB
    """The most that is read from one connection before the others have their turn."""
    outbox_high_octets: int = 1 * MIB
    """Unsent output of one connection at which its consumers get nothing more."""
    outbox_limit_octets: int = 32 * MIB
    """Unsent output of one connection at which nothing more is read from it."""
    memory_high_watermark: float = 0.6
    """Share of the machine's memory at which publishers are blocked (rule 1.34)."""

    loopback_users: frozenset[str] = frozenset({"guest"})
    """Users who may log in from a loopback address only (rule 1.14)."""
    anonymous_user: str | None = "guest"
    """Who SASL ANONYMOUS logs in as; None does not offer it (rule 1.8)."""
