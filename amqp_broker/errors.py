"""The one error a client is told of: raised anywhere in the model, answered in one place.

The session turns an `AMQPError` into `channel.close` or `connection.close`; which of the two
follows from the code (rule 0.5). The texts are RabbitMQ's, for clients match on them (rule 0.3).
"""

from amqp_codec.constants import ReplyCode

REPLY_TEXT_OCTETS = 255
"""A reply-text is a shortstr."""


class AMQPError(Exception):
    """An exception in the protocol's sense: a reply code and a text.

    Attributes:
        code: the reply code; `code.is_hard` tells whether the connection goes.
        reply_text: `<CODE_NAME> - <explanation>`, not yet cut to 255 octets.
    """

    def __init__(self, code: ReplyCode, explanation: str) -> None:
        self.code = code
        self.reply_text = f"{code.name} - {explanation}"
        super().__init__(self.reply_text)


def cut_reply_text(text: str) -> str:
    """Shorten a text so that its UTF-8 form fits a shortstr, never through a character."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= REPLY_TEXT_OCTETS:
        return encoded.decode()
    return encoded[:REPLY_TEXT_OCTETS].decode("utf-8", "ignore")


def entity(kind: str, name: str, vhost: str) -> str:
    """Spell an entity as every text does (rule 0.4)."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def not_found(kind: str, name: str, vhost: str) -> AMQPError:
    return AMQPError(ReplyCode.NOT_FOUND, f"no {entity(kind, name, vhost)}")


def precondition_failed(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.PRECONDITION_FAILED, explanation)


def access_refused(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.ACCESS_REFUSED, explanation)


def not_allowed(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.NOT_ALLOWED, explanation)


def not_implemented(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.NOT_IMPLEMENTED, explanation)


def command_invalid(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.COMMAND_INVALID, explanation)


def channel_error(explanation: str) -> AMQPError:
    return AMQPError(ReplyCode.CHANNEL_ERROR, explanation)


def resource_locked(name: str, vhost: str) -> AMQPError:
    """Another connection's exclusive queue, or a differing exclusive flag (rules 4.7 and 4.8)."""
    return AMQPError(
        ReplyCode.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {entity('queue', name, vhost)}. It could be originally "
        "declared on another connection or the exclusive property value does not match that of the "
        "original declaration.",
    )
