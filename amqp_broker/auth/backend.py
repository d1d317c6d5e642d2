"""What an authentication backend is: who a client is, and what that one may do.

A backend answers through a callable, at once or later: one that knows everybody answers before its method
returns, one that has to ask elsewhere when the answer has come. It always answers, and only once; what it
can't find out is a no. Decision record 0006 says how the session waits for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import attrs

from amqp_broker.auth.permissions import Access
from amqp_broker.auth.users import Peer


@attrs.frozen
class Credentials:
    """What a client says about itself.

    Attributes:
        name: who it wants to be.
        password: None when the mechanism vouches for the name (EXTERNAL, ANONYMOUS).
        peer: where it comes from.
    """

    name: str
    password: bytes | None = attrs.field(repr=False)
    peer: Peer


@attrs.frozen
class Identity:
    """Who has logged in.

    Attributes:
        name: as messages and error texts show it.
        tags: of these only `impersonator` matters to clients (rule 5.6).
        authorizer: who says what this one may do.
        expires_at: seconds since 1970 after which the login is worth nothing; None for never.
        grants: what the backend that let it in found out about its rights; opaque to all others.
    """

    name: str
    tags: frozenset[str]
    authorizer: AuthBackend = attrs.field(repr=False, eq=False)
    expires_at: float | None = None
    grants: object = attrs.field(default=None, repr=False)


@attrs.frozen
class Resource:
    """Something in a vhost that a user wants to touch."""

    vhost: str
    kind: Literal["exchange", "queue"]
    name: str
    access: Access


@attrs.frozen
class Topic:
    """A routing key that a user wants to publish or bind with, at an exchange of type topic (rule 8.14)."""

    vhost: str
    exchange: str
    routing_key: str
    access: Access


Decide: TypeAlias = Callable[[bool], None]
Identify: TypeAlias = Callable[["Identity | None"], None]


class AuthBackend(Protocol):
    """One place where users are known."""

    @property
    def checks_topics(self) -> bool:
        """Whether `may_use_key` can ever say no; otherwise nobody asks it."""

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        """Find out who this is; None when it isn't who it says, or is not known here."""

    def may_open(self, identity: Identity, vhost: str, peer: Peer, done: Decide) -> None:
        """Whether the user may open a vhost that exists."""

    def may_access(self, identity: Identity, resource: Resource, done: Decide) -> None:
        """Whether the user may configure, write or read an exchange or a queue."""

    def may_use_key(self, identity: Identity, topic: Topic, done: Decide) -> None:
        """Whether the user may publish (write) or bind (read) with a routing key."""

    def renew(self, identity: Identity, secret: bytes, done: Identify) -> None:
        """Take a new secret for somebody who is logged in (rule 1.37); None refuses it."""


class Undecided(Exception):
    """Whether something is allowed is not known yet: do it again when `then` calls back.

    Raised before a method has had any effect, so that all of it can be done again.
    """

    def __init__(self, then: Callable[[Callable[[], None]], None]) -> None:
        super().__init__("not decided yet")
        self.then = then
