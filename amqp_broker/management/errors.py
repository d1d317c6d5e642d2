"""Errors of the HTTP API: a status, and the `error` and `reason` that RabbitMQ's clients look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from amqp_broker.administration import (
    AdministrationError,
    ParameterNotFoundError,
    ProtectedError,
    UserNotFoundError,
    VhostNotFoundError,
    VhostNowhereError,
)
from amqp_broker.errors import AMQPError
from amqp_broker.inspection.values import Json
from amqp_codec import ReplyCode

ERLANG_LINE: Final = 79
"""From here on a list is printed with a line for each element."""


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        error: a word for programs.
        reason: a sentence for people, or the few words RabbitMQ has in its place.
    """

    def __init__(self, status: int, error: str, reason: Json) -> None:
        super().__init__(str(reason))
        self.status = status
        self.error = error
        self.reason = reason


def not_found() -> ApiError:
    """The path leads to nothing; clients compare these words."""
    return ApiError(404, "Object Not Found", "Not Found")


def no_such(thing: str) -> ApiError:
    """What a message is to be published to or fetched from is not there."""
    return ApiError(404, "not_found", f"{thing}_not_found")


def hidden() -> ApiError:
    """It is in a vhost that the caller may not enter, and who may not is not told what is there."""
    return ApiError(404, "not_found", "Not Found")


def bad_request(reason: Json) -> ApiError:
    return ApiError(400, "bad_request", reason)


def not_authorised(reason: str) -> ApiError:
    """Somebody who is known may not do this: 401 as in RabbitMQ, not 403."""
    return ApiError(401, "not_authorised", reason)


def keys_missing(keys: Sequence[str]) -> ApiError:
    """Keys that a body must have are not in it; RabbitMQ prints them as an Erlang list, broken into lines if long."""
    terms = [f"{{key_missing,{key}}}" for key in keys]
    line = f"[{','.join(terms)}]"
    return bad_request(line if len(line) < ERLANG_LINE else "[" + ",\n ".join(terms) + "]")


def from_amqp(error: AMQPError) -> ApiError:
    """What a failed declaration or deletion is over HTTP."""
    reason = error.reply_text.partition(" - ")[2]
    if error.code is ReplyCode.NOT_FOUND:
        return ApiError(404, "not_found", reason)
    if error.code in (ReplyCode.ACCESS_REFUSED, ReplyCode.NOT_ALLOWED):
        return not_authorised("Access refused.")
    return bad_request(reason)


def from_administration(error: AdministrationError) -> ApiError:
    """What the operator could not do."""
    if isinstance(error, UserNotFoundError | VhostNotFoundError | ParameterNotFoundError):
        return not_found()
    if isinstance(error, ProtectedError):
        return ApiError(412, "precondition_failed", str(error))
    if isinstance(error, VhostNowhereError):
        return ApiError(503, "service_unavailable", str(error))
    return bad_request(str(error))
