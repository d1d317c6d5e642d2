"""A whole RabbitMQ moves to our broker, and back: definitions, then messages. docs/how-to/migrate-from-rabbitmq.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pika
import pytest

from interop.own_broker import OwnBroker, started_broker
from interop.processes import python_environment
from interop.rabbitmq import Node, RabbitMQUnavailableError, running_node

pytestmark = pytest.mark.long

DEADLINE_S = 60
QUEUES: dict[str, dict[str, Any]] = {
    "orders": {"x-dead-letter-exchange": "dead", "x-max-priority": 5},
    "sure": {"x-queue-type": "quorum"},
    "dead": {},
}
COUNT = 200


@pytest.fixture
def rabbitmq() -> Iterator[Node]:
    try:
        with running_node() as node:
            yield node
    except RabbitMQUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[OwnBroker]:
    with started_broker("--data-dir", str(tmp_path / "data"), "--management-port", "0") as broker:
        yield broker
        broker.stop()


def shovel(source: str, destination: str, definitions: Path) -> str:
    command = [sys.executable, "-m", "amqp_broker", "shovel", source, destination, "--queues-of", str(definitions)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=python_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(url: str) -> dict[str, list[tuple[bytes, Any, int]]]:
    """What waits in each queue; it stays. A quorum queue of RabbitMQ forgets its order by that, and counts it."""
    found: dict[str, list[tuple[bytes, Any, int]]] = {}
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            found[queue] = []
            while (got := channel.basic_get(queue))[0] is not None:
                _, properties, body = got
                found[queue].append((body, properties.headers["n"], properties.priority))  # brokers add headers to it
        found["sure"].sort(key=lambda message: int(message[0]))
    return found


def test_there_and_back(rabbitmq: Node, ours: OwnBroker, tmp_path: Path) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare("dead", "topic", durable=True)
        for queue, arguments in QUEUES.items():
            channel.queue_declare(queue, durable=True, arguments=arguments)
            for number in range(COUNT):
                properties = pika.BasicProperties(delivery_mode=2, headers={"n": number}, priority=number % 5)
                channel.basic_publish("", queue, b"%d" % number, properties)
        channel.queue_bind("dead", "dead", "#")
    rabbitmq.ctl("add_user", "ann", "her password")
    rabbitmq.ctl("set_permissions", "ann", ".*", ".*", ".*")
    before = contents(rabbitmq.url)
    assert [len(messages) for messages in before.values()] == [COUNT] * 3

    file = tmp_path / "definitions.json"
    rabbitmq.ctl("export_definitions", str(file))
    with httpx.Client(base_url=ours.management_url, auth=("guest", "guest")) as api:
        api.post("/api/definitions", content=file.read_bytes()).raise_for_status()
        moved = f"{COUNT:,} moved\n"
        assert sorted(shovel(rabbitmq.url, ours.url, file).splitlines(keepends=True)) == [
            f"{queue}: {moved}" for queue in sorted(QUEUES)
        ]
        assert contents(ours.url) == before
        assert not any(contents(rabbitmq.url).values())
        hers = ours.url.replace("amqp://", "amqp://ann:her%20password@")
        with pika.BlockingConnection(pika.URLParameters(hers)) as connection:
            assert connection.channel().is_open, "her password came with the definitions"

        back = tmp_path / "back.json"
        back.write_text(json.dumps(api.get("/api/definitions").json()))
    for queue in QUEUES:
        rabbitmq.ctl("delete_queue", queue)
    rabbitmq.ctl("import_definitions", str(back))
    shovel(ours.url, rabbitmq.url, back)
    assert contents(rabbitmq.url) == before
    assert not any(contents(ours.url).values())
