"""The clock of an embedded broker, which a test may stop and set forward."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from amqp_broker.timers import Timers, steady_wall_clock

Duration = float | int | str | timedelta
"""Seconds, or a text such as `250ms`, `10m` or `1h30m`."""

_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(duration: Duration) -> float:
    """Read a duration. Raises ValueError for another text, or when it is negative."""
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        if not re.fullmatch(f"(?:{_PART.pattern})+", duration):
            raise ValueError(f"expected a duration such as '250ms', '10m' or '1h30m', found {duration!r}")
        found = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(duration))
    else:
        found = float(duration)
    if not found >= 0:
        raise ValueError(f"a clock is not set back: {duration!r}")
    return found


class MovableClock:
    """Seconds since 1970 that run with real time, stand still, or jump ahead; never back.

    Belongs to the broker's loop, as the schedule does.

    Attributes:
        timers: the schedule that goes by it; set by whoever makes that.
    """

    timers: Timers

    def __init__(self) -> None:
        self._real = steady_wall_clock()
        self._ahead_s = 0.0
        self._frozen_at: float | None = None

    def __call__(self) -> float:
        return self._real() + self._ahead_s if self._frozen_at is None else self._frozen_at

    @property
    def is_frozen(self) -> bool:
        return self._frozen_at is not None

    def freeze(self) -> None:
        self._frozen_at = self()

    def resume(self) -> None:
        """Run on from where it stands."""
        if self._frozen_at is not None:
            self._ahead_s = self._frozen_at - self._real()
            self._frozen_at = None
            self.timers.on_earlier()

    def advance(self, delta_s: float) -> None:
        """Set it forward; all that falls due on the way happens at its own instant, in order."""
        end = self() + delta_s
        while (deadline := self.timers.next_deadline()) is not None and deadline <= end:
            self._set(max(self(), deadline))
            self.timers.run()
        self._set(max(self(), end))
        self.timers.on_earlier()

    def _set(self, instant: float) -> None:
        if self._frozen_at is not None:
            self._frozen_at = instant
        else:
            self._ahead_s = instant - self._real()


class Clock:
    """A `MovableClock` for any thread: time as TTLs, leases, delays and timeouts of consumers see it.

    Heartbeats, handshakes and what waits for a client stay on real time: no client could follow.
    """

    def __init__(self, clock: MovableClock, call: Callable[[Callable[[], None]], None]) -> None:
        self._clock = clock
        self._call = call

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    @property
    def is_frozen(self) -> bool:
        return self._clock.is_frozen

    def freeze(self) -> None:
        """Stop it: nothing expires until it is advanced or resumed."""
        self._call(self._clock.freeze)

    def resume(self) -> None:
        """Let it run on from where it stands."""
        self._call(self._clock.resume)

    def advance(self, duration: Duration) -> None:
        """Set it forward, by seconds or `"10m"`; when this returns all that fell due has happened."""
        delta_s = seconds(duration)
        self._call(lambda: self._clock.advance(delta_s))
