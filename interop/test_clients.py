"""Every client library plays the scenario of `clients/scenario.json`, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from interop.processes import LineProcess, python_environment

CLIENTS = Path(__file__).resolve().parent / "clients"
SCENARIO = CLIENTS / "scenario.json"
BUILD_S = 120
"""For a compiler that has never run here."""


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


def expected(*, without: Collection[str] = ()) -> list[Any]:
    """What a driver should tell, without lines, or properties, that its library can't do."""
    scenario = json.loads(SCENARIO.read_text(encoding="utf-8"))
    lines: list[Any] = [line for line in scenario["expected"] if line[0] not in without]
    received = next(line for line in lines if line[0] == "received")
    received[-1] = {name: value for name, value in scenario["properties"].items() if name not in without}
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


def test_rabbitpy_plays_all_but_a_question(url: str) -> None:
    if importlib.util.find_spec("rabbitpy") is None:
        pytest.skip("rabbitpy is not installed: pip install '.[interop]'")
    told = play(url, sys.executable, "-W", "ignore", "-m", "interop.clients.with_rabbitpy", str(SCENARIO))
    assert told == expected(without=("answer",))


JARS = [Path("/usr/share/java") / name for name in ("amqp-client.jar", "slf4j-api.jar")]


def test_the_client_in_java_plays_the_scenario(url: str) -> None:
    if shutil.which("java") is None or not all(jar.exists() for jar in JARS):
        pytest.skip("no java with RabbitMQ's client: apt install default-jdk-headless librabbitmq-client-java")
    path = ":".join(map(str, JARS))
    assert play(url, "java", "-cp", path, str(CLIENTS / "with_java.java"), str(SCENARIO)) == expected()


GO_PACKAGES = Path("/usr/share/gocode")


def test_the_client_in_go_plays_the_scenario(
    url: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("go") is None or not (GO_PACKAGES / "src/github.com/rabbitmq/amqp091-go").exists():
        pytest.skip("no go with amqp091-go: apt install golang-go golang-github-rabbitmq-amqp091-go-dev")
    monkeypatch.setenv("GO111MODULE", "off")
    monkeypatch.setenv("GOPATH", str(GO_PACKAGES))
    program = str(tmp_path_factory.mktemp("go") / "with_amqp091")
    subprocess.run(["go", "build", "-o", program, str(CLIENTS / "with_amqp091.go")], check=True, timeout=BUILD_S)
    assert play(url, program, str(SCENARIO)) == expected()


def test_the_client_in_perl_plays_the_scenario(url: str) -> None:
    look = ["perl", "-MAnyEvent::RabbitMQ", "-e", ""]
    if shutil.which("perl") is None or subprocess.run(look, capture_output=True).returncode != 0:
        pytest.skip("no perl with AnyEvent::RabbitMQ: apt install libanyevent-rabbitmq-perl")
    assert play(url, "perl", str(CLIENTS / "with_anyevent.pl"), str(SCENARIO)) == expected(without=("headers",))


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
