"""Errors of the HTTP API: a status, and the `error` and `reason` that RabbitMQ's clients look at."""

from __future__ import annotations

from amqp_broker.errors import AMQPError
from amqp_codec import ReplyCode


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        error: a word for programs.
        reason: a sentence for people.
    """

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason


def not_found() -> ApiError:
    """The path leads to nothing; clients compare these words."""
    return ApiError(404, "Object Not Found", "Not Found")


def no_such(thing: str) -> ApiError:
    """What a message is to be published to or fetched from is not there."""
    return ApiError(404, "not_found", f"{thing}_not_found")


def bad_request(reason: str) -> ApiError:
    return ApiError(400, "bad_request", reason)


def not_authorised(reason: str) -> ApiError:
    """Somebody who is known may not do this: 401 as in RabbitMQ, not 403."""
    return ApiError(401, "not_authorised", reason)


def from_amqp(error: AMQPError) -> ApiError:
    """What a failed declaration or deletion is over HTTP."""
    if error.code is ReplyCode.NOT_FOUND:
        return ApiError(404, "not_found", error.reply_text)
    if error.code in (ReplyCode.ACCESS_REFUSED, ReplyCode.NOT_ALLOWED):
        return not_authorised("Access refused.")
    return bad_request(error.reply_text)
