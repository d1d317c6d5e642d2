"""The drivers in `clients/`, one for every client library: what each needs, how it is built, and what it tells."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from interop.processes import LineProcess, python_environment

CLIENTS = Path(__file__).resolve().parent / "clients"
SCENARIO = CLIENTS / "scenario.json"
BUILD_S = 120
"""For a compiler that has never run here."""

DEADLINE_S = 60
"""For a driver to end, or to write its next line: Java compiles before it runs, RabbitMQ takes long to come back."""

JARS = [Path("/usr/share/java") / name for name in ("amqp-client.jar", "slf4j-api.jar")]
GO_PACKAGES = Path("/usr/share/gocode")
HEADERS = [Path("/usr/include") / name for name in ("amqp.h", "json-c/json.h")]
PYTHON_INSTALL = "pip install '.[interop]'"


@attrs.frozen
class Driver:
    """How a driver is run.

    Attributes:
        is_there: whether all it needs is installed.
        install: what installs that.
        command: gives the program and its first arguments; the scenario comes behind them. What has to be built is
            built into the directory that it gets, once.
        options: come behind the scenario.
        without: lines and properties of the scenario that its library can't do.
    """

    is_there: Callable[[], bool]
    install: str
    command: Callable[[Path], list[str]]
    options: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()

    @contextmanager
    def playing(self, workshop: Path, url: str, *part: str, ca: Path | None = None) -> Iterator[LineProcess]:
        """The driver's process; killed at the end if it is still there.

        Args:
            workshop: a directory for programs that have to be built.
            part: `restart` for that part of the scenario.
            ca: whom to trust for TLS.
        """
        if not self.is_there():
            pytest.skip(f"not installed: {self.install}")
        environment = python_environment() | {"AMQP_URL": url}
        if ca is not None:
            environment["AMQP_CA"] = str(ca)
        process = LineProcess([*self.command(workshop), str(SCENARIO), *self.options, *part], env=environment)
        try:
            yield process
        finally:
            process.kill()

    def told(self, workshop: Path, url: str, *, ca: Path | None = None) -> list[Any]:
        """What it tells of the scenario."""
        with self.playing(workshop, url, ca=ca) as process:
            assert process.wait_exit(deadline_s=DEADLINE_S) == 0, process.errors
            return lines_of(process)

    def expected(self) -> list[Any]:
        """What it should tell."""
        scenario = json.loads(SCENARIO.read_text(encoding="utf-8"))
        lines: list[Any] = [line for line in scenario["expected"] if line[0] not in self.without]
        received = next(line for line in lines if line[0] == "received")
        received[-1] = {name: value for name, value in scenario["properties"].items() if name not in self.without}
        return lines


def expected_when_restarted() -> list[Any]:
    lines: list[Any] = json.loads(SCENARIO.read_text(encoding="utf-8"))["expected_when_restarted"]
    return lines


def lines_of(process: LineProcess) -> list[Any]:
    return [json.loads(line) for line in process.lines]


def runs(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def in_python(package: str, module: str, *options: str, without: frozenset[str] = frozenset()) -> Driver:
    return Driver(
        lambda: importlib.util.find_spec(package) is not None,
        PYTHON_INSTALL,
        lambda _: [sys.executable, "-W", "ignore", "-m", f"interop.clients.{module}"],
        options,
        without,
    )


def in_node(package: str, file: str) -> Driver:
    return Driver(
        lambda: runs("node", "-e", f"require({package!r})"),
        f"npm install {package}, and NODE_PATH=…/node_modules",
        lambda _: ["node", str(CLIENTS / file)],
    )


def built(program: Path, *command: str, **settings: str) -> list[str]:
    """A program; the compiler's command runs unless it is there."""
    if not program.exists():
        subprocess.run(command, check=True, timeout=BUILD_S, env=os.environ | settings)
    return [str(program)]


def in_go(workshop: Path) -> list[str]:
    program = workshop / "with_amqp091"
    source = str(CLIENTS / "with_amqp091.go")
    return built(program, "go", "build", "-o", str(program), source, GO111MODULE="off", GOPATH=str(GO_PACKAGES))


def in_c(workshop: Path) -> list[str]:
    program = workshop / "with_librabbitmq"
    return built(program, "cc", "-o", str(program), str(CLIENTS / "with_librabbitmq.c"), "-lrabbitmq", "-ljson-c")


DRIVERS: dict[str, Driver] = {
    "py-amqp": in_python("amqp", "with_py_amqp"),
    "kombu": in_python("kombu", "with_kombu"),
    "aiormq": in_python("aiormq", "with_aiormq"),
    "amqpstorm": in_python("amqpstorm", "with_amqpstorm"),
    "pika-select": in_python("pika", "with_pika_callbacks", "select"),
    "pika-asyncio": in_python("pika", "with_pika_callbacks", "asyncio"),
    "rabbitpy": in_python("rabbitpy", "with_rabbitpy", without=frozenset({"answer"})),
    "amqplib": in_node("amqplib", "with_amqplib.js"),
    "rabbitmq-client": in_node("rabbitmq-client", "with_rabbitmq_client.js"),
    "bunny": Driver(
        lambda: runs("ruby", "-r", "bunny", "-e", ""),
        "apt install ruby-bunny",
        lambda _: ["ruby", str(CLIENTS / "with_bunny.rb")],
    ),
    "php-amqplib": Driver(
        lambda: runs("php", "-r", "require 'PhpAmqpLib/autoload.php';"),
        "apt install php-cli php-amqplib",
        lambda _: ["php", str(CLIENTS / "with_php_amqplib.php")],
    ),
    "java": Driver(
        lambda: shutil.which("java") is not None and all(jar.exists() for jar in JARS),
        "apt install default-jdk-headless librabbitmq-client-java",
        lambda _: ["java", "-cp", ":".join(map(str, JARS)), str(CLIENTS / "with_java.java")],
    ),
    "amqp091-go": Driver(
        lambda: shutil.which("go") is not None and (GO_PACKAGES / "src/github.com/rabbitmq/amqp091-go").exists(),
        "apt install golang-go golang-github-rabbitmq-amqp091-go-dev",
        in_go,
    ),
    "perl": Driver(
        lambda: runs("perl", "-MAnyEvent::RabbitMQ", "-e", ""),
        "apt install libanyevent-rabbitmq-perl",
        lambda _: ["perl", str(CLIENTS / "with_anyevent.pl")],
        without=frozenset({"headers"}),
    ),
    "librabbitmq": Driver(
        lambda: shutil.which("cc") is not None and all(header.exists() for header in HEADERS),
        "apt install gcc librabbitmq-dev libjson-c-dev",
        in_c,
    ),
}
