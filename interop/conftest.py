"""The broker under test: `--broker URL`, `--broker rabbitmq` for a private one, or our own executable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interop.own_broker import running_own_broker
from interop.rabbitmq import RabbitMQUnavailableError, running_rabbitmq
from tests.support.leftovers import forget_open_sockets_of_clients

__all__ = ["forget_open_sockets_of_clients"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        metavar="URL",
        help="run interop against the broker at this amqp:// URL, or 'rabbitmq' to start a private one; "
        "default: start our own",
    )


@pytest.fixture(scope="session")
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the broker listens. Tests of one session share it, so they name their queues for themselves."""
    choice: str | None = request.config.getoption("--broker")
    if choice is None:
        with running_own_broker() as url:
            yield url
    elif choice == "rabbitmq":
        try:
            with running_rabbitmq() as url:
                yield url
        except RabbitMQUnavailableError as error:
            pytest.skip(str(error))
    else:
        yield choice
