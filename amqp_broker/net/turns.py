"""Waiting, for those who change the broker from outside of AMQP: for their turn, and for the disk."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, TypeVar

import trio

from amqp_broker.broker import Broker

SLICE_S: Final = 0.002
"""How long work in steps goes on before others have their turn."""

_T = TypeVar("_T")


async def in_turns(work: Generator[None, None, _T]) -> _T:
    """Do work that comes in steps (`administration.turns`), a slice each turn of the loop; gives what it returns."""
    ends = time.perf_counter() + SLICE_S
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: _T = end.value
            return result
        if time.perf_counter() >= ends:
            await trio.lowlevel.checkpoint()
            ends = time.perf_counter() + SLICE_S


async def until_stored(broker: Broker, stored_before: int) -> None:
    """Wait until storage has what was changed since `stored_count` was `stored_before` (rule 7.5)."""
    is_stored = broker.stored_count != stored_before
    for storage in broker.storages:
        if is_stored or storage.has_unsaved_changes:
            stored = trio.Event()
            storage.when_durable(stored.set)
            await stored.wait()
