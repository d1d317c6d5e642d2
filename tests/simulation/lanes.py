"""Clients of the simulation: each a channel with what it has published, what it has been promised, what it holds.

A client uses a channel for nothing else while it waits for an answer, except that publishers sometimes go on:
what they send is then held by the broker.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicDeliver,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    Command,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionUnblocked,
    Method,
    ReplyCode,
    parse_content_header,
)
from tests.simulation.ledger import Content, number_of
from tests.support.client import ChannelClient, Client

Answered = Callable[[Command], None]


@attrs.frozen
class Delivered:
    """A message that came to a client.

    Attributes:
        content: has no extra keys and no deaths: nobody shows them.
        tag: of the consumer; empty for what was got.
        offset: in a stream; None for what comes from no stream.
    """

    queue_id: int
    number: int
    redelivered: bool
    content: Content
    tag: str = ""
    offset: int | None = None

    @property
    def expires(self) -> bool:
        return parse_content_header(self.content.header).expiration is not None


@attrs.frozen
class Subscription:
    queue: str
    queue_id: int
    no_ack: bool


class Lane:
    """One channel.

    Attributes:
        mode: "confirm", "tx" or "plain".
        asked: the numbers of mandatory messages that no queue got and that are to come back.
        unconfirmed: publish number on the channel → number of the message.
        uncommitted: numbers of messages published since the last commit.
        out: delivery tag → what it was.
        settled: what was settled since the last commit.
        released: those of them that are gone with the commit.
        order: by queue id, the last position delivered for the first time.
        offsets: by consumer of a stream, the last one it got.
        is_closed: the channel is gone.
    """

    def __init__(self, channel: ChannelClient, mode: str) -> None:
        self.channel = channel
        self.mode = mode
        self.published = 0
        self.asked: set[int] = set()
        self.unconfirmed: dict[int, int] = {}
        self.uncommitted: list[int] = []
        self.out: dict[int, Delivered] = {}
        self.settled: list[Delivered] = []
        self.released: list[Delivered] = []
        self.order: dict[int, int] = {}
        self.offsets: dict[str, int] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.is_closed = False
        self._waiting: tuple[type[Method], Answered] | None = None

    @property
    def client(self) -> Client:
        return self.channel.client

    @property
    def is_idle(self) -> bool:
        """It may do anything."""
        return self._waiting is None and self.may_publish

    @property
    def may_publish(self) -> bool:
        return not self.is_closed and self.client.connection.may_read

    @property
    def held(self) -> list[Delivered]:
        """All that the broker counts as out."""
        return [*self.out.values(), *self.settled]

    def ask(self, method: Method, kind: type[Method], answered: Answered = lambda _: None) -> None:
        """Send a method and wait for its answer; what the method does is done when this returns."""
        assert self._waiting is None
        self._waiting = (kind, answered)
        self.channel.send(method)

    def take(self, command: Command, observer: Observer) -> None:
        """Take in a command of the broker."""
        method = command.method
        if isinstance(method, BasicDeliver):
            subscription = self.subscriptions[method.consumer_tag]
            delivered = _delivered(command, subscription.queue_id, method.redelivered, method)
            if not subscription.no_ack:
                self.out[method.delivery_tag] = delivered
            observer.delivered(self, delivered, is_gone=subscription.no_ack)
        elif isinstance(method, BasicAck | BasicNack):
            self._confirmed(method, observer)
        elif isinstance(method, BasicReturn):
            assert command.body is not None
            self.asked.remove(number_of(command.body))
        elif isinstance(method, BasicCancel):
            del self.subscriptions[method.consumer_tag]
        elif isinstance(method, ChannelClose):
            assert "partial tx completion" in method.reply_text, method
            self.is_closed = True
            self.out.clear()
            self.settled.clear()
            self.subscriptions.clear()
            self._waiting = None
            self.channel.send(ChannelCloseOk())
        else:
            assert self._waiting is not None, f"{method!r} came, nobody asked"
            kind, answered = self._waiting
            if kind is BasicGetOk and isinstance(method, BasicGetEmpty):
                self._waiting = None
                return
            assert isinstance(method, kind), f"{method!r} came, not {kind.__name__}"
            self._waiting = None
            answered(command)

    def _confirmed(self, method: BasicAck | BasicNack, observer: Observer) -> None:
        last = method.delivery_tag
        assert last in self.unconfirmed, f"{method!r} confirms twice, or what was never published"
        tags = [tag for tag in self.unconfirmed if tag <= last] if method.multiple else [last]
        for tag in tags:
            number = self.unconfirmed.pop(tag)
            assert number not in self.asked, "the confirm came before the return"
            if isinstance(method, BasicAck):
                observer.promised(number)


class Observer:
    """Who wants to know what clients see."""

    def delivered(self, lane: Lane, delivered: Delivered, *, is_gone: bool) -> None:
        raise NotImplementedError

    def promised(self, number: int) -> None:
        raise NotImplementedError


def take_all(client: Client, lanes: dict[int, Lane], observer: Observer) -> None:
    """Take in all that has come to a client."""
    client.pump()
    while client.inbox:
        command = client.inbox.popleft()
        if command.channel_id == 0:
            if isinstance(command.method, ConnectionClose):
                assert command.method.reply_code == ReplyCode.CONNECTION_FORCED, command.method
            else:
                assert isinstance(command.method, ConnectionBlocked | ConnectionUnblocked), command.method
        else:
            lanes[command.channel_id].take(command, observer)


def _delivered(command: Command, queue_id: int, redelivered: bool, method: BasicDeliver | BasicGetOk) -> Delivered:
    assert command.header is not None
    assert command.body is not None
    address = b"".join(
        bytes((len(octets),)) + octets for octets in (method.exchange.encode(), method.routing_key.encode())
    )
    content = Content(address, command.header.raw, command.body, (), ())
    tag = method.consumer_tag if isinstance(method, BasicDeliver) else ""
    offset = (command.header.properties.headers or {}).get("x-stream-offset")
    assert offset is None or isinstance(offset, int)
    return Delivered(queue_id, number_of(command.body), redelivered, content, tag, offset)


def got(command: Command, queue_id: int) -> Delivered:
    """What a `basic.get-ok` brought."""
    method = command.method
    assert isinstance(method, BasicGetOk)
    return _delivered(command, queue_id, method.redelivered, method)
