"""The log: one line an event, as text or JSON, to the console or a file.

What others log through the standard library's `logging` ends here. No password, no secret and no message body is
ever given to a logger; what a peer sent is escaped, so that it can't forge lines.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

import attrs

ROOT: Final = "amqp_broker"

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO + 5,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": logging.CRITICAL + 5,
    "emergency": logging.CRITICAL + 10,
    "none": logging.CRITICAL + 100,
}
"""RabbitMQ's names of levels; `none` is above everything."""

CATEGORIES: Final[Mapping[str, str]] = {
    "connection": "amqp_broker.session.connection",
    "channel": "amqp_broker.session.channel",
    "queue": "amqp_broker.queues",
}
"""The loggers that RabbitMQ's categories stand for here."""


@attrs.frozen(kw_only=True)
class LogSettings:
    """What is logged, where, and how.

    Attributes:
        level: what has no level of its own.
        file: a name in `directory` or a path; None for no file.
        rotation_date: when a new file is begun, as `log.file.rotation.date` has it; None never.
        rotation_octets: the size at which a new file is begun; 0 never.
        rotation_count: how many old files are kept then.
        category_levels: by a name of `CATEGORIES`.
    """

    level: str = "info"
    console: bool = True
    console_level: str | None = None
    console_stream: str = "stderr"
    console_format: str = "plaintext"
    directory: Path | None = None
    file: str | None = None
    file_level: str | None = None
    file_format: str = "plaintext"
    rotation_date: str | None = None
    rotation_octets: int = 0
    rotation_count: int = 5
    category_levels: Mapping[str, str] = attrs.Factory(dict)

    @property
    def file_path(self) -> Path | None:
        return None if self.file is None else (self.directory or Path()) / self.file


class TextFormatter(logging.Formatter):
    """`2026-11-22 06:11:47.123456+00:00 [info] <message>`: RabbitMQ's time and level; line ends are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time_of(record, ' ')} [{level_of(record)}] {_one_line(_text_of(record))}"


class JsonFormatter(logging.Formatter):
    """One object a line, with RabbitMQ's names: time, level, msg; and `logger`, the module that says so."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # only with this format: starting is to be quick

        return json.dumps(
            {
                "time": _time_of(record, " "),
                "level": level_of(record),
                "msg": _text_of(record),
                "logger": record.name,
                "pid": record.process,
            },
            ensure_ascii=True,
        )


def set_up(settings: LogSettings) -> None:
    """Send the log of the broker where the settings say; replaces what an earlier call set up.

    Raises:
        OSError: the file can't be written.
    """
    for name, level in LEVELS.items():
        logging.addLevelName(level, name)
    logger = logging.getLogger(ROOT)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    if settings.console:
        stream = sys.stdout if settings.console_stream == "stdout" else sys.stderr
        _add(logger, _LineHandler(stream), settings.console_level, settings.console_format)
    path = settings.file_path
    if path is not None:
        from amqp_broker.log_rotation import Schedule, ScheduledFileHandler  # slow to import, and few need it

        path.parent.mkdir(parents=True, exist_ok=True)
        schedule = None if settings.rotation_date is None else Schedule.parse(settings.rotation_date)
        octets, count = settings.rotation_octets, settings.rotation_count
        rotating = ScheduledFileHandler(path, schedule, octets=octets, count=count)
        _add(logger, rotating, settings.file_level, settings.file_format)
    logger.propagate = False
    set_level(settings.level)
    for category, level_name in settings.category_levels.items():
        logging.getLogger(CATEGORIES[category]).setLevel(LEVELS[level_name])


def set_level(name: str) -> None:
    """Change what is logged, while everything runs. Raises KeyError for a name that is none of `LEVELS`."""
    logging.getLogger(ROOT).setLevel(LEVELS[name])


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; that nobody reads any more is no reason for more lines."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


def shape(handler: logging.Handler, level: str | None, form: str) -> None:
    """Give a handler its level, None for all there is, and its form, `plaintext` or `json`."""
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    if level is not None:
        handler.setLevel(LEVELS[level])


def level_of(record: logging.LogRecord) -> str:
    """The name of a line's level, as RabbitMQ has it."""
    return record.levelname.lower()


def _add(logger: logging.Logger, handler: logging.Handler, level: str | None, form: str) -> None:
    shape(handler, level, form)
    logger.addHandler(handler)


def _time_of(record: logging.LogRecord, between: str) -> str:
    second = time.strftime(f"%Y-%m-%d{between}%H:%M:%S", time.gmtime(record.created))
    return f"{second}.{int(record.created % 1 * 1e6):06d}+00:00"


def _text_of(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    return text


def _one_line(text: str) -> str:
    """Escape what would end the line or command a terminal; what a peer sent is not trusted."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
