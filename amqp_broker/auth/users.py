"""Who may log in: until users are managed there is one, guest, from loopback addresses (rule 1.14)."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

import attrs


@attrs.frozen
class Peer:
    """Where a client comes from.

    Attributes:
        address: the IP address as text, empty where there is none (a Unix socket, a test).
        port: its port, 0 where there is none.
    """

    address: str = ""
    port: int = 0

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

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" if host else "local"


class Users:
    """Names and passwords."""

    def __init__(self, passwords: Mapping[str, str], loopback_only: frozenset[str]) -> None:
        self._passwords = {name: password.encode() for name, password in passwords.items()}
        self._loopback_only = loopback_only

    def login(self, name: str, password: bytes, peer: Peer) -> bool:
        """Check a password; a blank one never fits (rule 1.13)."""
        stored = self._passwords.get(name, b"")
        fits = hmac.compare_digest(stored, password) and bool(password)
        return fits and self.may_come_from(name, peer)

    def exists(self, name: str) -> bool:
        return name in self._passwords

    def may_come_from(self, name: str, peer: Peer) -> bool:
        return name not in self._loopback_only or peer.is_loopback
