"""What exchanges and their matchers share: a binding, its identity, and what a matcher can do."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    from amqp_broker.routing.exchange import Exchange
    from amqp_broker.storage.page import Page
    from amqp_codec import Properties, Table


class Destination(Protocol):
    """Where a route can end: all that routing knows of a queue. Names are unique in a vhost."""

    @property
    def name(self) -> str: ...


class Keeper(Destination, Protocol):
    """Where an exchange keeps messages: those that wait, or the last ones.

    Attributes:
        id: what storage knows it by.
    """

    id: int

    def __len__(self) -> int: ...

    def restore(self, pages: Sequence[Page], /) -> None:
        """Take over what a restart has left."""

    def delete(self) -> None:
        """Give up everything: the exchange is gone."""


Kind = Literal["queue", "exchange"]


class BindingKey(NamedTuple):
    """What makes two bindings of one source the same binding (rule 3.17)."""

    kind: Kind
    name: str
    routing_key: str
    arguments: Hashable


@attrs.frozen(eq=False)
class Binding:
    """One binding. Its identity within its source is `key`; the object itself compares by identity."""

    source: Exchange
    destination: Exchange | Destination
    routing_key: str
    arguments: Table
    key: BindingKey


class Matcher(Protocol):
    """The part of an exchange that its type decides."""

    @property
    def depends_on_message(self) -> bool:
        """True when the routing keys alone don't decide the answer, so that nobody may remember it.

        A type that asks the headers says so, and one that throws dice does too.
        """

    def check(self, routing_key: str, arguments: Table, /) -> None:
        """Refuse a binding that this type can't have.

        Raises:
            AMQPError: 406, in RabbitMQ's words.
        """

    def add(self, binding: Binding) -> None:
        """Take in a binding that is not there yet."""

    def remove(self, binding: Binding) -> None:
        """Drop a binding that was added; the same object or one with an equal `key`."""

    def match(self, routing_keys: Sequence[str], properties: Properties | None, /) -> Iterable[Exchange | Destination]:
        """Give the destinations of all bindings that match; one may come several times.

        Properties are those of the message as published; None when nobody knows them, which is for those who
        don't ask.
        The order depends on the bindings and on the message only. To be used up before the bindings
        change again.
        """
