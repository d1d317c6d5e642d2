"""What shovels and links of federation have in common: tasks that begin, fail, wait and begin again."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import trio

from amqp_broker.links.board import Board, Link, LinkKey, LinkState
from amqp_broker.links.machine import LinkError
from amqp_broker.net.client import ClientConnection
from amqp_broker.net.mover import Mover

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""How often the figures of a link that runs are brought up to date."""

What = TypeVar("What")
"""What a link does; something else means another link."""


class Task(ABC):
    """A link that runs.

    Attributes:
        link: how it fares, for those who look.
        restarting: set when somebody wants it to begin anew.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.restarting = trio.Event()

    def restart(self) -> None:
        """Begin anew at once, whether it runs or waits."""
        self.restarting.set()

    @abstractmethod
    async def run(self) -> None:
        """Do it until cancelled, or until there is nothing more to do."""


class Attempt:
    """One time that a link is up."""

    def __init__(self, link: Link, now: Callable[[], float]) -> None:
        self._link = link
        self._now = now
        self._before = link.forwarded
        self._mover: Mover | None = None
        self._destination: ClientConnection | None = None
        self._limit: int | None = None

    def watch(self, mover: Mover, destination: ClientConnection, limit: int | None = None) -> None:
        """Take the link's figures from here."""
        self._mover, self._destination, self._limit = mover, destination, limit

    def runs(self) -> None:
        """Messages flow."""
        self._link.state, self._link.changed_at, self._link.reason = LinkState.RUNNING, self._now(), ""

    def look(self) -> None:
        """Bring the figures up to date."""
        mover, link = self._mover, self._link
        if mover is None or self._destination is None:
            return
        link.forwarded = self._before + mover.moved
        link.pending = mover.pending
        link.is_blocked = self._destination.is_blocked
        link.remaining = None if self._limit is None else self._limit - mover.moved


async def keep_trying(
    task: Task, attempt: Callable[[Attempt], Awaitable[None]], delay_s: float, now: Callable[[], float]
) -> None:
    """Make attempts until one comes to its end; each failure waits, or is the last where there is no delay.

    Args:
        task: whose link it is.
        attempt: returns when everything is done. Raises LinkError, alone or in a group.
        delay_s: between two attempts.
        now: seconds since 1970.
    """
    link = task.link
    while True:
        link.state, link.changed_at = LinkState.STARTING, now()
        task.restarting = trio.Event()
        this = Attempt(link, now)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_look_now_and_then, this)
                nursery.start_soon(_cancel_when_set, task.restarting, nursery.cancel_scope)
                await attempt(this)
                nursery.cancel_scope.cancel()
                this.look()
            if not task.restarting.is_set():
                return
            continue
        except* LinkError as group:
            link.reason = "; ".join(dict.fromkeys(str(error) for error in flat(group)))
        finally:
            this.look()
            link.pending, link.is_blocked = 0, False
        link.state, link.changed_at = LinkState.TERMINATED, now()
        log.warning("%s %r of vhost %r: %s", link.key[0], link.name, link.vhost, link.reason)
        with trio.move_on_after(delay_s or float("inf")):
            await task.restarting.wait()


async def run_tasks(
    board: Board,
    wanted: Callable[[], Mapping[LinkKey, What]],
    make: Callable[[LinkKey, What], Task],
    changed: Changed,
) -> None:
    """Run what is wanted, and nothing else, until cancelled.

    Args:
        board: where the links that run are shown.
        wanted: asked at the beginning and after each change.
        make: makes a link, which begins when it is made.
        changed: says when to ask again.
    """
    running: dict[LinkKey, tuple[What, trio.CancelScope]] = {}
    async with trio.open_nursery() as nursery:
        while True:
            there = wanted()
            for key, (value, scope) in list(running.items()):
                if key not in there or there[key] != value:
                    scope.cancel()
                    del running[key]
            for key, value in there.items():
                if key not in running:
                    scope = trio.CancelScope()
                    running[key] = value, scope
                    nursery.start_soon(_run_task, board, make(key, value), scope)
            await changed.wait()


class Changed:
    """That something changed, however often, since somebody looked."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def __call__(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Wait for a change, also one that has happened before."""
        await self._event.wait()
        self._event = trio.Event()


async def _run_task(board: Board, task: Task, scope: trio.CancelScope) -> None:
    board.add(task.link)
    try:
        with scope:
            await task.run()
    except Exception:
        log.exception("internal error in %s %r of vhost %r", task.link.key[0], task.link.name, task.link.vhost)
    finally:
        board.remove(task.link)


async def _look_now_and_then(attempt: Attempt) -> None:
    while True:
        attempt.look()
        await trio.sleep(LOOK_S)


async def _cancel_when_set(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def flat(group: BaseExceptionGroup[LinkError]) -> list[LinkError]:
    """The errors of a group, and of groups within it."""
    found: list[LinkError] = []
    for each in group.exceptions:
        found += flat(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
