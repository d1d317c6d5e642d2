"""Environment variables: those of RabbitMQ and of its container image, and the key that each one sets.

Keys of the table can be set by variables of our own as well: `AMQP_BROKER_` and the key in capitals with `_` for
`.`, for instance `AMQP_BROKER_LOG_CONSOLE_LEVEL`; the prefix `amqp_broker.` is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.keys import KEYS, OWN_PREFIX
from amqp_broker.configuration.syntax import Setting

OWN_VARIABLES: Final = "AMQP_BROKER_"

TLS_PORT: Final = "5671"

_OF_PLUGINS: Final = "what there is nothing for is a warning"


class Variable(NamedTuple):
    """One variable of RabbitMQ.

    Attributes:
        key: the key it sets; None when it is read elsewhere or has no effect.
        note: for the reference.
        has_effect: whether it does anything.
        names_file: the value stands in the file of that name, as secrets of containers do.
    """

    name: str
    key: str | None
    note: str = ""
    has_effect: bool = True
    names_file: bool = False


VARIABLES: Final[tuple[Variable, ...]] = (
    Variable("RABBITMQ_DEFAULT_USER", "default_user"),
    Variable("RABBITMQ_DEFAULT_PASS", "default_pass"),
    Variable("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    Variable("RABBITMQ_DEFAULT_USER_FILE", "default_user", "from the first line of a file", names_file=True),
    Variable("RABBITMQ_DEFAULT_PASS_FILE", "default_pass", "from the first line of a file", names_file=True),
    Variable("RABBITMQ_NODE_PORT", "amqp_broker.port"),
    Variable("RABBITMQ_NODE_IP_ADDRESS", "amqp_broker.host"),
    Variable("RABBITMQ_MNESIA_DIR", "amqp_broker.data_dir"),
    Variable("RABBITMQ_MNESIA_BASE", "amqp_broker.data_dir", "RABBITMQ_MNESIA_DIR wins"),
    Variable("RABBITMQ_LOGS", None, "a file, or - for the console"),
    Variable("RABBITMQ_LOG", None, "a level, or category.level,... for connection, channel, queue"),
    Variable("RABBITMQ_LOG_BASE", "log.dir"),
    Variable("RABBITMQ_PRODUCT_NAME", "product.name"),
    Variable("RABBITMQ_PRODUCT_VERSION", "product.version"),
    Variable("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "vm_memory_high_watermark.relative", "gone from the image"),
    Variable("RABBITMQ_CONFIG_FILE", None, "instead of /etc/rabbitmq/rabbitmq.conf; the ending .conf may be absent"),
    Variable("RABBITMQ_CONFIG_FILES", None, "instead of the directory /etc/rabbitmq/conf.d"),
    Variable("RABBITMQ_CONF_ENV_FILE", None, "instead of /etc/rabbitmq/rabbitmq-env.conf; lines NAME=value"),
    Variable("RABBITMQ_ENABLED_PLUGINS_FILE", None, f"instead of /etc/rabbitmq/enabled_plugins; {_OF_PLUGINS}"),
    Variable("RABBITMQ_ENABLED_PLUGINS", None, _OF_PLUGINS),
    Variable("RABBITMQ_SSL_CERTFILE", "ssl_options.certfile", "gone from the image; TLS is spoken on 5671"),
    Variable("RABBITMQ_SSL_KEYFILE", "ssl_options.keyfile", "gone from the image"),
    Variable("RABBITMQ_SSL_CACERTFILE", "ssl_options.cacertfile", "gone from the image"),
    Variable("RABBITMQ_SSL_VERIFY", "ssl_options.verify", "gone from the image"),
    Variable("RABBITMQ_SSL_FAIL_IF_NO_PEER_CERT", "ssl_options.fail_if_no_peer_cert", "gone from the image"),
    Variable("RABBITMQ_MANAGEMENT_SSL_CERTFILE", "management.ssl.certfile", "gone from the image"),
    Variable("RABBITMQ_MANAGEMENT_SSL_KEYFILE", "management.ssl.keyfile", "gone from the image"),
    Variable("RABBITMQ_MANAGEMENT_SSL_CACERTFILE", "management.ssl.cacertfile", "gone from the image"),
    Variable("RABBITMQ_NODENAME", None, "the node is called after the machine", has_effect=False),
    Variable("RABBITMQ_USE_LONGNAME", None, has_effect=False),
    Variable("RABBITMQ_ERLANG_COOKIE", None, "there is no Erlang", has_effect=False),
    Variable("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", None, "there is no Erlang", has_effect=False),
    Variable("RABBITMQ_SERVER_ERL_ARGS", None, "there is no Erlang", has_effect=False),
    Variable("RABBITMQ_CTL_ERL_ARGS", None, "there is no Erlang", has_effect=False),
    Variable("RABBITMQ_DIST_PORT", None, "see amqp_broker.cluster_port", has_effect=False),
    Variable("RABBITMQ_IO_THREAD_POOL_SIZE", None, "there is no Erlang", has_effect=False),
    Variable("RABBITMQ_FEATURE_FLAGS", None, "all are on", has_effect=False),
    Variable("RABBITMQ_PLUGINS_DIR", None, "there are no plugins to load", has_effect=False),
    Variable("RABBITMQ_ADVANCED_CONFIG_FILE", None, "Erlang terms are not read, which is a warning", has_effect=False),
    Variable("RABBITMQ_PID_FILE", None, "the file lock in the data directory has the process id", has_effect=False),
)


def settings_from_environment(environment: Mapping[str, str]) -> Iterator[Setting]:
    """What the environment sets, RabbitMQ's variables before our own. Empty variables are as if absent.

    Raises:
        ConfigError: a file with a secret can't be read, or its variable is there twice.
    """
    if environment.get("RABBITMQ_SSL_CERTFILE"):
        yield Setting("listeners.ssl.default", TLS_PORT, "RABBITMQ_SSL_CERTFILE")
    for variable in reversed(VARIABLES):  # so that RABBITMQ_MNESIA_DIR comes after _BASE
        text = environment.get(variable.name, "")
        if text and variable.key is not None:
            if variable.names_file:
                text = _first_line(variable.name, Path(text), environment)
            yield Setting(variable.key, text, variable.name)
    yield from _logs(environment.get("RABBITMQ_LOGS", ""))
    yield from _levels(environment.get("RABBITMQ_LOG", ""))
    if any(name.startswith(OWN_VARIABLES) for name in environment):
        yield from _own(environment)


def without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is set and does nothing."""
    for variable in VARIABLES:
        if not variable.has_effect and environment.get(variable.name):
            reason = f": {variable.note}" if variable.note else ""
            yield f"{variable.name} has no effect{reason}"


def variable_of(key: str) -> str:
    """The name of our own variable for a key."""
    return OWN_VARIABLES + key.removeprefix(OWN_PREFIX).replace(".", "_").upper()


def _own(environment: Mapping[str, str]) -> Iterator[Setting]:
    keys = {variable_of(row.name): row.name for row in KEYS if "*" not in row.name}
    for name in sorted(environment):
        if name.startswith(OWN_VARIABLES) and environment[name]:
            yield Setting(keys.get(name, name), environment[name], name)


def _first_line(name: str, path: Path, environment: Mapping[str, str]) -> str:
    plain = name.removesuffix("_FILE")
    if environment.get(plain):
        raise ConfigError(f"{name} and {plain} are both set; one of them is enough")
    try:
        return path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: {path} is no UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{name}: {path} can't be read: {error.strerror}") from None


def _logs(text: str) -> Iterator[Setting]:
    if text == "-":
        yield Setting("log.console", "true", "RABBITMQ_LOGS")
    elif text:
        yield Setting("log.file", text, "RABBITMQ_LOGS")


def _levels(text: str) -> Iterator[Setting]:
    for part in filter(None, text.split(",")):
        category, dot, level = part.strip().rpartition(".")
        yield Setting(f"log.{category}.level" if dot else "log.default.level", level, "RABBITMQ_LOG")
