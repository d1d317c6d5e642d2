"""amqp-broker doctor: what it finds, and the exit status."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from amqp_broker.cli import doctor
from amqp_broker.cli.doctor import Verdict
from amqp_broker.config import Config, Listener
from amqp_broker.storage.lock import DirectoryLock


def verdicts(config: Config) -> list[tuple[Verdict, str]]:
    return [(finding.verdict, finding.text) for finding in doctor.data_directory(config)]


def test_a_free_port_and_one_that_is_taken() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number = sock.getsockname()[1]
        sock.listen()
        finding = doctor.port(Listener(port=number))
        assert finding.verdict is Verdict.WRONG
        assert f"taken by process {os.getpid()}" in finding.text
        assert "--port" in finding.advice
    assert doctor.port(Listener(port=0)).verdict is Verdict.WELL


def test_a_directory_that_another_broker_has(tmp_path: Path) -> None:
    assert verdicts(Config(data_dir=tmp_path / "new"))[0] == (Verdict.WELL, f"data: {tmp_path / 'new'} is new")
    with DirectoryLock(str(tmp_path)):
        verdict, text = verdicts(Config(data_dir=tmp_path))[0]
        assert verdict is Verdict.WRONG
        assert f"in use by process {os.getpid()}" in text
    assert verdicts(Config(data_dir=tmp_path))[0][0] is Verdict.WELL


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert verdicts(Config(data_dir=tmp_path / "file" / "x"))[0][0] is Verdict.WRONG


def test_too_little_room(tmp_path: Path) -> None:
    assert verdicts(Config(data_dir=tmp_path, disk_free_limit_octets=10**18))[-1][0] is Verdict.WRONG


def test_few_open_files() -> None:
    assert doctor.open_files(1024, Config()).verdict is Verdict.WARNING
    assert doctor.open_files(65536, Config()).verdict is Verdict.WELL


def test_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    well = ["--port", "0", "--data-dir", str(tmp_path), "--config", os.devnull]
    assert doctor.main(well) == 0
    assert "wrong" not in capsys.readouterr().out
    assert doctor.main([*well, "--set", "heartbeat=x"]) == 1
    assert "expected a time in whole seconds" in capsys.readouterr().out
