"""The broker as commands see it: the model, its machine, and the process around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import attrs

from amqp_broker.broker import Broker
from amqp_broker.resources import Resources

Answer: TypeAlias = "dict[str, Any] | str | None"
"""A row of a list or a line of text; None where there is nothing to tell yet, and others may have their turn."""


@attrs.frozen
class ListeningOn:
    """A port that is open, in the words of `rabbitmq-diagnostics listeners`."""

    interface: str
    port: int
    protocol: str
    purpose: str

    @property
    def text(self) -> str:
        return f"interface: {self.interface}, port: {self.port}, protocol: {self.protocol}, purpose: {self.purpose}"


@attrs.define(eq=False)
class Node:
    """What a command may look at and do.

    Attributes:
        listeners: where clients can connect.
        stop: begin an orderly stop of the process.
        log_paths: where the log is written; the console is `<stderr>` or `<stdout>`.
        config_paths: the files that settings came from.
    """

    broker: Broker
    resources: Resources
    listeners: Sequence[ListeningOn] = ()
    stop: Callable[[], None] = lambda: None
    log_paths: Sequence[str] = ()
    config_paths: Sequence[Path] = ()
    started_at: float = attrs.Factory(time.time)
    _pids: WeakKeyDictionary[object, str] = attrs.field(init=False, factory=WeakKeyDictionary)
    _last_pid: int = attrs.field(init=False, default=0)

    @property
    def name(self) -> str:
        return self.broker.config.node_name

    def pid_of(self, thing: object) -> str:
        """A name for a connection, a channel or a queue that no other has, in the form of an Erlang process id."""
        pid = self._pids.get(thing)
        if pid is None:
            self._last_pid += 1
            pid = f"<{self.name}.{int(self.started_at)}.{self._last_pid}.0>"
            self._pids[thing] = pid
        return pid


@attrs.frozen(kw_only=True)
class Request:
    """What is asked.

    Attributes:
        options: by long name without dashes; True for one without a value.
        columns: of a list.
        content: what came with the request.
    """

    vhost: str = "/"
    arguments: Sequence[object] = ()
    options: dict[str, object] = attrs.Factory(dict)
    columns: Sequence[str] = ()
    content: bytes = attrs.field(default=b"", repr=False)

    def text(self, index: int) -> str:
        """An argument, empty where there is none."""
        return str(self.arguments[index]) if index < len(self.arguments) else ""
