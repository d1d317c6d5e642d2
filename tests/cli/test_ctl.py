"""amqp-brokerctl and a broker as two processes: the socket between them, statuses, the end."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_main import DEADLINE_S, PROJECT, start_ready


def ctl(*words: str, stdin: str = "") -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}"}
    done = subprocess.run(
        [sys.executable, "-m", "amqp_broker.ctl", *words],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a broker that runs."""
    path = tmp_path / "data"
    process, _ = start_ready("--data-dir", str(path))
    yield path
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_broker_is_asked_changed_and_stopped(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    assert ctl("-q", "ping", *where) == (0, "Ping succeeded\n", "")
    assert ctl(*where, "add_user", "joe", stdin="s3cret\n")[0] == 0
    assert ctl(*where, "authenticate_user", "joe", "s3cret")[0] == 0
    assert ctl(*where, "authenticate_user", "joe", "wrong")[0] == 65
    assert ctl(*where, "-s", "list_users") == (0, "guest\t[administrator]\njoe\t[]\n", "")
    assert ctl(*where, "await_startup") == (0, "", "")
    assert ctl(*where, "check_port_connectivity")[0] == 0
    assert ctl(*where, "stop")[0] == 0
    assert not list(data_dir.glob("*.sock"))
    status, output, errors = ctl(*where, "-q", "ping")
    assert (status, output) == (69, "")
    assert "no broker answers" in errors


def test_what_killed_brokers_have_left_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("AMQP_BROKER_DATA_DIR", "none")
    (tmp_path / "amqp-broker").mkdir()
    for port in range(3):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "amqp-broker" / f"{port}.sock"))
    status, _, errors = ctl("-q", "ping")
    assert status == 69
    assert errors.count(".sock: ") == 1
    assert "2 more that killed brokers have left" in errors


def test_a_directory_that_is_named_is_the_only_broker_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with contextlib.ExitStack() as running:
        other, _ = start_ready("--memory")
        running.callback(other.communicate)
        running.callback(other.kill)
        monkeypatch.setenv("AMQP_BROKER_DATA_DIR", str(tmp_path / "data"))
        assert ctl("-q", "stop")[0] == 69
        assert other.poll() is None
        process, _ = start_ready()
        running.callback(process.communicate)
        assert ctl("-q", "-t", "10", "stop")[0] == 0  # although there is another broker then
        monkeypatch.setenv("AMQP_BROKER_DATA_DIR", "none")
        assert ctl("-q", "stop")[0] == 0
        assert other.wait(DEADLINE_S) == 0


def test_the_socket_is_for_its_own_user_only(data_dir: Path) -> None:
    [path] = data_dir.glob("*.sock")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_what_can_t_be_done_is_refused_with_a_sentence(data_dir: Path) -> None:
    status, _, errors = ctl("--data-dir", str(data_dir), "eval", "1 + 1.")
    assert (status, errors) == (64, "Error:\nThere is no Erlang here that could evaluate anything.\n")


def test_waiting_for_a_broker_that_does_not_come_is_a_time_out(tmp_path: Path) -> None:
    status, _, errors = ctl("--data-dir", str(tmp_path), "-t", "0.2", "await_startup")
    assert status == 75
    assert "timed out" in errors


def test_aliases_are_the_same_command_under_its_familiar_name(data_dir: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}"}
    installed = [sys.executable, "-m", "amqp_broker", "install-aliases", str(tmp_path / "bin")]
    subprocess.run(installed, check=True, env=environment, timeout=DEADLINE_S)
    program = tmp_path / "bin" / "rabbitmqctl"
    environment["RABBITMQ_MNESIA_DIR"] = str(data_dir)
    done = subprocess.run([program, "-q", "ping"], capture_output=True, text=True, env=environment, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, "Ping succeeded\n")
    done = subprocess.run([program, "x"], capture_output=True, text=True, env=environment, timeout=DEADLINE_S)
    assert "\nrabbitmqctl [--node <node>]" in done.stderr
    server = [str(tmp_path / "bin" / "rabbitmq-server"), "--version"]
    done = subprocess.run(server, capture_output=True, text=True, env=environment, timeout=DEADLINE_S)
    assert done.stdout.startswith("amqp-broker ")
    again = subprocess.run(installed, capture_output=True, text=True, env=environment, timeout=DEADLINE_S)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_the_end_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "data"
    process, _ = start_ready("--data-dir", str(path), "--set", f"log.file={tmp_path / 'broker.log'}")
    try:
        status, output, _ = ctl("--data-dir", str(path), "log_tail", "-N", "1")
        assert (status, output.count("\n")) == (0, 1)
        assert "Server startup complete" in output
    finally:
        process.kill()
        process.communicate()
    status, _, errors = ctl("--data-dir", str(path), "log_tail", "--number", "x")
    assert (status, errors) == (65, "Error:\nnumber: 'x' is no number of lines\n")
