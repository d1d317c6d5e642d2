"""What the seeded lives of the journal and of streams have in common: how they end, and what the disk does to them."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from random import Random

from amqp_broker.storage.settings import SyncMode
from tests.storage.simulated_disk import Crashed, SimulatedDisk

REFUSABLE = ("pwrite", "fsync", "create", "rename", "fsync_directory", "unlink")


class Promises:
    """Asks to be told, and sees to it that promises are kept in order.

    Args:
        when_durable: of what is tested.
    """

    def __init__(self, when_durable: Callable[[Callable[[], None]], None]) -> None:
        self._when_durable = when_durable
        self._made = self._kept = 0

    def make(self, keep: Callable[[], None]) -> None:
        """Have `keep` called when all that was done before is safe."""
        number, self._made = self._made, self._made + 1

        def kept() -> None:
            assert number == self._kept, "callbacks out of order"
            self._kept += 1
            keep()

        self._when_durable(kept)


class Life:
    """Brokers from boot to their ends, on one disk, and what the model knows of all of them.

    Attributes:
        random: decides everything.
        sync: whether the power is cut in the end, or only the process killed.
        disk: what outlives a broker.
    """

    LONGEST = 100
    """Calls of the disk until the power goes, at most."""

    def __init__(self, seed: int, sync: SyncMode) -> None:
        self.random = Random(seed)
        self.sync = sync
        self.disk = SimulatedDisk(self.random)

    def begin(self) -> None:
        """Boot for the first time."""
        raise NotImplementedError

    def step(self) -> None:
        """Do something."""
        raise NotImplementedError

    def stop(self) -> None:
        """End in peace, boot, and check that all is as it was left."""
        raise NotImplementedError

    def crash(self) -> None:
        """Lose power or be killed, boot, and check that nothing is missing that was promised."""
        raise NotImplementedError

    def live(self, steps: int, *, refuses: bool) -> bool:
        """Live until the power goes; sometimes the disk refuses for a while. Tells whether it is still up."""
        random = self.random
        self.disk.crash_at = self.disk.calls + random.randint(1, self.LONGEST) if random.random() < 0.7 else -1
        self.disk.cold = random.choice((0.0, 0.5))
        try:
            for _ in range(steps):
                if refuses and random.random() < 0.05:
                    self.disk.fault = self._fault if random.random() < 0.5 else _no_fault
                self.step()
        except Crashed:
            return False
        return True

    def calm_disk(self) -> None:
        """From now on it does what it is told."""
        self.disk.fault = _no_fault
        self.disk.crash_at = -1
        self.disk.cold = 0.0

    def end_disk(self) -> None:
        """Have the disk that the next broker finds."""
        self.disk = self.disk.crash() if self.sync == "always" else self.disk.copy()

    def _fault(self, call: str, _path: str) -> OSError | None:
        if call in REFUSABLE and self.random.random() < 0.15:
            return OSError(self.random.choice((errno.ENOSPC, errno.EIO)), "refused")
        return None


def _no_fault(_call: str, _path: str) -> None:
    """A disk that does what it is told."""


def run(life: Life, longest: int) -> None:
    """Live a few lives of so many steps at most; raises if a promise is broken."""
    life.begin()
    for _ in range(life.random.randint(1, 5)):
        is_up = life.live(life.random.randint(5, longest), refuses=life.random.random() < 0.4)
        if is_up and life.random.random() < 0.4:
            life.stop()
        else:
            life.crash()


def run_seeds(seeds: range, run_one: Callable[[int], None]) -> None:
    """Run one after the other; the one that fails is named."""
    for seed in seeds:
        try:
            run_one(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def main(run_one: Callable[[int, SyncMode], None]) -> None:
    """Run the seeds that the command line gives, from one to another, with all sync modes in turn."""
    modes: tuple[SyncMode, ...] = ("always", "interval", "never")
    run_seeds(range(int(sys.argv[1]), int(sys.argv[2])), lambda seed: run_one(seed, modes[seed % 3]))
