"""The broker under test: `--broker URL`, `--broker rabbitmq` for a private one, or our own executable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trustme

from interop.own_broker import started_broker
from interop.rabbitmq import COUNTED_OFTEN, FEDERATION, MANAGEMENT, RabbitMQUnavailableError, running_node
from interop.restartable import Restartable, running
from tests.support.leftovers import forget_open_sockets_of_clients
from tests.support.ports import free_ports

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
            yield Urls(broker.login_url, broker.management_url)
            broker.stop()
    elif choice == "rabbitmq":
        try:
            with running_node(plugins=[MANAGEMENT, FEDERATION], settings=COUNTED_OFTEN) as node:
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


@pytest.fixture(scope="module")
def restartable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """A broker of the kind under test that can be killed; its messages stay."""
    choice: str | None = request.config.getoption("--broker")
    if choice not in {None, "rabbitmq"}:
        pytest.skip("a broker at a URL is nobody's to kill")
    try:
        with running(choice or "ours", tmp_path_factory.mktemp("broker")) as broker:
            yield broker
    except RabbitMQUnavailableError as error:
        pytest.skip(str(error))


@attrs.frozen
class TlsUrl:
    """A TLS listener.

    Attributes:
        ca: the file with whom to trust for it.
        plain_url: of the same broker's listener without TLS.
    """

    url: str
    ca: Path
    plain_url: str


@pytest.fixture(scope="module")
def broker_over_tls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsUrl]:
    """A broker of the kind under test with a TLS listener; the same settings for both kinds."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "server.pem")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    (port,) = free_ports(1)
    settings = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {directory}/ca.pem\n"
        f"ssl_options.certfile = {directory}/server.pem\n"
        f"ssl_options.keyfile = {directory}/server.key\n"
    )
    url = f"amqps://guest:guest@localhost:{port}"
    choice: str | None = request.config.getoption("--broker")
    if choice is None:
        file = directory / "rabbitmq.conf"
        file.write_text(settings)
        with started_broker(
            "--memory", "--config", str(file), "--management-port", "off", "--metrics-port", "off"
        ) as broker:
            yield TlsUrl(url, directory / "ca.pem", broker.url)
            broker.stop()
    elif choice == "rabbitmq":
        try:
            with running_node(settings=settings) as node:
                yield TlsUrl(url, directory / "ca.pem", node.url)
        except RabbitMQUnavailableError as error:
            pytest.skip(str(error))
    else:
        pytest.skip("of a broker at a URL nobody knows the certificate")
