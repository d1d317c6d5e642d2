"""What a publish is checked for beside its exchange, whichever way it came (rules 5.1, 5.6, 5.53, 5.54 and 8.14)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from amqp_broker.auth.permissions import Access
from amqp_broker.errors import AMQPError, precondition_failed
from amqp_broker.message import Message
from amqp_broker.queues.reply import REPLY_TO, ReplyConsumer
from amqp_broker.routing.duplicates import remember
from amqp_broker.routing.exchange import Exchange
from amqp_broker.session.rights import Asker, Rights
from amqp_broker.session.tracing import Party, published
from amqp_codec import (
    BODY_SIZE_HARD_LIMIT,
    ByteArray,
    ContentHeader,
    Table,
    decode_address,
    encode_shortstr,
    field_type_name,
    with_properties,
)
from amqp_codec.properties import (
    FLAG_EXPIRATION,
    FLAG_HEADERS,
    FLAG_REPLY_TO,
    FLAG_USER_ID,
    reply_to_span,
    with_shortstr,
)

INSPECTED: Final = FLAG_HEADERS | FLAG_EXPIRATION | FLAG_REPLY_TO
"""Properties that change what happens to a message; without them nobody looks at the header."""

_REPLY_TO_OCTETS: Final = encode_shortstr(REPLY_TO)

LONGEST_EXPIRATION_MS: Final = 315_360_000_000


class Published:
    """What has become of a single message.

    Attributes:
        is_routed: it has reached a queue, or would have been returned.
        is_accepted: no queue has refused it (rule 6.7).
    """

    __slots__ = ("is_accepted", "is_routed")

    def __init__(self, is_routed: bool, is_accepted: bool) -> None:
        self.is_routed = is_routed
        self.is_accepted = is_accepted


def publish(party: Party, rights: Rights, asker: Asker, message: Message) -> Published:
    """Publish without a channel, with the checks and in the order that `on_basic_publish` has (rule 5.1).

    Args:
        party: how traces show the publisher.
        rights: what it may do.
        asker: who it is.
        message: not seen by anybody yet.

    Raises:
        AMQPError: 403, 404 or 406.
        Undecided: whether this is allowed has still to come.
    """
    vhost = party.vhost
    exchange, _ = decode_address(message.address)
    rights.demand(Access.WRITE, "exchange", exchange)
    route = vhost.routes.get(message.address) or vhost.find_route(message.address)
    header = message.header
    inspect(message, None)
    authorize_keys(rights, route.exchange, message)
    if header.flags & FLAG_USER_ID:
        check_user_id(asker, header)
    if not route.cacheable or message.extra_keys:
        if vhost.interceptor is not None:
            message.header = vhost.interceptor(message.header)
        route = vhost.route(route.exchange, message.routing_keys, message.header.properties)
        if vhost.is_tracing:
            published(party, message, route)
    vhost.past.messages.publish += 1
    route.counters.publish_in += 1
    route.counters.publish_out += len(route.queues)
    if not route.is_routed:
        vhost.past.messages.return_unroutable += 1
    accepted = not route.queues or vhost.publish(message, route.queues)
    if accepted and route.queues:
        remember(route.admitted, message.header.properties)
    return Published(route.is_routed, accepted)


def too_large(size: int, limit: int) -> AMQPError:
    """A body is longer than it may be (rule 5.2)."""
    which = "max size" if limit >= BODY_SIZE_HARD_LIMIT else "configured max size"
    return precondition_failed(f"message size {size} is larger than {which} {limit}")


def inspect(message: Message, requester: ReplyConsumer | None) -> None:
    """Look at the properties that can be wrong, that add routing keys, or that nobody else is to see (rule 5.1).

    Args:
        message: as it came; its header and keys are changed.
        requester: who replies to the publisher go to, if there is one (rule 5.48).

    Raises:
        AMQPError: 406.
    """
    header = message.header
    if header.flags & FLAG_REPLY_TO:
        span = reply_to_span(header.raw, header.flags)
        if header.raw[span[0] : span[1]] == _REPLY_TO_OCTETS:
            if requester is None:
                raise precondition_failed("fast reply consumer does not exist")
            message.header = with_shortstr(header, span, requester.name_octets)
    if header.expiration is not None:
        _check_expiration(header.expiration)
    if header.flags & FLAG_HEADERS and b"CC" in header.raw:
        headers = header.properties.headers or {}
        message.extra_keys = _carbon_copies(headers)
        if "BCC" in headers:
            message.header = _without_bcc(message.header)


def authorize_keys(rights: Rights, exchange: Exchange, message: Message) -> None:
    """Let the user publish with these routing keys, if keys are looked at (rule 8.14). Raises AMQPError 403."""
    if exchange.type == "topic" and rights.has_topics:
        for routing_key in message.routing_keys:
            rights.demand_key(Access.WRITE, exchange.name, routing_key)


def check_user_id(asker: Asker, header: ContentHeader) -> None:
    """Let nobody publish in another's name (rule 5.6). Raises AMQPError 406."""
    user = asker.user
    if header.properties.user_id != user and not _may_impersonate(asker):
        raise precondition_failed(
            f"user_id property set to '{header.properties.user_id}' but authenticated user was '{user}'"
        )


def _may_impersonate(asker: Asker) -> bool:
    identity = asker.identity
    return identity is not None and "impersonator" in identity.tags


def _check_expiration(octets: bytes) -> None:
    """`expiration` is a decimal string of milliseconds (rule 4.28)."""
    text = octets.decode("utf-8", "replace")
    digits = text[1:] if text[:1] in ("-", "+") else text
    number = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    detail = None
    if not number:
        detail = "no_integer"
    elif number != digits:
        detail = f'{{leftover_string,"{digits[len(number) :]}"}}'
    elif text.startswith("-") and int(number):
        detail = f"{{value_negative,{text}}}"
    elif len(number) > 20 or int(number) > LONGEST_EXPIRATION_MS:
        detail = f"{{value_too_large,{number}}}"
    if detail is not None:
        raise precondition_failed(f"invalid expiration '{text}': {detail}")


def _carbon_copies(headers: Table) -> tuple[str, ...]:
    """Collect the further routing keys of CC and BCC; other element types are skipped (rule 5.53)."""
    keys: list[str] = []
    for name in ("CC", "BCC"):
        copies = headers.get(name)
        if name in headers and not isinstance(copies, list):
            raise precondition_failed(
                f'invalid message: {{unacceptable_type_in_header,"{name}",{field_type_name(copies)}}}'
            )
        if isinstance(copies, list):
            longstrs = (key for key in copies if isinstance(key, bytes) and not isinstance(key, ByteArray))
            keys += (key.decode("utf-8", "surrogateescape") for key in longstrs)
    return tuple(keys)


def _without_bcc(header: ContentHeader) -> ContentHeader:
    """Remove BCC before anybody sees the message (rule 5.54)."""
    properties = header.properties
    kept = {name: value for name, value in (properties.headers or {}).items() if name != "BCC"}
    return with_properties(header, replace(properties, headers=kept))
