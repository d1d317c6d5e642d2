"""SASL mechanisms: from what a client sends in `start-ok` to what it says about itself (rules 1.5 to 1.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from amqp_broker.auth.backend import Credentials
from amqp_broker.auth.users import Peer
from amqp_codec import CodecError, decode_table

Read = Callable[[bytes, Peer, "str | None"], "Credentials | None"]
"""Response, peer, anonymous user → credentials, or None when these can't be anybody's."""


class SaslSyntaxError(Exception):
    """The response is not what the mechanism prescribes."""


def plain(response: bytes, peer: Peer, _anonymous: str | None) -> Credentials | None:
    """Two parts, each led by NUL: name and password; no authorization identity (rule 1.6)."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise SaslSyntaxError("PLAIN response is not NUL, user, NUL, password")
    return _credentials(parts[1], parts[2], peer)


def amqplain(response: bytes, peer: Peer, _anonymous: str | None) -> Credentials | None:
    """A field table without its length, with LOGIN and PASSWORD (rule 1.7)."""
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response, 0)
    except CodecError as error:
        raise SaslSyntaxError(f"AMQPLAIN response is no field table: {error.text}") from None
    name, password = table.get("LOGIN"), table.get("PASSWORD")
    if not isinstance(name, bytes) or not isinstance(password, bytes):
        raise SaslSyntaxError("AMQPLAIN response has no LOGIN or no PASSWORD")
    return _credentials(name, password, peer)


def anonymous(_response: bytes, peer: Peer, anonymous_user: str | None) -> Credentials | None:
    """Whoever asks is the configured user, if that one may come from there (rule 1.8)."""
    return None if anonymous_user is None else Credentials(anonymous_user, None, peer)


def external(_response: bytes, peer: Peer, _anonymous: str | None) -> Credentials | None:
    """The name is in the certificate, whatever the response says (rule 1.9)."""
    return Credentials(peer.certificate_name, None, peer) if peer.certificate_name else None


MECHANISMS: Final[Mapping[str, Read]] = {
    "PLAIN": plain,
    "AMQPLAIN": amqplain,
    "ANONYMOUS": anonymous,
    "EXTERNAL": external,
}
"""What there is; `Config.auth_mechanisms` says what is offered (rule 1.5)."""


def _credentials(name: bytes, password: bytes, peer: Peer) -> Credentials | None:
    try:
        return Credentials(name.decode(), password, peer)
    except UnicodeDecodeError:
        return None
