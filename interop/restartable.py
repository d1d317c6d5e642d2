"""A broker that is killed in the middle of something, and comes back with its messages: ours, or a RabbitMQ."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from interop.own_broker import OwnBroker, started_broker
from interop.rabbitmq import Node, running_node


class Restartable(ABC):
    """A broker that keeps its messages.

    Attributes:
        url: where it is now; ours comes back at another port.
    """

    url: str

    @abstractmethod
    def settle(self) -> None:
        """Queues declared so far outlive a kill: on RabbitMQ 3.10 one time in ten or so one did not."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL."""

    @abstractmethod
    def start(self) -> None:
        """Start it again, on what it has left on disk."""

    def restart(self) -> None:
        self.kill()
        self.start()


class Ours(Restartable):
    """Another process in the same directory."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self._options = ("--data-dir", str(directory))
        self._stack = stack
        self.start()

    def start(self) -> None:
        self._broker: OwnBroker = self._stack.enter_context(started_broker(*self._options))
        self.url = self._broker.login_url

    def settle(self) -> None:
        """It answers a declare when that is on disk."""

    def kill(self) -> None:
        self._broker.kill()

    def stop(self) -> None:
        self._broker.stop()


class RabbitMQs(Restartable):
    """The same node, on the same ports."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.url = node.url

    def start(self) -> None:
        self._node.start()

    def settle(self) -> None:
        self._node.settle()

    def kill(self) -> None:
        self._node.kill()


@contextlib.contextmanager
def running(kind: str, directory: Path) -> Iterator[Restartable]:
    """One of these.

    Args:
        kind: `ours` or `rabbitmq`.
        directory: for what ours keeps.

    Raises:
        RabbitMQUnavailableError: not installed.
    """
    with contextlib.ExitStack() as stack:
        if kind == "rabbitmq":
            yield RabbitMQs(stack.enter_context(running_node()))
        else:
            ours = Ours(directory, stack)
            yield ours
            ours.stop()
