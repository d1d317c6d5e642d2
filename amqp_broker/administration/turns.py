"""Work in steps: a generator that yields where others may have their turn, and returns what comes of it.

It may yield something that somebody has to see to before it goes on, if somebody can. Whoever may wait for nothing runs
it through at once; the edge lets others in between (`net.turns`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")


def run_through(work: Generator[object, None, _T]) -> _T:
    """Do all of it now."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: _T = end.value
            return result
