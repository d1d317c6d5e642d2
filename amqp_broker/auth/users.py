"""Who may log in, from where, and what belongs to a user. Until users are managed there is one, guest."""

from __future__ import annotations

import hmac
import ipaddress

import attrs

from amqp_broker.auth.permissions import Permissions


@attrs.frozen
class Peer:
    """Where a client comes from.

    Attributes:
        address: the IP address as text, empty where there is none (a Unix socket, a test).
        port: its port, 0 where there is none.
        is_encrypted: it speaks TLS.
        certificate_name: the user that its verified certificate names (rule 1.9); empty without one.
        own_address: the broker's own end of the connection; the rest as above.
        own_port: the same.
    """

    address: str = ""
    port: int = 0
    is_encrypted: bool = False
    certificate_name: str = ""
    own_address: str = ""
    own_port: int = 0

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


@attrs.define(eq=False, kw_only=True)
class User:
    """A user.

    Attributes:
        password: blank lets nobody in (rule 1.13).
        tags: of these only `impersonator` matters to clients (rule 5.6).
        permissions: by vhost; a vhost that is missing can't be opened (rule 1.30).
        max_connections: None for no limit.
        max_channels: over all connections; None for no limit (rule 2.3).
    """

    name: str
    password: bytes
    tags: frozenset[str] = frozenset()
    permissions: dict[str, Permissions] = attrs.Factory(dict)
    max_connections: int | None = None
    max_channels: int | None = None


class Users:
    """Everybody who may log in, by name."""

    def __init__(self, loopback_only: frozenset[str]) -> None:
        self._users: dict[str, User] = {}
        self._loopback_only = loopback_only

    def add(self, user: User) -> None:
        self._users[user.name] = user

    def get(self, name: str) -> User | None:
        return self._users.get(name)

    def login(self, name: str, password: bytes, peer: Peer) -> bool:
        """Check a password; a blank one never fits (rule 1.13)."""
        user = self._users.get(name)
        stored = b"" if user is None else user.password
        fits = hmac.compare_digest(stored, password) and bool(password)
        return fits and self.may_come_from(name, peer)

    def may_come_from(self, name: str, peer: Peer) -> bool:
        return name not in self._loopback_only or peer.is_loopback
