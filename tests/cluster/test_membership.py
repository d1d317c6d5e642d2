"""Who owns which vhost: several views of one table."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import suppress
from random import Random

import pytest

from amqp_broker.cluster.log import Conflict, LogUnavailable
from amqp_broker.cluster.membership import (
    BALANCE_S,
    DEAD_S,
    RETRY_S,
    Abandon,
    Action,
    Change,
    Delete,
    GiveUp,
    Membership,
    Put,
    TakeOver,
    drain,
    transfer,
    undrain,
)
from tests.cluster.simulated_log import SimulatedTable, Watch

RUNS = itertools.count()


class Node:
    """What an edge does with a membership; opening and closing takes no time unless told otherwise.

    Attributes:
        open: vhosts that clients can use here.
        is_cut: it can't reach the table, nor is it told anything.
    """

    def __init__(self, cluster: Cluster, name: str, rate: float = 1.0) -> None:
        self.cluster = cluster
        self.offset, self.rate = cluster.random.uniform(0, 1e6), rate
        self.membership = Membership(name, f"run {next(RUNS)}", {}, self.now)
        self.open: set[str] = set()
        self.refuses = False
        self.is_cut = False
        self.seen: list[Action] = []
        cluster.table.watch(self.told)
        self.watch: Watch = cluster.table.watches[-1]

    @property
    def now(self) -> float:
        return self.offset + self.rate * self.cluster.time

    def told(self, key: str, value: bytes | None, revision: int) -> None:
        self.membership.seen(key, value, revision, self.now)

    def step(self) -> None:
        if self.is_cut:
            for action in self.membership.tick(self.now):
                if isinstance(action, Change):
                    self.membership.done(action, None)
            return
        self.watch.tell(len(self.watch.news))
        self.membership.vhosts_are(self.cluster.vhosts)
        for action in self.membership.tick(self.now):
            self.seen.append(action)
            self.do(action)

    def do(self, action: Action) -> None:
        membership, table = self.membership, self.cluster.table
        if isinstance(action, Put):
            with suppress(LogUnavailable):
                table.put(action.key, action.value)
        elif isinstance(action, Delete):
            table.delete(action.key)
        elif isinstance(action, Change):
            membership.done(action, self.change(action))
        elif isinstance(action, TakeOver):
            if self.refuses:
                membership.failed(action.vhost, self.now)
            else:
                self.open.add(action.vhost)
                membership.opened(action.vhost)
        elif isinstance(action, GiveUp):
            self.open.discard(action.vhost)
            membership.closed(action.vhost)
        elif isinstance(action, Abandon):
            self.open.discard(action.vhost)

    def change(self, action: Change) -> int | None:
        table = self.cluster.table
        try:
            if action.revision:
                return table.update(action.key, action.value, action.revision)
            return table.create(action.key, action.value)
        except (Conflict, LogUnavailable):
            return None


class Cluster:
    def __init__(self, vhosts: int, *names: str) -> None:
        self.random = Random(1)
        self.time = 0.0
        self.table = SimulatedTable(self.random)
        self.vhosts = [f"v-{number}" for number in range(vhosts)]
        self.nodes = {name: Node(self, name) for name in names}

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.time += 0.25
            for node in list(self.nodes.values()):
                node.step()

    def kill(self, name: str) -> Node:
        node = self.nodes.pop(name)
        self.table.watches.remove(node.watch)
        return node

    def owners(self) -> dict[str, list[str]]:
        return {vhost: [name for name, node in self.nodes.items() if vhost in node.open] for vhost in self.vhosts}

    def counts(self) -> list[int]:
        return sorted(len(node.open) for node in self.nodes.values())


@pytest.fixture
def three() -> Cluster:
    cluster = Cluster(6, "a", "b", "c")
    cluster.run(5 * BALANCE_S)
    return cluster


def test_nobody_is_taken_for_dead_because_the_table_took_nothing(three: Cluster) -> None:
    owners = three.owners()
    three.table.weather.lost = 1.0
    three.run(10 * DEAD_S)
    three.table.weather.lost = 0.0
    slow = three.nodes["b"]
    slow.step, step = lambda: None, slow.step  # type: ignore[method-assign]
    three.run(1.0)  # all but this one have refreshed their keys
    slow.step = step  # type: ignore[method-assign]
    three.run(5)
    assert three.owners() == owners
    assert not any(isinstance(action, Abandon) for node in three.nodes.values() for action in node.seen)


def test_a_node_that_hears_nothing_any_more_is_succeeded_though_it_is_heard(three: Cluster) -> None:
    deaf = three.nodes["b"]
    had = set(deaf.open)
    deaf.watch.tell = lambda count: None  # type: ignore[method-assign]
    three.run(DEAD_S + 2)
    others = three.nodes["a"].open | three.nodes["c"].open
    assert had
    assert had <= others


def test_a_node_that_was_cut_off_for_less_than_that_keeps_what_it_has(three: Cluster) -> None:
    node = three.nodes["b"]
    had = set(node.open)
    node.is_cut = True
    three.run(DEAD_S - 0.8)  # the last that was heard of it may be half a second old
    node.is_cut = False
    three.run(DEAD_S + 2)
    assert had
    assert node.open == had
    assert not any(isinstance(action, Abandon) for action in node.seen)


def test_a_node_alone_has_all_at_once() -> None:
    cluster = Cluster(3, "a")
    cluster.run(1)
    assert cluster.counts() == [3]


def test_every_vhost_has_one_owner_and_nodes_have_the_same_number(three: Cluster) -> None:
    assert three.counts() == [2, 2, 2]
    assert all(len(owners) == 1 for owners in three.owners().values())


def test_all_know_the_owners(three: Cluster) -> None:
    for node in three.nodes.values():
        assert {vhost: [node.membership.owner_of(vhost)] for vhost in three.vhosts} == three.owners()


def test_what_a_dead_node_had_is_taken_over_within_seconds(three: Cluster) -> None:
    three.kill("a")
    three.run(DEAD_S + 2.5)
    assert three.counts() in ([2, 4], [3, 3])
    assert all(len(owners) == 1 for owners in three.owners().values())


def test_clocks_need_not_agree() -> None:
    cluster = Cluster(6, "a")
    cluster.nodes["b"] = Node(cluster, "b", rate=0.7)
    cluster.nodes["c"] = Node(cluster, "c", rate=1.3)
    cluster.run(5 * BALANCE_S)
    assert cluster.counts() == [2, 2, 2]
    seen = Counter(type(action) for node in cluster.nodes.values() for action in node.seen)
    assert seen[Abandon] == 0


def test_a_node_that_starts_again_has_its_own_back_at_once(three: Cluster) -> None:
    had = three.kill("a").open
    three.run(1)
    three.nodes["a"] = Node(three, "a")
    three.run(1)
    assert three.nodes["a"].open == had


def test_a_node_that_was_paused_takes_nothing_from_others(three: Cluster) -> None:
    paused = three.nodes.pop("a")
    three.run(20)
    three.nodes["a"] = paused
    paused.seen.clear()
    three.run(1)
    assert paused.open == set()
    assert not [action for action in paused.seen if isinstance(action, TakeOver)]
    three.run(4 * BALANCE_S)
    assert three.counts() == [2, 2, 2]


def test_a_node_that_is_cut_off_knows_it_and_leaves_the_others_alone(three: Cluster) -> None:
    node = three.nodes["a"]
    had = set(node.open)
    node.is_cut = True
    three.run(DEAD_S + 3)
    assert node.membership.is_isolated(node.now)
    assert node.open == had
    assert {owner for vhost in had for owner in three.owners()[vhost]} > {"a"}
    node.is_cut = False
    three.run(1)
    assert node.open == set()
    assert not node.membership.is_isolated(node.now)
    assert all(len(owners) == 1 for owners in three.owners().values())


def test_a_vhost_moves_to_where_it_is_wished(three: Cluster) -> None:
    [owner] = three.owners()["v-0"]
    target = next(name for name in three.nodes if name != owner)
    three.nodes["a"].do(transfer("v-0", target))
    three.run(1)
    assert three.owners()["v-0"] == [target]
    assert not three.table.value("wish.v-0")


def test_a_wish_for_nobody_is_forgotten(three: Cluster) -> None:
    before = three.owners()
    three.nodes["a"].do(transfer("v-0", "nobody"))
    three.run(1)
    assert three.owners() == before
    assert not three.table.value("wish.v-0")


def test_a_node_that_is_drained_owns_nothing_until_it_may_again(three: Cluster) -> None:
    three.nodes["b"].do(drain("a"))
    three.run(1)
    assert three.nodes["a"].open == set()
    assert three.counts() == [0, 3, 3]
    three.run(2 * BALANCE_S)
    assert three.nodes["a"].open == set()
    three.nodes["b"].do(undrain("a"))
    three.run(4 * BALANCE_S)
    assert three.counts() == [2, 2, 2]


def test_a_node_that_leaves_gives_all_away_first(three: Cluster) -> None:
    node = three.nodes["a"]
    node.membership.leave()
    three.run(1)
    assert (node.open, node.membership.owned) == (set(), [])
    for action in node.membership.farewell():
        node.do(action)
    three.kill("a")
    three.run(0.25)
    assert all(not each.membership.is_alive("a") for each in three.nodes.values())
    assert three.counts() == [3, 3]


def test_the_last_node_that_leaves_leaves_its_vhosts_to_nobody() -> None:
    cluster = Cluster(2, "a")
    cluster.run(5)
    node = cluster.nodes["a"]
    node.membership.leave()
    cluster.run(1)
    assert node.membership.owned == []
    for action in node.membership.farewell():
        node.do(action)
    cluster.kill("a")
    cluster.nodes["b"] = Node(cluster, "b")
    cluster.run(1)
    assert cluster.counts() == [2]


def test_what_one_cannot_open_another_does(three: Cluster) -> None:
    [owner] = three.owners()["v-0"]
    target = next(name for name in three.nodes if name != owner)
    three.nodes[target].refuses = True
    three.nodes["a"].do(transfer("v-0", target))
    three.run(2)
    assert len(three.owners()["v-0"]) == 1
    assert three.owners()["v-0"] != [target]


def test_what_nobody_else_could_open_is_tried_again() -> None:
    cluster = Cluster(1, "a")
    cluster.nodes["a"].refuses = True
    cluster.run(2)
    cluster.nodes["a"].refuses = False
    assert cluster.counts() == [0]
    cluster.run(RETRY_S)
    assert cluster.counts() == [1]


def test_a_vhost_that_was_dropped_is_opened_again(three: Cluster) -> None:
    [owner] = three.owners()["v-0"]
    node = three.nodes[owner]
    node.open.discard("v-0")
    node.membership.closed("v-0")
    three.run(2)
    assert len(three.owners()["v-0"]) == 1


def test_a_vhost_that_is_deleted_is_dropped(three: Cluster) -> None:
    three.vhosts.remove("v-0")
    three.run(1)
    assert sum(three.counts()) == 5


def test_a_new_node_gets_its_share_and_each_vhost_moves_at_most_once(three: Cluster) -> None:
    before = three.owners()
    three.nodes["d"] = Node(three, "d")
    three.run(BALANCE_S - 1)
    assert three.owners() == before
    for node in three.nodes.values():
        node.seen.clear()
    three.run(4 * BALANCE_S)
    assert three.counts() == [1, 1, 2, 2]
    moved = [action.vhost for node in three.nodes.values() for action in node.seen if isinstance(action, GiveUp)]
    assert len(moved) == len(set(moved)) <= 2
