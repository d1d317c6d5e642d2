"""Log files that are begun anew at a size or at set times, as RabbitMQ writes these (`log.file.rotation.date`)."""

from __future__ import annotations

import logging
import re
from calendar import monthrange
from datetime import datetime, timedelta
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

import attrs

_WORDS = re.compile(r"\$H(?P<minute>\d{1,2})|\$(?:W(?P<weekday>[0-6])|M(?P<day>\d{1,2}|L))?(?:D(?P<hour>\d{1,2}))?")


@attrs.frozen
class Schedule:
    """Times that come again.

    Attributes:
        day: of a week, from 0 for Sunday, or of a month, from 1; a month that is too short has its last one instead.
    """

    every: Literal["hour", "day", "week", "month"]
    day: int = 0
    hour: int = 0
    minute: int = 0

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read `$H30`, `$D0`, `$W5D16`, `$M1D0`, `$ML`. Raises ValueError."""
        found = _WORDS.fullmatch(text)
        if found is None or text == "$":
            raise ValueError(text)
        minute, hour = int(found["minute"] or 0), int(found["hour"] or 0)
        day = 31 if found["day"] == "L" else int(found["day"] or found["weekday"] or 0)
        if minute > 59 or hour > 23 or day > 31 or found["day"] in ("0", "00"):
            raise ValueError(text)
        if found["minute"]:
            return cls("hour", minute=minute)
        return cls("month" if found["day"] else "week" if found["weekday"] else "day", day, hour)

    def last(self, now: datetime) -> datetime:
        """The latest of the times that is not after `now`."""
        time = now.replace(minute=self.minute, second=0, microsecond=0)
        if self.every == "hour":
            return time if time <= now else time - timedelta(hours=1)
        time = time.replace(hour=self.hour)
        if self.every == "day":
            return time if time <= now else time - timedelta(days=1)
        if self.every == "week":
            time -= timedelta(days=(now.isoweekday() - self.day) % 7)
            return time if time <= now else time - timedelta(days=7)
        this_month = self._in_month_of(time)
        return this_month if this_month <= now else self._in_month_of(time.replace(day=1) - timedelta(days=1))

    def _in_month_of(self, time: datetime) -> datetime:
        return time.replace(day=min(self.day, monthrange(time.year, time.month)[1]))


class ScheduledFileHandler(RotatingFileHandler):
    """A file that is begun anew at a size, and with the first line after each time of a schedule; in local time."""

    def __init__(self, path: Path, schedule: Schedule | None, *, octets: int, count: int) -> None:
        super().__init__(path, maxBytes=octets, backupCount=count, encoding="utf-8")
        self._schedule = schedule
        self._written_at = path.stat().st_mtime

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the standard library's name
        written_at, self._written_at = self._written_at, record.created
        if self._schedule is not None and _local(written_at) < self._schedule.last(_local(record.created)):
            return True
        return bool(super().shouldRollover(record))


def _local(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp).astimezone()
