"""Who calls: from a name and a password to a `Caller`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import attrs
import trio

from amqp_broker.auth.backend import Credentials
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.management.call import Caller

T = TypeVar("T")


@attrs.frozen
class Login:
    """What a caller says about itself; with a token, that is all.

    Attributes:
        password: None where another node has looked at it.
    """

    name: str
    password: str | None = attrs.field(repr=False)


def login_in_header(header: str) -> Login | None:
    """What the header `authorization` says: a name and a password, or a bearer token (RFC 6750); None for neither."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return Login("", credentials.strip())
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(name, password) if colon else None


def login_in_form(fields: Mapping[str, str]) -> Login:
    return Login(fields.get("username", ""), fields.get("password", ""))


async def log_in(broker: Broker, login: Login, peer: Peer) -> Caller | None:
    """Find out who this is and which vhosts are theirs; None when it isn't who it says."""
    credentials = Credentials(login.name, None if login.password is None else login.password.encode(), peer)
    identity = await answer_to(partial(broker.auth.authenticate, credentials))
    if identity is None:
        return None
    ask = identity.authorizer.may_open
    vhosts = [name for name in broker.vhosts if await answer_to(partial(ask, identity, name, peer))]
    return Caller(identity, peer, frozenset(vhosts))


async def answer_to(ask: Callable[[Callable[[T], None]], None]) -> T:
    """Wait for what a backend answers, now or later."""
    answers: list[T] = []
    answered = trio.Event()

    def take(answer: T) -> None:
        answers.append(answer)
        answered.set()

    ask(take)
    await answered.wait()
    return answers[0]
