"""The exchange `amq.rabbitmq.log`: the log, as messages (rule 3.36).

One message a line: the level is the routing key, the body what a log file would have had.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from amqp_broker.logs import level_of
from amqp_broker.system_exchange import SystemExchange
from amqp_codec import Properties

LOG_EXCHANGE: Final = "amq.rabbitmq.log"

WAITING_LINES: Final = 1000
"""Lines that wait to be published; older ones are forgotten, for a log must not pile up."""

CONTENT_TYPES: Final = {"plaintext": "text/plain", "json": "application/json"}


class LogExchange(logging.Handler):
    """A handler that publishes, later and not at once: any thread may log, in the midst of anything.

    Args:
        exchange: where to.
        node: told in a header, which line is from whom.
        content_type: of what the formatter gives.
        soon: has a function called by the thread that serves clients; this may be called by any.
    """

    def __init__(
        self, exchange: SystemExchange, node: str, content_type: str, soon: Callable[[Callable[[], None]], None]
    ) -> None:
        super().__init__()
        self._exchange = exchange
        self._node = node
        self._content_type = content_type
        self._soon = soon
        self._waiting: deque[tuple[str, int, bytes]] = deque(maxlen=WAITING_LINES)
        self._is_publishing = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_publishing:  # what a message about a line gives cause to say would give cause to a message
            return
        try:
            line = self.format(record).encode("utf-8", "backslashreplace")
        except Exception:  # as every handler of the standard library: a line that can't be formatted stops nobody
            self.handleError(record)
            return
        self._waiting.append((level_of(record), int(record.created), line))
        self._soon(self._publish)

    def _publish(self) -> None:
        self._is_publishing = True
        try:
            while self._waiting:
                level, second, line = self._waiting.popleft()
                properties = Properties(content_type=self._content_type, timestamp=second, headers={"node": self._node})
                self._exchange.publish(level, properties, line)
        finally:
            self._is_publishing = False
