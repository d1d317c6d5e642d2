"""All sources together: which value counts in the end, and where it came from.

From the weakest to the strongest: the defaults of `Config`, `rabbitmq.conf`, the files of `conf.d` by name,
environment variables, the command line. Within a file the last line counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from amqp_broker.config import Config, Listener
from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.files import advanced_settings, settings_from_plugins, with_environment_file
from amqp_broker.configuration.gathering import GATHERED
from amqp_broker.configuration.keys import KEYS, find_key, is_rabbitmqs, nearest, parse_value
from amqp_broker.configuration.syntax import Setting, read_settings
from amqp_broker.configuration.values import Address
from amqp_broker.configuration.variables import settings_from_environment, without_effect
from amqp_broker.logs import LogSettings

SYSTEM_FILE: Final = Path("/etc/rabbitmq/rabbitmq.conf")
SYSTEM_DIRECTORY: Final = Path("/etc/rabbitmq/conf.d")

LISTENERS: Final = "listeners"
DEFAULT: Final = "default"

ENCRYPTED: Final = (
    ("management_tls", "management_port", ("management.tcp.", "management.listener.")),
    ("metrics_tls", "metrics_port", ("prometheus.tcp.",)),
)
"""What is served over TLS, and over plain HTTP beside it only when a key with one of these prefixes is given."""

HIDDEN: Final = "********"


@attrs.frozen(kw_only=True)
class Loaded:
    """What was found.

    Attributes:
        files: the configuration files that were read.
        notes: what has no effect, a sentence each.
        unknown: keys that nobody knows, a sentence each.
        warnings: what somebody has asked for in other files and there is nothing for, a sentence each.
        places: by field, where its value came from; a field that is absent has its default.
    """

    config: Config
    log: LogSettings
    files: Sequence[Path]
    notes: Sequence[str]
    unknown: Sequence[str]
    warnings: Sequence[str]
    places: Mapping[str, str]

    def effective(self) -> Iterator[tuple[str, str, str]]:
        """Each key that sets something, with its value as text, secrets hidden, and where that came from."""
        seen = set[str]()
        for row in KEYS:
            if row.field is None or row.field in seen:
                continue
            seen.add(row.field)
            of_log = row.field.startswith("log.")
            value = getattr(self.log, row.field[4:]) if of_log else getattr(self.config, row.field)
            name = GATHERED[row.field].name if row.field in GATHERED else row.name
            name = "listeners.*" if row.field == LISTENERS else name
            shown = HIDDEN if row.is_secret else None
            text = row.kind.none if value is None else shown or row.kind.show(value)
            yield name, text, self.places.get(row.field, DEFAULT)


def load(
    *,
    base: Config,
    environment: Mapping[str, str],
    options: Iterable[Setting] = (),
    file: Path | None = None,
    directory: Path | None = None,
    is_set_by_environment: bool = True,
) -> Loaded:
    """Read everything.

    Args:
        base: the defaults.
        environment: variables by name.
        options: what the command line sets.
        file: instead of what the environment names or `/etc/rabbitmq/rabbitmq.conf`.
        directory: instead of what the environment names or `/etc/rabbitmq/conf.d`.
        is_set_by_environment: whether variables set anything; `$(NAME)` in a file has its meaning anyway.

    Raises:
        ConfigError: a value can't be used, or a file can't be read that somebody has named.
    """
    warnings: list[str] = []
    settings: list[Setting] = []
    if is_set_by_environment:
        environment = with_environment_file(environment)
        settings.extend(settings_from_plugins(environment, warnings))
        warnings.extend(advanced_settings(environment))
    files = list(_files(environment if is_set_by_environment else {}, file, directory))
    settings.extend(setting for path in files for setting in read_settings(path, environment))
    if is_set_by_environment:
        settings.extend(settings_from_environment(environment))
    settings.extend(options)
    gathering = _Gathering(base)
    for setting in settings:
        gathering.take(setting)
    notes = list(without_effect(environment)) if is_set_by_environment else []
    return gathering.result(files, warnings, notes)


class _Gathering:
    """What the settings so far make."""

    def __init__(self, base: Config) -> None:
        self._base = base
        self._values: dict[str, Any] = {}
        self._collected: dict[str, dict[tuple[str, ...], object]] = {}
        self._plain: dict[str, Address] = {}
        self._encrypted: dict[str, Address] = {}
        self._places: dict[str, str] = {}
        self._notes: list[str] = []
        self._unknown: list[str] = []
        self._keys = set[str]()

    def take(self, setting: Setting) -> None:
        self._keys.add(setting.key)
        found = find_key(setting.key)
        if found is None:
            self._not_ours(setting)
            return
        row, words = found
        value = parse_value(row, setting.text, setting.where)
        if row.field is None:
            return
        if row.field == LISTENERS:
            self._take_listener(row.name, words, value, setting.where)
            return
        if row.field in GATHERED:
            given = self._collected.setdefault(row.field, {})
            given.pop((row.name, *words), None)  # what is given last stands last
            given[(row.name, *words)] = value
        else:
            self._values[row.field] = value
        self._places[row.field] = setting.where

    def _take_listener(self, name: str, words: tuple[str, ...], value: object, where: str) -> None:
        """The first plain one is `host` and `port`, which stronger sources may set as well; others are extra."""
        if not words:
            if name == "listeners.tcp":
                self._plain.clear()
                self._set("port", None, where)
            else:
                self._encrypted.clear()
            return
        assert isinstance(value, Address)
        among = self._plain if name == "listeners.tcp.*" else self._encrypted
        among[words[0]] = value
        first = next((name for name, address in self._plain.items() if address.path is None), None)
        if among is self._plain and words[0] == first:
            self._set("port", value.port, where)
            if value.host is not None:
                self._set("host", value.host, where)
        else:
            self._places[LISTENERS] = where

    def _listeners(self) -> tuple[Listener, ...]:
        host = self._values.get("host", self._base.host)
        first = next((address for address in self._plain.values() if address.path is None), None)
        extra = [(address, False) for address in self._plain.values() if address is not first]
        extra += [(address, True) for address in self._encrypted.values()]
        return tuple(
            Listener(host=address.host or host, port=address.port, path=address.path, is_tls=is_tls)
            for address, is_tls in extra
        )

    def result(self, files: Sequence[Path], warnings: Sequence[str], notes: Sequence[str]) -> Loaded:
        default_log = LogSettings()
        for field, given in self._collected.items():
            before = None if field.startswith("log.") else getattr(self._base, field)
            self._values[field] = GATHERED[field].make(before, given)
        for encrypted, plain, prefixes in ENCRYPTED:
            if encrypted in self._values and not any(key.startswith(prefixes) for key in self._keys):
                self._set(plain, None, self._places[encrypted])
        if self._plain or self._encrypted:
            self._values[LISTENERS] = self._listeners()
        log_values = {
            field.removeprefix("log."): value for field, value in self._values.items() if field.startswith("log.")
        }
        config_values = {field: value for field, value in self._values.items() if not field.startswith("log.")}
        return Loaded(
            config=attrs.evolve(self._base, **config_values),
            log=attrs.evolve(default_log, **log_values),
            files=files,
            notes=[*self._notes, *notes],
            unknown=self._unknown,
            warnings=warnings,
            places=self._places,
        )

    def _set(self, field: str, value: object, where: str) -> None:
        self._values[field] = value
        self._places[field] = where

    def _not_ours(self, setting: Setting) -> None:
        if is_rabbitmqs(setting.key):
            self._notes.append(f"{setting.where}: {setting.key} has no effect here")
            return
        similar = nearest(setting.key)
        hint = "" if similar is None else f"; did you mean {similar}?"
        self._unknown.append(f"{setting.where}: unknown key {setting.key}{hint}")


def _files(environment: Mapping[str, str], file: Path | None, directory: Path | None) -> Iterator[Path]:
    """The files to read, in order: those that are named, otherwise those of the system that can be read."""
    if file is None and directory is None:
        file = _named_file(environment.get("RABBITMQ_CONFIG_FILE"))
        directory = _named_directory(environment.get("RABBITMQ_CONFIG_FILES"))
        if file is None and os.access(SYSTEM_FILE, os.R_OK):
            file = SYSTEM_FILE
        if directory is None and os.access(SYSTEM_DIRECTORY, os.R_OK):
            directory = SYSTEM_DIRECTORY
    if file is not None:
        yield file
    if directory is not None:
        if not directory.is_dir():
            raise ConfigError(f"{directory}: no such directory")
        yield from sorted(directory.glob("*.conf"))


def _named_file(text: str | None) -> Path | None:
    """RabbitMQ takes the name with or without its ending."""
    if not text:
        return None
    return Path(text) if Path(text).exists() else Path(f"{text}.conf")


def _named_directory(text: str | None) -> Path | None:
    """RabbitMQ takes a directory or a pattern for the files in it."""
    if not text:
        return None
    return Path(text).parent if "*" in text else Path(text)
