"""The form of `rabbitmq.conf`: `key = value` in lines, `#` comments, quotes, `$(NAME)` for what stands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from amqp_broker.configuration.errors import ConfigError

LARGEST_FILE_OCTETS: Final = 4 * 1024 * 1024
"""A configuration beyond that is some other file."""

_KEY: Final = re.compile(r"[^\s=#.]+(\.[^\s=#.]+)*")
_REFERENCE: Final = re.compile(r"\$\(([^()\s]+)\)")


class Setting(NamedTuple):
    """One line's key and value, and where that is: `file:line`."""

    key: str
    text: str
    where: str


def read_settings(path: Path, variables: Mapping[str, str]) -> Iterator[Setting]:
    """Read a file.

    Args:
        path: the file; UTF-8, with or without a byte order mark.
        variables: what `$(NAME)` stands for, usually the environment.

    Raises:
        ConfigError: it can't be read, is no text, or a line has another form.
    """
    yield from parse(text_of(path), str(path), variables)


def parse(text: str, source: str, variables: Mapping[str, str]) -> Iterator[Setting]:
    """Take a text apart; `source` names it in errors. `$(NAME)` may also name a key above. Raises ConfigError."""
    known = dict(variables)
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        where = f"{source}:{number}"
        key, equals, rest = content.partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            raise ConfigError(f"{where}: expected 'key = value', found {_shown(content, key)}")
        value = _value(rest.strip(), where, known)
        known[key] = value
        yield Setting(key, value, where)


def _value(text: str, where: str, known: Mapping[str, str]) -> str:
    if text.startswith("'"):
        content, quote, after = text[1:].partition("'")
        if not quote or (after.strip() and not after.strip().startswith("#")):
            raise ConfigError(f"{where}: expected the value to end with the quote ' that it began with")
        return content
    text = text.partition("#")[0].rstrip()

    def look_up(match: re.Match[str]) -> str:
        try:
            return known[match[1]]
        except KeyError:
            raise ConfigError(
                f"{where}: {match[0]} stands for nothing: neither an environment variable nor a key above"
            ) from None

    return _REFERENCE.sub(look_up, text)


def text_of(path: Path) -> str:
    """Read a file of settings. Raises ConfigError: it can't be read, is too large, or no text in UTF-8."""
    try:
        with path.open("rb") as file:
            octets = file.read(LARGEST_FILE_OCTETS + 1)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    if len(octets) > LARGEST_FILE_OCTETS:
        raise ConfigError(f"{path}: more than {LARGEST_FILE_OCTETS >> 20} MiB, this is no configuration file")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: octet 0x{octets[error.start]:02x} is no UTF-8; "
            "is the file Latin-1 or UTF-16? save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ConfigError(f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL, this is no text file")
    return text


def _shown(content: str, key: str) -> str:
    """What to show of a line without a form: its beginning, in case the rest is a secret."""
    return repr((key or content).split()[0][:40])
