"""What the API says of the node."""

from __future__ import annotations

from pathlib import Path

from amqp_broker.config import Config
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.resources import Resources
from tests.management.support import api_of
from tests.support.client import World


async def test_limits_and_files_are_those_that_hold() -> None:
    broker = World(Config(disk_free_limit_octets=7, memory_high_watermark_octets=11)).broker
    node = Node(broker, Resources(broker), log_paths=["/log/a"], config_paths=[Path("/etc/a.conf")])
    async with api_of(broker, node=node) as api:
        record = (await api.get(f"nodes/{node.name}")).json()
    assert (record["disk_free_limit"], record["mem_limit"]) == (7, 11)
    assert (record["log_files"], record["config_files"]) == (["/log/a"], ["/etc/a.conf"])


async def test_listeners_are_those_there_are_at_the_moment() -> None:
    broker = World().broker
    node = Node(broker, Resources(broker))
    async with api_of(broker, node=node) as api:
        assert (await api.get("overview")).json()["listeners"] == []
        node.listeners = [ListeningPort("amqp", "127.0.0.1", 5)]
        assert [each["port"] for each in (await api.get("overview")).json()["listeners"]] == [5]


async def test_settings_are_shown_without_secrets() -> None:
    broker = World(Config(default_password="secret", frame_max_octets=8192)).broker
    async with api_of(broker, ("guest", "secret")) as api:
        answer = await api.get("config/effective")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert "{frame_max_octets,8192}" in answer.text
        assert "secret" not in answer.text
        await api.put("users/mon", json={"password": "pw", "tags": "monitoring"})
        assert (await api.get("config/effective", auth=("mon", "pw"))).status_code == 401
