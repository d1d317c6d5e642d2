"""Where the control socket is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from amqp_broker.ctl import places


def test_in_the_data_directory() -> None:
    assert places.socket_of_directory(Path("/d")) == Path("/d/control.sock")


def test_a_path_too_long_for_a_socket_is_a_short_one_elsewhere() -> None:
    one, other = (places.socket_of_directory(Path("/" + "d" * 100 + name)) for name in "ab")
    assert one.parent == places.runtime_directory()
    assert one != other


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    places.make_private(tmp_path / "x" / "y")
    assert (tmp_path / "x" / "y").stat().st_mode & 0o077 == 0
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError):
        places.make_private(tmp_path / "open")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/u/.local/share/amqp-broker"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/amqp-broker"),
        ("linux", {"XDG_DATA_HOME": "data"}, "/home/u/.local/share/amqp-broker"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "/home/u/Library/Application Support/amqp-broker"),
        ("win32", {}, "/home/u/AppData/Local/amqp-broker"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/amqp-broker"),
    ],
)
def test_the_default_data_directory_is_where_the_platform_has_them(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **environment}.items():
        monkeypatch.setenv(name, value)
    assert places.default_data_directory() == Path(expected)
