"""The first part of a connection, from the protocol header to `open-ok`: who is there, and what is agreed.

Source: rules 1.4 to 1.24 and 1.30. Takes and gives values; sending and closing are the connection's.
"""

from __future__ import annotations

import platform

import attrs

from amqp_broker import __version__
from amqp_broker.auth.backend import Credentials
from amqp_broker.auth.sasl import MECHANISMS, SaslSyntaxError
from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.errors import AMQPError, not_allowed
from amqp_codec import FRAME_MIN_SIZE, ConnectionStart, ConnectionTune, ConnectionTuneOk, ReplyCode, Table

LOCALE = b"en_US"

CAPABILITIES: Table = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": True,
}
"""What clients ask for before they use it (rule 1.17)."""


class LoginRefusedError(Exception):
    """Nobody is let in with this; the text is for the log, never for the client.

    Attributes:
        answer: what a client that asked to be told may be told (rule 1.11); None when it is not an
            answer to credentials, and the socket just closes (rule 1.12).
    """

    def __init__(self, text: str, answer: AMQPError | None = None) -> None:
        super().__init__(text)
        self.answer = answer


@attrs.frozen
class Tuning:
    """What both sides have agreed on (rule 1.20)."""

    channel_max: int
    frame_max_octets: int
    heartbeat_s: int


def offered(config: Config, peer: Peer) -> list[str]:
    """The mechanisms a client may choose from (rule 1.5)."""
    left_out = set()
    if config.anonymous_user is None:
        left_out.add("ANONYMOUS")
    if not peer.is_encrypted or config.tls is None or config.tls.login_from is None:
        left_out.add("EXTERNAL")
    return [name for name in config.auth_mechanisms if name not in left_out]


def start(config: Config, cluster_name: str, peer: Peer) -> ConnectionStart:
    """Make the server's first method (rules 1.4, 1.5 and 1.16)."""
    return ConnectionStart(
        version_major=0,
        version_minor=9,
        server_properties={
            "capabilities": CAPABILITIES,
            "cluster_name": cluster_name.encode(),
            "copyright": b"trio-amqp-broker contributors",
            "information": b"trio-amqp-broker " + __version__.encode() + b", licensed under Apache-2.0",
            "platform": f"Python {platform.python_version()}".encode(),
            "product": config.product.encode(),
            "version": config.version.encode(),
        },
        mechanisms=" ".join(offered(config, peer)).encode(),
        locales=LOCALE,
    )


def credentials(config: Config, mechanism: str, response: bytes, peer: Peer) -> Credentials:
    """Read what a client says about itself.

    Raises:
        LoginRefusedError: whatever was wrong; a client can't tell which (rule 1.11).
    """
    if mechanism not in offered(config, peer):
        raise LoginRefusedError(f"unknown SASL mechanism {mechanism!r}")
    try:
        read = MECHANISMS[mechanism](response, peer, config.anonymous_user)
    except SaslSyntaxError as error:
        raise LoginRefusedError(str(error)) from None
    if read is None:
        raise refused(mechanism)
    return read


def refused(mechanism: str) -> LoginRefusedError:
    """What a client is told whom nobody knows by these credentials."""
    return LoginRefusedError(
        f"{mechanism} login refused",
        AMQPError(
            ReplyCode.ACCESS_REFUSED,
            f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.",
        ),
    )


def proposal(config: Config) -> ConnectionTune:
    return ConnectionTune(
        channel_max=config.channel_max, frame_max=config.frame_max_octets, heartbeat=config.heartbeat_s
    )


def tuned(config: Config, method: ConnectionTuneOk) -> Tuning:
    """Take over what the client chose, if it may choose that (rules 1.20 to 1.24).

    Raises:
        AMQPError: 530 when a value is out of range.
    """
    _check_range("channel_max", method.channel_max, config.channel_max, 0)
    _check_range("frame_max", method.frame_max, config.frame_max_octets, FRAME_MIN_SIZE)
    return Tuning(method.channel_max, method.frame_max, method.heartbeat)


def _check_range(name: str, chosen: int, highest: int, lowest: int) -> None:
    if chosen == 0 and highest:
        raise not_allowed(f"negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({highest})")
    if chosen and chosen < lowest:
        raise not_allowed(f"negotiated {name} = {chosen} is lower than the minimum allowed value ({lowest})")
    if highest and chosen > highest:
        raise not_allowed(f"negotiated {name} = {chosen} is higher than the maximum allowed value ({highest})")
