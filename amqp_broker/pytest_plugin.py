"""pytest fixtures: a broker for the session, and for each test a vhost of its own on it.

With `--amqp-broker-port` the broker starts before the first test, where a suite expects its RabbitMQ.

Loaded by every pytest run where this package is installed, so nothing else is imported before a test wants a broker.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from amqp_broker.embedding import EmbeddedBroker

MARKER: Final = "amqp_definitions"

LOG_LINES: Final = 200
"""What of the broker's log is kept for the report of a test that fails."""

_numbers = itertools.count(1)

_LINES: Final = pytest.StashKey[deque[str]]()

_BROKER: Final = pytest.StashKey["EmbeddedBroker"]()
"""The broker of `--amqp-broker-port`."""

_IS_SERVED: Final = "PYTEST_AMQP_BROKER_PORT"
"""Tells the processes this one starts, such as the workers of xdist, that the port has its broker."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("amqp_broker").addoption(
        "--amqp-broker-port",
        type=int,
        metavar="PORT",
        help="run an AMQP broker in memory on this port of 127.0.0.1 while the tests run: for suites that expect a "
        "RabbitMQ on 5672; with xdist one for all workers",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the broker of the whole run now: a conftest may look for it when it is imported."""
    port: int | None = early_config.known_args_namespace.amqp_broker_port
    if port is None or os.environ.get(_IS_SERVED) == str(port):
        return
    from amqp_broker.embedding import run_in_thread

    thread = run_in_thread(port=port)
    try:
        early_config.stash[_BROKER] = thread.start()
    except Exception as error:
        raise pytest.UsageError(f"no broker on port {port}: {error}") from error
    early_config.add_cleanup(thread.stop)
    os.environ[_IS_SERVED] = str(port)
    early_config.add_cleanup(partial(os.environ.__delitem__, _IS_SERVED))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(definitions): RabbitMQ definitions for the vhost of the test: a file, looked for beside the test "
        "first, or a dict",
    )


@pytest.fixture(scope="session", name="amqp_broker_settings")
def _settings() -> dict[str, Any]:
    """The fields of `amqp_broker.config.Config` for the session's broker; override it to change them."""
    return {}


@pytest.fixture(scope="session", name="amqp_broker_session")
def _session(amqp_broker_settings: dict[str, Any], pytestconfig: pytest.Config) -> Iterator[EmbeddedBroker]:
    """One broker for all tests of this process; with xdist every worker has one."""
    from amqp_broker.embedding import run_in_thread

    lines = pytestconfig.stash[_LINES] = deque(maxlen=LOG_LINES)
    handler = _Lines(lines)
    logger = logging.getLogger("amqp_broker")
    logger.addHandler(handler)
    try:
        if _BROKER in pytestconfig.stash:
            yield pytestconfig.stash[_BROKER]
            return
        with run_in_thread(**amqp_broker_settings) as broker:
            yield broker
    finally:
        logger.removeHandler(handler)


@pytest.fixture(name="amqp_broker")
def _broker(
    amqp_broker_session: EmbeddedBroker, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[EmbeddedBroker]:
    """The session's broker with a vhost that nobody else uses, gone after the test with all that is in it."""
    pytestconfig.stash[_LINES].clear()
    with amqp_broker_session.fresh_vhost(f"test-{next(_numbers)}") as broker:
        for marker in request.node.iter_markers(MARKER):
            for definitions in marker.args:
                broker.load_definitions_here(_beside(definitions, request.path))
        yield broker


@pytest.fixture(name="amqp_url")
def _url(amqp_broker: EmbeddedBroker) -> str:
    """Where clients find the test's vhost, with user and password."""
    return amqp_broker.url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was in the queues, and what the broker has to say, when a test fails that uses one."""
    report = yield
    if report.failed:
        arguments: dict[str, Any] = getattr(item, "funcargs", {})
        broker = arguments.get("amqp_broker") or arguments.get("amqp_broker_session")
        lines = item.config.stash.get(_LINES, None)
        if broker is not None:
            report.sections.append(("amqp_broker", _description(broker)))
        if broker is not None and lines:
            report.sections.append(("amqp_broker log", "\n".join(lines)))
    return report


def _description(broker: EmbeddedBroker) -> str:
    try:
        return broker.describe()
    except (LookupError, RuntimeError) as error:  # its vhost is gone, or the broker
        return str(error)


def _beside(definitions: Any, test: Path) -> Any:
    """A file that a test names: beside it, else in the current directory."""
    if isinstance(definitions, (str, Path)) and not str(definitions).lstrip().startswith("{"):
        path = test.parent / definitions
        return path if path.exists() else Path(definitions)
    return definitions


class _Lines(logging.Handler):
    """Keeps the last lines of the log."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
