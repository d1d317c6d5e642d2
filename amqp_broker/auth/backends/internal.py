"""The broker's own users; every answer is there at once."""

from __future__ import annotations

from amqp_broker.auth.backend import Credentials, Decide, Identify, Identity, Resource, Topic
from amqp_broker.auth.users import Peer, Users


class InternalBackend:
    """`Users` as a backend: what it says holds from the moment it is changed."""

    def __init__(self, users: Users) -> None:
        self._users = users

    @property
    def checks_topics(self) -> bool:
        """Whether `may_use_key` can ever say no."""
        return self._users.have_topic_permissions

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        name, password, peer = credentials.name, credentials.password, credentials.peer
        if password is None:
            is_let_in = self._users.get(name) is not None and self._users.may_come_from(name, peer)
        else:
            is_let_in = self._users.login(name, password, peer)
        user = self._users.get(name) if is_let_in else None
        done(None if user is None else Identity(name, frozenset(user.tags), self))

    def may_open(self, identity: Identity, vhost: str, _peer: Peer, done: Decide) -> None:
        user = self._users.get(identity.name)
        done(user is not None and vhost in user.permissions)

    def may_access(self, identity: Identity, resource: Resource, done: Decide) -> None:
        user = self._users.get(identity.name)
        permissions = None if user is None else user.permissions.get(resource.vhost)
        done(permissions is not None and permissions.allow(resource.access, resource.name))

    def may_use_key(self, identity: Identity, topic: Topic, done: Decide) -> None:
        """Without a record for the exchange every key will do (rule 8.14)."""
        user = self._users.get(identity.name)
        permissions = None if user is None else user.topic_permissions.get((topic.vhost, topic.exchange))
        done(user is not None and (permissions is None or permissions.allow(topic.access, topic.routing_key)))

    def renew(self, identity: Identity, _secret: bytes, done: Identify) -> None:
        """A password is looked at when a client logs in, so there is nothing to renew."""
        done(identity)
