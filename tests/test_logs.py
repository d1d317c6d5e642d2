"""The log: a line an event, in either form; levels; nothing secret in it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amqp_broker import logs
from amqp_broker.administration import users
from amqp_broker.log_rotation import Schedule
from amqp_broker.logs import LogSettings
from tests.support.client import World


@pytest.fixture(autouse=True)
def no_log_afterwards() -> Iterator[None]:
    yield
    logs.set_up(LogSettings(console=False))
    root = logging.getLogger(logs.ROOT)
    root.setLevel(logging.NOTSET)
    root.propagate = True
    for name in logs.CATEGORIES.values():
        logging.getLogger(name).setLevel(logging.NOTSET)


log = logging.getLogger("amqp_broker.test")


def written(path: Path, settings: LogSettings | None = None) -> list[str]:
    logs.set_up(settings or LogSettings(console=False, file=str(path)))
    log.info("hello %s", "a\nb\x1b[31m")
    try:
        raise ValueError("of no use")
    except ValueError:
        log.exception("failed")
    return path.read_text("utf-8").splitlines()


def test_text_is_one_line_an_event_with_time_and_level(tmp_path: Path) -> None:
    first, second = written(tmp_path / "x.log")
    assert first.endswith(r" [info] hello a\nb\x1b[31m")
    assert first[4] == "-"
    assert first[10] == " "
    assert "+00:00 [info] " in first
    assert "[error] failed" in second
    assert "ValueError: of no use" in second


def test_json_is_one_object_an_event(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    first, second = written(path, LogSettings(console=False, file=str(path), file_format="json"))
    assert json.loads(first)["msg"] == "hello a\nb\x1b[31m"
    assert json.loads(first)["level"] == "info"
    assert json.loads(second)["msg"].startswith("failed\nTraceback")


def test_levels_count_for_all_a_handler_and_a_category(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    logs.set_up(LogSettings(console=False, file=str(path), level="warning", category_levels={"connection": "debug"}))
    log.info("not this")
    logging.getLogger(logs.CATEGORIES["connection"]).debug("but this")
    logs.set_level("debug")
    log.debug("and this")
    logs.set_level("none")
    log.critical("nor this")
    assert [line.split("] ")[1] for line in path.read_text().splitlines()] == ["but this", "and this"]


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    logs.set_up(LogSettings(console=False, file="x.log", directory=tmp_path, rotation_octets=200, rotation_count=2))
    for number in range(20):
        log.info("number %d", number)
    assert path.stat().st_size <= 200
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("$H15", "2026-03-04 12:15"),
        ("$H45", "2026-03-04 11:45"),
        ("$D12", "2026-03-04 12:00"),
        ("$D13", "2026-03-03 13:00"),
        ("$W3", "2026-03-04 00:00"),
        ("$W3D13", "2026-02-25 13:00"),
        ("$W0D23", "2026-03-01 23:00"),
        ("$M4", "2026-03-04 00:00"),
        ("$M5D6", "2026-02-05 06:00"),
        ("$ML", "2026-02-28 00:00"),
    ],
)
def test_times_at_which_files_are_rotated(text: str, last: str) -> None:
    wednesday = datetime(2026, 3, 4, 12, 30, 5, tzinfo=UTC)
    assert Schedule.parse(text).last(wednesday) == datetime.fromisoformat(f"{last}+00:00")


@pytest.mark.parametrize("text", ["^$", "$", "D0", "$D24", "$H60", "$W7", "$M0", "$M32", "$D0x"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Schedule.parse(text)


def test_files_are_rotated_by_date(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("yesterday\n")
    noon = datetime.now().astimezone().replace(hour=12)
    os.utime(path, times=((noon - timedelta(days=1)).timestamp(),) * 2)
    logs.set_up(LogSettings(console=False, file=str(path), rotation_date="$D0"))
    handler = logging.getLogger(logs.ROOT).handlers[0]
    for day, text in enumerate(["today", "tomorrow"]):
        for _ in range(2):
            line = logging.makeLogRecord({"msg": text, "levelname": "info"})
            line.created = (noon + timedelta(days=day)).timestamp()
            handler.handle(line)
    files = [path, tmp_path / "x.log.1", tmp_path / "x.log.2"]
    assert [file.read_text().split()[-1] for file in files] == ["tomorrow", "today", "yesterday"]
    assert sorted(tmp_path.iterdir()) == files


SECRET = "s3cret"


def test_no_password_and_no_body_is_ever_logged(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger=logs.ROOT)
    users.add_user(world.broker, "joe", SECRET)
    for response in (f"\0joe\0{SECRET}", f"\0guest\0{SECRET}", f"{SECRET}"):
        world.connect().login(response=response.encode())
    channel = world.channel()
    with monkeypatch.context() as patched:
        patched.setattr(world.broker.auth, "authenticate", _fail)
        world.connect().login(response=f"\0joe\0{SECRET}".encode())
    monkeypatch.setattr(world.broker.vhosts["/"], "find_route", _fail)
    channel.publish("q", SECRET.encode())
    assert "internal error while handling PublishCommand" in caplog.text
    assert "internal error while handling ConnectionStartOk" in caplog.text
    assert "login refused" in caplog.text
    assert SECRET not in caplog.text


def _fail(*_: object) -> None:
    raise RuntimeError("of the test")


def test_unknown_level() -> None:
    with pytest.raises(KeyError):
        logs.set_level("loud")
