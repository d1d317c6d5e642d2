"""Failed logins, counted by where they come from, so that guessing passwords takes its time.

Only refusals wait, so a user who shares an address with somebody who guesses is not held up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MEMORY_S: Final = 60.0
"""So long after its last failure an address begins anew."""

MAX_ADDRESSES: Final = 4096

FIRST_DELAY_S: Final = 0.25


class FailedLogins:
    """How long the next refusal waits.

    Args:
        now: the clock, in seconds.
        free: refusals of one address that are answered at once; the next waits `FIRST_DELAY_S`, the one after that
            twice as long, and so on.
        longest_s: no refusal waits longer.
    """

    def __init__(self, now: Callable[[], float], free: int, longest_s: float) -> None:
        self._now = now
        self._free = free
        self._longest_s = longest_s
        self._failures: dict[str, tuple[float, int]] = {}
        """When the last one was, and how many there were; the address that failed longest ago first."""

    def delay_s(self, address: str) -> float:
        """Count one more failure, and say how long its answer is to wait."""
        now = self._now()
        last, count = self._failures.pop(address, (now, 0))
        if now - last > MEMORY_S:
            count = 0
        if len(self._failures) >= MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        self._failures[address] = (now, count + 1)
        beyond = count - self._free
        if beyond < 0:
            return 0.0
        return min(self._longest_s, FIRST_DELAY_S * 2.0 ** min(beyond, 32))
