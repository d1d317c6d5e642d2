"""SASL mechanisms: from what a client sends in `start-ok` to who it is (rules 1.5 to 1.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from amqp_broker.auth.users import Peer, Users
from amqp_codec import CodecError, decode_table

Authenticate = Callable[[bytes, Users, Peer, str | None], "str | None"]
"""Response, users, peer, anonymous user → the user's name, or None when refused."""


class SaslSyntaxError(Exception):
    """The response is not what the mechanism prescribes."""


def plain(response: bytes, users: Users, peer: Peer, _anonymous: str | None) -> str | None:
    """Two parts, each led by NUL: name and password; no authorization identity (rule 1.6)."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise SaslSyntaxError("PLAIN response is not NUL, user, NUL, password")
    return _check(parts[1], parts[2], users, peer)


def amqplain(response: bytes, users: Users, peer: Peer, _anonymous: str | None) -> str | None:
    """A field table without its length, with LOGIN and PASSWORD (rule 1.7)."""
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response, 0)
    except CodecError as error:
        raise SaslSyntaxError(f"AMQPLAIN response is no field table: {error.text}") from None
    name, password = table.get("LOGIN"), table.get("PASSWORD")
    if not isinstance(name, bytes) or not isinstance(password, bytes):
        raise SaslSyntaxError("AMQPLAIN response has no LOGIN or no PASSWORD")
    return _check(name, password, users, peer)


def anonymous(_response: bytes, users: Users, peer: Peer, anonymous_user: str | None) -> str | None:
    """Whoever asks is the configured user, if that one may come from there (rule 1.8)."""
    if anonymous_user is None or users.get(anonymous_user) is None:
        return None
    return anonymous_user if users.may_come_from(anonymous_user, peer) else None


MECHANISMS: Final[Mapping[str, Authenticate]] = {
    "PLAIN": plain,
    "AMQPLAIN": amqplain,
    "ANONYMOUS": anonymous,
}
"""What is offered, in this order; PLAIN first, for some clients take the first they see (rule 1.5)."""


def _check(name: bytes, password: bytes, users: Users, peer: Peer) -> str | None:
    try:
        user = name.decode()
    except UnicodeDecodeError:
        return None
    return user if users.login(user, password, peer) else None
