"""Makes a sequence that shows a difference as short as it can while it still shows one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interop.differential.expected import Difference
from interop.differential.operations import Operation

Try = Callable[[Sequence[Operation]], Difference | None]
"""Plays a sequence against both brokers; gives the difference unless there is none that was not expected."""

MAX_TRIES = 120


def shrink(difference: Difference, play: Try) -> Difference:
    """Leave out ever smaller parts, from the end, as long as a difference remains."""
    tries = 0
    size = max(1, len(difference.operations) // 2)
    while True:
        shorter = False
        end = len(difference.operations) - 1  # the last one is where it shows
        while end > 0 and tries < MAX_TRIES:
            start = max(0, end - size)
            tries += 1
            found = play((*difference.operations[:start], *difference.operations[end:]))
            if found is not None:
                difference, shorter = found, True
            end = min(start, len(difference.operations) - 1)
        if tries >= MAX_TRIES or (size == 1 and not shorter):
            return difference
        size = max(1, size // 2)
