"""The command as users and scripts meet it: a subprocess, its two streams, signals, exit status."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 60.0


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "amqp_broker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=DEADLINE_S)
    return process.returncode, output, errors


def start_ready(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A running broker, and the URL it printed."""
    process = start("--port", "0", *arguments)
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:1] == ["ready"], process.communicate(timeout=DEADLINE_S)[1]
    return process, words[1]


@pytest.fixture
def broker() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running broker, and the URL it printed."""
    process, url = start_ready("--memory")
    yield process, url
    if process.poll() is None:
        process.kill()
    process.communicate()


def connect(url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(f"{url}/%2F"))


def test_ready_line_is_all_there_is_on_standard_output(broker: tuple[subprocess.Popen[str], str]) -> None:
    process, url = broker
    assert url.startswith("amqp://127.0.0.1:")
    connect(url).close()
    process.terminate()
    status, rest, errors = finish(process)
    assert (status, rest) == (0, "")
    assert "listening on" in errors
    assert "Server startup complete" in errors


@pytest.mark.rule("1.42")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_connections_with_320_and_exits_0(
    broker: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, url = broker
    connection = connect(url)
    process.send_signal(number)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(DEADLINE_S)
    assert closed.value.reply_code == 320
    assert closed.value.reply_text == ("CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
    assert finish(process)[0] == 0


def test_a_second_signal_ends_at_once(broker: tuple[subprocess.Popen[str], str]) -> None:
    process, url = broker
    address = url.rpartition(":")
    with socket.create_connection(("127.0.0.1", int(address[2]))) as silent:
        silent.sendall(b"AMQP\x00\x00\x09\x01")
        silent.recv(4096)
        stays = connect(url)  # never answers connection.close, so the broker waits for it
        assert process.stderr is not None
        process.terminate()
        while "SIGTERM: stopping" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        assert finish(process)[0] == 128 + signal.SIGTERM
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            stays.process_data_events(DEADLINE_S)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "--port: expected a port, 0 to 65535, or none, found '70000'"),
        (["--prot=1"], "unrecognized arguments: --prot=1"),
        (["--memory", "--data-dir", "x"], "not allowed with argument"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
        (["--host", "no.such.host.invalid"], "choose another address with --host"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(arguments: list[str], says: str) -> None:
    status, output, errors = finish(start(*arguments))
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    assert errors.startswith("amqp-broker: ")
    assert says in errors


@pytest.mark.parametrize(("option", "others"), [("--port", ()), ("--management-port", ("--port", "0", "--memory"))])
def test_a_taken_port_is_one_line_and_status_2(option: str, others: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output, errors = finish(start(*others, option, str(port)))
    assert (status, output) == (2, "")
    assert errors == (
        f"amqp-broker: 127.0.0.1:{port} is in use by another process; stop it, or choose another port with {option}\n"
    )


@pytest.mark.rule("7.2", "7.3")
def test_what_is_durable_is_there_after_a_restart(tmp_path: Path) -> None:
    for is_first in (True, False):
        process, url = start_ready("--data-dir", str(tmp_path))
        connection = connect(url)
        channel = connection.channel()
        if is_first:
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.queue_declare("lost")
            for mode in (1, 2):
                channel.basic_publish("", "kept", b"%d" % mode, pika.BasicProperties(delivery_mode=mode))
        else:
            assert channel.queue_declare("kept", passive=True).method.message_count == 1
            assert channel.basic_get("kept")[2] == b"2"
            with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
                channel.queue_declare("lost", passive=True)
        connection.close()
        process.terminate()
        assert finish(process)[0] == 0


def test_a_data_directory_in_use_is_one_line_and_status_2(tmp_path: Path) -> None:
    holder, _ = start_ready("--data-dir", str(tmp_path))
    status, output, errors = finish(start("--port", "0", "--data-dir", str(tmp_path)))
    assert (status, output) == (2, "")
    assert errors == (
        f"amqp-broker: data directory {tmp_path} is in use by process {holder.pid}; "
        "stop that broker, or choose another directory with --data-dir\n"
    )
    holder.terminate()
    assert finish(holder)[0] == 0


def test_a_data_directory_that_cannot_be_made_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, output, errors = finish(start("--port", "0", "--data-dir", str(tmp_path / "file" / "dir")))
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    assert "choose one that can be written with --data-dir, or use --memory" in errors


def test_journal_check_tells_good_from_damaged(tmp_path: Path) -> None:
    process, url = start_ready("--data-dir", str(tmp_path))
    connection = connect(url)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    for number in range(3):
        channel.basic_publish("", "q", b"body %d" % number, pika.BasicProperties(delivery_mode=2))
    connection.close()
    process.terminate()
    assert finish(process)[0] == 0
    status, output, errors = finish(start("journal", "check", str(tmp_path)))
    assert (status, errors) == (0, "")
    assert "3 messages in 1 queues" in output
    status, output, _ = finish(start("journal", "dump", str(tmp_path)))
    assert status == 0
    assert output.count("PUBLISH") == 3
    segment = min((tmp_path / "segments").iterdir())
    octets = segment.read_bytes()
    segment.write_bytes(octets.replace(b"body 1", b"bodY 1"))
    status, output, _ = finish(start("journal", "check", str(tmp_path)))
    assert status == 1
    assert "DAMAGED" in output
    status, _, errors = finish(start("journal", "check", str(tmp_path / "segments")))
    assert status == 2
    assert errors.count("\n") == 1
