"""Waiting, for those who change the broker from outside of AMQP: for their turn, and for the disk."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from typing import Final, TypeVar

import trio

from amqp_broker.broker import Broker
from amqp_broker.net.hub import running_hubs

SLICE_S: Final = 0.002
"""How long work in steps goes on before others have their turn."""

STEP_S: Final = 0.000_05
"""How long such work goes on before clients are looked after: less than it takes to be woken."""

SHARE: Final = 4
"""Where clients took longer than that, work goes on for one part in so many of it."""

CLIENTS_S: Final = 0.000_25
"""How long it goes on at most, however long clients took."""

_T = TypeVar("_T")
_Y = TypeVar("_Y")


def serving_between(steps: Iterable[_T]) -> Iterator[_T]:
    """These, one by one; clients that have sent something meanwhile are served before the next one is made.

    So messages wait for a step of long work, not for a slice of it; who takes the steps still has to let tasks have
    their turn now and then.
    """
    hubs = running_hubs()
    due_at = time.perf_counter() + STEP_S
    for step in steps:
        yield step
        since = time.perf_counter()
        if since >= due_at:
            for hub in hubs:
                hub.serve_now()
            now = time.perf_counter()
            due_at = now + min(max(STEP_S, (now - since) / SHARE), CLIENTS_S)


async def in_turns(
    work: Generator[_Y | None, None, _T],
    slice_s: float = SLICE_S,
    see_to: Callable[[_Y], Awaitable[None]] | None = None,
) -> _T:
    """Do work that comes in steps (`administration.turns`), a slice each turn of the loop; gives what it returns.

    Args:
        work: the steps.
        slice_s: for how long others wait.
        see_to: does what a step has yielded, before the next one is taken; what it raises ends the work.
    """
    ends = time.perf_counter() + slice_s
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            result: _T = end.value
            return result
        if step is not None and see_to is not None:
            await see_to(step)
        if time.perf_counter() >= ends:
            await trio.lowlevel.checkpoint()
            ends = time.perf_counter() + slice_s


async def until_stored(broker: Broker, stored_before: int) -> None:
    """Wait until storage has what was changed since `stored_count` was `stored_before` (rule 7.5)."""
    is_stored = broker.stored_count != stored_before
    for storage in broker.storages:
        if is_stored or storage.has_unsaved_changes:
            stored = trio.Event()
            storage.when_durable(stored.set)
            await stored.wait()
