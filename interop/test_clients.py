"""Every client library plays the scenario of `clients/scenario.json`, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from interop.processes import LineProcess, python_environment

CLIENTS = Path(__file__).resolve().parent / "clients"
SCENARIO = CLIENTS / "scenario.json"


@contextlib.contextmanager
def forgotten(url: str) -> Iterator[None]:
    """Nothing of the scenario is on the broker, before and after."""

    def forget() -> None:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.queue_delete("interop.clients")
            channel.exchange_delete("interop.clients")

    forget()
    yield
    forget()


@pytest.fixture
def url(broker_url: str) -> Iterator[str]:
    with forgotten(broker_url):
        yield broker_url


def play(url: str, *argv: str) -> list[Any]:
    """What a driver told of the scenario."""
    environment = python_environment() | {"AMQP_URL": url}
    process = LineProcess(argv, env=environment)
    try:
        status = process.wait_exit()
    finally:
        process.kill()
    assert status == 0, process.errors
    return [json.loads(line) for line in process.lines]


def expected() -> list[Any]:
    scenario = json.loads(SCENARIO.read_text(encoding="utf-8"))
    lines: list[Any] = scenario["expected"]
    received = next(line for line in lines if line[0] == "received")
    received[-1] = scenario["properties"]
    return lines


@pytest.mark.parametrize(
    ("package", "driver"),
    [
        ("amqp", ["with_py_amqp"]),
        ("kombu", ["with_kombu"]),
        ("aiormq", ["with_aiormq"]),
        ("amqpstorm", ["with_amqpstorm"]),
        ("pika", ["with_pika_callbacks", "select"]),
        ("pika", ["with_pika_callbacks", "asyncio"]),
    ],
    ids=["py-amqp", "kombu", "aiormq", "amqpstorm", "pika-select", "pika-asyncio"],
)
def test_a_client_in_python_plays_the_scenario(url: str, package: str, driver: list[str]) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[interop]'")
    module, *arguments = driver
    assert play(url, sys.executable, "-m", f"interop.clients.{module}", str(SCENARIO), *arguments) == expected()


def node_has(package: str) -> bool:
    node = shutil.which("node")
    return (
        node is not None and subprocess.run([node, "-e", f"require({package!r})"], capture_output=True).returncode == 0
    )


@pytest.mark.parametrize(
    ("package", "driver"), [("amqplib", "with_amqplib.js"), ("rabbitmq-client", "with_rabbitmq_client.js")]
)
def test_a_client_in_node_plays_the_scenario(url: str, package: str, driver: str) -> None:
    if not node_has(package):
        pytest.skip(f"no node that finds {package}: npm install {package}, NODE_PATH=…/node_modules")
    assert play(url, "node", str(CLIENTS / driver), str(SCENARIO)) == expected()


@pytest.mark.parametrize(
    ("command", "driver"),
    [
        (["ruby", "-r", "bunny", "-e", ""], "with_bunny.rb"),
        (["php", "-r", "require 'PhpAmqpLib/autoload.php';"], "with_php_amqplib.php"),
    ],
    ids=["bunny", "php-amqplib"],
)
def test_a_client_of_debian_plays_the_scenario(url: str, command: list[str], driver: str) -> None:
    if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip(f"no {command[0]} with its client library: apt install ruby-bunny php-cli php-amqplib")
    assert play(url, command[0], str(CLIENTS / driver), str(SCENARIO)) == expected()


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
