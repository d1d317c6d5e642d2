"""Traces that run: a consumer of the firehose each, and a file that what it gets is written to."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Final

import trio

from amqp_broker.administration.traces import rest_trace, resume_trace
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.inspection.traces import traced
from amqp_broker.links.board import Link, LinkKey
from amqp_broker.links.machine import LinkError
from amqp_broker.links.traces import Trace
from amqp_broker.links.uri import Uri
from amqp_broker.net.client import ClientConnection, connected
from amqp_broker.net.linking import Attempt, Task, keep_trying
from amqp_broker.net.local import open_own
from amqp_broker.vhost import TRACE_EXCHANGE
from amqp_codec import (
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    Command,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)

log = logging.getLogger(__name__)

CHANNEL: Final = 1
HIGH_OCTETS: Final = 1024 * 1024
"""Of what waits to be written; above it the queue holds the rest."""
QUEUE_OCTETS: Final = 64 * 1024 * 1024
"""What a trace's queue holds; where more comes than the disk takes, the oldest is not traced."""


def trace_directory(config: Config) -> Path | None:
    """Where traces are written; None for nowhere."""
    if config.trace_directory is not None or config.data_dir is None:
        return config.trace_directory
    return config.data_dir / "tracing"


class TraceTask(Task):
    """One trace."""

    def __init__(self, broker: Broker, key: LinkKey, trace: Trace) -> None:
        super().__init__(Link(key, {"format": trace.format, "pattern": trace.pattern}, self.restart))
        self._broker = broker
        self._trace = trace
        self._waiting = bytearray()
        self._filled = trio.Event()

    async def run(self) -> None:
        """Trace until cancelled; what fails stays that way until somebody begins it anew."""
        await keep_trying(self, self._attempt, 0, self._broker.timers.now)

    async def _attempt(self, attempt: Attempt) -> None:
        """Raises LinkError, alone or in a group."""
        resume_trace(self._broker, self._trace)
        try:
            await self._run(attempt)
        except* LinkError:
            rest_trace(self._broker, self._trace)
            raise

    async def _run(self, attempt: Attempt) -> None:
        name = f"Trace {self._trace.name}"
        stream = partial(open_own, self._broker, name)
        async with connected(Uri(), self._trace.vhost, name=name, open_local=stream) as source:
            source.on_command, source.may_read = self._take, self._may_take
            await self._consume(source)
            attempt.runs()
            await self._write(source)

    async def _consume(self, source: ClientConnection) -> None:
        await source.open_channel(CHANNEL)
        declare = QueueDeclare(exclusive=True, arguments={"x-max-length-bytes": QUEUE_OCTETS})
        queue = (await source.call(CHANNEL, declare, QueueDeclareOk)).queue
        bind = QueueBind(queue=queue, exchange=TRACE_EXCHANGE, routing_key=self._trace.pattern)
        await source.call(CHANNEL, bind, QueueBindOk)
        await source.call(CHANNEL, BasicConsume(queue=queue, no_ack=True), BasicConsumeOk)

    def _may_take(self) -> bool:
        return len(self._waiting) < HIGH_OCTETS

    def _take(self, command: Command) -> None:
        deliver, header = command.method, command.header
        if isinstance(deliver, BasicDeliver) and header is not None:
            headers, now = header.properties.headers or {}, self._broker.timers.now()
            self._waiting += traced(self._trace, deliver.routing_key, headers, command.body or b"", now)
            self._filled.set()

    async def _write(self, source: ClientConnection) -> None:
        """Write what comes until the file is full. Raises LinkError."""
        config = self._broker.config
        directory = trace_directory(config)
        assert directory is not None
        path = trio.Path(directory / self._trace.file_name)
        try:
            await path.parent.mkdir(parents=True, exist_ok=True)
            async with await trio.open_file(path, "ab") as file:
                log.info("trace %r of vhost %r is written to %s", self._trace.name, self._trace.vhost, path)
                while await file.tell() < config.trace_file_octets:
                    await self._filled.wait()
                    self._filled = trio.Event()
                    octets, self._waiting = self._waiting, bytearray()
                    source.reading_changed()
                    await file.write(octets)
                    await file.flush()
        except OSError as error:
            raise LinkError(f"{path}: {error.strerror}") from None
        raise LinkError(f"{path} is full: amqp_broker.trace_file_size is {config.trace_file_octets} octets")
