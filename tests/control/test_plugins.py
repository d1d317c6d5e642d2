"""rabbitmq-plugins: what is built in is enabled, what is not here is told."""

from __future__ import annotations

import pytest

from amqp_broker.ctl import main, plugins


def test_enabling_what_is_built_in_succeeds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/bin/rabbitmq-plugins"])
    assert main.main(["enable", "--offline", "rabbitmq_management", "rabbitmq_prometheus"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["  rabbitmq_management", "  rabbitmq_prometheus"]
    assert plugins.main(["-q", "disable", "rabbitmq_management"]) == 0
    assert capsys.readouterr().out == ""


def test_enabling_what_is_not_here_fails_unless_lenient(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugins.main(["enable", "rabbitmq_sharding"]) == 65
    assert capsys.readouterr().err == "Error:\nThe following plugins could not be found: rabbitmq_sharding\n"
    assert plugins.main(["enable", "rabbitmq_sharding", "--lenient"]) == 0
    assert "rabbitmq_sharding" in capsys.readouterr().err


def test_list_and_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugins.main(["list", "-q", "-E", "-m", "_management"]) == 0
    assert capsys.readouterr().out.split() == [
        "rabbitmq_federation_management",
        "rabbitmq_management",
        "rabbitmq_management_agent",
        "rabbitmq_shovel_management",
    ]
    assert plugins.main(["is_enabled", "rabbitmq_management"]) == 0
    assert plugins.main(["is_enabled", "rabbitmq_mqtt"]) == 69
    assert plugins.main(["frobnicate"]) == 64
    assert plugins.main(["list", "("]) == 65
