"""The numbers of AMQP 0-9-1: frame types, sizes, reply codes (§2.3.5, §4.2.3, rules 0.2 and 0.5)."""

from enum import IntEnum, unique
from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""What a client sends first, and what a server answers to a header it can't accept (rule 1.2)."""

PROTOCOL_HEADER_0_9: Final = b"AMQP\x01\x01\x00\x09"
"""The older spelling of AMQP 0-9, accepted as 0-9-1 (rule 1.1)."""

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE

FRAME_OVERHEAD: Final = 8
"""Octets of a frame that are not payload: type, channel, size and the end octet."""

FRAME_MIN_SIZE: Final = 4096
"""The smallest frame_max a peer may ask for (§4.2.3)."""

BODY_SIZE_HARD_LIMIT: Final = 512 * 1024 * 1024
"""No content header may announce more octets than this (rule 1.48)."""

BASIC_CLASS: Final = 60


@unique
class ReplyCode(IntEnum):
    """The reply codes; the name is what stands before the dash in a reply-text (rule 0.3)."""

    REPLY_SUCCESS = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541

    @property
    def is_hard(self) -> bool:
        """True when the code ends the connection, not only the channel (rule 0.5)."""
        return self in _HARD


_HARD: Final = frozenset(
    {
        ReplyCode.CONNECTION_FORCED,
        ReplyCode.INVALID_PATH,
        ReplyCode.FRAME_ERROR,
        ReplyCode.SYNTAX_ERROR,
        ReplyCode.COMMAND_INVALID,
        ReplyCode.CHANNEL_ERROR,
        ReplyCode.UNEXPECTED_FRAME,
        ReplyCode.RESOURCE_ERROR,
        ReplyCode.NOT_ALLOWED,
        ReplyCode.NOT_IMPLEMENTED,
        ReplyCode.INTERNAL_ERROR,
    }
)
