"""Definitions that are loaded when the broker starts (rule 7.14)."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from amqp_broker.administration import users
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.loading import load_definitions
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.server import Server


def test_files_of_a_directory_are_loaded_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps({"users": [{"name": "u", "password": "second"}]}))
    (tmp_path / "a.json").write_text(json.dumps({"users": [{"name": "u", "password": "first"}]}))
    (tmp_path / "c.txt").write_text("no JSON")
    broker = Server(Config(load_definitions=tmp_path)).broker
    assert users.authenticate_user(broker, "u", "second")


@pytest.mark.rule("7.14")
def test_with_definitions_nothing_else_is_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "definitions.json"
    file.write_text("{}")
    with caplog.at_level(logging.WARNING):
        broker = Server(Config(load_definitions=file)).broker
    assert (list(broker.users), broker.vhosts) == ([], {})
    assert "nobody can log in" in caplog.text


@pytest.mark.parametrize("content", [None, '{"users": [{}]}'])
def test_what_can_not_be_loaded_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidDefinitionsError, match=r"definitions\.json: "):
        Server(Config(load_definitions=file))


def test_a_file_that_was_loaded_before_is_loaded_again_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text('{"vhosts": [{"name": "v"}]}')
    broker = Broker()
    for skips_unchanged, is_there in ((False, True), (True, True), (True, False), (False, True)):
        broker.vhosts.pop("v", None)
        load_definitions(broker, file, skips_unchanged=skips_unchanged)
        assert ("v" in broker.vhosts) == is_there
    file.write_text('{"vhosts": [{"name": "v"}, {"name": "w"}]}')
    load_definitions(broker, file, skips_unchanged=True)
    assert "w" in broker.vhosts
