"""Files beside `rabbitmq.conf` that RabbitMQ reads: variables, plugins, Erlang terms."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.syntax import Setting, text_of
from amqp_broker.ctl.plugins import BUILT_IN

ENVIRONMENT_FILE: Final = Path("/etc/rabbitmq/rabbitmq-env.conf")
PLUGINS_FILE: Final = Path("/etc/rabbitmq/enabled_plugins")
ADVANCED_FILE: Final = Path("/etc/rabbitmq/advanced.config")

PREFIX: Final = "RABBITMQ_"

_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_QUOTED: Final = re.compile(r"(['\"])(.*)\1")
_NO_TERMS: Final = re.compile(r"(?:%.*|\s|\[\s*\]\s*\.)*")
"""Comments, and an empty list."""


def with_environment_file(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Add the variables of `rabbitmq-env.conf`, whose prefix may be missing there; those that are set win.

    Raises:
        ConfigError: it can't be read, or has a line that is more than `NAME=value`: no shell runs it.
    """
    path = _named_or_there(environment.get("RABBITMQ_CONF_ENV_FILE"), ENVIRONMENT_FILE)
    if path is None:
        return environment
    found: dict[str, str] = {}
    for number, line in enumerate(text_of(path).split("\n"), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(content)
        value = "" if match is None else match[2].strip()
        quoted = _QUOTED.fullmatch(value)
        if match is None or (quoted is None and re.search(r"[\s'\"$`;|&]", value)) or "$(" in value or "`" in value:
            raise ConfigError(f"{path}:{number}: expected NAME=value; this file is read, not run by a shell")
        name = match[1]
        found[name if name.startswith(PREFIX) else PREFIX + name] = value if quoted is None else quoted[2]
    return {**found, **environment}


def settings_from_plugins(environment: Mapping[str, str], warnings: list[str]) -> Iterator[Setting]:
    """What plugins set that somebody has enabled; those that there is nothing for are added to `warnings`.

    Raises:
        ConfigError: a file that is named can't be read.
    """
    text, where = environment.get("RABBITMQ_ENABLED_PLUGINS", ""), "RABBITMQ_ENABLED_PLUGINS"
    path = _named_or_there(environment.get("RABBITMQ_ENABLED_PLUGINS_FILE"), PLUGINS_FILE)
    if not text and path is not None:
        text, where = text_of(path), str(path)
    for name in re.findall(r"\w+", re.sub("%.*", "", text)):
        if name not in BUILT_IN:
            warnings.append(f"{where}: there is nothing here that does the work of {name}")
        elif name == "rabbitmq_event_exchange":
            yield Setting("amqp_broker.event_exchange", "true", where)


def advanced_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for `advanced.config`, if there is anything in it. Raises ConfigError: it can't be read."""
    path = _named_or_there(environment.get("RABBITMQ_ADVANCED_CONFIG_FILE"), ADVANCED_FILE)
    if path is not None and not _NO_TERMS.fullmatch(text_of(path)):
        yield f"{path}: Erlang terms are not read; what is in there has to be said in rabbitmq.conf"


def _named_or_there(name: str | None, usual: Path) -> Path | None:
    """A file that somebody names, also without its ending, or the usual one if it can be read."""
    if name:
        path = Path(name)
        return path if path.exists() or path.suffix else path.with_name(path.name + usual.suffix)
    return usual if os.access(usual, os.R_OK) else None
