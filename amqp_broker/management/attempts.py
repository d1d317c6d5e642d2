"""How often somebody tried to log in over HTTP."""

from __future__ import annotations

import attrs


@attrs.define
class Attempts:
    """Logins since the broker started, or since somebody reset them.

    Attributes:
        amqp_succeeded_before: those over AMQP, as the events count them, when they were last reset.
        amqp_failed_before: the same.
    """

    succeeded: int = 0
    failed: int = 0
    amqp_succeeded_before: int = 0
    amqp_failed_before: int = 0

    def count(self, has_succeeded: bool) -> None:
        if has_succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
