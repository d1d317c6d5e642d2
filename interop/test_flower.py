"""Flower, Celery's page, which asks the management API how long the queues are."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from interop.processes import DEADLINE_S, running_python

pytest.importorskip("flower", reason="flower is not installed: pip install '.[interop]'")

QUEUE = "interop.celery"

# Its log, which says where it listens, goes to standard error.
FLOWER = "import os, sys; os.dup2(1, 2); from celery.__main__ import main; sys.argv[0] = 'celery'; main()"


SEND = "from interop.applications import celery_app as shop; [shop.add.delay(n, n) for n in range(3)]"


@pytest.fixture
def flower(broker_url: str, management_url: str) -> Iterator[str]:
    """Where its page is; three tasks wait for a worker."""
    environment = {"AMQP_URL": broker_url, "FLOWER_UNAUTHENTICATED_API": "1"}
    options = ["--port=0", "--address=127.0.0.1", f"--broker-api={management_url}/api/"]
    command = ["-c", FLOWER, "-A", "interop.applications.celery_app", "flower", *options]
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.queue_delete(QUEUE)
        with running_python("-c", SEND, env=environment) as client:
            assert client.wait_exit() == 0, client.errors
        with running_python(*command, env=environment) as process:
            while "Visit me at " not in (line := process.wait_line()):
                pass
            yield line.partition("Visit me at ")[2].strip()
        channel.queue_delete(QUEUE)


def length_of_queue(flower: str) -> dict[str, Any]:
    """What Flower says of the queue: nothing, where it got no answer within a second or two.

    RabbitMQ counts messages every few seconds, and not before; consumers later still.
    """
    ends_at = time.monotonic() + DEADLINE_S
    queues: list[dict[str, Any]] = []
    while time.monotonic() < ends_at and not any(queue.get("messages") and "consumers" in queue for queue in queues):
        with urllib.request.urlopen(f"{flower}/api/queues/length", timeout=DEADLINE_S) as response:
            queues = json.load(response)["active_queues"]
    [queue] = queues
    return queue


def test_the_page_shows_the_queues_and_their_messages(flower: str) -> None:
    queue = length_of_queue(flower)
    assert (queue["name"], queue["messages"], queue["messages_ready"], queue["consumers"]) == (QUEUE, 3, 3, 0)
    with urllib.request.urlopen(f"{flower}/broker", timeout=DEADLINE_S) as response:
        words = response.read().decode().partition("<tbody>")[2]
    assert re.findall(r"<td[^>]*>\s*([^<]*?)\s*<", words)[:5] == [QUEUE, "3", "0", "3", "0"]
