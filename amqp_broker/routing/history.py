"""Recent history exchange: a fanout that gives each new binding the last messages (rule 3.36).

Says how many are to be kept; the keeping is done by a `Recorder` that the vhost gives to the exchange.
"""

from __future__ import annotations

from typing import Final

import attrs

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.fanout import FanoutMatcher
from amqp_broker.routing.values import erlang_term
from amqp_codec import Table

HISTORY_LENGTH: Final = "x-recent-history-length"
NO_STORE: Final = "x-recent-history-no-store"
DEFAULT_LENGTH: Final = 20


@attrs.define(eq=False)
class HistoryMatcher(FanoutMatcher):
    """A fanout whose exchange keeps messages.

    Attributes:
        length: how many.
    """

    length: int = attrs.field(default=DEFAULT_LENGTH, kw_only=True)

    @classmethod
    def from_arguments(cls, arguments: Table) -> HistoryMatcher:
        """Read the length. Raises AMQPError 406 unless it is a positive integer."""
        if HISTORY_LENGTH not in arguments:
            return cls()
        length = arguments[HISTORY_LENGTH]
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise precondition_failed(
                f"Invalid argument {erlang_term(length)}, '{HISTORY_LENGTH}' must be a positive integer"
            )
        return cls(length=int(length))
