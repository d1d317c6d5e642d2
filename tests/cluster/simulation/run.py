"""A seeded run of a simulated cluster: nodes are killed, paused and cut off, vhosts move, clients go on.

At the end all is well again. Then whatever was confirmed has been acked or is there, in order, nothing else was ever
delivered, each vhost has one owner, and every node has the same files, users, rights and parameters.
"""

from __future__ import annotations

import logging
from collections import Counter
from random import Random

from amqp_broker.cluster.lanes import LanedLog
from amqp_broker.cluster.log import vhost_key
from amqp_broker.cluster.membership import drain, transfer, undrain
from tests.cluster.simulated_log import Line, SimulatedLog, Weather
from tests.cluster.simulation.administration import Administration, state
from tests.cluster.simulation.clients import Actor, Consumer, Publisher, Reader
from tests.cluster.simulation.ledger import Ledger
from tests.cluster.simulation.node import Cluster, Node
from tests.simulation.run import Failures
from tests.storage.simulated_disk import SimulatedDisk

NAMES = ("a", "b", "c")
VHOSTS = ["/", "other"]
DISTURBANCES = (
    ["kill"] * 3
    + ["power", "pause", "cut", "half"]
    + ["resume"] * 2
    + ["heal"] * 3
    + ["weather", "calm", "jump", "transfer", "drain", "undrain", "leave"]
    + ["stall"] * 4
    + ["elect"] * 4
    + ["stall and kill"]
)
STEP_S = 0.05
CALM_S = 60.0
"""After so long with nothing going wrong all must be well."""


class Run:
    """All that happens for one seed.

    Attributes:
        events: what was done to nodes, and how often.
        trail: something that is the same only if all was.
    """

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.cluster = Cluster(random, VHOSTS)
        self.events: Counter[str] = Counter()
        self.trail: list[tuple[float, int]] = []
        self.confirmed = 0
        self.repeated = 0
        self.nodes: dict[str, Node] = {}
        for name in NAMES:
            self.nodes[name] = Node(self.cluster, name, SimulatedDisk(random), 0, 0)
            if name == NAMES[0]:
                self.nodes[name].found()
        self._administration = Administration(random)
        self._lives = 0
        self._is_rough = True
        self._queues = {vhost: Ledger() for vhost in VHOSTS}
        self._streams = {vhost: Ledger() for vhost in VHOSTS}
        self._publishers = [
            Publisher(vhost, number, queue, ledgers[vhost])
            for vhost in VHOSTS
            for number, (queue, ledgers) in enumerate((("q", self._queues), ("q", self._queues), ("s", self._streams)))
        ]
        self._consumers = [Consumer(vhost, self._queues[vhost]) for vhost in VHOSTS]

    @property
    def _actors(self) -> list[Actor]:
        return [*self._publishers, *self._consumers]

    @property
    def summary(self) -> Counter[str]:
        return self.events + Counter(
            {
                "messages confirmed": self.confirmed,
                "repeated": self.repeated,
                "parameters confirmed": self._administration.confirmed,
            }
        )

    def live(self, steps: int) -> None:
        """Let things happen."""
        for _ in range(steps):
            self.cluster.time += self.random.uniform(0, STEP_S)
            if self._is_rough and self.random.random() < 0.02:
                self._disturb()
            self._step()
            self._administration.look(self.cluster.table)

    def _step(self) -> None:
        random = self.random
        node = self.nodes[random.choice(NAMES)]
        if not node.is_paused:
            choice = random.random()
            key = random.choice(list(self.cluster.vhosts))
            if choice < 0.3:
                node.tick()
            elif choice < 0.6:
                node.follow(key)
            elif choice < 0.9:
                node.write(key)
            elif choice < 0.95:
                node.share()
                if self._is_rough and random.random() < 0.5:
                    self._administration.act(node.broker)
            else:
                node.broker.timers.run()
        actor = random.choice(self._actors)
        if actor.node is None:
            self._connect(actor)
        elif not actor.node.is_paused:
            actor.step()
            if isinstance(actor, Publisher) and self._is_rough:
                for _ in range(random.choice((0, 1, 3))):
                    actor.publish(random.choice((0, 100, 1000)))
            elif isinstance(actor, Consumer) and random.random() < 0.5:
                actor.ack(random.choice)
        elif random.random() < 0.05:
            actor.lose(is_known=False)

    def _connect(self, actor: Actor) -> None:
        """Go to some node that has the vhost, for all it knows."""
        key = vhost_key(actor.vhost)
        nodes = [
            node
            for node in self.nodes.values()
            if not node.is_paused and key in node.held and not node.held[key].is_closing
        ]
        if nodes:
            actor.connect(self.random.choice(nodes))

    # What goes wrong

    def _disturb(self) -> None:
        random = self.random
        node = self.nodes[random.choice(NAMES)]
        kind = random.choice(DISTURBANCES)
        self.events[kind] += 1
        if kind in ("kill", "power"):
            self._restart(node, is_power=kind == "power")
        elif kind == "pause":
            node.is_paused = True
        elif kind == "resume":
            for each in self.nodes.values():
                each.resume()
        elif kind in ("cut", "half"):
            node.cut(answers_only=kind == "half")
        elif kind == "heal":
            for each in self.nodes.values():
                each.heal()
        elif kind in ("weather", "calm"):
            self._set_weather(0.0 if kind == "calm" else 0.15)
        elif kind in ("stall", "elect"):
            random.choice(self._lanes()).is_stalled = kind == "stall"
        elif kind == "stall and kill":
            for lanes in self.cluster.lanes.values():
                random.choice(lanes).is_stalled = True
            self._restart(node, is_power=False)
        elif kind == "jump":
            node.jumped_s += random.uniform(-1000, 1000)
        elif kind == "transfer":
            node.do(transfer(random.choice(list(self.cluster.vhosts)), random.choice(NAMES)))
        elif kind == "drain":
            node.do(drain(node.name))
        elif kind == "undrain":
            node.do(undrain(node.name))
        else:
            for actor in self._actors:
                if actor.node is node and not node.is_paused and random.random() < 0.5:
                    actor.lose()

    def _lanes(self) -> list[SimulatedLog]:
        return [lane for lanes in self.cluster.lanes.values() for lane in lanes]

    def _end_of(self, key: str) -> int:
        """The last index in a vhost's log."""
        return LanedLog(*map(Line, self.cluster.lanes[key])).last()

    def _set_weather(self, most: float) -> None:
        random = self.random
        for log in self._lanes():
            log.weather = Weather(*(random.uniform(0, most) for _ in range(4)))
        self.cluster.table.weather = Weather(*(random.uniform(0, most) for _ in range(4)))

    def _restart(self, node: Node, *, is_power: bool) -> None:
        for actor in self._actors:
            if actor.node is node:
                actor.lose(is_known=False)
        node.end()
        self._lives += 1
        disk = node.disk.crash() if is_power else node.disk.copy()
        self.nodes[node.name] = Node(self.cluster, node.name, disk, node.boot + is_power, self._lives)

    # The end

    def end(self) -> None:
        """Let all be well again, and look at what there is."""
        self._is_rough = False
        self._set_weather(0.0)
        for lane in self._lanes():
            lane.is_stalled = False
            while lane.under_way:  # a late fence would close a vhost for a moment, just when it is looked at
                lane.some_arrives()
        for node in self.nodes.values():
            node.resume()
            node.heal()
            node.do(undrain(node.name))
        began = self.cluster.time
        while not self._is_settled():
            self.live(100)
            assert self.cluster.time - began < CALM_S, f"not settled: {self._owners()}"
        for vhost in VHOSTS:
            self._check(vhost)
        states = [state(node.broker) for node in self.nodes.values()]
        assert all(each == states[0] for each in states), "the nodes have different users, rights or parameters"

    def _owners(self) -> dict[str, list[str]]:
        return {key: [name for name, node in self.nodes.items() if key in node.held] for key in self.cluster.vhosts}

    def _is_settled(self) -> bool:
        """Each vhost has an owner, and all its clients are there and have nothing to wait for."""
        owners = self._owners()
        if any(len(each) != 1 for each in owners.values()):
            return False
        for actor in self._actors:
            key = vhost_key(actor.vhost)
            [owner] = owners[key]
            node = self.nodes[owner]
            queue = node.held[key].vhost.vhost.queues.get("q")
            if (
                actor.node is not node
                or node.held[key].is_closing
                or queue is None
                or queue.message_count
                or queue.unacked_count
            ):
                return False
        if any(node.is_behind for node in self.nodes.values()):
            return False
        return all(not consumer.unacked for consumer in self._consumers) and all(
            key in node.copies and node.copies[key].applied == self._end_of(key)
            for key in self.cluster.lanes
            for node in self.nodes.values()
        )

    def _check(self, vhost: str) -> None:
        key = vhost_key(vhost)
        [owner] = self._owners()[key]
        self._queues[vhost].check_lost(set())
        copies = [node.copies[key] for node in self.nodes.values()]
        files = [{path: copy.disk.get(copy.full_path(path)) for path in copy.paths()} for copy in copies]  # type: ignore[attr-defined]
        assert all(each == files[0] for each in files), "the nodes have different files"
        reader = Reader(vhost, self._streams[vhost])
        reader.connect(self.nodes[owner])
        quiet = 0
        while quiet < 50:
            count = len(reader.found)
            self.cluster.time += STEP_S
            self.nodes[owner].write(key)
            reader.step()
            reader.ack(max)
            quiet = 0 if len(reader.found) > count else quiet + 1
        assert len(set(reader.found)) == len(reader.found), "a stream has something twice"
        self._streams[vhost].check_lost(set(reader.found))
        self.confirmed += len(self._queues[vhost].confirmed) + len(self._streams[vhost].confirmed)
        self.repeated += self._queues[vhost].repeated
        self.trail.append((self.cluster.time, self._end_of(key)))


def run(seed: int) -> Run:
    """Live through one seed; raises if a promise is broken."""
    failures = Failures()
    logger = logging.getLogger("amqp_broker")
    logger.addHandler(failures)
    try:
        simulation = Run(seed)
        simulation.live(simulation.random.randint(500, 3000))
        simulation.end()
    except BaseException as error:
        error.add_note(f"seed {seed}; again: python -m tests.simulation --cluster --seed {seed}")
        raise
    finally:
        logger.removeHandler(failures)
    if failures.last is not None:
        raise AssertionError(f"seed {seed}: the broker failed: {failures.last!r}") from failures.last
    return simulation
