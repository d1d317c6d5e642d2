"""A seeded life of a journal: publishes, removals, refusals, crashes, and a model that says what must be left.

A seed that fails replays exactly. A million of them: `python -m tests.crash.simulation 0 1000000`.
"""

from __future__ import annotations

import errno
import sys
from random import Random

import attrs

from amqp_broker.storage.journal import SyncMode
from amqp_broker.storage.records import REDELIVERED
from amqp_broker.storage.rewriting import Rewriter
from tests.storage.harness import SMALL, Harness
from tests.storage.simulated_disk import Crashed, SimulatedDisk

Key = tuple[int, int]

SETTINGS = attrs.evolve(SMALL, segment_octets=3000, unsynced_octets=2000, spread=1.2)


class Life:
    """One broker from boot to its end, and what the model knows of all lives before."""

    def __init__(self, seed: int, sync: SyncMode = "always") -> None:
        self.random = Random(seed)
        self.sync = sync
        self.disk = SimulatedDisk(self.random)
        self.bodies: dict[Key, bytes] = {}
        self.confirmed: set[Key] = set()
        self.replaced_by: dict[Key, Key] = {}
        self.declared: list[bytes] = []
        self.confirmed_declares: set[bytes] = set()
        self.promised: list[int] = []
        self.next_promise = 0
        self.next_position = 1
        self.power_fails = sync == "always"

    def boot(self) -> None:
        """Recover and check what was found."""
        harness = self.harness = Harness(self.disk, attrs.evolve(SETTINGS, sync=self.sync))
        self.rewriter = Rewriter(harness.journal)
        self.promised.clear()
        self.next_promise = 0

    def check(self, must: set[Key], may: set[Key], must_declare: set[bytes]) -> None:
        recovery = self.harness.recovery
        assert not recovery.damage, recovery.damage
        found = [(item.queue_id, item.position) for item in self.harness.found]
        assert len(found) == len(set(found)), "a message is there twice"
        assert not must - set(found), f"lost {sorted(must - set(found))}"
        assert set(found) <= may, f"invented or back after a clean stop: {sorted(set(found) - may)}"
        for item in self.harness.found:
            assert item.content is not None
            assert item.content.body == self.bodies[item.queue_id, item.position]
            assert self.harness.journal.read(item.location) == item.content
        topology = b"".join(self.harness.topology)
        names = [topology[index : index + 4] for index in range(0, len(topology), 4)]
        assert not must_declare - set(names), "a declaration is lost"
        order = {name: index for index, name in enumerate(self.declared)}
        assert [order[name] for name in names] == sorted({order[name] for name in names}), "declarations out of order"

    def publish(self, queue_ids: tuple[int, ...]) -> int:
        position, self.next_position = self.next_position, self.next_position + 1
        size = self.random.choice((0, 10, 100, 700))
        body = position.to_bytes(4, "big") + self.random.randbytes(self.random.randint(0, size))
        self.harness.publish(position, body, queue_ids)
        keys = {(queue_id, position) for queue_id in queue_ids}
        self.bodies.update(dict.fromkeys(keys, body))
        self.promise(lambda: self.confirmed.update(keys))
        return position

    def promise(self, keep: object) -> None:
        """Ask to be told, and see to it that promises are kept in order."""
        number, self.next_promise = self.next_promise, self.next_promise + 1
        assert callable(keep)

        def kept() -> None:
            assert len(self.promised) == number, "callbacks out of order"
            self.promised.append(number)
            keep()

        self.harness.journal.when_durable(kept)

    def step(self) -> None:
        """Do something."""
        random, harness = self.random, self.harness
        live = sorted(harness.live)
        match random.choices(range(9), (30, 20, 4, 4, 20, 4, 5, 3, 2))[0]:
            case 0:
                self.publish(tuple(random.sample(range(1, 5), random.choice((1, 1, 1, 3)))))
            case 1 if live:
                # The oldest most of the time, so that segments empty; but not always, so that some get sparse.
                key = live[0] if random.random() < 0.5 else random.choice(live)
                harness.journal.remove(harness.live.pop(key))
            case 2 if live:
                harness.journal.mark(harness.live[random.choice(live)], random.randint(1, 9), REDELIVERED)
            case 3:
                name = self.next_position.to_bytes(4, "big")
                self.next_position += 1
                self.declared.append(name)
                harness.declare(name)
                self.promise(lambda: self.confirmed_declares.add(name))
            case 4:
                batch = harness.journal.take_batch()
                for _ in range(random.randint(0, 3)):
                    self.publish((random.randint(1, 4),))
                if batch:
                    harness.execute(batch)
            case 5:
                harness.clock.now += random.choice((0.01, 0.1, 1.0))
            case 6 if live:
                key = random.choice(live)
                position = self.publish((9,))
                self.replaced_by[key] = (9, position)
                harness.journal.remove(harness.live.pop(key), is_replaced=True)
            case 7:
                if not self.rewriter.is_loaded and (loaded := self.rewriter.choose()):
                    loaded.execute(self.disk)
                    self.rewriter.begin(loaded)
                self.rewriter.step(random.choice((1, 500)))
            case 8:
                harness.journal.retry()

    def live(self, steps: int, *, refuses: bool) -> None:
        """Live until the power goes; sometimes the disk refuses for a while."""
        random = self.random
        self.disk.crash_at = self.disk.calls + random.randint(1, 60) if random.random() < 0.7 else -1

        def fault(call: str, _path: str) -> OSError | None:
            if call in ("pwrite", "fsync", "create", "rename", "fsync_directory", "unlink") and random.random() < 0.15:
                return OSError(random.choice((errno.ENOSPC, errno.EIO)), "refused")
            return None

        try:
            for _ in range(steps):
                if refuses and random.random() < 0.05:
                    self.disk.fault = fault if random.random() < 0.5 else lambda _call, _path: None
                self.step()
        except Crashed:
            pass

    def check_after_crash(self) -> None:
        live = set(self.harness.live)
        must = self.confirmed & live
        dead_letters = [(old, new) for old, new in self.replaced_by.items() if old in self.confirmed and new in live]
        self.disk = self.disk.crash() if self.power_fails else self.disk.copy()
        self.boot()
        found = {(item.queue_id, item.position) for item in self.harness.found}
        for old, new in dead_letters:
            assert found & {old, new}, f"dead letter {old} → {new} is lost"
        self.check(must, set(self.bodies), self.confirmed_declares)
        self.settle()

    def check_after_clean_stop(self) -> None:
        self.disk.fault = lambda _call, _path: None
        self.disk.crash_at = -1
        self.harness.journal.retry()
        self.harness.clock.now += 10
        self.harness.finish()
        live = set(self.harness.live)
        marks = {
            key: self.harness.journal.segments[location.segment].marks.get(location.ordinal)
            for key, location in self.harness.live.items()
        }
        self.disk = self.disk.crash() if self.power_fails else self.disk.copy()
        self.boot()
        assert self.harness.recovery.was_clean
        assert not self.harness.recovery.torn
        self.check(live, live, set(self.declared))
        for item in self.harness.found:
            if mark := marks[item.queue_id, item.position]:
                assert (item.delivery_count, item.flags) == mark
        self.settle()

    def settle(self) -> None:
        """What was found is what there is from now on."""
        self.confirmed = set(self.harness.live)
        self.bodies = {key: self.bodies[key] for key in self.harness.live}
        self.replaced_by.clear()
        topology = b"".join(self.harness.topology)
        self.declared = [topology[index : index + 4] for index in range(0, len(topology), 4)]
        self.confirmed_declares = set(self.declared)


def run(seed: int, sync: SyncMode = "always") -> None:
    """Live a few lives; raises if a promise is broken."""
    life = Life(seed, sync)
    life.boot()
    for _ in range(life.random.randint(1, 5)):
        life.live(life.random.randint(5, 150), refuses=life.random.random() < 0.4)
        is_up = life.disk.calls < life.disk.crash_at or life.disk.crash_at < 0
        if is_up and life.random.random() < 0.4:
            life.check_after_clean_stop()
        else:
            life.check_after_crash()


if __name__ == "__main__":
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            run(seed, ("always", "interval", "never")[seed % 3])
        except BaseException:
            print("seed", seed)
            raise
