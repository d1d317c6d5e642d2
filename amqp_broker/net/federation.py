"""Federation: what is published to an exchange, or waits in a queue, of another broker comes here as well.

Which exchanges and queues take part is said by policies (`federation-upstream`, `-set`, `-pattern`), from where by the
parameters they name. The link of an exchange has a queue at the upstream, with the bindings that the exchange has here;
that of a queue consumes there while somebody consumes here and finds nothing. A message carries in `x-received-from`
where it has been, and goes no further than `max-hops`, nor where it was before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Final

import attrs
import trio

from amqp_broker.administration.upstreams import UPSTREAM, Upstream, upstreams_for
from amqp_broker.broker import Broker
from amqp_broker.events import Event, EventKind
from amqp_broker.links.board import FEDERATION, Link, LinkKey
from amqp_broker.links.machine import ChannelClosedError
from amqp_broker.links.uri import Uri
from amqp_broker.net.client import ClientConnection, connected
from amqp_broker.net.linking import LOOK_S, Attempt, Changed, Task, keep_trying
from amqp_broker.net.local import open_own
from amqp_broker.net.mover import CHANNEL, Mover
from amqp_broker.policies import merged
from amqp_broker.queues.queue import Queue
from amqp_broker.routing.exchange import Exchange
from amqp_broker.routing.federated import RECEIVED_FROM, may_cross, received_from
from amqp_codec import (
    BasicCancel,
    BasicCancelOk,
    BasicDeliver,
    ContentHeader,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Int64,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
    Table,
    encode_address,
    encode_content_header,
)

SCRATCH_CHANNEL: Final = 2
"""For questions that close the channel where the answer is no."""
BINDING_CHANNEL: Final = 3
"""For bindings that come and go while messages flow."""

PURPOSE: Final = "x-internal-purpose"
"""The argument of queues that are a link's own; a policy for all queues does not mean them."""
BEHIND_EVERYBODY: Final = Int64(-1)
"""The priority of a queue's link among the consumers of the upstream's queue."""

CLEAN_UP_DEADLINE_S: Final = 5.0
LOCAL: Final = Uri()

_Bindings = dict[tuple[str, object], tuple[str, Table]]

_TOPOLOGY: Final = frozenset(
    {
        EventKind.EXCHANGE_CREATED,
        EventKind.EXCHANGE_DELETED,
        EventKind.QUEUE_CREATED,
        EventKind.QUEUE_DELETED,
        EventKind.VHOST_DELETED,
    }
)
_BINDINGS: Final = frozenset({EventKind.BINDING_CREATED, EventKind.BINDING_DELETED})


@attrs.frozen
class Federated:
    """What a link does.

    Attributes:
        kind: exchange or queue.
        name: of it, here.
    """

    kind: str
    name: str
    upstream: Upstream


class Watch:
    """Tells of exchanges, queues and bindings that come and go, while there are upstreams.

    Args:
        broker: the broker.
        topology: called when there may be something else to federate.
        bindings: called when bindings have changed.
    """

    def __init__(self, broker: Broker, topology: Changed, bindings: Changed) -> None:
        self._broker = broker
        self._topology = topology
        self._bindings = bindings
        self._is_watching = False

    def follow(self) -> None:
        """Begin or end to watch; whoever has no upstreams pays nothing for events."""
        wants = any(component == UPSTREAM for _, component, _ in self._broker.registry.parameters)
        if wants is not self._is_watching:
            self._is_watching = wants
            events = self._broker.events
            (events.watch if wants else events.unwatch)(self._happened)

    def end(self) -> None:
        self._broker.events.unwatch(self._happened)

    def _happened(self, event: Event) -> None:
        if event.kind in _TOPOLOGY:
            self._topology()
        elif event.kind in _BINDINGS:
            self._bindings()


def federation_wanted(broker: Broker) -> Mapping[LinkKey, Federated]:
    """The links that should run: kind, vhost, name, what it is and upstream, and what they do."""
    return {
        (FEDERATION, vhost, each.name, each.kind, each.upstream.name): each
        for vhost in broker.vhosts
        if broker.is_here(vhost)
        if broker.registry.parameters_of(vhost, UPSTREAM)
        for each in _federated(broker, vhost)
    }


def _federated(broker: Broker, vhost_name: str) -> Iterator[Federated]:
    vhost = broker.vhosts[vhost_name]
    choose = partial(upstreams_for, broker.registry, vhost_name)
    for exchange in vhost.exchanges.values():
        if exchange.name and not exchange.internal:
            for upstream in choose(merged(vhost.policies.of_exchange(exchange.name))):
                yield Federated("exchange", exchange.name, upstream)
    for queue in vhost.queues.values():
        if queue.exclusive_owner is None and PURPOSE not in queue.arguments:
            for upstream in choose(merged(vhost.policies.of_queue(queue.name, queue.options.type))):
                yield Federated("queue", queue.name, upstream)


class FederationTask(Task):
    """One link.

    Args:
        broker: the one it runs in.
        key: as `federation_wanted` gives them.
        what: what it does.
    """

    def __init__(self, broker: Broker, key: LinkKey, what: Federated) -> None:
        self._broker = broker
        self._vhost_name = key[1]
        self._what = what
        self._upstream = what.upstream
        self._source_name = (
            what.upstream.exchange or what.name if what.kind == "exchange" else what.upstream.queue or what.name
        )
        self._uri = what.upstream.uris[0]
        self._cluster_name = b""
        self.bindings_changed = Changed()
        details = {
            "type": what.kind,
            what.kind: what.name,
            f"upstream_{what.kind}": self._source_name,
            "upstream": what.upstream.name,
            "uri": self._uri.shown,
        }
        super().__init__(Link(key, details, self.restart))

    async def run(self) -> None:
        attempt = self._federate_exchange if self._what.kind == "exchange" else self._federate_queue
        await keep_trying(self, attempt, self._upstream.reconnect_delay_s, self._broker.timers.now)

    def _connected(self, *, is_upstream: bool) -> AbstractAsyncContextManager[ClientConnection]:
        name = f"Federation link (upstream: {self._upstream.name}, {self._what.kind}: {self._what.name})"
        open_local = partial(open_own, self._broker, name)
        if not is_upstream:
            return connected(LOCAL, self._vhost_name, name=name, open_local=open_local)
        self._uri = random.choice(self._upstream.uris)
        return connected(self._uri, self._vhost_name, name=name, open_local=open_local)

    # Exchanges

    async def _federate_exchange(self, attempt: Attempt) -> None:
        """Take in what the upstream's exchange gets, until cancelled or the exchange is gone. Raises LinkError."""
        async with self._connected(is_upstream=False) as here, self._connected(is_upstream=True) as there:
            for connection in (here, there):
                await connection.open_channel(CHANNEL)
            await there.open_channel(BINDING_CHANNEL)
            exchange = self._exchange()
            if exchange is None:
                return
            await self._have_exchange(there, exchange)
            queue = f"federation: {self._source_name} -> {self._broker.cluster_name}:{self._vhost_name}:{exchange.name}"
            declare = QueueDeclare(queue=queue, durable=True, arguments=self._arguments())
            await there.call(CHANNEL, declare, QueueDeclareOk)
            self._cluster_name = there.cluster_name or self._broker.cluster_name.encode()
            bound: _Bindings = {}
            await self._bind_and_unbind(there, queue, bound)
            mover = Mover(there, here, self._route, change=self._change, ack_mode=self._upstream.ack_mode)
            attempt.watch(mover, here)
            await mover.start(queue, prefetch_count=self._upstream.prefetch_count)
            attempt.runs()
            try:
                while True:
                    await self.bindings_changed.wait()
                    await self._bind_and_unbind(there, queue, bound)
            finally:
                if self.link.key not in federation_wanted(self._broker):
                    with trio.move_on_after(CLEAN_UP_DEADLINE_S, shield=True):
                        await there.call(BINDING_CHANNEL, QueueDelete(queue=queue), QueueDeleteOk)

    def _exchange(self) -> Exchange | None:
        vhost = self._broker.vhosts.get(self._vhost_name)
        return None if vhost is None else vhost.exchanges.get(self._what.name)

    async def _have_exchange(self, there: ClientConnection, exchange: Exchange) -> None:
        """Declare the upstream's exchange, as it is here, unless it is there. Raises LinkError."""
        await there.open_channel(SCRATCH_CHANNEL)
        passive = ExchangeDeclare(exchange=self._source_name, type=exchange.type, passive=True)
        try:
            await there.call(SCRATCH_CHANNEL, passive, ExchangeDeclareOk)
        except ChannelClosedError as error:
            if error.code != 404:
                raise
            declare = ExchangeDeclare(
                exchange=self._source_name,
                type=exchange.type,
                durable=exchange.durable,
                auto_delete=exchange.auto_delete,
                arguments=exchange.arguments,
            )
            await there.call(CHANNEL, declare, ExchangeDeclareOk)

    def _arguments(self) -> Table:
        arguments: Table = {PURPOSE: b"federation"}
        if self._upstream.expires_ms is not None:
            arguments["x-expires"] = Int64(self._upstream.expires_ms)
        if self._upstream.message_ttl_ms is not None:
            arguments["x-message-ttl"] = Int64(self._upstream.message_ttl_ms)
        return arguments

    async def _bind_and_unbind(self, there: ClientConnection, queue: str, bound: _Bindings) -> None:
        """Give the upstream's queue the bindings that the exchange has here; `bound` is what it has, and kept so."""
        exchange = self._exchange()
        bindings = () if exchange is None else exchange.bindings.values()
        wanted: _Bindings = {
            (binding.routing_key, binding.key.arguments): (binding.routing_key, binding.arguments)
            for binding in bindings
        }
        for key in wanted.keys() - bound.keys():
            routing_key, arguments = wanted[key]
            bind = QueueBind(queue=queue, exchange=self._source_name, routing_key=routing_key, arguments=arguments)
            await there.call(BINDING_CHANNEL, bind, QueueBindOk)
        for key in bound.keys() - wanted.keys():
            routing_key, arguments = bound[key]
            unbind = QueueUnbind(queue=queue, exchange=self._source_name, routing_key=routing_key, arguments=arguments)
            await there.call(BINDING_CHANNEL, unbind, QueueUnbindOk)
        bound.clear()
        bound.update(wanted)

    # Queues

    async def _federate_queue(self, attempt: Attempt) -> None:
        """Fetch from the upstream's queue what is wanted here, until cancelled. Raises LinkError."""
        async with self._connected(is_upstream=False) as here, self._connected(is_upstream=True) as there:
            for connection in (here, there):
                await connection.open_channel(CHANNEL)
            declare = QueueDeclare(queue=self._source_name, durable=True)
            await there.open_channel(SCRATCH_CHANNEL)
            try:
                passive = QueueDeclare(queue=self._source_name, passive=True)
                await there.call(SCRATCH_CHANNEL, passive, QueueDeclareOk)
            except ChannelClosedError as error:
                if error.code != 404:
                    raise
                await there.call(CHANNEL, declare, QueueDeclareOk)
            self._cluster_name = there.cluster_name or self._broker.cluster_name.encode()
            mover = Mover(there, here, self._route, change=self._change, ack_mode=self._upstream.ack_mode)
            attempt.watch(mover, here)
            attempt.runs()
            tag, arguments = self._upstream.consumer_tag, {"x-priority": BEHIND_EVERYBODY}
            while True:
                while not self._is_wanted():  # noqa: ASYNC110 - queues tell nobody when they run dry
                    await trio.sleep(LOOK_S)
                await mover.start(
                    self._source_name,
                    prefetch_count=self._upstream.prefetch_count,
                    arguments=dict(arguments),
                    consumer_tag=tag,
                )
                while self._is_wanted():  # noqa: ASYNC110 - the same
                    await trio.sleep(LOOK_S)
                await there.call(CHANNEL, BasicCancel(consumer_tag=tag), BasicCancelOk)

    def _is_wanted(self) -> bool:
        """Somebody consumes here, and nothing waits for that one."""
        queue = self._queue()
        return queue is not None and bool(queue.consumers) and queue.message_count == 0

    def _queue(self) -> Queue | None:
        vhost = self._broker.vhosts.get(self._vhost_name)
        return None if vhost is None else vhost.queues.get(self._what.name)

    # Messages

    def _route(self, deliver: BasicDeliver, header: ContentHeader) -> bytes | None:
        """Where a message goes here; None when it has been here, or far enough."""
        if self._what.kind == "exchange":
            here = (self._broker.cluster_name.encode(), self._vhost_name.encode())
            if not may_cross(header.properties, self._upstream.max_hops, here):
                return None
            return encode_address(self._what.name, deliver.routing_key)
        return encode_address("", self._what.name)

    def _change(self, deliver: BasicDeliver, header: ContentHeader) -> bytes:
        """Write where it came from into a message."""
        properties = header.properties
        hop: Table = {
            "uri": self._uri.shown.encode(),
            self._what.kind: self._source_name.encode(),
            "redelivered": deliver.redelivered,
            "cluster-name": self._cluster_name,
            "vhost": (self._uri.vhost or self._vhost_name).encode(),
        }
        headers = {**(properties.headers or {}), RECEIVED_FROM: [hop, *received_from(properties)]}
        user_id = properties.user_id if self._upstream.trusts_user_id else None
        return encode_content_header(replace(properties, headers=headers, user_id=user_id), header.body_size)
