"""What two nodes of a cluster say to each other before one hands a client over, or asks: who it is, and that it may.

The node that is called begins with a `greeting`, whose number is used once. The other answers with a `letter` that
says to which node it goes, and whose connection follows, or what it wants to know, signed with the cluster's secret
over that number; the octets of a client follow at once. The letter has a number of its own, so that no answer to an
earlier one fits. One octet says what becomes of it. Nothing here is hidden; where the network can't be trusted, TLS is
around it.
"""

from __future__ import annotations

import hmac
import secrets
from enum import IntEnum
from struct import Struct
from typing import Final

import attrs

from amqp_broker.auth.users import Peer, Tls
from amqp_broker.placement import Inquiry, Parcel
from amqp_codec import CodecError, Int64, Table, decode_table, encode_table

MAGIC: Final = b"AMQPOVER\x02"
NONCE_OCTETS: Final = 16
GREETING_OCTETS: Final = len(MAGIC) + NONCE_OCTETS
MAC_OCTETS: Final = 32
LONGEST_LETTER_OCTETS: Final = 64 << 10

_HEAD: Final = Struct(f">{MAC_OCTETS}sI")
HEAD_OCTETS: Final = _HEAD.size


class PreludeError(Exception):
    """The other side is no node of this cluster; the text is for the log."""


class Verdict(IntEnum):
    """What becomes of a connection that is handed over, or a question."""

    TAKEN = 1
    NOT_HERE = 2
    REFUSED = 3


def greeting() -> bytes:
    """What begins, with a number that was never used before."""
    return MAGIC + secrets.token_bytes(NONCE_OCTETS)


def check_greeting(said: bytes) -> None:
    """Raises PreludeError."""
    if not said.startswith(MAGIC):
        raise PreludeError(f"it begins with {said[: len(MAGIC)]!r}")


def letter(about: Parcel | Inquiry, node: str, to: str, secret: bytes, greeted: bytes) -> bytes:
    """What the node of that name answers to a greeting of the node `to`: head and table."""
    names: Table = {"node": node, "to": to, "once": secrets.token_bytes(NONCE_OCTETS)}
    table = encode_table({**names, **_fields_of(about), **_table_of(about.peer)})
    return _HEAD.pack(_mac(secret, greeted, table), len(table)) + table


def letter_octets(head: bytes) -> int:
    """How much follows the head of a letter. Raises PreludeError."""
    octets: int = _HEAD.unpack(head)[1]
    if octets > LONGEST_LETTER_OCTETS:
        raise PreludeError(f"it would say {octets} octets")
    return octets


def read_letter(head: bytes, table: bytes, to: str, secret: bytes, greeted: bytes) -> Parcel | Inquiry:
    """Read what it is about; the octets of a parcel are yet to come.

    Raises:
        PreludeError: nobody of this cluster has written it to the node `to`.
    """
    if not hmac.compare_digest(_HEAD.unpack(head)[0], _mac(secret, greeted, table)):
        raise PreludeError("it does not know the cluster's secret")
    try:
        fields = decode_table(table, 0)[0]
        if (meant := _text(fields, "to")) != to:
            raise PreludeError(f"it takes this node for {meant}")
        peer = _peer_of(fields)
        if "subject" not in fields:
            return Parcel(_text(fields, "vhost"), peer, b"")
        user = _text(fields, "user") if "user" in fields else None
        return Inquiry(_text(fields, "subject"), peer, user, _number(fields, "revision"))
    except (CodecError, KeyError, TypeError) as error:
        raise PreludeError(f"its letter can't be read: {error}") from None


def _mac(secret: bytes, greeted: bytes, table: bytes) -> bytes:
    return hmac.digest(secret, greeted + table, "sha256")


def _fields_of(about: Parcel | Inquiry) -> Table:
    if isinstance(about, Parcel):
        return {"vhost": about.vhost}
    fields: Table = {"subject": about.subject, "revision": Int64(about.revision)}
    if about.user is not None:
        fields["user"] = about.user
    return fields


def _table_of(peer: Peer) -> Table:
    table: Table = {
        "address": peer.address,
        "port": peer.port,
        "own_address": peer.own_address,
        "own_port": peer.own_port,
        "is_encrypted": peer.is_encrypted,
        "certificate_name": peer.certificate_name,
    }
    if peer.tls is not None:
        tls: Table = dict(attrs.asdict(peer.tls))
        table["tls"] = tls
    return table


def _peer_of(fields: Table) -> Peer:
    tls = fields.get("tls")
    return Peer(
        address=_text(fields, "address"),
        port=_number(fields, "port"),
        is_encrypted=fields["is_encrypted"] is True,
        certificate_name=_text(fields, "certificate_name"),
        own_address=_text(fields, "own_address"),
        own_port=_number(fields, "own_port"),
        tls=Tls(**{key: _text(tls, key) for key in tls}) if isinstance(tls, dict) else None,
        came_through=_text(fields, "node"),
    )


def _text(fields: Table, key: str) -> str:
    value = fields[key]
    if not isinstance(value, bytes):
        raise TypeError(f"{key} is no text")
    return value.decode("utf-8", "surrogateescape")


def _number(fields: Table, key: str) -> int:
    value = fields[key]
    if not isinstance(value, int):
        raise TypeError(f"{key} is no number")
    return int(value)
