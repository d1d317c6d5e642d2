"""The keys of `rabbitmq.conf` and what becomes of them: one table, from which the reference is made as well.

A `*` in a name stands for one word. Keys of RabbitMQ that are not in the table are in `rabbitmq_keys.txt`: known,
but without effect here. Keys that RabbitMQ does not have begin with `amqp_broker.`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from amqp_broker.config import MANAGEMENT_TLS_PORT, METRICS_TLS_PORT
from amqp_broker.configuration import values as kind
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.values import Kind

OWN_PREFIX: Final = "amqp_broker."

KNOWN_NAMES_FILE: Final = Path(__file__).with_name("rabbitmq_keys.txt")


class Key(NamedTuple):
    """One row.

    Attributes:
        name: with `*` for words that vary.
        kind: how values are written.
        field: the field of `Config` that it sets; with the prefix `log.`, of `LogSettings`. None when the key is
            taken and has no effect.
        note: for the reference.
        is_secret: its value is never shown.
    """

    name: str
    kind: Kind
    field: str | None
    note: str = ""
    is_secret: bool = False


def _key(name: str, kind: Kind, field: str | None, note: str = "", *, secret: bool = False) -> Key:
    return Key(name, kind, field, note, secret)


def _https_keys(prefix: str, field: str, port: int) -> tuple[Key, ...]:
    """The keys of an HTTP service over TLS."""
    plain = prefix.replace("ssl", "tcp")
    return (
        _key(f"{prefix}.port", kind.CHANNELS, field, f"{port} where absent, 0 takes a free one"),
        _key(f"{prefix}.ip", kind.TEXT, field, "amqp_broker.host where absent"),
        _key(
            f"{prefix}.certfile", kind.PATH, field, f"with it, HTTP without TLS is served only beside a key {plain}.*"
        ),
        _key(f"{prefix}.keyfile", kind.PATH, field),
        _key(f"{prefix}.cacertfile", kind.PATH, field),
        _key(f"{prefix}.password", kind.TEXT, field, "of the key", secret=True),
        _key(f"{prefix}.verify", kind.choice("verify_peer", "verify_none"), field),
        _key(f"{prefix}.fail_if_no_peer_cert", kind.FLAG, field),
        _key(f"{prefix}.versions.*", kind.TLS_VERSION, field),
        _key(f"{prefix}.ciphers.*", kind.TEXT, field, "in OpenSSL's words"),
    )


KEYS: Final[tuple[Key, ...]] = (
    _key("amqp_broker.host", kind.TEXT, "host"),
    _key("amqp_broker.port", kind.OPTIONAL_PORT, "port", "0 takes a free one, none listens on the others only"),
    _key("listeners.tcp", kind.choice("none"), "listeners", "no plain listener"),
    _key("listeners.tcp.*", kind.ADDRESS, "listeners", "the first one is amqp_broker.port; without a host, its host"),
    _key("listeners.ssl", kind.choice("none"), "listeners", "no TLS listener"),
    _key("listeners.ssl.*", kind.ADDRESS, "listeners", "needs ssl_options.certfile"),
    _key("proxy_protocol", kind.FLAG, "is_proxied"),
    _key("amqp_broker.trusted_proxies", kind.NETWORKS, "trusted_proxies", "whose PROXY header is believed"),
    _key("amqp_broker.unix_socket_mode", kind.MODE, "unix_socket_mode"),
    _key("ssl_options.certfile", kind.PATH, "tls"),
    _key("ssl_options.keyfile", kind.PATH, "tls"),
    _key("ssl_options.cacertfile", kind.PATH, "tls"),
    _key("ssl_options.password", kind.TEXT, "tls", "of the key", secret=True),
    _key("ssl_options.verify", kind.choice("verify_peer", "verify_none"), "tls"),
    _key("ssl_options.fail_if_no_peer_cert", kind.FLAG, "tls"),
    _key("ssl_options.versions.*", kind.TLS_VERSION, "tls"),
    _key("ssl_options.ciphers.*", kind.TEXT, "tls", "in OpenSSL's words"),
    _key(
        "ssl_cert_login_from",
        kind.choice("distinguished_name", "common_name", "subject_alternative_name", "subject_alt_name"),
        "tls",
        "offers SASL EXTERNAL on TLS listeners, which is not offered without it",
    ),
    _key("ssl_cert_login_san_type", kind.choice("dns", "ip", "email", "uri"), "tls"),
    _key("ssl_cert_login_san_index", kind.COUNT, "tls"),
    _key("management.tcp.ip", kind.TEXT, "management_host"),
    _key("management.tcp.port", kind.PORT_OR_OFF, "management_port", "0 takes a free one, off serves no HTTP"),
    _key("management.listener.port", kind.PORT_OR_OFF, "management_port", "the same as management.tcp.port"),
    *_https_keys("management.ssl", "management_tls", MANAGEMENT_TLS_PORT),
    _key("management.path_prefix", kind.TEXT, "management_path_prefix"),
    _key("management.http.max_body_size", kind.POSITIVE_OCTETS, "management_max_body_octets"),
    _key("amqp_broker.management_max_held", kind.POSITIVE_OCTETS, "management_max_held_octets"),
    _key("management.tcp.request_timeout", kind.MILLISECONDS, "management_request_timeout_s"),
    _key("management.tcp.max_connections", kind.POSITIVE, "management_max_connections", "the same of prometheus"),
    _key("management.cors.allow_origins", kind.choice("none"), "management_cors_origins", "no other site"),
    _key("management.cors.allow_origins.*", kind.TEXT, "management_cors_origins", "* stands for all sites"),
    _key("management.cors.max_age", kind.COUNT, "management_cors_max_age_s", "in seconds"),
    _key("amqp_broker.max_live_streams", kind.POSITIVE, "max_live_streams", "of the management page"),
    _key("amqp_broker.max_live_streams_per_user", kind.POSITIVE, "max_live_streams_per_user"),
    _key("prometheus.tcp.ip", kind.TEXT, "metrics_host"),
    _key("prometheus.tcp.port", kind.PORT_OR_OFF, "metrics_port", "0 takes a free one, off serves no metrics"),
    *_https_keys("prometheus.ssl", "metrics_tls", METRICS_TLS_PORT),
    _key("amqp_broker.node_name", kind.TEXT, "node_name"),
    _key("cluster_name", kind.TEXT, "cluster_name"),
    _key("amqp_broker.cluster", kind.OPTIONAL_TEXT, "cluster", "servers of NATS: nats://host1,host2", secret=True),
    _key("amqp_broker.cluster_prefix", kind.TEXT, "cluster_prefix", "of the names of streams in NATS"),
    _key("amqp_broker.cluster_replicas", kind.POSITIVE, "cluster_replicas", "servers of NATS that keep a stream"),
    _key(
        "amqp_broker.cluster_host",
        kind.OPTIONAL_TEXT,
        "cluster_host",
        "where the other nodes reach this one, `host` or `host:port`",
    ),
    _key("amqp_broker.cluster_port", kind.CHANNELS, "cluster_port", "for the other nodes, 0 takes a free one"),
    _key("amqp_broker.cluster_tls.cacertfile", kind.PATH, "cluster_tls", "who signs for nodes, and for nothing else"),
    _key("amqp_broker.cluster_tls.certfile", kind.PATH, "cluster_tls", "this node's, with the CA TLS between nodes"),
    _key("amqp_broker.cluster_tls.keyfile", kind.PATH, "cluster_tls", "where absent, in certfile"),
    _key("amqp_broker.cluster_tls.password", kind.TEXT, "cluster_tls", "of the key", secret=True),
    _key("amqp_broker.cluster_hold", kind.MILLISECONDS, "cluster_hold_s"),
    _key("product.name", kind.TEXT, "product", "clients branch on it"),
    _key("product.version", kind.TEXT, "version", "clients branch on it"),
    # Connections
    _key("heartbeat", kind.WHOLE_SECONDS, "heartbeat_s", "0 turns heartbeats off"),
    _key("handshake_timeout", kind.MILLISECONDS, "handshake_timeout_s"),
    _key("ssl_handshake_timeout", kind.MILLISECONDS, "tls_handshake_timeout_s", "a part of handshake_timeout"),
    _key("frame_max", kind.FRAME_OCTETS, "frame_max_octets"),
    _key("initial_frame_max", kind.FRAME_OCTETS, "handshake_frame_max_octets"),
    _key("channel_max", kind.CHANNELS, "channel_max"),
    _key("max_channels_per_connection", kind.CHANNELS, "channel_max", "the same as channel_max"),
    _key("connection_max", kind.LIMIT, "max_connections"),
    _key("max_connections", kind.LIMIT, "max_connections", "the same as connection_max"),
    _key("channel_max_per_node", kind.LIMIT, "max_channels", "of all connections"),
    _key("consumer_max_per_channel", kind.LIMIT, "max_consumers_per_channel"),
    _key("consumer_timeout", kind.MILLISECONDS, "consumer_timeout_s", "quorum queues; 0 never"),
    _key("amqp_broker.classic_consumer_timeout", kind.MILLISECONDS, "classic_consumer_timeout_s", "0 never"),
    _key("max_message_size", kind.OCTETS, "max_message_octets"),
    _key("amqp_broker.max_unauthenticated_connections", kind.POSITIVE, "max_unauthenticated_connections"),
    _key("amqp_broker.reserved_files", kind.COUNT, "reserved_files"),
    _key("amqp_broker.free_login_failures", kind.COUNT, "free_login_failures", "failed logins without a longer delay"),
    _key("amqp_broker.login_failure_delay", kind.MILLISECONDS, "login_failure_delay_s"),
    _key("amqp_broker.close_timeout", kind.MILLISECONDS, "close_timeout_s"),
    _key("amqp_broker.shutdown_timeout", kind.MILLISECONDS, "shutdown_timeout_s"),
    _key("amqp_broker.max_partial_size", kind.POSITIVE_OCTETS, "max_partial_octets"),
    _key("amqp_broker.read_size", kind.POSITIVE_OCTETS, "read_octets"),
    _key("amqp_broker.outbox_high_size", kind.POSITIVE_OCTETS, "outbox_high_octets"),
    _key("amqp_broker.outbox_limit_size", kind.POSITIVE_OCTETS, "outbox_limit_octets"),
    _key("vhost_max", kind.LIMIT, "max_vhosts"),
    _key("cluster_queue_limit", kind.LIMIT, "max_queues", "of all vhosts"),
    _key("cluster_exchange_limit", kind.LIMIT, "max_exchanges"),
    _key("default_queue_type", kind.choice("classic", "quorum", "stream"), "default_queue_type"),
    _key(
        "amqp_broker.profile",
        kind.choice("lenient", "strict"),
        "profile",
        "strict refuses what RabbitMQ 4.3 has given up",
    ),
    _key("amqp_broker.event_exchange", kind.FLAG, "event_exchange", "amq.rabbitmq.event, without a plugin"),
    _key(
        "message_interceptors.incoming.set_header_timestamp.overwrite",
        kind.OVERWRITES,
        "set_header_timestamp",
        "where present, messages get the time; false keeps what publishers set",
    ),
    _key(
        "message_interceptors.incoming.set_header_routing_node.overwrite",
        kind.OVERWRITES,
        "set_header_routing_node",
        "where present, messages get the node's name",
    ),
    # Storage and memory
    _key("amqp_broker.control_socket", kind.FLAG, "has_control_socket", "for amqp-brokerctl; true for the command"),
    _key("amqp_broker.data_dir", kind.OPTIONAL_PATH, "data_dir", "none keeps everything in memory"),
    _key("tracing.dir", kind.PATH, "trace_directory", "where absent, tracing in the data directory"),
    _key("amqp_broker.trace_file_size", kind.POSITIVE_OCTETS, "trace_file_octets", "a trace ends there"),
    _key("amqp_broker.sync", kind.choice("always", "interval", "never"), "sync"),
    _key("amqp_broker.queue_window_size", kind.POSITIVE_OCTETS, "queue_window_octets"),
    _key("amqp_broker.stream_segment_size", kind.POSITIVE_OCTETS, "stream_segment_octets", "of streams that don't say"),
    _key("amqp_broker.stream_cache_size", kind.POSITIVE_OCTETS, "stream_cache_octets", "of all streams together"),
    _key("amqp_broker.max_cached_routes", kind.POSITIVE, "max_cached_routes"),
    _key("vm_memory_high_watermark.relative", kind.SHARE, "memory_high_watermark"),
    _key("vm_memory_high_watermark.absolute", kind.POSITIVE_OCTETS, "memory_high_watermark_octets", "before relative"),
    _key("vm_memory_high_watermark_paging_ratio", kind.RATIO, "memory_paging_ratio", "for transient messages only"),
    _key("total_memory_available_override_value", kind.POSITIVE_OCTETS, "total_memory_octets"),
    _key("disk_free_limit.absolute", kind.OCTETS, "disk_free_limit_octets"),
    _key("disk_free_limit.relative", kind.FACTOR, "disk_free_limit_relative", "before absolute"),
    # Users
    _key("default_user", kind.TEXT, "default_user", "made when the data directory is new"),
    _key("default_pass", kind.TEXT, "default_password", "made when the data directory is new", secret=True),
    _key("default_vhost", kind.TEXT, "default_vhost", "made when the data directory is new"),
    _key("default_user_tags.*", kind.FLAG, "default_user_tags"),
    _key("default_permissions.configure", kind.PATTERN, "default_permissions"),
    _key("default_permissions.write", kind.PATTERN, "default_permissions"),
    _key("default_permissions.read", kind.PATTERN, "default_permissions"),
    _key("default_users.*.vhost_pattern", kind.PATTERN, "default_users", "the new vhosts that this user is let into"),
    _key("default_users.*.password", kind.TEXT, "default_users", "made when there is no such user", secret=True),
    _key("default_users.*.tags", kind.WORDS, "default_users"),
    _key("default_users.*.configure", kind.PATTERN, "default_users"),
    _key("default_users.*.write", kind.PATTERN, "default_users"),
    _key("default_users.*.read", kind.PATTERN, "default_users"),
    _key("loopback_users", kind.choice("none"), "loopback_users", "everybody may come from everywhere"),
    _key("loopback_users.*", kind.FLAG, "loopback_users"),
    _key("auth_mechanisms.*", kind.MECHANISM, "auth_mechanisms", "offered in the order of the numbers"),
    _key("anonymous_login_user", kind.OPTIONAL_TEXT, "anonymous_user"),
    # Who finds out who a client is
    _key("auth_backends.*", kind.BACKEND, "auth_backends", "both authn and authz; asked in the order of the numbers"),
    _key("auth_backends.*.authn", kind.BACKEND, "auth_backends"),
    _key("auth_backends.*.authz", kind.BACKEND, "auth_backends"),
    _key("auth_http.user_path", kind.TEXT, "auth_http"),
    _key("auth_http.vhost_path", kind.TEXT, "auth_http"),
    _key("auth_http.resource_path", kind.TEXT, "auth_http"),
    _key("auth_http.topic_path", kind.TEXT, "auth_http"),
    _key("auth_http.http_method", kind.choice("get", "post"), "auth_http"),
    _key("auth_http.request_timeout", kind.MILLISECONDS, "auth_http"),
    _key("auth_http.ssl_options.cacertfile", kind.PATH, "auth_http"),
    _key("auth_cache.cache_ttl", kind.MILLISECONDS, "auth_http", "of answers of auth_http; 0 asks every time"),
    _key("auth_oauth2.resource_server_id", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.jwks_url", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.signing_keys.*", kind.PATH, "auth_oauth2"),
    _key("auth_oauth2.default_key", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.algorithms.*", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.issuer", kind.TEXT, "auth_oauth2", "what `iss` must be"),
    _key("auth_oauth2.verify_aud", kind.FLAG, "auth_oauth2"),
    _key("auth_oauth2.scope_prefix", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.scope_aliases.*", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.additional_scopes_key", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.preferred_username_claims.*", kind.TEXT, "auth_oauth2"),
    _key("auth_oauth2.https.cacertfile", kind.PATH, "auth_oauth2"),
    # Definitions
    _key("load_definitions", kind.PATH, "load_definitions", "a file, or a directory of files"),
    _key("management.load_definitions", kind.PATH, "load_definitions", "the same as load_definitions"),
    _key("definitions.local.path", kind.PATH, "load_definitions", "the same as load_definitions"),
    _key("definitions.skip_if_unchanged", kind.FLAG, "skips_unchanged_definitions"),
    _key("definitions.https.url", kind.HTTPS_URL, "load_definitions", "not with load_definitions", secret=True),
    _key("definitions.tls.cacertfile", kind.PATH, "load_definitions", "of definitions.https.url; else the system's"),
    _key("definitions.tls.verify", kind.choice("verify_peer", "verify_none"), "load_definitions", "else verify_peer"),
    _key(
        "definitions.import_backend",
        kind.choice("local_filesystem", "local", "https"),
        "load_definitions",
        "which of the two, where both are given",
    ),
    # Logging
    _key("log.default.level", kind.LEVEL, "log.level"),
    _key("log.console", kind.FLAG, "log.console"),
    _key("log.console.level", kind.LEVEL, "log.console_level", "where absent, log.default.level"),
    _key("log.console.stdio", kind.choice("stdout", "stderr"), "log.console_stream"),
    _key("log.console.formatter", kind.choice("plaintext", "json"), "log.console_format"),
    _key("log.dir", kind.PATH, "log.directory"),
    _key("log.file", kind.FILE_OR_FALSE, "log.file", "a name in log.dir, or a path"),
    _key("log.file.level", kind.LEVEL, "log.file_level", "where absent, log.default.level"),
    _key("log.file.formatter", kind.choice("plaintext", "json"), "log.file_format"),
    _key("log.file.rotation.date", kind.SCHEDULE, "log.rotation_date", "local time; `$D0` is every midnight"),
    _key("log.file.rotation.size", kind.OCTETS, "log.rotation_octets", "0 never begins a new file"),
    _key("log.file.rotation.count", kind.COUNT, "log.rotation_count", "old files that are kept"),
    _key("log.exchange", kind.FLAG, "log_exchange", "amq.rabbitmq.log"),
    _key("log.exchange.level", kind.LEVEL, "log_exchange_level"),
    _key("log.exchange.formatter", kind.choice("plaintext", "json"), "log_exchange_format"),
    _key("log.connection.level", kind.LEVEL, "log.category_levels"),
    _key("log.channel.level", kind.LEVEL, "log.category_levels"),
    _key("log.queue.level", kind.LEVEL, "log.category_levels"),
)


def find_key(name: str) -> tuple[Key, tuple[str, ...]] | None:
    """Look a name up; gives its row and the words that stand for `*`."""
    row = _rows().get(name)
    if row is not None:
        return row, ()
    words = name.split(".")
    for row in _patterns():
        pattern = row.name.split(".")
        if _fits(pattern, words):
            return row, tuple(word for part, word in zip(pattern, words, strict=True) if part == "*")
    return None


def is_rabbitmqs(name: str) -> bool:
    """Whether RabbitMQ has a key of that name."""
    words = name.split(".")
    return any(_fits(pattern, words) for pattern in _known_patterns() if len(pattern) == len(words))


def nearest(name: str) -> str | None:
    """The known key that is most like an unknown one."""
    import difflib  # when somebody has mistyped

    names = [*_rows(), *(".".join(pattern) for pattern in _known_patterns())]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.6)), None)


def parse_value(row: Key, text: str, where: str) -> object:
    """Read a value. Raises ConfigError, which does not show a secret."""
    try:
        return row.kind.parse(text)
    except (ValueError, LookupError):
        shown = "" if row.is_secret else f", found {text[:60]!r}"
        subject = where if where.startswith("--") and where != "--set" else f"{where}: {row.name}"
        raise ConfigError(f"{subject}: expected {row.kind.expected}{shown}") from None


@cache
def _rows() -> dict[str, Key]:
    return {row.name: row for row in KEYS}


@cache
def _patterns() -> list[Key]:
    return [row for row in KEYS if "*" in row.name]


@cache
def _known_patterns() -> list[list[str]]:
    return [line.split(".") for line in KNOWN_NAMES_FILE.read_text("ascii").split()]


def _fits(pattern: list[str], words: list[str]) -> bool:
    return len(pattern) == len(words) and all(part in ("*", word) for part, word in zip(pattern, words, strict=True))
