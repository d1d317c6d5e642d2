"""A seeded life of a journal: publishes, removals, refusals, crashes, and a model that says what must be left.

A seed that fails replays exactly. A million of them: `python -m tests.crash.simulation 0 1000000`.
"""

from __future__ import annotations

import attrs

from amqp_broker.storage.records import REDELIVERED
from amqp_broker.storage.rewriting import Rewriter
from amqp_broker.storage.settings import SyncMode
from tests.crash import lives
from tests.crash.lives import Promises
from tests.storage.harness import SMALL, Harness

Key = tuple[int, int]

SETTINGS = attrs.evolve(SMALL, segment_octets=3000, unsynced_octets=2000, spread=1.2)


class Life(lives.Life):
    """Journals, and what the model knows of them."""

    LONGEST = 60

    def __init__(self, seed: int, sync: SyncMode = "always") -> None:
        super().__init__(seed, sync)
        self.bodies: dict[Key, bytes] = {}
        self.confirmed: set[Key] = set()
        self.replaced_by: dict[Key, Key] = {}
        self.declared: list[bytes] = []
        self.confirmed_declares: set[bytes] = set()
        self.next_position = 1

    def begin(self) -> None:
        self.boot()

    def boot(self) -> None:
        """Recover and check what was found."""
        harness = self.harness = Harness(self.disk, attrs.evolve(SETTINGS, sync=self.sync))
        self.rewriter = Rewriter(harness.journal)
        self.promises = Promises(harness.journal.when_durable)

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
            assert self.harness.journal.reader.read(item.location) == item.content
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
        self.promises.make(lambda: self.confirmed.update(keys))
        return position

    def step(self) -> None:
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
                self.promises.make(lambda: self.confirmed_declares.add(name))
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

    def crash(self) -> None:
        live = set(self.harness.live)
        must = self.confirmed & live
        dead_letters = [(old, new) for old, new in self.replaced_by.items() if old in self.confirmed and new in live]
        self.end_disk()
        self.boot()
        found = {(item.queue_id, item.position) for item in self.harness.found}
        for old, new in dead_letters:
            assert found & {old, new}, f"dead letter {old} → {new} is lost"
        self.check(must, set(self.bodies), self.confirmed_declares)
        self.settle()

    def stop(self) -> None:
        self.calm_disk()
        self.harness.journal.retry()
        self.harness.clock.now += 10
        self.harness.finish()
        live = set(self.harness.live)
        marks = {
            key: self.harness.journal.segments[location.segment].marks.get(location.ordinal)
            for key, location in self.harness.live.items()
        }
        self.end_disk()
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
    lives.run(Life(seed, sync), 150)


if __name__ == "__main__":
    lives.main(run)
