"""Who may log in, from where, and what belongs to a user. Knows no disk: the broker tells storage what changes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import attrs

from amqp_broker.auth.passwords import NOBODYS, PasswordHash
from amqp_broker.auth.permissions import Permissions, TopicPermissions


@attrs.frozen
class Tls:
    """What was agreed on a TLS connection, in the words of RabbitMQ's lists; of the certificate nothing without one.

    Attributes:
        protocol: such as `tlsv1.3`.
        subject: a distinguished name, as the next.
        validity: from when until when.
    """

    protocol: str
    key_exchange: str
    cipher: str
    hash: str
    subject: str = ""
    issuer: str = ""
    validity: str = ""
    serial_number: str = ""


@attrs.frozen
class Peer:
    """Where a client comes from.

    Attributes:
        address: the IP address as text, empty where there is none (a Unix socket, a test).
        port: its port, 0 where there is none.
        is_encrypted: it speaks TLS.
        tls: what was agreed then; None where nobody has looked.
        certificate_name: the user that its verified certificate names (rule 1.9); empty without one.
        own_address: the broker's own end of the connection; the rest as above.
        own_port: the same.
        came_through: the node of the cluster to which it has connected; empty for this one.
    """

    address: str = ""
    port: int = 0
    is_encrypted: bool = False
    certificate_name: str = ""
    own_address: str = ""
    own_port: int = 0
    tls: Tls | None = None
    came_through: str = ""

    @property
    def is_loopback(self) -> bool:
        if not self.address:
            return True
        try:
            address = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)

    @property
    def both_ends(self) -> str:
        """How RabbitMQ names a connection."""
        return f"{self} -> {_shown(self.own_address, self.own_port)}"

    def __str__(self) -> str:
        return _shown(self.address, self.port)


def _shown(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}" if host else "local"


def _as_hash(password: PasswordHash | bytes) -> PasswordHash:
    return password if isinstance(password, PasswordHash) else PasswordHash.of(password)


def _as_tuple(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(tags)


@attrs.define(eq=False, kw_only=True)
class User:
    """A user.

    Attributes:
        password: what is given as octets is hashed; blank lets nobody in (rule 1.13).
        tags: in the order they were given; of these only `impersonator` matters to clients (rule 8.15).
        permissions: by vhost; a vhost that is missing can't be opened (rule 1.30).
        topic_permissions: by vhost and exchange; where there is none, every routing key will do (rule 8.14).
        max_connections: None or a negative number for no limit (rule 8.8).
        max_channels: over all connections; None or a negative number for no limit (rule 2.3).
    """

    name: str
    password: PasswordHash = attrs.field(converter=_as_hash)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_as_tuple)
    permissions: dict[str, Permissions] = attrs.Factory(dict)
    topic_permissions: dict[tuple[str, str], TopicPermissions] = attrs.Factory(dict)
    max_connections: int | None = None
    max_channels: int | None = None


class Users:
    """Everybody who may log in, by name.

    Attributes:
        have_topic_permissions: somebody's routing keys are looked at.
    """

    def __init__(self, loopback_only: frozenset[str]) -> None:
        self.have_topic_permissions = False
        self._users: dict[str, User] = {}
        self._loopback_only = loopback_only

    def __iter__(self) -> Iterator[User]:
        return iter(self._users.values())

    def add(self, user: User) -> None:
        """Add a user, in the place of one of the same name."""
        self._users[user.name] = user
        self.have_topic_permissions |= bool(user.topic_permissions)

    def get(self, name: str) -> User | None:
        return self._users.get(name)

    def remove(self, name: str) -> None:
        """Forget a user, with all permissions; one who is not there is no error."""
        self._users.pop(name, None)
        self._look_for_topic_permissions()

    def set_permissions(self, name: str, vhost: str, permissions: Permissions | None) -> None:
        """Give a user access to a vhost, or take it; for a user who is not there nothing happens."""
        user = self._users.get(name)
        if user is None:
            return
        if permissions is None:
            user.permissions.pop(vhost, None)
        else:
            user.permissions[vhost] = permissions

    def set_topic_permissions(self, name: str, vhost: str, exchange: str, permissions: TopicPermissions | None) -> None:
        """Restrict a user's routing keys at an exchange, or cease to; without the user nothing happens."""
        user = self._users.get(name)
        if user is None:
            return
        if permissions is None:
            user.topic_permissions.pop((vhost, exchange), None)
            self._look_for_topic_permissions()
        else:
            user.topic_permissions[vhost, exchange] = permissions
            self.have_topic_permissions = True

    def forget_vhost(self, vhost: str) -> None:
        """Forget what anybody may do in a vhost that is no more."""
        for user in self._users.values():
            user.permissions.pop(vhost, None)
            for key in [key for key in user.topic_permissions if key[0] == vhost]:
                del user.topic_permissions[key]
        self._look_for_topic_permissions()

    def _look_for_topic_permissions(self) -> None:
        self.have_topic_permissions = any(user.topic_permissions for user in self._users.values())

    def login(self, name: str, password: bytes, peer: Peer) -> bool:
        """Check a password; a blank one never fits (rule 1.13). It takes as long if there is no such user."""
        user = self._users.get(name)
        fits = (NOBODYS if user is None else user.password).fits(password)
        return fits and user is not None and self.may_come_from(name, peer)

    def may_come_from(self, name: str, peer: Peer) -> bool:
        return name not in self._loopback_only or peer.is_loopback
