"""A message: made once per publish, shared by every queue it reached, never changed after.

A plain class, for every message passes through it and the message path is compiled. What belongs to
one queue (place, redelivered, expiry) stands in `queues.entry`, not here.
"""

from __future__ import annotations

from amqp_codec import ContentHeader, decode_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.deaths import Death

PERSISTENT = 2


class Message:
    """What a publisher sent, as it will be delivered; `new_message` makes one.

    Attributes:
        address: exchange and routing key in their wire form, two shortstrs.
        header: the content header; its octets go to consumers as they came.
        body: the body, whole.
        extra_keys: routing keys beside the first, from the headers CC and BCC (rule 5.53).
        deaths: what dead-lettering has recorded, newest first (rule 4.38); empty for most.
    """

    address: bytes
    header: ContentHeader
    body: bytes
    extra_keys: tuple[str, ...]
    deaths: tuple[Death, ...]

    __slots__ = ("address", "body", "deaths", "extra_keys", "header")

    @property
    def exchange(self) -> str:
        return decode_address(self.address)[0]

    @property
    def routing_key(self) -> str:
        return decode_address(self.address)[1]

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """All keys it is routed by, the published one first (rule 3.22)."""
        return (self.routing_key, *self.extra_keys)

    @property
    def is_persistent(self) -> bool:
        """Only delivery-mode 2 is (rule 5.11)."""
        return self.header.delivery_mode == PERSISTENT

    @property
    def ttl_ms(self) -> int | None:
        """The property `expiration`, checked when the message was published (rule 4.28)."""
        expiration = self.header.expiration
        return None if expiration is None else int(expiration)


def new_message(address: bytes, header: ContentHeader, body: bytes) -> Message:
    """Make a message; compiled, this costs a third of calling a class with arguments."""
    message = Message.__new__(Message)
    message.address = address
    message.header = header
    message.body = body
    message.extra_keys = ()
    message.deaths = ()
    return message
