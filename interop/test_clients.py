"""Every client library plays the scenario of `clients/scenario.json`, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from interop.conftest import TlsUrl
from interop.drivers import DEADLINE_S, DRIVERS, expected_when_restarted, lines_of
from interop.proxy import proxied
from interop.restartable import Restartable


def forget(url: str) -> None:
    """Nothing of the scenario is on the broker."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_delete("interop.clients")
        channel.exchange_delete("interop.clients")


@pytest.fixture
def url(broker_url: str) -> Iterator[str]:
    forget(broker_url)
    yield broker_url
    forget(broker_url)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are built."""
    return tmp_path_factory.mktemp("workshop")


@pytest.mark.parametrize("library", DRIVERS)
def test_it_plays_the_scenario(url: str, library: str, workshop: Path) -> None:
    driver = DRIVERS[library]
    assert driver.told(workshop, url) == driver.expected()


@pytest.mark.long
@pytest.mark.parametrize("library", DRIVERS)
def test_it_plays_the_scenario_over_tls(broker_over_tls: TlsUrl, library: str, workshop: Path) -> None:
    driver = DRIVERS[library]
    forget(broker_over_tls.plain_url)
    assert driver.told(workshop, broker_over_tls.url, ca=broker_over_tls.ca) == driver.expected()


@pytest.mark.long
@pytest.mark.parametrize("library", DRIVERS)
def test_it_comes_back_when_the_broker_was_killed(restartable: Restartable, library: str, workshop: Path) -> None:
    """What was confirmed, and not acknowledged, is delivered again by the broker that comes back."""
    forget(restartable.url)
    with (
        proxied(restartable.url) as proxy,
        DRIVERS[library].playing(workshop, proxy.url, "restart") as process,
    ):
        while "waiting" not in process.wait_line(deadline_s=DEADLINE_S):
            pass
        restartable.settle()
        proxy.refuse()
        restartable.restart()
        proxy.lead_to(restartable.url)
        while "came back" not in process.wait_line(deadline_s=DEADLINE_S):
            pass
        assert process.wait_exit(deadline_s=DEADLINE_S) == 0, process.errors
        assert lines_of(process) == expected_when_restarted()
        assert proxy.accepted > 1


def test_the_tools_in_c_publish_and_consume(url: str) -> None:
    if shutil.which("amqp-publish") is None:
        pytest.skip("no amqp-publish: apt install amqp-tools")

    def tool(name: str, *arguments: str) -> str:
        command = [f"amqp-{name}", "--url", url, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20, env=dict(os.environ)
        ).stdout

    queue = "interop.clients"
    assert tool("declare-queue", "--queue", queue, "--durable").strip() == queue
    properties = ["--persistent", "--content-type", "text/plain", "--header", "answer: 42", "--reply-to", "somewhere"]
    for body in ("one", "zwei äöü"):
        tool("publish", "--routing-key", queue, *properties, "--body", body)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        method, seen, body = channel.basic_get(queue)
        assert (body, seen.delivery_mode, seen.content_type, seen.reply_to) == (b"one", 2, "text/plain", "somewhere")
        assert seen.headers == {"answer": "42"}
        channel.basic_nack(method.delivery_tag, requeue=True)
    assert tool("consume", "--queue", queue, "--count", "2", "cat") == "onezwei äöü"
    tool("publish", "--routing-key", queue, "--body", "three")
    assert tool("get", "--queue", queue) == "three"
    tool("delete-queue", "--queue", queue)
