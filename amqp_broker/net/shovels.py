"""Dynamic shovels: a task for each parameter of component `shovel`, which moves messages as long as it is there."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from amqp_broker.administration.parameters import clear_parameter
from amqp_broker.administration.shovels import COMPONENT, QUEUE_LENGTH, End, Shovel, shovel_of, speaks_amqp_10
from amqp_broker.broker import Broker
from amqp_broker.links.board import SHOVEL, Link, LinkState
from amqp_broker.links.machine import ChannelClosedError
from amqp_broker.net.client import ClientConnection, connected
from amqp_broker.net.linking import Attempt, Task, keep_trying
from amqp_broker.net.local import open_own
from amqp_broker.net.mover import CHANNEL, Change, Mover, to_exchange, to_queue
from amqp_broker.registry import Json
from amqp_codec import (
    BasicDeliver,
    ContentHeader,
    Int64,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    Table,
    encode_content_header,
)

log = logging.getLogger(__name__)

SCRATCH_CHANNEL: Final = 2
"""For questions that close the channel where the answer is no."""


def shovels_wanted(broker: Broker) -> dict[tuple[str, ...], Json]:
    """The shovels that should run: kind, vhost and name, and what they do."""
    return {
        (SHOVEL, vhost, name): value
        for (vhost, component, name), value in broker.registry.parameters.items()
        if component == COMPONENT and vhost is not None and broker.is_here(vhost)
    }


class ShovelTask(Task):
    """One shovel.

    Args:
        broker: the one it runs in.
        key: kind, vhost and name.
        value: its parameter.
    """

    def __init__(self, broker: Broker, key: tuple[str, ...], value: Json) -> None:
        self._broker = broker
        self._value = value
        _, self._vhost, self._name = key
        self._shovel = None if speaks_amqp_10(value) else shovel_of(value)
        details = {} if self._shovel is None else _details(self._shovel)
        super().__init__(Link(key, details, self.restart))

    async def run(self) -> None:
        """Move messages until cancelled, or until it is done and its parameter goes with it."""
        now = self._broker.timers.now
        if self._shovel is None:
            self.link.reason = "AMQP 1.0 is not spoken here"
            self.link.state, self.link.changed_at = LinkState.TERMINATED, now()
            await trio.sleep_forever()
        await keep_trying(self, partial(self._attempt, self._shovel), self._shovel.reconnect_delay_s, now)
        log.info("shovel %r of vhost %r is done", self._name, self._vhost)
        clear_parameter(self._broker, self._vhost, COMPONENT, self._name)

    async def _attempt(self, shovel: Shovel, attempt: Attempt) -> None:
        """Move messages until it is done. Raises LinkError."""
        async with (
            self._connected(shovel.destination) as destination,
            self._connected(shovel.source) as source,
        ):
            for connection in (source, destination):
                await connection.open_channel(CHANNEL)
            await self._prepare_destination(destination, shovel.destination)
            queue, length = await self._prepare_source(source, shovel.source)
            limit = length if shovel.delete_after == QUEUE_LENGTH else shovel.delete_after
            if limit == 0:
                return
            end = shovel.destination
            route = to_queue(end.queue) if end.queue else to_exchange(end.exchange, end.key)
            mover = Mover(
                source,
                destination,
                route,
                change=self._change(shovel),
                ack_mode=shovel.ack_mode,
                limit=limit,
                is_mandatory=bool(end.queue),
            )
            attempt.watch(mover, destination, limit)
            await mover.start(queue, prefetch_count=shovel.prefetch_count, arguments=shovel.consumer_arguments)
            attempt.runs()
            await mover.finished.wait()

    def _connected(self, end: End) -> AbstractAsyncContextManager[ClientConnection]:
        name = f"Shovel {self._name}"
        return connected(end.uri(), self._vhost, name=name, open_local=partial(open_own, self._broker, name))

    async def _prepare_source(self, source: ClientConnection, end: End) -> tuple[str, int]:
        """Have a queue to consume from; gives its name and length."""
        if end.queue:
            return end.queue, await _declared(source, end)
        own = QueueDeclare(exclusive=True, auto_delete=True, arguments=end.queue_arguments)
        declared = await source.call(CHANNEL, own, QueueDeclareOk)
        bind = QueueBind(queue=declared.queue, exchange=end.exchange or "", routing_key=end.key or "")
        await source.call(CHANNEL, bind, QueueBindOk)
        return declared.queue, declared.message_count

    async def _prepare_destination(self, destination: ClientConnection, end: End) -> None:
        if end.queue:
            await _declared(destination, end)

    def _change(self, shovel: Shovel) -> Change | None:
        """What is done to properties; None for nothing."""
        if not (shovel.properties or shovel.adds_headers or shovel.adds_timestamp):
            return None
        hop: Table = {"shovelled-by": self._broker.cluster_name.encode(), "shovel-type": b"dynamic"}
        hop |= {"shovel-name": self._name.encode(), "shovel-vhost": self._vhost.encode()}
        hop |= {key.replace("_", "-"): str(value).encode() for key, value in self.link.details.items()}
        now = self._broker.timers.now

        def change(_deliver: BasicDeliver, header: ContentHeader) -> bytes:
            headers = dict(header.properties.headers or {})
            if shovel.adds_headers:
                earlier = headers.get("x-shovelled")
                headers["x-shovelled"] = [hop, *(earlier if isinstance(earlier, list) else [])]
            if shovel.adds_timestamp:
                headers["x-shovelled-timestamp"] = Int64(int(now()))
            properties = replace(header.properties, **shovel.properties)  # type: ignore[arg-type] # checked when declared
            if shovel.adds_headers or shovel.adds_timestamp:
                properties.headers = headers
            return encode_content_header(properties, header.body_size)

        return change


async def _declared(connection: ClientConnection, end: End) -> int:
    """Have a queue, which is declared durable if it is not there; gives its length. Raises LinkError."""
    await connection.open_channel(SCRATCH_CHANNEL)
    try:
        there = await connection.call(SCRATCH_CHANNEL, QueueDeclare(queue=end.queue, passive=True), QueueDeclareOk)
    except ChannelClosedError as error:
        if error.code != 404 or end.is_predeclared:
            raise
        declare = QueueDeclare(queue=end.queue, durable=True, arguments=end.queue_arguments)
        there = await connection.call(CHANNEL, declare, QueueDeclareOk)
    return there.message_count


def _details(shovel: Shovel) -> dict[str, str | int]:
    """What the management API shows of it, apart from how it fares."""
    details: dict[str, str | int] = {}
    for prefix, end in (("src", shovel.source), ("dest", shovel.destination)):
        details[f"{prefix}_uri"] = end.uris[0].shown
        details[f"{prefix}_protocol"] = "amqp091"
        if end.queue:
            details[f"{prefix}_queue"] = end.queue
        if end.exchange is not None:
            details[f"{prefix}_exchange"] = end.exchange
        if end.key is not None:
            details[f"{prefix}_exchange_key"] = end.key
    return details
