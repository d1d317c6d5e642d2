"""When a group of records goes: at once, or a moment later, with what clients send who have just had their answers.

A publisher that waits for confirms has a window. Where groups go at once, one takes half of the window while the other
half is under way, for ever, and each costs what the whole would. That is worth avoiding where a group is dear: in a
cluster, and on a slow disk. Knows neither trio nor the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SHARE: Final = 0.5
"""How long to wait at most, as a share of what the group before has taken."""

LONGEST_S: Final = 0.01

CHEAP_S: Final = 0.001
"""Nothing waits behind a group that took less: meanwhile messages are read, which is as much work as writing them."""

ENOUGH: Final = 0.75
"""A wait was worth it when so much has come of what had been hoped for."""

MANY: Final = 1000
"""Messages that are dear enough together."""

MAX_SKIPPED: Final = 128
"""How many groups at most go at once after waiting was in vain: it then costs less than a hundredth."""


class Gathering:
    """Decides for one committer.

    Args:
        count: gives how many messages have been stored so far, in all.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._taken = count()
        self._answered = 0
        """Messages of the last group: so many may be sent again now."""
        self._at_end = self._wanted = self._taken
        self._began_at = self._ends_at = 0.0
        self._to_skip = self._skipped = 0
        self._is_waiting = False

    def began(self, now: float) -> None:
        """A group goes, with all that was stored so far."""
        count = self._count()
        if self._is_waiting:
            self._is_waiting = False
            if count - self._at_end >= ENOUGH * (self._wanted - self._at_end):
                self._skipped = 0
            else:
                self._to_skip = self._skipped = min(2 * self._skipped + 1, MAX_SKIPPED)
        self._answered, self._taken = count - self._taken, count
        self._began_at = now

    def ended(self, now: float) -> None:
        """It is safe, and those who waited for it have been told."""
        self._at_end = self._wanted = self._count()
        if self._to_skip:
            self._to_skip -= 1
        elif now - self._began_at >= CHEAP_S and self._at_end - self._taken + self._answered <= MANY:
            self._wanted += self._answered
        self._ends_at = now + min(SHARE * (now - self._began_at), LONGEST_S)

    def left_s(self, now: float) -> float:
        """How long the next group had better wait; 0 is not at all."""
        if self._count() >= self._wanted or now >= self._ends_at:
            return 0.0
        self._is_waiting = True
        return self._ends_at - now
