"""Clients whose network and whose broker fail under them: nothing that was confirmed is lost, and they come back."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from interop.own_broker import OwnBroker, started_broker
from interop.processes import LineProcess, running_python
from interop.proxy import Proxy, Weather, proxied
from interop.rabbitmq import Node, RabbitMQUnavailableError, running_node
from interop.steady.playing import PAUSES, QUEUE

pytestmark = pytest.mark.long

COUNT = 60
DEADLINE_S = 60


class Restartable(ABC):
    """A broker that can be restarted, with its messages.

    Attributes:
        url: where it is now.
    """

    url: str

    @abstractmethod
    def restart(self) -> None:
        """End it as roughly as can be, and start it again."""


class Ours(Restartable):
    """SIGKILL, and another process in the same directory."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self._options = ("--data-dir", str(directory))
        self._stack = stack
        self._broker = self._start()
        self.url = self._broker.url

    def _start(self) -> OwnBroker:
        return self._stack.enter_context(started_broker(*self._options))

    def restart(self) -> None:
        self._broker.kill()
        self._broker = self._start()
        self.url = self._broker.url

    def stop(self) -> None:
        self._broker.stop()


class RabbitMQs(Restartable):
    """`stop_app` and `start_app`: its Erlang machine stays."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.url = node.url

    def restart(self) -> None:
        self._node.ctl("stop_app")
        self._node.ctl("start_app")


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    choice = request.config.getoption("--broker")
    with contextlib.ExitStack() as stack:
        if choice is None:
            ours = Ours(tmp_path_factory.mktemp("broker"), stack)
            yield ours
            ours.stop()
        elif choice == "rabbitmq":
            try:
                yield RabbitMQs(stack.enter_context(running_node()))
            except RabbitMQUnavailableError as error:
                pytest.skip(str(error))
        else:
            pytest.skip("a broker at a URL is nobody's to restart")


def nothing(_proxy: Proxy, _broker: Restartable) -> None:
    """The weather is bad enough."""


def restart(proxy: Proxy, broker: Restartable) -> None:
    broker.restart()
    proxy.lead_to(broker.url)


TROUBLES: dict[str, tuple[Weather, Callable[[Proxy, Restartable], None]]] = {
    "restart": (Weather(), restart),
    "cut": (Weather(), lambda proxy, _: proxy.cut()),
    "silence": (Weather(), lambda proxy, _: proxy.go_silent()),
    "crumbs": (Weather(piece_octets=7), nothing),
    "lumps": (Weather(gather_s=0.02), lambda proxy, _: proxy.cut()),
    "slow": (Weather(delay_s=0.01), lambda proxy, _: proxy.cut()),
    "cut anywhere": (Weather(cut_after=1500, cut_answers_after=1900), nothing),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("client", ["pika", "aio_pika", "kombu", "amqp"])
def test_what_was_confirmed_arrives(broker: Restartable, client: str, trouble: str) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed: pip install '.[interop]'")
    weather, strike = TROUBLES[trouble]
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.channel().queue_delete(QUEUE)
    module = f"interop.steady.with_{'py_amqp' if client == 'amqp' else client}"
    with proxied(broker.url, weather) as proxy:
        environment = {"AMQP_URL": proxy.url}
        with (
            running_python("-m", module, "consume", env=environment) as consumer,
            running_python("-m", module, "publish", str(COUNT), env=environment) as publisher,
        ):
            consumer.wait_line("ready", deadline_s=DEADLINE_S)
            for number in PAUSES:
                publisher.wait_line(f"waiting {number}", deadline_s=DEADLINE_S)
                strike(proxy, broker)
                publisher.write_line()
            publisher.wait_line("done", deadline_s=DEADLINE_S)
            wait_for_all(consumer)
            if strike is not nothing or weather.cut_after is not None:
                assert (
                    any(line.startswith("lost") for line in [*publisher.lines, *consumer.lines]) or proxy.accepted > 2
                )
    confirmed = [line for line in publisher.lines if line.startswith("confirmed")]
    assert confirmed == [f"confirmed {number}" for number in range(COUNT)]


def wait_for_all(consumer: LineProcess) -> None:
    """Read what the consumer got until it has everything. Raises ProcessError after the deadline."""
    missing = {f"got {number}" for number in range(COUNT)} - set(consumer.lines)
    while missing:
        missing.discard(consumer.wait_line("got", deadline_s=DEADLINE_S))
        missing -= set(consumer.lines)
