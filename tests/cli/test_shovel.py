"""`amqp-broker shovel`: what it understands and what it shows. What it does is in interop/test_shovel.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqp_broker.cli import shovel
from amqp_broker.cli.parser import UsageError

URIS = ("amqp://a", "amqp://b")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (URIS, "say which queues to move"),
        (("http://a", "amqp://b", "--queue", "q"), "http is no scheme of AMQP"),
        ((*URIS, "--queue", "=x"), "is no name"),
        ((*URIS, "--queue", "q" * 256), "at most 255 octets"),
        ((*URIS, "--queue", "q", "--prefetch", "0"), "from 1 to 65535"),
        ((*URIS, "--queue", "q", "--count", "-1"), "number of 0 or more"),
        ((*URIS, "--queues-of", "/nowhere"), "can't read /nowhere"),
        ((*URIS, "--queues-of", __file__), "is no file of definitions"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        shovel.main(arguments)
    assert "\n" not in str(caught.value)


def test_bars_follow_the_queues(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rich = pytest.importorskip("rich", reason="bars need rich: pip install 'trio-amqp-broker[top]'")
    assert rich
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with shovel.shown_progress() as progress:
        progress.begin("orders", 200)
        progress.show("orders", 50)
        progress.moved["orders"] = 50
        progress.begin("orders", 150)  # after another connection
        progress.show("orders", 200)
    assert "orders" in (text := capsys.readouterr().err)
    assert "200/200" in text


def test_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    with shovel.shown_progress() as progress:
        progress.begin("orders", 200)
        for moved in range(200):
            progress.show("orders", moved)
        progress.say("something happened")
    assert capsys.readouterr().err == "amqp-broker shovel: something happened\n"


def test_the_queues_of_definitions_are_those_of_the_vhost_that_can_be_emptied(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(
        '{"queues": [{"name": "a", "vhost": "v"}, {"name": "b", "vhost": "w"}, '
        '{"name": "s", "vhost": "v", "arguments": {"x-queue-type": "stream"}}]}'
    )
    assert shovel.queues_in(file, "v") == ["a"]
