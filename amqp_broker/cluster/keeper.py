"""One vhost on one node, as long as there is that vhost: its log is followed, and while its lease is ours it is open.

What may wait for a network or a disk happens in threads. Nothing here decides who owns what.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import attrs
import trio

from amqp_broker.broker import Broker
from amqp_broker.cluster.copy import Copy, boot_id
from amqp_broker.cluster.disk import Replica, ReplicatedDisk
from amqp_broker.cluster.follower import Follower
from amqp_broker.cluster.jetstream import StreamLanes
from amqp_broker.cluster.log import Deposed, LogUnavailable, vhost_key
from amqp_broker.cluster.vhosts import HeldVhost
from amqp_broker.net.edge import in_round
from amqp_broker.session.connection import Connection
from amqp_broker.session.state import State
from amqp_broker.storage.committer import Committer, Turns
from amqp_broker.storage.disk import OsDisk
from amqp_broker.storage.gathering import Gathering
from amqp_broker.storage.opening import Opened, open_journal
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.stream_committer import StreamCommitter

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S: Final = 0.3
"""Between attempts of what only needs NATS to come back."""

LEAVE_S: Final = 3.0
"""How long clients have to answer connection.close before a vhost goes without that."""

INTERRUPT_S: Final = 0.05

TIDY_S: Final = 1.0
"""From taking over until what the owner before had no time for is done, and between attempts."""

LANES_S: Final = 1.0
AGAIN_S: Final = 0.3
"""How often to look after the lanes of the log, while all is well and while it is not."""

VHOSTS_AT_ONCE: Final = 8


class Host(Protocol):
    """What a keeper tells the node it is on."""

    broker: Broker
    name: str
    limiter: trio.CapacityLimiter

    def turns(self) -> AbstractContextManager[Turns | None]:
        """Turns of the loop, for a committer to work in."""

    def opened(self, vhost: str) -> None:
        """It is here now."""

    def closing(self, vhost: str) -> None:
        """It is here no more, and clients are told."""

    def closed(self, vhost: str) -> None:
        """All of it is safe, and somebody else may have it."""

    def failed(self, vhost: str) -> None:
        """It can't be opened here, or be kept."""

    def stalled(self, vhost: str, error: OSError | None) -> None:
        """It can't be written for the time being, or can again."""


@attrs.define(eq=False)
class _Holding:
    """What is going on while the vhost is ours."""

    scope: trio.CancelScope
    giving_up: trio.Event = attrs.Factory(trio.Event)


class Keeper:
    """Keeps a vhost.

    Args:
        host: the node.
        vhost: its name.
        log_name: tells its log from that of another vhost which had this name before.
        lanes: its log.
        directory: for its files.
        settings: of its journal.
    """

    def __init__(
        self, host: Host, vhost: str, log_name: str, lanes: StreamLanes, directory: Path, settings: JournalSettings
    ) -> None:
        self.vhost = vhost
        self.log_name = log_name
        self.key = vhost_key(vhost)
        self._host = host
        self._log = lanes
        self._directory = directory
        self._settings = settings
        self._wanted = False
        self._called = trio.Event()
        self._holding: _Holding | None = None
        self._is_deleted = False

    # What the node says

    def take_over(self) -> None:
        """The lease is ours: open the vhost."""
        self._wanted = True
        self._called.set()

    def give_up(self) -> None:
        """Close it in order."""
        self._wanted = False
        if self._holding is not None:
            self._holding.giving_up.set()
        else:
            self._host.closed(self.vhost)

    def abandon(self) -> None:
        """It is somebody else's: let go of it as it is."""
        self._wanted = False
        if self._holding is not None:
            self._log.break_off()  # threads that wait for it would be waited for
            self._holding.scope.cancel()

    def vhost_deleted(self) -> None:
        """The vhost is no more: remove what there is of it."""
        self._is_deleted = True
        self._called.set()
        self.abandon()

    # The task

    async def run(self) -> None:
        """Keep it until `vhost_deleted`, or cancelled."""
        copy = await self._begin()
        follower = Follower(self._log, copy)
        try:
            while not self._is_deleted:
                follower.start()
                await self._call()
                await self._stop(follower)
                if self._wanted and not self._is_deleted:
                    await self._hold(copy)
        finally:
            with trio.CancelScope(shield=True):
                await self._stop(follower)
                await self._thread(self._log.close)
        await self._remove()

    async def _stop(self, follower: Follower) -> None:
        """Follow no more, without waiting for what may come."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._interrupt)
            await self._thread(follower.stop)
            nursery.cancel_scope.cancel()

    async def _interrupt(self) -> None:
        """Have the follower look whether it is to stop."""
        while True:
            self._log.interrupt()
            await trio.sleep(INTERRUPT_S)

    async def _call(self) -> None:
        while not self._wanted and not self._is_deleted:
            self._called = trio.Event()
            await self._called.wait()

    async def _thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await trio.to_thread.run_sync(work, *arguments, limiter=self._host.limiter)

    async def _sure(self, work: Callable[[], T]) -> T:
        """Do something again and again until NATS and the disk let it be done."""
        said = ""
        while True:
            try:
                return await self._thread(work)
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("vhost %r: %s; going on trying", self.vhost, error)
            await trio.sleep(RETRY_S)

    async def _begin(self) -> Copy:
        """Open the log, and take over what an earlier process has left of the copy."""
        await self._sure(self._log.open)
        last = await self._sure(self._log.last)
        copy = Copy(OsDisk(), str(self._directory), self._log.identity, boot_id())
        await self._sure(partial(copy.begin, last))
        return copy

    async def _remove(self) -> None:
        await self._sure(self._log.delete)
        await self._thread(partial(shutil.rmtree, self._directory, ignore_errors=True))

    async def _hold(self, copy: Copy) -> None:
        """Own the vhost, from taking it over until it is given up or taken away."""
        host = self._host
        with trio.CancelScope() as scope:
            holding = self._holding = _Holding(scope)
            try:
                replica = Replica(self._log, copy, host.name)
                opened = await self._open(replica)
                if opened is not None:
                    await self._serve(opened, replica, holding)
                    await self._sure(copy.sync)
                    self._wanted = False
                    host.closed(self.vhost)
            except* Deposed:
                log.warning("vhost %r: another node has taken it over", self.vhost)
                self._wanted = False
                host.closed(self.vhost)
            except* Exception:
                log.exception("vhost %r can't be kept here", self.vhost)
                self._failed()
            finally:
                self._holding = None
                self._log.mend()
                host.stalled(self.vhost, None)

    def _failed(self) -> None:
        self._wanted = False
        self._host.failed(self.vhost)

    async def _open(self, replica: Replica) -> Opened | None:
        """Take over, and recover; None when that is not wanted any more. Raises Deposed, OSError."""
        said = ""
        while self._wanted:
            try:
                await self._thread(replica.take_over)
                break
            except LogUnavailable as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("vhost %r can't be taken over yet: %s", self.vhost, error)
            await trio.sleep(RETRY_S)
        else:
            self._host.closed(self.vhost)
            return None
        opening = partial(
            open_journal,
            str(self._directory),
            self._settings,
            ReplicatedDisk(replica),
            stream_disk=ReplicatedDisk(replica),
        )
        while True:
            try:
                return await self._thread(opening)
            except LogUnavailable as error:
                log.debug("vhost %r: %s", self.vhost, error)
            await trio.sleep(RETRY_S)

    async def _serve(self, opened: Opened, replica: Replica, holding: _Holding) -> None:
        """Have the vhost open here until it is to be given up, and all of it in the log. Raises Deposed."""
        host = self._host
        held = HeldVhost(host.broker, self.vhost, opened)
        held.storage.on_stalled(partial(host.stalled, self.vhost))
        storage = opened.storage
        gathering = Gathering(lambda: storage.stored_count)
        committer = Committer(storage.journal, in_round=in_round, longest_retry_s=RETRY_S, gathering=gathering)
        stream_committer = StreamCommitter(opened.storage.streams)
        is_safe = False
        try:
            with host.turns() as turns:
                committer.turns = turns
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(committer.run)
                    nursery.start_soon(stream_committer.run)
                    nursery.start_soon(self._tidy, replica)
                    nursery.start_soon(self._look_after, replica)
                    host.opened(self.vhost)
                    await holding.giving_up.wait()
                    host.closing(self.vhost)
                    held.close(f"vhost '{self.vhost}' moves to another node")
                    await self._clients_gone(held)
                    held.settle()
                    stream_committer.stop()
                    await stream_committer.finished.wait()
                    committer.stop()
                    await committer.finished.wait()
                    is_safe = True
                    nursery.cancel_scope.cancel()
        finally:
            if not is_safe:
                host.closing(self.vhost)
                held.close(f"vhost '{self.vhost}' has moved to another node")
                held.abandon()

    async def _clients_gone(self, held: HeldVhost) -> None:
        """Wait until clients have been told, but not for ever."""

        def left() -> list[Connection]:
            return [each for each in held.clients if isinstance(each, Connection) and each.state is not State.ENDED]

        ends_at = trio.current_time() + LEAVE_S
        while left() and trio.current_time() < ends_at:  # noqa: ASYNC110 - for seconds, once
            await trio.sleep(0.02)
        for client in left():
            client.edge.abort()

    async def _look_after(self, replica: Replica) -> None:
        """See to it that no server of NATS leads more of the log than it must. Raises Deposed."""
        is_well = False
        while True:
            await trio.sleep(LANES_S if is_well else AGAIN_S)
            try:
                is_well = await self._thread(replica.look_after)
            except LogUnavailable as error:
                is_well = False
                log.debug("vhost %r: %s", self.vhost, error)

    async def _tidy(self, replica: Replica) -> None:
        """Have the log forget what the owner before had no time for."""
        said = ""
        while True:
            await trio.sleep(TIDY_S)
            try:
                return await self._thread(replica.tidy)
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    log.info("vhost %r: its log can't be tidied yet: %s", self.vhost, error)
