"""A backend whose answers come when the test wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from amqp_broker.auth.backend import Credentials, Decide, Identify, Identity, Resource, Topic
from amqp_broker.auth.backends.chain import Chain, Link
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker


class SlowBackend:
    """Knows everybody whose password is `pw`, and answers no question before `answer` is called.

    Attributes:
        asked: what waits for an answer, in order.
        refuses: what is not allowed: resources and topics by name, vhosts.
    """

    checks_topics = True

    def __init__(self, broker: Broker) -> None:
        self.asked: deque[tuple[object, Callable[[], None]]] = deque()
        self.refuses: set[str] = set()
        self.expires_at: float | None = None
        broker.auth = Chain([Link(self, self)])

    def answer(self) -> object:
        """Answer the oldest question; gives what it was."""
        question, give = self.asked.popleft()
        give()
        return question

    def answer_all(self) -> list[object]:
        """Answer until nothing is asked any more."""
        answered = []
        while self.asked:
            answered.append(self.answer())
        return answered

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        fits = credentials.password in (None, b"pw")
        identity = Identity(credentials.name, frozenset(), self, self.expires_at) if fits else None
        self.asked.append((credentials, lambda: done(identity)))

    def may_open(self, identity: Identity, vhost: str, peer: Peer, done: Decide) -> None:
        self.asked.append((vhost, lambda: done(vhost not in self.refuses)))

    def may_access(self, identity: Identity, resource: Resource, done: Decide) -> None:
        self.asked.append((resource, lambda: done(resource.name not in self.refuses)))

    def may_use_key(self, identity: Identity, topic: Topic, done: Decide) -> None:
        self.asked.append((topic, lambda: done(topic.routing_key not in self.refuses)))

    def renew(self, identity: Identity, secret: bytes, done: Identify) -> None:
        renewed = Identity(identity.name, frozenset(), self, self.expires_at)
        self.asked.append((secret, lambda: done(renewed if secret == b"new" else None)))
