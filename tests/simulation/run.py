"""A seeded run: a broker lives, its clients do what comes to mind, the disk fails it, the power goes; and again.

The model doesn't predict the broker. It compares three accounts of the same life that have to agree: what clients
saw, what storage was told, and what a broker that starts on the remains of the disk has.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Sequence
from random import Random

import attrs

import amqp_broker
from amqp_broker.config import Config
from amqp_broker.message import Message
from amqp_broker.queues.entry import NEVER
from amqp_broker.queues.target import Target
from amqp_broker.storage.settings import SyncMode
from amqp_broker.storage.store import JournalStorage
from tests.simulation.accounts import Accounts
from tests.simulation.examination import Remains, check_after_crash, check_after_stop, drain
from tests.simulation.ledger import Ledger, RecordedStorage
from tests.simulation.machine import BEGINNING, SMALL, Machine
from tests.simulation.workload import Workload
from tests.storage.simulated_disk import Crashed, SimulatedDisk

REFUSABLE = ("pwrite", "fsync", "create", "rename", "fsync_directory", "unlink")


class Run:
    """All lives of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.sync: SyncMode = random.choice(("always", "always", "always", "interval", "never"))
        self.settings = attrs.evolve(
            SMALL, sync=self.sync, segment_octets=random.choice((2048, 4096, 20_000)), sync_interval_s=0.5
        )
        self.config = Config(queue_window_octets=random.choice((2_000, 8_000, 1 << 20)))
        beginning = Machine(SimulatedDisk(random), config=self.config, settings=self.settings)
        beginning.writer.run()  # what a new broker has is not the same twice, so it is there before the lives begin
        self.time = BEGINNING
        self.disk = self._after_power_cut(beginning.disk)
        self.accounts = Accounts(Ledger({}, list(beginning.broker.definitions())))
        self.workload = Workload(random, self.accounts)
        self.crashes = self.stops = self.checked = 0
        self.trail: list[tuple[int, int, int]] = []
        """Of each life: steps, calls of the disk, messages that were left."""

    @property
    def steps(self) -> int:
        return self.accounts.steps

    @property
    def summary(self) -> Counter[str]:
        return Counter(
            {
                "steps": self.steps,
                "crashes": self.crashes,
                "clean stops": self.stops,
                "messages checked": self.checked,
            }
        )

    # The broker's life

    def boot(self) -> None:
        """Start on what the disk has; the power may go while it starts."""
        random = self.random
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            self.disk.crash_at = self.disk.calls + random.randint(1, 20)
            try:
                self._machine(self.disk)
            except Crashed:
                self.crashes += 1
            self.disk = self._after_power_cut(self.disk)
        self.disk.crash_at = -1
        self.machine = self.accounts.machine = self._machine(self.disk)
        if not amqp_broker.COMPILED:
            self._watch_publishes()

    def live(self, steps: int) -> None:
        """Do things until the power goes, or the steps are done."""
        random = self.random
        self.disk.crash_at = self.disk.calls + random.randint(1, 150) if random.random() < 0.7 else -1
        self.disk.cold = random.choice((0.0, 0.0, 0.3))
        refuses = random.random() < 0.35
        if random.random() < 0.1:
            self.disk.capacity = random.randint(20_000, 80_000)
        try:
            for _ in range(steps):
                self.accounts.steps += 1
                if refuses and random.random() < 0.05:
                    self.disk.fault = self._fault if random.random() < 0.5 else _no_fault
                self.workload.step()
            self.accounts.check_books()
        except Crashed:
            self.accounts.is_exact = False

    def end(self) -> None:
        """End this life one way or the other, and check what is left."""
        self.time = self.machine.time
        is_up = self.disk.crash_at < 0 or self.disk.calls < self.disk.crash_at
        self.disk.fault = _no_fault
        self.disk.cold = 0.0
        if is_up and self.random.random() < 0.4:
            self._stop()
        else:
            self._crash()

    def _stop(self) -> None:
        self.stops += 1
        self.disk.crash_at = -1
        self.disk.capacity = 1 << 40
        self.machine.journal.retry()
        self.machine.broker.shut_down()
        self.workload.clients.take_all()
        self.machine.stop()
        self.time = self.machine.time
        self.accounts.check_books()
        before = drain(self.machine)
        after = self._after_power_cut(self.disk)
        machine = self._machine(after.copy(), is_recorded=False)
        found = drain(machine)
        check_after_stop(self.accounts, before, machine, found)
        self._go_on(after, found, machine)

    def _crash(self) -> None:
        self.crashes += 1
        after = self._after_power_cut(self.disk)
        machine = self._machine(after.copy(), is_recorded=False)
        found = drain(machine)
        check_after_crash(self.accounts, machine, found)
        self._go_on(after, found, machine)

    def _go_on(self, disk: SimulatedDisk, found: Remains, machine: Machine) -> None:
        """What was found is what the next life begins with."""
        accounts = self.accounts
        self.checked += found.count
        self.trail.append((self.steps, self.disk.calls, found.count))
        accounts.begin(found.of_next_life(machine, accounts.ledger))
        self.workload.clients.begin()
        for each in (each for entries in found.entries.values() for each in entries):
            queue_id, content = each.key[0], each.stored.content
            if each.redelivered and not content.deaths:
                accounts.handed_out[queue_id, content.number] = self.steps
            if each.stored.expires_at == NEVER:
                accounts.expected.setdefault(queue_id, Counter())[content.number] += 1
        self.disk = disk

    # Helpers

    def _machine(self, disk: SimulatedDisk, *, is_recorded: bool = True) -> Machine:
        def wrap(storage: JournalStorage) -> RecordedStorage:
            return RecordedStorage(storage, lambda: self.accounts.ledger)

        time = self.time
        if is_recorded:
            return Machine(disk, config=self.config, settings=self.settings, time=time, is_eager=False, wrap=wrap)
        return Machine(disk, config=self.config, settings=self.settings, time=time, is_eager=False)

    def _watch_publishes(self) -> None:
        vhost = self.machine.broker.vhosts["/"]
        publish = vhost.publish

        def probe(message: Message, queues: Sequence[Target]) -> bool:
            self.accounts.published(message, queues)
            return publish(message, queues)

        vhost.publish = probe  # type: ignore[method-assign]

    def _fault(self, call: str, _path: str) -> OSError | None:
        if call in REFUSABLE and self.random.random() < 0.15:
            return OSError(self.random.choice((errno.ENOSPC, errno.EIO)), "refused")
        return None

    def _after_power_cut(self, disk: SimulatedDisk) -> SimulatedDisk:
        """Power cuts are for those who fsync; the others lose no more than the process."""
        after = disk.crash() if self.sync == "always" else disk.copy()
        after.capacity = 1 << 40
        return after


def _no_fault(_call: str, _path: str) -> None:
    """A disk that does what it is told."""


class Failures(logging.Handler):
    """Internal errors that the broker caught and logged are the simulation's to raise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.last = record.exc_info[1]


def run(seed: int) -> Run:
    """Live a few lives; raises if a promise is broken."""
    failures = Failures()
    logger = logging.getLogger("amqp_broker")
    logger.addHandler(failures)
    try:
        simulation = Run(seed)
        for _ in range(simulation.random.randint(2, 5)):
            simulation.boot()
            simulation.live(simulation.random.randint(10, 250))
            simulation.end()
    except BaseException as error:
        error.add_note(f"seed {seed}; again: python -m tests.simulation --seed {seed}")
        if failures.last is not None and failures.last is not error:
            raise AssertionError(f"the broker failed: {failures.last!r}") from failures.last
        raise
    finally:
        logger.removeHandler(failures)
    if failures.last is not None:
        raise AssertionError(f"seed {seed}: the broker failed: {failures.last!r}") from failures.last
    return simulation
