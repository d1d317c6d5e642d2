"""Where the control socket is."""

from __future__ import annotations

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
