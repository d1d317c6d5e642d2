"""The first part of a connection, from the protocol header to `open-ok`: who is there, and what is agreed.

Source: rules 1.4 to 1.24 and 1.30. Takes and gives values; sending and closing are the connection's.
"""

from __future__ import annotations

import platform

import attrs

from amqp_broker import __version__
from amqp_broker.auth.sasl import MECHANISMS, SaslSyntaxError
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
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


def start(config: Config) -> ConnectionStart:
    """Make the server's first method (rules 1.4, 1.5 and 1.16)."""
    mechanisms = [name for name in MECHANISMS if name != "ANONYMOUS" or config.anonymous_user is not None]
    return ConnectionStart(
        version_major=0,
        version_minor=9,
        server_properties={
            "capabilities": CAPABILITIES,
            "cluster_name": config.cluster_name.encode(),
            "copyright": b"trio-amqp-broker contributors",
            "information": b"trio-amqp-broker " + __version__.encode() + b", licensed under Apache-2.0",
            "platform": f"Python {platform.python_version()}".encode(),
            "product": config.product.encode(),
            "version": config.version.encode(),
        },
        mechanisms=" ".join(mechanisms).encode(),
        locales=LOCALE,
    )


def authenticate(broker: Broker, mechanism: str, response: bytes, peer: Peer) -> str:
    """Find out who a client is.

    Raises:
        LoginRefusedError: whatever was wrong; a client can't tell which (rule 1.11).
    """
    check = MECHANISMS.get(mechanism)
    anonymous_user = broker.config.anonymous_user
    if check is None or (mechanism == "ANONYMOUS" and anonymous_user is None):
        raise LoginRefusedError(f"unknown SASL mechanism {mechanism!r}")
    try:
        user = check(response, broker.users, peer, anonymous_user)
    except SaslSyntaxError as error:
        raise LoginRefusedError(str(error)) from None
    if user is None:
        raise LoginRefusedError(
            f"{mechanism} login refused",
            AMQPError(
                ReplyCode.ACCESS_REFUSED,
                f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.",
            ),
        )
    return user


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
