"""What a terminal and what a pipe get when the broker is ready."""

from __future__ import annotations

import io
from pathlib import Path

from amqp_broker.cli.welcome import announce
from amqp_broker.config import Config

URLS = ["amqp://127.0.0.1:5672", "http://127.0.0.1:15672", "http://127.0.0.1:15692/metrics"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(config: Config) -> str:
    out = Terminal()
    announce(URLS, config, out)
    return out.getvalue()


def test_a_pipe_gets_the_ready_line_and_nothing_else() -> None:
    out = io.StringIO()
    announce(URLS, Config(), out)
    assert out.getvalue() == f"ready {' '.join(URLS)}\n"


def test_a_terminal_is_told_what_a_newcomer_wants_to_know() -> None:
    assert shown(Config(data_dir=Path("/data"))) == (
        "amqp-broker is ready\n"
        "  clients     amqp://127.0.0.1:5672\n"
        "  management  http://127.0.0.1:15672\n"
        "  metrics     http://127.0.0.1:15692/metrics\n"
        "  login       guest / guest, from this machine only\n"
        "  data        /data\n"
        "  stop        Ctrl-C\n"
    )


def test_a_password_that_somebody_chose_is_not_shown() -> None:
    text = shown(Config(default_user="me", default_password="secret"))
    assert "secret" not in text
    assert "  login       me / (as configured)\n" in text
    assert "in memory only" in text
    assert "login" not in shown(Config(load_definitions=Path("d.json")))
