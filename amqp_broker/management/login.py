"""Who calls: from a name and a password to a `Caller`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

from amqp_broker.auth.backend import Credentials
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.management.call import Caller

T = TypeVar("T")


async def log_in(broker: Broker, name: str, password: str, peer: Peer) -> Caller | None:
    """Find out who this is and which vhosts are theirs; None when it isn't who it says."""
    identity = await answer_to(partial(broker.auth.authenticate, Credentials(name, password.encode(), peer)))
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
