"""The broker under test: `--broker URL`, `--broker rabbitmq` for a private one, or our own executable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest

from interop.own_broker import started_broker
from interop.rabbitmq import RabbitMQUnavailableError, running_node
from tests.support.leftovers import forget_open_sockets_of_clients

__all__ = ["forget_open_sockets_of_clients"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        metavar="URL",
        help="run interop against the broker at this amqp:// URL, or 'rabbitmq' to start a private one; "
        "default: start our own",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long where everything is run; `pytest interop` runs it."""
    if {Path(argument).name for argument in config.args} >= {"tests", "interop"}:
        skip = pytest.mark.skip(reason="takes long, and `pytest interop` runs it")
        for item in items:
            if item.get_closest_marker("long") is not None:
                item.add_marker(skip)


@attrs.frozen
class Urls:
    """Where the broker under test is.

    Attributes:
        management: of its HTTP API, with name and password.
    """

    amqp: str
    management: str


@pytest.fixture(scope="session")
def broker_urls(request: pytest.FixtureRequest) -> Iterator[Urls]:
    """The broker under test. Tests of one session share it, so they name their queues for themselves."""
    choice: str | None = request.config.getoption("--broker")
    if choice is None:
        with started_broker("--memory") as broker:
            yield Urls(broker.url, broker.management_url)
            broker.stop()
    elif choice == "rabbitmq":
        try:
            with running_node(has_management=True) as node:
                yield Urls(node.url, node.management_url)
        except RabbitMQUnavailableError as error:
            pytest.skip(str(error))
    else:
        parts = urlsplit(choice)
        login = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        yield Urls(choice, f"http://{login}@{parts.hostname}:15672")


@pytest.fixture(scope="session")
def broker_url(broker_urls: Urls) -> str:
    return broker_urls.amqp


@pytest.fixture(scope="session")
def management_url(broker_urls: Urls) -> str:
    return broker_urls.management
