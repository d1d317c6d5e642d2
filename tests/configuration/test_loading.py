"""What counts in the end: kinds of values, the table, precedence, what is said of keys that do nothing."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from amqp_broker.config import (
    AuthEntry,
    Certificate,
    Config,
    DefaultUser,
    HttpAuth,
    HttpsDefinitions,
    HttpsPort,
    Listener,
    OAuth,
    TlsOptions,
)
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.gathering import GATHERED
from amqp_broker.configuration.keys import KEYS, Key, is_rabbitmqs, parse_value
from amqp_broker.configuration.loading import Loaded, load
from amqp_broker.configuration.syntax import Setting
from amqp_broker.configuration.values import POSITIVE
from amqp_broker.configuration.variables import VARIABLES
from amqp_broker.logs import LogSettings


def loaded(text: str = "", *options: str, tmp: Path, **environment: str) -> Loaded:
    path = tmp / "rabbitmq.conf"
    path.write_text(text, "utf-8")
    assignments = [Setting(option.partition("=")[0], option.partition("=")[2], "--set") for option in options]
    return load(base=Config(), environment=environment, options=assignments, file=path)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("heartbeat = 0", "heartbeat_s", 0),
        ("handshake_timeout = 1500", "handshake_timeout_s", 1.5),
        ("connection_max = infinity", "max_connections", None),
        ("max_connections = 7", "max_connections", 7),
        ("frame_max = 0", "frame_max_octets", 0),
        ("frame_max = 8KiB", "frame_max_octets", 8192),
        ("disk_free_limit.absolute = 2GB", "disk_free_limit_octets", 2_000_000_000),
        ("disk_free_limit.absolute = 2Gi", "disk_free_limit_octets", 2 << 30),
        ("disk_free_limit.absolute = 1k", "disk_free_limit_octets", 1000),
        ("disk_free_limit.relative = 1.5", "disk_free_limit_relative", 1.5),
        ("vm_memory_high_watermark.relative = 0.4", "memory_high_watermark", 0.4),
        ("amqp_broker.data_dir = none", "data_dir", None),
        ("amqp_broker.data_dir = /d", "data_dir", Path("/d")),
        ("listeners.tcp.default = 5673", "port", 5673),
        ("listeners.tcp.1 = 0.0.0.0:5673", "host", "0.0.0.0"),
        ("listeners.tcp.1 = [::1]:5673", "host", "::1"),
        ("listeners.tcp.1 = :::5673", "host", "::"),
        ("loopback_users = none", "loopback_users", frozenset()),
        ("loopback_users.guest = false", "loopback_users", frozenset()),
        ("loopback_users.joe = true", "loopback_users", frozenset({"guest", "joe"})),
        ("loopback_users = none\nloopback_users.joe = true", "loopback_users", frozenset({"joe"})),
        ("default_user_tags.management = true", "default_user_tags", ("management",)),
        ("default_permissions.read = ^x", "default_permissions", (".*", ".*", "^x")),
        ("default_permissions.read = ^\\p{L}", "default_permissions", (".*", ".*", "^\\p{L}")),
        ("vhost_max = 3", "max_vhosts", 3),
        ("cluster_queue_limit = 3", "max_queues", 3),
        ("channel_max_per_node = infinity", "max_channels", None),
        ("ssl_handshake_timeout = 1500", "tls_handshake_timeout_s", 1.5),
        ("anonymous_login_user = none", "anonymous_user", None),
        ("definitions.skip_if_unchanged = true", "skips_unchanged_definitions", True),
        ("auth_mechanisms.10 = EXTERNAL\nauth_mechanisms.2 = PLAIN", "auth_mechanisms", ("PLAIN", "EXTERNAL")),
    ],
)
def test_a_key_sets_its_field(tmp_path: Path, text: str, field: str, value: object) -> None:
    assert getattr(loaded(text, tmp=tmp_path).config, field) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("heartbeat = 1.5", "whole seconds"),
        ("heartbeat = 65536", "whole seconds"),
        ("heartbeat =", "whole seconds"),
        ("frame_max = 100", "4096 or more"),
        ("disk_free_limit.absolute = 1XB", "a size"),
        ("disk_free_limit.absolute = -1", "a size"),
        ("disk_free_limit.absolute = 99999999999PB", "a size"),
        ("vm_memory_high_watermark.relative = 1.1", "a share"),
        ("vm_memory_high_watermark.absolute = 0", "1 or more"),
        ("loopback_users.guest = maybe", "true or false"),
        ("listeners.tcp.default = 70000", "a port, host:port"),
        ("amqp_broker.sync = sometimes", "one of always, interval, never"),
        ("default_permissions.read = *", "a regular expression"),
        ("default_permissions.read = a{20000}", "a regular expression"),
        ("definitions.import_backend = etcd", "one of local_filesystem"),
        ("log.file.rotation.date = $D24", "a time such as"),
        ("log.file.rotation.date = daily", "a time such as"),
        ("definitions.https.url = http://h/d", "a URL with https"),
        ("definitions.https.url = https://u:s3cret@h/d", "a URL with https"),
    ],
)
def test_a_wrong_value_names_file_line_and_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(f"# first\n{text}", tmp=tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'rabbitmq.conf'}:2: {text.partition(' ')[0].rpartition('.')[0]}")
    assert f"expected {expected}" in str(caught.value) or expected in str(caught.value)


def test_file_then_environment_then_command_line(tmp_path: Path) -> None:
    text = "heartbeat = 1\nchannel_max = 1\ncluster_name = file"
    found = loaded(text, "heartbeat=3", tmp=tmp_path, AMQP_BROKER_HEARTBEAT="2", AMQP_BROKER_CHANNEL_MAX="2")
    config = found.config
    assert (config.heartbeat_s, config.channel_max, config.cluster_name) == (3, 2, "file")
    assert found.places["heartbeat_s"] == "--set"
    assert found.places["channel_max"] == "AMQP_BROKER_CHANNEL_MAX"
    assert found.places["cluster_name"].endswith("rabbitmq.conf:3")


def test_conf_d_comes_after_the_file_in_the_order_of_names(tmp_path: Path) -> None:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    for name, text in (("20.conf", "heartbeat = 20"), ("10.conf", "heartbeat = 10\nchannel_max = 10"), ("30.txt", "x")):
        (directory / name).write_text(text)
    file = tmp_path / "rabbitmq.conf"
    file.write_text("channel_max = 1\ncluster_name = c")
    config = load(base=Config(), environment={}, file=file, directory=directory).config
    assert (config.heartbeat_s, config.channel_max, config.cluster_name) == (20, 10, "c")


def test_files_may_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text("heartbeat = 5")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.conf").write_text("channel_max = 5")
    environment = {"RABBITMQ_CONFIG_FILE": str(tmp_path / "mine"), "RABBITMQ_CONFIG_FILES": str(tmp_path / "d/*.conf")}
    config = load(base=Config(), environment=environment).config
    assert (config.heartbeat_s, config.channel_max) == (5, 5)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        load(base=Config(), environment={}, directory=tmp_path / "conf.d")


def test_variables_of_the_container_image(tmp_path: Path) -> None:
    config = loaded(
        tmp=tmp_path,
        RABBITMQ_DEFAULT_USER="joe",
        RABBITMQ_DEFAULT_PASS="s3cret",
        RABBITMQ_DEFAULT_VHOST="dev",
        RABBITMQ_NODE_PORT="5999",
        RABBITMQ_NODE_IP_ADDRESS="0.0.0.0",
        RABBITMQ_MNESIA_BASE="/base",
        RABBITMQ_MNESIA_DIR="/dir",
    ).config
    assert (config.default_user, config.default_password, config.default_vhost) == ("joe", "s3cret", "dev")
    assert (config.host, config.port, config.data_dir) == ("0.0.0.0", 5999, Path("/dir"))


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({"RABBITMQ_LOGS": "-"}, LogSettings(console=True)),
        ({"RABBITMQ_LOGS": "/l/x.log"}, LogSettings(file="/l/x.log")),
        ({"RABBITMQ_LOG": "debug"}, LogSettings(level="debug")),
        (
            {"RABBITMQ_LOG": "error,connection.debug"},
            LogSettings(level="error", category_levels={"connection": "debug"}),
        ),
        ({"RABBITMQ_LOG_BASE": "/l"}, LogSettings(directory=Path("/l"))),
    ],
)
def test_variables_of_the_log(tmp_path: Path, variables: dict[str, str], settings: LogSettings) -> None:
    assert loaded(tmp=tmp_path, **variables).log == settings


def test_an_unknown_key_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    found = loaded("heartbeet = 5\nzzzz = 1\nlog.consol.level = info", tmp=tmp_path, AMQP_BROKER_X_Y="1")
    assert [text.partition(": ")[2] for text in found.unknown] == [
        "unknown key heartbeet; did you mean heartbeat?",
        "unknown key zzzz",
        "unknown key log.consol.level; did you mean log.console.level?",
        "unknown key AMQP_BROKER_X_Y",
    ]
    assert found.notes == []


def test_what_rabbitmq_knows_and_we_do_not_is_one_sentence_each(tmp_path: Path) -> None:
    text = "mqtt.allow_anonymous = true\ncluster_formation.classic_config.nodes.1 = rabbit@a"
    found = loaded(text, tmp=tmp_path, RABBITMQ_ERLANG_COOKIE="c00kie")
    assert found.unknown == []
    assert len(found.notes) == 3
    assert all("no effect" in note for note in found.notes)
    assert "c00kie" not in " ".join(found.notes)


def test_show_hides_secrets_and_says_where_from(tmp_path: Path) -> None:
    found = loaded("default_pass = s3cret\nhandshake_timeout = 1500", tmp=tmp_path)
    lines = {name: (value, place) for name, value, place in found.effective()}
    assert lines["default_pass"][0] == "********"
    assert lines["amqp_broker.cluster"][0] == "none"
    told = loaded("amqp_broker.cluster = nats://user:s3cret@nats1", tmp=tmp_path)
    assert {name: value for name, value, _ in told.effective()}["amqp_broker.cluster"] == "********"
    assert "s3cret" not in repr(told)
    assert lines["default_pass"][1].endswith("rabbitmq.conf:1")
    assert lines["handshake_timeout"][0] == "1500"
    assert lines["heartbeat"] == ("60", "default")
    assert "s3cret" not in repr(found)


def test_the_first_plain_listener_is_host_and_port_and_the_others_are_extra(tmp_path: Path) -> None:
    text = (
        "listeners.tcp.1 = 127.0.0.2:1\nlisteners.tcp.2 = ::1:2\nlisteners.tcp.s = local:/s\nlisteners.ssl.default = 3"
    )
    config = loaded(text, "amqp_broker.port=9", tmp=tmp_path).config
    assert (config.host, config.port) == ("127.0.0.2", 9)
    assert config.listeners == (
        Listener(host="::1", port=2),
        Listener(host="127.0.0.2", port=0, path=Path("/s")),
        Listener(host="127.0.0.2", port=3, is_tls=True),
    )


def test_no_plain_listener(tmp_path: Path) -> None:
    config = loaded("listeners.tcp = none\nlisteners.ssl.default = 5671", tmp=tmp_path).config
    assert config.port is None
    assert [listener.is_tls for listener in config.all_listeners] == [True]


def test_tls_options(tmp_path: Path) -> None:
    text = """
    ssl_options.certfile = /c.pem
    ssl_options.keyfile = /k.pem
    ssl_options.password = s3cret
    ssl_options.cacertfile = /ca.pem
    ssl_options.verify = verify_peer
    ssl_options.fail_if_no_peer_cert = true
    ssl_options.versions.1 = tlsv1.3
    ssl_cert_login_from = common_name
    """
    found = loaded(text, tmp=tmp_path)
    assert found.config.tls == TlsOptions(
        certificates=(Certificate(chain=Path("/c.pem"), key=Path("/k.pem"), key_password="s3cret"),),
        ca=Path("/ca.pem"),
        verify_peer=True,
        fail_if_no_peer_cert=True,
        min_version="1.3",
        max_version="1.3",
        login_from="common_name",
    )
    assert "s3cret" not in "".join(value for _, value, _ in found.effective())


def test_tls_between_nodes(tmp_path: Path) -> None:
    text = """
    amqp_broker.cluster_tls.cacertfile = /ca.pem
    amqp_broker.cluster_tls.certfile = /c.pem
    amqp_broker.cluster_tls.password = s3cret
    """
    found = loaded(text, tmp=tmp_path, AMQP_BROKER_CLUSTER_TLS_KEYFILE="/k.pem")
    assert found.config.cluster_tls == TlsOptions(
        certificates=(Certificate(chain=Path("/c.pem"), key=Path("/k.pem"), key_password="s3cret"),),
        ca=Path("/ca.pem"),
        min_version="1.3",
    )
    assert found.config.tls is None
    assert "s3cret" not in "".join(value for _, value, _ in found.effective())


@pytest.mark.parametrize(("given", "absent"), [("certfile", "cacertfile"), ("cacertfile", "certfile")])
def test_tls_between_nodes_needs_ca_and_certificate(given: str, absent: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"needs amqp_broker\.cluster_tls\.{absent}$"):
        loaded(f"amqp_broker.cluster_tls.{given} = /x.pem", tmp=tmp_path)


@pytest.mark.parametrize("prefix", ["ssl_options", "management.ssl", "prometheus.ssl"])
def test_tls_options_without_a_certificate(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ConfigError, match=rf"need {prefix}\.certfile"):
        loaded(f"{prefix}.verify = verify_peer", tmp=tmp_path)


def test_https_takes_the_place_of_http(tmp_path: Path) -> None:
    text = """
    management.ssl.certfile = /c.pem
    management.ssl.keyfile = /k.pem
    management.ssl.password = s3cret
    management.ssl.cacertfile = /ca.pem
    management.ssl.verify = verify_peer
    management.ssl.fail_if_no_peer_cert = true
    management.ssl.versions.1 = tlsv1.3
    management.ssl.ip = ::1
    prometheus.ssl.certfile = /c.pem
    prometheus.ssl.port = 7
    """
    found = loaded(text, tmp=tmp_path)
    assert found.config.management_tls == HttpsPort(
        tls=TlsOptions(
            certificates=(Certificate(chain=Path("/c.pem"), key=Path("/k.pem"), key_password="s3cret"),),
            ca=Path("/ca.pem"),
            verify_peer=True,
            fail_if_no_peer_cert=True,
            min_version="1.3",
            max_version="1.3",
        ),
        port=15671,
        host="::1",
    )
    assert found.config.metrics_tls == HttpsPort(
        tls=TlsOptions(certificates=(Certificate(chain=Path("/c.pem")),)), port=7
    )
    assert (found.config.management_port, found.config.metrics_port) == (None, None)
    assert "s3cret" not in "".join(value for _, value, _ in found.effective())


@pytest.mark.parametrize("key", ["management.tcp.ip", "management.listener.port", "management.tcp.compress"])
def test_http_stays_beside_https_where_it_is_configured_too(tmp_path: Path, key: str) -> None:
    text = f"{key} = 15672\nmanagement.ssl.certfile = /c.pem\nprometheus.ssl.certfile = /c.pem"
    config = loaded(text, tmp=tmp_path).config
    assert (config.management_port, config.metrics_port) == (15672, None)


def test_backends_of_authentication(tmp_path: Path) -> None:
    text = """
    auth_backends.2 = internal
    auth_backends.1.authn = rabbit_auth_backend_http
    auth_backends.1.authz = internal
    auth_http.user_path = http://h/user
    auth_http.vhost_path = http://h/vhost
    auth_http.resource_path = http://h/resource
    auth_http.topic_path = http://h/topic
    auth_http.http_method = post
    auth_cache.cache_ttl = 5000
    auth_oauth2.resource_server_id = rabbit
    auth_oauth2.signing_keys.a = /a.pem
    auth_oauth2.preferred_username_claims.1 = email
    auth_oauth2.verify_aud = false
    """
    config = loaded(text, tmp=tmp_path).config
    assert config.auth_backends == (AuthEntry("http", "internal"), AuthEntry("internal"))
    assert config.auth_http == HttpAuth(
        user_path="http://h/user",
        vhost_path="http://h/vhost",
        resource_path="http://h/resource",
        topic_path="http://h/topic",
        method="post",
        cache_ttl_s=5.0,
    )
    assert config.auth_oauth2 == OAuth(
        resource_server_id="rabbit",
        signing_keys=(("a", Path("/a.pem")),),
        username_claims=("email",),
        verify_audience=False,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("auth_http.user_path = http://h", "needs auth_http.vhost_path, auth_http.resource_path"),
        ("auth_oauth2.issuer = x", "needs auth_oauth2.resource_server_id"),
        ("auth_backends.1.authz = internal", "needs auth_backends.1.authn"),
        ("auth_backends.1 = ldap", "expected internal, http or oauth2"),
    ],
)
def test_half_a_backend(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        loaded(text, tmp=tmp_path)


URL = "definitions.https.url = https://h/d?x=1"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("load_definitions = /a", Path("/a")),
        ("load_definitions = /a\ndefinitions.local.path = /b", Path("/b")),
        (URL, HttpsDefinitions(url="https://h/d?x=1")),
        (
            f"{URL}\ndefinitions.tls.verify = verify_none\ndefinitions.tls.cacertfile = /ca.pem",
            HttpsDefinitions(url="https://h/d?x=1", ca=Path("/ca.pem"), verify_peer=False),
        ),
        (f"{URL}\nload_definitions = /a", Path("/a")),
        (f"{URL}\nload_definitions = /a\ndefinitions.import_backend = local", Path("/a")),
        (f"{URL}\nload_definitions = /a\ndefinitions.import_backend = https", HttpsDefinitions(url="https://h/d?x=1")),
        ("definitions.import_backend = local_filesystem", None),
    ],
)
def test_where_definitions_come_from(tmp_path: Path, text: str, source: Path | HttpsDefinitions | None) -> None:
    assert loaded(text, tmp=tmp_path).config.load_definitions == source


def test_the_definitions_named_last_count(tmp_path: Path) -> None:
    text = "load_definitions = /a\ndefinitions.local.path = /b"
    assert loaded(text, "load_definitions=/c", tmp=tmp_path).config.load_definitions == Path("/c")


def test_a_secret_in_the_url_of_definitions_is_not_shown(tmp_path: Path) -> None:
    found = loaded("definitions.https.url = https://h/d?signature=s3cret", tmp=tmp_path)
    shown = {name: value for name, value, _ in found.effective()}
    assert shown["load_definitions"] == "https://h/d"
    assert "s3cret" not in repr(found)
    with pytest.raises(ConfigError) as caught:
        loaded("definitions.https.url = https://u:s3cret@h/d", tmp=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_server_of_definitions_needs_a_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs definitions\.https\.url"):
        loaded("definitions.import_backend = https", tmp=tmp_path)


def test_further_users(tmp_path: Path) -> None:
    text = """
    default_users.dev.vhost_pattern = ^dev
    default_users.dev.password = s3cret
    default_users.dev.tags = management, own
    default_users.dev.read = ^x
    default_users.all.configure = ^$
    """
    found = loaded(text, tmp=tmp_path)
    dev, everybody = found.config.default_users
    assert dev == DefaultUser(
        name="dev",
        vhost_pattern="^dev",
        password="s3cret",
        tags=("management", "own"),
        permissions=(".*", ".*", "^x"),
    )
    assert everybody == DefaultUser(name="all", permissions=("^$", ".*", ".*"))
    assert "s3cret" not in "".join(value for _, value, _ in found.effective())


def test_headers_that_are_added(tmp_path: Path) -> None:
    name = "message_interceptors.incoming.set_header_{}.overwrite = {}"
    found = loaded(f"{name.format('timestamp', 'true')}\n{name.format('routing_node', 'false')}", tmp=tmp_path)
    assert (found.config.set_header_timestamp, found.config.set_header_routing_node) == ("overwrite", "keep")
    shown = {key: value for key, value, _ in found.effective() if key.startswith("message_interceptors")}
    assert list(shown.values()) == ["true", "false"]


def test_a_wrong_secret_is_not_shown() -> None:
    row = Key("a.secret", POSITIVE, None, is_secret=True)
    with pytest.raises(ConfigError) as caught:
        parse_value(row, "s3cret", "f:1")
    assert str(caught.value) == "f:1: a.secret: expected a whole number, 1 or more"


def test_every_field_has_a_key_and_every_key_a_field() -> None:
    fields = {field.name for field in attrs.fields(Config)} | {f"log.{each.name}" for each in attrs.fields(LogSettings)}
    keyed = {row.field for row in KEYS if row.field is not None}
    assert keyed == fields, "a setting needs a row in amqp_broker/configuration/keys.py"
    assert set(GATHERED) <= keyed


def test_our_own_keys_say_so_and_the_others_are_rabbitmqs() -> None:
    for row in KEYS:
        is_own = row.name.startswith("amqp_broker.")
        assert is_own != is_rabbitmqs(row.name), row.name


def test_defaults_shown_can_be_read_back(tmp_path: Path) -> None:
    found = loaded(tmp=tmp_path)
    for name, value, _ in found.effective():
        row = next((row for row in KEYS if row.name == name), None)
        if row is None or row.is_secret or row.field in GATHERED or value == "(not set)":
            continue
        again = loaded(f"{name} = '{value}'", tmp=tmp_path)
        assert again.config == found.config, name
        assert again.log == found.log, name


def test_variables_name_keys_that_there_are() -> None:
    names = {row.name for row in KEYS}
    assert {variable.key for variable in VARIABLES} - {None} <= names
