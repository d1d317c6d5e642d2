"""What can be set: one frozen value, made once by whoever starts the broker.

Units stand in the names: `_s` seconds, `_octets` octets. Every limit has a default here.
"""

from pathlib import Path
from typing import Literal

import attrs

KIB = 1024
MIB = 1024 * KIB

MANAGEMENT_TLS_PORT = 15671
METRICS_TLS_PORT = 15691


@attrs.frozen(kw_only=True)
class Certificate:
    """A certificate chain and its key, in PEM files.

    Attributes:
        chain: the certificate, then those that lead to the CA.
        key: None when it stands in `chain` too.
        key_password: None for a key that is not encrypted.
        host: the server name clients ask for (SNI); empty for those that ask for another or for none.
    """

    chain: Path
    key: Path | None = None
    key_password: str | None = attrs.field(default=None, repr=False)
    host: str = ""


@attrs.frozen(kw_only=True)
class TlsOptions:
    """How TLS is spoken, on all TLS listeners for AMQP (RabbitMQ's `ssl_options`) or on one for HTTP.

    Attributes:
        certificates: the first is for clients that name no host, or none that is here.
        ca: certificates of those who sign the clients' certificates; None for the system's.
        verify_peer: ask clients for a certificate and look at it (`verify_peer`).
        fail_if_no_peer_cert: refuse clients that have none; goes with `verify_peer`.
        min_version: the lowest version spoken.
        max_version: the highest one.
        ciphers: in OpenSSL's words, for TLS 1.2; None for OpenSSL's choice.
        login_from: where in a client's certificate SASL EXTERNAL finds the user (`ssl_cert_login_from`);
            None does not offer EXTERNAL, as RabbitMQ without its plugin: some clients choose it whenever they can.
        login_san_type: which kind of alternative name, if it is one of these (`ssl_cert_login_san_type`).
        login_san_index: which of them, from 0 (`ssl_cert_login_san_index`).
    """

    certificates: tuple[Certificate, ...] = attrs.field(validator=attrs.validators.min_len(1))
    ca: Path | None = None
    verify_peer: bool = False
    fail_if_no_peer_cert: bool = False
    min_version: Literal["1.2", "1.3"] = "1.2"
    max_version: Literal["1.2", "1.3"] = "1.3"
    ciphers: str | None = None
    login_from: Literal["distinguished_name", "common_name", "subject_alternative_name"] | None = None
    login_san_type: Literal["dns", "ip", "email", "uri"] = "dns"
    login_san_index: int = 0


@attrs.frozen(kw_only=True)
class Listener:
    """Something to listen on.

    Attributes:
        host: an address or a name; empty for all addresses of the machine.
        port: 0 for a free one.
        path: a Unix-domain socket instead of host and port.
        is_tls: speak TLS, as `Config.tls` says.
        is_proxied: each connection begins with a PROXY protocol header (`Config.trusted_proxies`).
    """

    host: str = "127.0.0.1"
    port: int = 5672
    path: Path | None = None
    is_tls: bool = False
    is_proxied: bool = False


@attrs.frozen(kw_only=True)
class HttpsPort:
    """HTTP over TLS (RabbitMQ's `management.ssl` and `prometheus.ssl`).

    Attributes:
        port: 0 for a free one; the default one is a free one too when `Config.port` is 0.
        host: None is `Config.host`.
    """

    tls: TlsOptions
    port: int
    host: str | None = None


BackendName = Literal["internal", "http", "oauth2"]


@attrs.frozen
class AuthEntry:
    """One of `auth_backends`: who finds out who a client is, and who says what it may do; None is the same one."""

    authn: BackendName
    authz: BackendName | None = None


@attrs.frozen(kw_only=True)
class HttpAuth:
    """A web service that knows users (RabbitMQ's `auth_http`).

    Attributes:
        user_path: where to ask who a client is; the other paths for a vhost, an exchange or queue, a routing key.
        timeout_s: for one answer (`request_timeout`).
        cache_ttl_s: how long an answer stands (`auth_cache.cache_ttl`); 0 asks every time.
        cache_entries: answers that are remembered.
        ca: who signs the service's certificate; None for whom the system trusts.
    """

    user_path: str
    vhost_path: str
    resource_path: str
    topic_path: str
    method: Literal["get", "post"] = "get"
    timeout_s: float = 15.0
    cache_ttl_s: float = 15.0
    cache_entries: int = 16_384
    ca: Path | None = None


@attrs.frozen(kw_only=True)
class OAuth:
    """Whose tokens are taken, and how they are read (RabbitMQ's `auth_oauth2`).

    Attributes:
        resource_server_id: this broker's name in `aud` and before scopes.
        jwks_url: where the keys are (`jwks_uri`); empty for nowhere.
        signing_keys: further keys by id, files with a public key in PEM form or a JWK.
        default_key: the id of the key for tokens that name none.
        algorithms: those accepted; None for all that suit the key.
        issuer: what `iss` must be; None for anything.
        verify_audience: whether `aud` must name this broker (`verify_aud`).
        require_expiry: whether a token must have `exp`.
        scope_prefix: what scopes for this broker begin with; None for `<resource_server_id>.`.
        scope_aliases: scopes that stand for others, which are separated by spaces.
        additional_scopes_key: a claim that has scopes beside `scope`.
        username_claims: where the user's name is, the first that is there (`preferred_username_claims`).
        ca: who signs the certificate of `jwks_url`; None for whom the system trusts.
    """

    resource_server_id: str
    jwks_url: str = ""
    signing_keys: tuple[tuple[str, Path], ...] = ()
    default_key: str = ""
    algorithms: tuple[str, ...] | None = None
    issuer: str | None = None
    verify_audience: bool = True
    require_expiry: bool = False
    scope_prefix: str | None = None
    scope_aliases: tuple[tuple[str, str], ...] = ()
    additional_scopes_key: str | None = None
    username_claims: tuple[str, ...] = ("sub", "client_id")
    ca: Path | None = None

    @property
    def scope_prefix_or_default(self) -> str:
        return f"{self.resource_server_id}." if self.scope_prefix is None else self.scope_prefix


@attrs.frozen(kw_only=True)
class HttpsDefinitions:
    """A web server that has definitions (RabbitMQ's `definitions.https.url`).

    Attributes:
        url: its query may be a secret, such as a signature, and is shown nowhere.
        ca: who signs its certificate (`definitions.tls.cacertfile`); None for whom the system trusts.
        verify_peer: whether its certificate has to be right (`definitions.tls.verify`).
    """

    url: str = attrs.field(repr=False)
    ca: Path | None = None
    verify_peer: bool = True

    def __str__(self) -> str:
        return self.url.partition("?")[0]


@attrs.frozen(kw_only=True)
class DefaultUser:
    """Who is let into every new vhost of some names (RabbitMQ's `default_users`).

    Attributes:
        vhost_pattern: a regular expression for these names.
        password: of a user who is not there yet and is made; empty for one that can't log in with a password.
        tags: the same.
        permissions: configure, write, read.
    """

    name: str
    vhost_pattern: str = ".*"
    password: str = attrs.field(default="", repr=False)
    tags: tuple[str, ...] = ()
    permissions: tuple[str, str, str] = (".*", ".*", ".*")


@attrs.frozen(kw_only=True)
class Config:
    """Settings of one broker; the defaults are RabbitMQ's where it has the same thing."""

    host: str = "127.0.0.1"
    port: int | None = 5672
    """Plain AMQP, with `host`; None listens on `listeners` only."""
    listeners: tuple[Listener, ...] = ()
    """What else to listen on."""
    tls: TlsOptions | None = None
    """Needed by listeners of AMQP that speak TLS."""
    is_proxied: bool = False
    """Connections to `host` and `port` begin with a PROXY protocol header (`proxy_protocol`)."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks whose word on where a client comes from is taken; others may not use a proxied listener."""
    unix_socket_mode: int = 0o600
    """Who may connect to a Unix-domain socket; its clients count as local."""
    has_control_socket: bool = False
    """Whether `amqp-brokerctl` can reach this broker; a broker that runs as a command of its own has it."""
    data_dir: Path | None = None
    """Where durable state is kept; None keeps everything in memory."""
    sync: Literal["always", "interval", "never"] = "always"
    """When a confirm may leave: after an fsync, or after the write with an fsync every second or none at all."""

    management_host: str | None = None
    """Where the HTTP API and its page are; None is `host`."""
    management_port: int | None = 15672
    """Their port, 0 for a free one, as it is when `port` is 0; None serves neither without TLS."""
    management_tls: HttpsPort | None = None
    """Where they are over TLS; None is nowhere."""
    management_path_prefix: str = ""
    """What all its paths begin with, such as `/rabbitmq`, for a proxy that serves other things as well."""
    management_max_body_octets: int = 20_000_000
    """Of a request; a longer one is refused."""
    management_max_held_octets: int = 256 * MIB
    """Bodies of requests, and answers that are being sent, of all clients; more are refused for the moment."""
    management_request_timeout_s: float = 60.0
    """How long a request may take to arrive."""
    management_max_connections: int = 1024
    """Of clients of each of the two services, management and metrics; more are closed as they come."""
    management_cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may use the API in a browser; `*` is all of them."""
    management_cors_max_age_s: int = 1800
    """How long a browser may remember that."""
    max_live_streams: int = 200
    """Live streams of the management page, of all users."""
    max_live_streams_per_user: int = 20
    """The same of each."""
    metrics_host: str | None = None
    """Where metrics for Prometheus are; None is `host`."""
    metrics_port: int | None = 15692
    """Their port, 0 for a free one, as it is when `port` is 0; None serves none without TLS."""
    metrics_tls: HttpsPort | None = None
    """Where they are over TLS; None is nowhere."""
    node_name: str = "rabbit@localhost"
    """What this broker is called where RabbitMQ tells its nodes apart."""

    product: str = "RabbitMQ"
    """Clients branch on it (rule 1.16)."""
    version: str = "4.2.0"
    """The RabbitMQ version that clients are told; chapter 9 of the conformance document says why."""
    cluster_name: str = "amqp-broker@localhost"

    cluster: str | None = attrs.field(default=None, repr=False)
    """The servers of NATS that keep the cluster's log, as `nats://host1,host2,host3`; None is no cluster."""
    cluster_prefix: str = "amqp"
    """What the names of streams and of the bucket there begin with; another one is another cluster."""
    cluster_replicas: int | None = None
    """How many servers of NATS keep each stream; None is three where they are a cluster, else one."""
    cluster_host: str | None = None
    """Where the other nodes reach this one, `host` or `host:port`; None is the address from which it reaches NATS."""
    cluster_port: int = 25672
    """The port on which nodes hand connections over; 0 takes a free one."""
    cluster_tls: TlsOptions | None = None
    """For connections between nodes: both sides have to show a certificate of `ca`. None is plain TCP."""
    cluster_hold_s: float = 10.0
    """How long a client is held whose vhost no node has at the moment."""

    channel_max: int = 2047
    frame_max_octets: int = 128 * KIB
    handshake_frame_max_octets: int = 8 * KIB
    """Payload limit before tuning (rule 1.15)."""
    heartbeat_s: int = 60
    handshake_timeout_s: float = 10.0
    """From accepting the socket to open-ok, the PROXY header and the TLS handshake included (rule 1.3)."""
    tls_handshake_timeout_s: float = 5.0
    """Of that, for the TLS handshake."""
    login_failure_delay_s: float = 3.0
    """How long a refused login is kept waiting before the socket closes (rule 1.12)."""
    free_login_failures: int = 3
    """Refused logins of one address that are answered at once; further ones wait, up to `login_failure_delay_s`."""
    close_timeout_s: float = 30.0
    """The longest wait for a peer to finish closing (rule 1.39)."""
    shutdown_timeout_s: float = 4.0
    """How long a stop waits for clients to answer connection.close."""

    max_unauthenticated_connections: int = 1024
    """Connections that have not logged in yet; more are closed as they come."""
    reserved_files: int = 64
    """Open files kept for what is not a connection; nearer to the limit new connections are closed as they come."""
    max_connections: int | None = None
    """Connections of the node (rule 1.30); None is no limit."""
    max_channels: int | None = None
    """Channels of all connections (rule 2.3); None is no limit."""
    max_vhosts: int | None = None
    """Vhosts (rule 8.8); None is no limit."""
    max_queues: int | None = None
    """Queues of all vhosts (rule 4.18); None is no limit."""
    max_exchanges: int | None = None
    """Exchanges of all vhosts, those that every vhost has included (rule 3.16); None is no limit."""
    max_consumers_per_channel: int | None = None
    """Rule 2.11; None is no limit."""
    consumer_timeout_s: float = 1800.0
    """How long a consumer of a quorum queue may keep a delivery (rule 5.46); 0 is as long as it likes."""
    classic_consumer_timeout_s: float = 0.0
    """The same for classic queues; there it is the channel that ends."""
    max_message_octets: int = 16 * MIB
    """Largest body (rule 5.5)."""
    max_partial_octets: int = 64 * MIB
    """Content of one connection, over all its channels, that has not arrived in full."""
    max_cached_routes: int = 65_536
    """Addresses of one vhost whose routing is remembered."""
    profile: Literal["lenient", "strict"] = "lenient"
    """Whether to refuse what RabbitMQ 4.3 has given up: shared transient queues and the like (rule 4.10)."""
    default_queue_type: Literal["classic", "quorum", "stream"] = "classic"
    """Of queues that ask for none, in vhosts that don't say otherwise (rule 4.16)."""
    queue_window_octets: int = 64 * MIB
    """What one queue holds in memory of its ready messages, and again of unacked ones; the rest is on disk."""
    stream_segment_octets: int = 64 * MIB
    """Of streams that don't say: a file is full when it has this size, and goes as a whole (rule 4.54)."""
    stream_cache_octets: int = 16 * MIB
    """What all streams together hold in memory of what was read last."""

    read_octets: int = 256 * KIB
    """The most that is read from one connection before the others have their turn."""
    outbox_high_octets: int = 1 * MIB
    """Unsent output of one connection at which its consumers get nothing more."""
    outbox_limit_octets: int = 32 * MIB
    """Unsent output of one connection at which nothing more is read from it."""
    memory_high_watermark: float = 0.6
    """Share of the machine's memory at which publishers are blocked (rule 1.34)."""
    memory_high_watermark_octets: int | None = None
    """The same as an amount; not None, it counts instead of the share."""
    memory_paging_ratio: float = 0.5
    """Share of that which transient messages beyond their queues' windows may have, before they go to disk as well."""
    total_memory_octets: int | None = None
    """What to take for the machine's memory; None asks the machine."""
    disk_free_limit_octets: int = 50_000_000
    """Free room on the disk of the data directory below which publishers are blocked (rule 1.34)."""
    disk_free_limit_relative: float | None = None
    """The same as a multiple of the machine's memory; not None, it counts instead of the amount."""

    default_user: str = "guest"
    """Who is made where nothing is stored yet (rule 7.14), with all that follows."""
    default_password: str = attrs.field(default="guest", repr=False)
    default_vhost: str = "/"
    default_permissions: tuple[str, str, str] = (".*", ".*", ".*")
    """Of the default user in the default vhost: configure, write, read."""
    default_user_tags: tuple[str, ...] = ("administrator",)
    default_users: tuple[DefaultUser, ...] = ()
    """Further users, who are let into vhosts when these are made (rule 7.14)."""
    load_definitions: Path | HttpsDefinitions | None = None
    """Definitions to import at every start; in a new broker they take the place of the default user and vhost."""
    skips_unchanged_definitions: bool = False
    """Import them only when they are not those that were imported the last time."""
    event_exchange: bool = False
    """Publish what happens to the exchange amq.rabbitmq.event of the default vhost (rule 3.36)."""
    trace_directory: Path | None = None
    """Where traces of vhosts are written; None is `tracing` in the data directory, and nowhere without one."""
    trace_file_octets: int = 256 * 1024 * 1024
    """A trace ends when its file is as long as that."""
    log_exchange: bool = False
    """Publish the log to the exchange amq.rabbitmq.log of the default vhost (rule 3.36)."""
    log_exchange_level: str = "info"
    """Lines below it are not published."""
    log_exchange_format: Literal["plaintext", "json"] = "plaintext"
    set_header_timestamp: Literal["keep", "overwrite"] | None = None
    """Add the time to every message that is published, or to those that have none (rule 5.57)."""
    set_header_routing_node: Literal["keep", "overwrite"] | None = None
    """Add the node's name to every message that is published, or to those that have none (rule 5.57)."""

    loopback_users: frozenset[str] = frozenset({"guest"})
    """Users who may log in from a loopback address only (rule 1.14)."""
    auth_backends: tuple[AuthEntry, ...] = (AuthEntry("internal"),)
    """Who is asked about a client, in this order, until one lets it in."""
    auth_http: HttpAuth | None = None
    """Needed by the backend `http`."""
    auth_oauth2: OAuth | None = None
    """Needed by the backend `oauth2`."""
    auth_mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")
    """SASL mechanisms that are offered, as far as they can be; PLAIN first, for some clients take the first they
    see (rule 1.5)."""
    anonymous_user: str | None = "guest"
    """Who SASL ANONYMOUS logs in as; None does not offer it (rule 1.8)."""

    @property
    def all_listeners(self) -> tuple[Listener, ...]:
        """What to listen on, `host` and `port` first."""
        if self.port is None:
            return self.listeners
        return (Listener(host=self.host, port=self.port, is_proxied=self.is_proxied), *self.listeners)

    @property
    def listener_tls(self) -> tuple[TlsOptions, ...]:
        """How listeners speak TLS, those for AMQP first."""
        https = [port.tls for port in (self.management_tls, self.metrics_tls) if port is not None]
        return tuple(dict.fromkeys(https if self.tls is None else [self.tls, *https]))

    @property
    def all_tls(self) -> tuple[TlsOptions, ...]:
        """All certificates there are to be."""
        return self.listener_tls if self.cluster_tls is None else (*self.listener_tls, self.cluster_tls)
