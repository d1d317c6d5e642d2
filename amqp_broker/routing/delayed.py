"""Delayed message exchange: another type's bindings, and a line where messages wait (rules 3.31 and 3.32).

Tells which messages wait and for how long; the line itself, which needs a schedule and storage, is given
to it by the vhost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from amqp_broker.routing.binding import Binding, Destination, Matcher
from amqp_codec import Decimal, Properties, Table, Timestamp

if TYPE_CHECKING:
    from amqp_broker.routing.exchange import Exchange

DELAY: Final = "x-delay"
LONGEST_DELAY_MS: Final = (1 << 32) - 1

_INTEGER: Final = re.compile(rb"[+-]?[0-9]{1,18}")


@attrs.define(eq=False)
class DelayedMatcher:
    """Leads a message with a delay to the line, any other where the inner type leads it.

    Attributes:
        inner: the matcher of the type that `x-delayed-type` names.
        line: where messages wait; None until the vhost has set it.
    """

    inner: Final[Matcher]
    line: Destination | None = None

    @property
    def depends_on_message(self) -> bool:
        return True

    def check(self, routing_key: str, arguments: Table) -> None:
        self.inner.check(routing_key, arguments)

    def add(self, binding: Binding) -> None:
        self.inner.add(binding)

    def remove(self, binding: Binding) -> None:
        self.inner.remove(binding)

    def match(self, routing_keys: Sequence[str], properties: Properties | None) -> Iterable[Exchange | Destination]:
        if self.line is not None and properties is not None and delay_ms(properties.headers):
            return (self.line,)
        return self.inner.match(routing_keys, properties)


def delay_ms(headers: Table | None) -> int:
    """How long a message is to wait; 0 when not at all: no header, none that is a number, or out of range."""
    given = None if headers is None else headers.get(DELAY)
    if isinstance(given, bytes):
        delay = int(given) if _INTEGER.fullmatch(given) else 0
    elif isinstance(given, bool | Timestamp | Decimal) or not isinstance(given, int | float):
        return 0
    else:
        delay = int(given) if math.isfinite(given) else 0
    return delay if 0 < delay <= LONGEST_DELAY_MS else 0
