"""Messages from a channel of one connection to a channel of another, as fast as the slower of them allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from amqp_broker.administration.shovels import AckMode
from amqp_broker.links.machine import LinkError
from amqp_broker.links.transfer import Transfer
from amqp_broker.net.client import ClientConnection
from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicReturn,
    Command,
    ConfirmSelect,
    ConfirmSelectOk,
    ContentHeader,
    Method,
    Table,
    encode_address,
)

CHANNEL: Final = 1
"""The channel that messages go through, on both connections; it has to be open."""

_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"
_MANDATORY: Final = b"\x01"
_OPTIONAL: Final = b"\x00"

Route = Callable[[BasicDeliver, ContentHeader], "bytes | None"]
"""To which exchange and with which routing key (`encode_address`) a message goes; None: it is only taken."""

Change = Callable[[BasicDeliver, ContentHeader], bytes]
"""The content header, encoded, that a message has at the destination."""


class UnroutableError(LinkError):
    """The destination has nowhere to put a message; it stays where it was."""


class Mover:
    """Consumes, publishes, and acks what was confirmed.

    Args:
        source: where messages come from.
        destination: where they go.
        route: the address of each at the destination.
        change: what to do to their properties; None leaves them octet by octet as they are.
        ack_mode: when the source may forget them.
        limit: how many to take; None for all.
        is_mandatory: a message that reaches no queue is an error.

    Attributes:
        settled: set anew whenever nothing is on its way any more.
        finished: as many as `limit` have been moved.
    """

    def __init__(
        self,
        source: ClientConnection,
        destination: ClientConnection,
        route: Route,
        *,
        change: Change | None = None,
        ack_mode: AckMode = AckMode.ON_CONFIRM,
        limit: int | None = None,
        is_mandatory: bool = False,
    ) -> None:
        self.settled = trio.Event()
        self.finished = trio.Event()
        self._source = source
        self._destination = destination
        self._route = route
        self._change = change
        self._ack_mode = ack_mode
        self._limit = limit
        self._bits = _MANDATORY if is_mandatory else _OPTIONAL
        self._transfer = Transfer()
        self._taken = 0
        self._dropped = 0
        source.on_command, source.on_read = self._from_source, self._settle
        source.may_read = self._may_take
        destination.on_command, destination.on_read = self._from_destination, self._settle
        destination.on_sent = source.reading_changed

    @property
    def moved(self) -> int:
        """Messages that are safe at the destination, or sent to it where nothing is confirmed."""
        if self._ack_mode is AckMode.ON_CONFIRM:
            return self._transfer.confirmed + self._dropped
        return self._taken

    @property
    def pending(self) -> int:
        """Messages of which the destination has said nothing yet."""
        return self._transfer.waiting

    async def start(
        self, queue: str, *, prefetch_count: int, arguments: Table | None = None, consumer_tag: str = ""
    ) -> None:
        """Begin to move the messages of a queue.

        Raises:
            ChannelClosedError: there is no such queue, or it may not be read.
        """
        if self._ack_mode is AckMode.ON_CONFIRM:
            await self._destination.call(CHANNEL, ConfirmSelect(), ConfirmSelectOk)
        await self._source.call(CHANNEL, BasicQos(prefetch_count=prefetch_count), BasicQosOk)
        consume = BasicConsume(
            queue=queue,
            consumer_tag=consumer_tag,
            no_ack=self._ack_mode is AckMode.NO_ACK,
            arguments=arguments or {},
        )
        await self._source.call(CHANNEL, consume, BasicConsumeOk)

    def _may_take(self) -> bool:
        return not self._destination.is_full

    def _from_source(self, command: Command) -> None:
        """Send a delivery on. Raises LinkError."""
        deliver, header = command.method, command.header
        if not isinstance(deliver, BasicDeliver) or header is None:
            return
        if self._limit is not None and self._taken >= self._limit:
            return  # goes back when the connection is closed
        if command.body is None:
            raise LinkError(f"a message of {header.body_size} octets is too large to be moved", is_lasting=True)
        self._taken += 1
        address = self._route(deliver, header)
        if address is None:
            self._dropped += 1
            self._source.send(CHANNEL, BasicAck(delivery_tag=deliver.delivery_tag))
            return
        raw = header.raw if self._change is None else self._change(deliver, header)
        self._destination.publish(CHANNEL, _PUBLISH + address + self._bits, raw, command.body)
        if self._ack_mode is AckMode.ON_CONFIRM:
            self._transfer.publish(deliver.delivery_tag)
        elif self._ack_mode is AckMode.ON_PUBLISH:
            self._source.send(CHANNEL, BasicAck(delivery_tag=deliver.delivery_tag))

    def _from_destination(self, command: Command) -> None:
        """Take note of a confirm. Raises UnroutableError."""
        method = command.method
        if isinstance(method, BasicAck):
            self._transfer.acked(method.delivery_tag, multiple=method.multiple)
        elif isinstance(method, BasicNack):
            returned = self._transfer.refused(method.delivery_tag, multiple=method.multiple)
            self._tell_source(returned)
            self._taken -= len(returned)
        elif isinstance(method, BasicReturn):
            # Its confirm follows, so nothing that came before is lost by giving up here.
            self._tell_source(self._transfer.acks())
            raise UnroutableError(
                f"exchange '{method.exchange}' routes nothing with key '{method.routing_key}': {method.reply_text}",
                method.reply_code,
                is_lasting=True,
            )

    def _settle(self) -> None:
        """All that came at once has been looked at: ack what may be acked."""
        self._tell_source(self._transfer.acks())
        if self._transfer.waiting == 0:
            self.settled.set()
            if self._limit is not None and self.moved >= self._limit:
                self.finished.set()

    def _tell_source(self, methods: list[Method]) -> None:
        for method in methods:
            self._source.send(CHANNEL, method)


def to_queue(name: str) -> Route:
    """Everything to one queue, through the default exchange."""
    address = encode_address("", name)
    return lambda _deliver, _header: address


def to_exchange(exchange: str | None, key: str | None) -> Route:
    """To an exchange with a routing key; None leaves a message's own."""
    if exchange is not None and key is not None:
        address = encode_address(exchange, key)
        return lambda _deliver, _header: address
    return lambda deliver, _header: encode_address(
        deliver.exchange if exchange is None else exchange, deliver.routing_key if key is None else key
    )
