"""`amqp-broker top`: one look in a pipe, the live table on a terminal, and what it says when nobody answers."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import attrs
import pika
import pytest

from amqp_broker.cli import top
from amqp_broker.cli.parser import UsageError
from amqp_broker.top.figures import Look, Rates
from amqp_broker.top.words import duration, octets, printable, snapshot
from tests.cli.test_main import PROJECT, start

DEADLINE_S = 60.0
"""Only decides how long a failure takes."""

HOSTILE = "a\x1b[31mq"


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    """AMQP and management of a broker that has two queues."""
    process = start("--port", "0", "--memory", "--log-level", "error")
    assert process.stdout is not None
    _, amqp, http, *_ = process.stdout.readline().split()
    with pika.BlockingConnection(pika.URLParameters(f"{amqp}/%2F")) as connection:
        channel = connection.channel()
        for name, messages in (("short", 1), (HOSTILE, 3)):
            channel.queue_declare(name)
            for _ in range(messages):
                channel.basic_publish("", name, b"")
        yield amqp, http.replace("//", "//guest:guest@")
    process.kill()
    process.communicate()


def look(at: float, published: int) -> Look:
    queue = {"vhost": "/", "name": "q", "message_stats": {"publish": published}}
    return Look(at, {"node": "n", "message_stats": {"publish": published}}, None, [queue], 5)


def test_one_look_goes_to_a_pipe(urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert top.main(["--url", urls[1], "--interval", "0.1"]) == 0
    head, totals, rates, resources, blank, columns, *queues = capsys.readouterr().out.splitlines()
    assert "trio-amqp-broker" in head
    assert totals.startswith("ready 4  unacked 0  connections 1")
    assert re.fullmatch(r"publish \d+/s  deliver \d+/s  ack \d+/s", rates)
    assert resources.endswith("alarms none")
    assert (blank, columns.split()[:4]) == ("", ["VHOST", "QUEUE", "TYPE", "READY"])
    assert [line.split()[1:4] for line in queues] == [["a�[31mq", "classic", "3"], ["short", "classic", "1"]]


def test_queues_come_in_the_order_asked_for_and_not_all_of_them(
    urls: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert top.main(["--url", urls[1], "--interval", "0.1", "--sort", "consumers", "--rows", "1"]) == 0
    assert capsys.readouterr().out.endswith("\n1 more\n")


def test_the_table_on_a_terminal_lives_until_q(urls: tuple[str, str]) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}",
        "TERM": "xterm-256color",
        "COLUMNS": "120",
        "LINES": "20",
    }
    command = [sys.executable, "-m", "amqp_broker", "top", "--url", urls[1], "--interval", "60"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = ""

    def wait_for(text: str) -> None:
        nonlocal shown
        ends = time.monotonic() + DEADLINE_S
        while text not in shown:
            readable, _, _ = select.select([ours], [], [], max(0.0, ends - time.monotonic()))
            assert readable, shown
            shown += os.read(ours, 65536).decode("utf-8", "replace")

    wait_for("sorted by messages")
    assert "short" in shown
    assert "\x1b[31mq" not in shown
    os.write(ours, b"s")
    wait_for("sorted by ready")
    os.write(ours, b"q")
    assert process.wait(DEADLINE_S) == 0
    os.close(ours)


def test_who_does_not_answer_or_does_not_let_us_look_is_a_sentence(
    urls: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert top.main(["--url", urls[1].replace("guest:guest", "guest:wrong")]) == 1
    assert "does not let this user look" in capsys.readouterr().err
    assert top.main(["--url", urls[0].replace("amqp", "http")]) == 1
    assert "no management API answers" in capsys.readouterr().err
    with pytest.raises(UsageError, match="http://user"):
        top.main(["--url", "localhost:15672"])
    with pytest.raises(UsageError, match="3600"):
        top.main(["--interval", "0"])


def test_rates_are_what_came_between_two_looks() -> None:
    rates = Rates()
    for at, published in ((10.0, 100), (12.0, 150)):
        rates.take(look(at, published))
    assert rates.of_all("publish") == 25
    assert "publish 25/s  deliver 0/s  ack 0/s" in list(snapshot(rates))
    assert rates.of_queue({"vhost": "/", "name": "new", "message_stats": {"publish": 7}}, "publish") == 0


@pytest.mark.parametrize("width", [30, 40, 48, 59, 60, 80, 120])
def test_the_names_of_queues_can_be_read_on_narrow_terminals(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console_of = pytest.importorskip("rich.console").Console
    module = pytest.importorskip("amqp_broker.top.screen")
    queue = {"vhost": "/", "name": "invoices", "messages_ready": 1234567}
    monkeypatch.setattr(module, "look_at", lambda *_: attrs.evolve(look(1.0, 0), queues=[queue]))
    screen = module.Screen("messages")
    screen.update(None, 10)
    console = console_of(width=width, file=io.StringIO())
    console.print(screen.drawn(width, 20))
    lines = console.file.getvalue().splitlines()
    assert any("invoices" in line and "1,234,567" in line for line in lines)
    assert any(line.startswith("q quit") for line in lines)
    assert max(map(len, lines)) <= width


def test_words() -> None:
    assert [octets(number) for number in (5, 1024, 1536 * 1024, 2**50)] == ["5 B", "1.0 KiB", "1.5 MiB", "1,024.0 TiB"]
    assert [duration(s * 1000) for s in (7, 61, 7500, 90000)] == ["7 s", "1 min 1 s", "2 h 5 min", "1 d 1 h"]
    assert printable(HOSTILE) == "a�[31mq"
