"""Files beside rabbitmq.conf: variables, secrets, plugins, Erlang terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqp_broker.config import Config
from amqp_broker.configuration import files
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.loading import Loaded, load


@pytest.fixture(autouse=True)
def nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENVIRONMENT_FILE", "PLUGINS_FILE", "ADVANCED_FILE"):
        monkeypatch.setattr(files, name, tmp_path / "system" / getattr(files, name).name)


def written(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def loaded(tmp_path: Path, **environment: str) -> Loaded:
    conf = written(tmp_path / "rabbitmq.conf", "cluster_name = $(RABBITMQ_NODE_PORT)")
    return load(base=Config(), environment={"RABBITMQ_NODE_PORT": "5", **environment}, file=Path(conf))


def test_a_file_of_variables_is_weaker_than_the_environment_and_needs_no_prefix(tmp_path: Path) -> None:
    text = "# mine\n\nDEFAULT_USER=joe\nexport RABBITMQ_DEFAULT_VHOST='my vhost'\nNODE_PORT=7\n"
    config = loaded(tmp_path, RABBITMQ_CONF_ENV_FILE=written(tmp_path / "env.conf", text)).config
    assert (config.default_user, config.default_vhost, config.port, config.cluster_name) == ("joe", "my vhost", 5, "5")


def test_the_files_of_the_system_are_read_without_being_named(tmp_path: Path) -> None:
    written(files.ENVIRONMENT_FILE, "DEFAULT_USER=joe")
    written(files.PLUGINS_FILE, "[rabbitmq_management,rabbitmq_event_exchange, rabbitmq_sharding].")
    written(files.ADVANCED_FILE, "[{rabbit, [{tcp_listeners, [5673]}]}].")
    found = loaded(tmp_path)
    assert found.config.default_user == "joe"
    assert found.config.event_exchange
    assert found.warnings == [
        f"{files.PLUGINS_FILE}: there is nothing here that does the work of rabbitmq_sharding",
        f"{files.ADVANCED_FILE}: Erlang terms are not read; what is in there has to be said in rabbitmq.conf",
    ]


def test_a_command_line_is_stronger_than_plugins(tmp_path: Path) -> None:
    found = loaded(tmp_path, RABBITMQ_ENABLED_PLUGINS="rabbitmq_event_exchange", AMQP_BROKER_EVENT_EXCHANGE="false")
    assert not found.config.event_exchange


@pytest.mark.parametrize(
    "line", ["DEFAULT_USER=$(whoami)", "DEFAULT_USER=`id`", "if true", "A=b c", 'A="b', "A=b; rm x"]
)
def test_a_file_of_variables_is_not_run(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "env.conf", f"\n{line}\n")
    with pytest.raises(ConfigError, match=r"env\.conf:2: expected NAME=value"):
        loaded(tmp_path, RABBITMQ_CONF_ENV_FILE=path)


@pytest.mark.parametrize("content", ["", "[].\n", "%% nothing yet\n[\n].\n"])
def test_no_erlang_terms_are_no_warning(tmp_path: Path, content: str) -> None:
    written(tmp_path / "advanced.config", content)
    assert loaded(tmp_path, RABBITMQ_ADVANCED_CONFIG_FILE=str(tmp_path / "advanced")).warnings == []


def test_a_password_may_stand_in_a_file(tmp_path: Path) -> None:
    user, password = written(tmp_path / "user", "joe"), written(tmp_path / "pass", "s3cret\r\nmore\n")
    config = loaded(tmp_path, RABBITMQ_DEFAULT_USER_FILE=user, RABBITMQ_DEFAULT_PASS_FILE=password).config
    assert (config.default_user, config.default_password) == ("joe", "s3cret")


@pytest.mark.parametrize(
    ("content", "environment", "says"),
    [
        (None, {}, "can't be read: No such file"),
        (b"p\xe4ss", {}, "no UTF-8"),
        (b"x", {"RABBITMQ_DEFAULT_PASS": "s3cret"}, "are both set"),
    ],
)
def test_a_password_that_can_not_be_had_is_named_and_not_shown(
    tmp_path: Path, content: bytes | None, environment: dict[str, str], says: str
) -> None:
    path = tmp_path / "pass"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as raised:
        loaded(tmp_path, RABBITMQ_DEFAULT_PASS_FILE=str(path), **environment)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("name", ["CONF_ENV_FILE", "ENABLED_PLUGINS_FILE", "ADVANCED_CONFIG_FILE"])
def test_a_file_in_latin_1_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "latin.conf", b"# one\n# gr\xfc\xdfe\n")
    with pytest.raises(ConfigError, match=r"latin\.conf:2: octet 0xfc is no UTF-8; is the file Latin-1"):
        loaded(tmp_path, **{f"RABBITMQ_{name}": path})


def test_variables_that_old_images_had_for_tls(tmp_path: Path) -> None:
    variables = {"SSL_CERTFILE": "/c.pem", "SSL_KEYFILE": "/k.pem", "MANAGEMENT_SSL_CERTFILE": "/m.pem"}
    config = loaded(tmp_path, **{f"RABBITMQ_{name}": path for name, path in variables.items()}).config
    assert config.management_tls is not None
    assert config.tls is not None
    assert config.tls.certificates[0].key == Path("/k.pem")
    assert [(each.port, each.is_tls) for each in config.listeners] == [(5671, True)]
