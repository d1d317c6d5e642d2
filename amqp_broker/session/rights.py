"""What a user may do on one channel, as far as that has been asked (rules 8.10 to 8.14).

A backend that has to ask elsewhere leaves a question open: then the method that needed the answer is held,
and done again from its beginning when the answer is there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

from amqp_broker.auth.backend import Decide, Identity, Resource, Topic, Undecided
from amqp_broker.auth.permissions import Access, refusal, topic_refusal

DEFAULT_EXCHANGE_NAME = "amq.default"
"""What permissions call the exchange without a name (rule 8.10)."""

MAX_ALLOWED = 1024
"""Answers a channel remembers, of either kind."""

_Key: TypeAlias = tuple[Access, str, str]


class Asker(Protocol):
    """Who wants to do something: a connection, or a caller of the HTTP API."""

    @property
    def identity(self) -> Identity | None:
        """Who has logged in; nobody without one may do anything."""

    @property
    def user(self) -> str:
        """The name that texts show."""


class Question:
    """One question to a backend, whose answer comes at once or later.

    Attributes:
        answer: None while there is none.
        then: called when the answer comes later.
    """

    def __init__(self) -> None:
        self.answer: bool | None = None
        self.then: Callable[[], None] | None = None

    def answered(self, answer: bool) -> None:
        self.answer = answer
        if self.then is not None:
            self.then()


class Rights:
    """The permissions of a user in a vhost, on one channel or for one call of the HTTP API.

    What was allowed once is allowed until `forget` is called or the channel ends (rule 8.13); what was refused
    closes the channel, so it need not be remembered.
    """

    def __init__(self, asker: Asker, vhost: str) -> None:
        self._asker = asker
        self._vhost = vhost
        self._allowed: set[_Key] = set()
        self._allowed_topics: set[_Key] = set()
        self._late: dict[_Key, bool] = {}
        """Answers that came late, for the method that waited for them."""

    def demand(self, access: Access, kind: str, name: str) -> None:
        """Let the user do something to an exchange or a queue, whether or not it exists (rule 8.12).

        Raises:
            AMQPError: 403.
            Undecided: the answer has still to come.
        """
        key = (access, kind, name)
        if key in self._allowed:
            return
        shown = name or DEFAULT_EXCHANGE_NAME
        identity = self._asker.identity
        resource = Resource(self._vhost, "exchange" if kind == "exchange" else "queue", shown, access)
        if identity is None or not self._decide(key, partial(identity.authorizer.may_access, identity, resource)):
            raise refusal(access, kind, shown, self._vhost, self._asker.user)
        _remember(self._allowed, key)

    def demand_key(self, access: Access, exchange: str, routing_key: str) -> None:
        """Let the user publish or bind with a routing key, at an exchange of type topic (rule 8.14).

        Raises:
            AMQPError: 403.
            Undecided: the answer has still to come.
        """
        key = (access, exchange, routing_key)
        if key in self._allowed_topics:
            return
        identity = self._asker.identity
        topic = Topic(self._vhost, exchange, routing_key, access)
        if identity is None or not self._decide(key, partial(identity.authorizer.may_use_key, identity, topic)):
            raise topic_refusal(access, routing_key, exchange, self._vhost, self._asker.user)
        _remember(self._allowed_topics, key)

    @property
    def has_topics(self) -> bool:
        """Whether routing keys are looked at as well."""
        identity = self._asker.identity
        return identity is not None and identity.authorizer.checks_topics

    def forget(self) -> None:
        """Ask again from now on (rule 1.37)."""
        self._allowed.clear()
        self._allowed_topics.clear()

    def forget_late(self) -> None:
        """Forget the answers that a held method waited for; it is done."""
        self._late.clear()

    def _decide(self, key: _Key, ask: Callable[[Decide], None]) -> bool:
        late = self._late.get(key)
        if late is not None:
            return late
        question = Question()
        ask(question.answered)
        if question.answer is None:
            raise Undecided(partial(self._when_answered, question, key))
        return question.answer

    def _when_answered(self, question: Question, key: _Key, callback: Callable[[], None]) -> None:
        def answered() -> None:
            self._late[key] = bool(question.answer)
            callback()

        question.then = answered


def _remember(allowed: set[_Key], key: _Key) -> None:
    if len(allowed) >= MAX_ALLOWED:
        allowed.clear()
    allowed.add(key)
