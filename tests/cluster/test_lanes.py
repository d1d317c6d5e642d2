"""A log on several lanes, each of which may lose its leader."""

from __future__ import annotations

from random import Random

import pytest

from amqp_broker.cluster.lane import LANES, MARK_SUBJECT, head_of
from amqp_broker.cluster.lanes import LanedLog
from amqp_broker.cluster.log import Deposed, Entry, LogUnavailable, NotConnected, OutOfTurn
from tests.cluster.simulated_log import Line, SimulatedLog


class Cluster:
    """What all have in common.

    Attributes:
        lanes: which stall and forget.
        leaders: the servers that lead them.
        near: the server by way of which all speak to them.
    """

    def __init__(self, lanes: int = LANES) -> None:
        self.lanes = [SimulatedLog(Random(number), f"lane {number}") for number in range(lanes)]
        self.leaders = [f"n{number}" for number in range(lanes)]
        self.near = ""

    def log(self) -> LanedLog:
        """One node's view."""
        return LanedLog(*(LedLine(self, number) for number in range(len(self.lanes))))

    def owner(self) -> LanedLog:
        log = self.log()
        log.claim(0)
        return log

    def stall(self, *numbers: int) -> None:
        for number, lane in enumerate(self.lanes):
            lane.is_stalled = number in numbers

    def filled(self) -> list[int]:
        """How many entries each lane has that are no marks."""
        return [sum(entry.subject != MARK_SUBJECT for entry in lane.entries.values()) for lane in self.lanes]

    def active(self) -> int:
        """The lane that has the most."""
        return max(range(LANES), key=self.filled().__getitem__)


class LedLine(Line):
    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__(cluster.lanes[number])
        self._cluster, self._leaders, self._number = cluster, cluster.leaders, number

    def leader(self) -> str:
        super().leader()
        return self._leaders[self._number]

    def is_near(self) -> bool:
        return self._leaders[self._number] == self._cluster.near

    def move_leader(self, away_from: set[str]) -> None:
        self._leaders[self._number] = min({f"n{number}" for number in range(LANES)} - away_from)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def entries(*data: str) -> list[Entry]:
    return [Entry("file", each.encode()) for each in data]


def read_all(log: LanedLog, after: int = 0) -> list[str]:
    """What follows an index; indices grow by one as long as nothing is purged."""
    found: list[str] = []
    while read := log.read(after, 0.0):
        found += [entry.data.decode() for _, entry in read]
        after = read[-1][0]
    return found


def append(log: LanedLog, *data: str) -> int:
    return log.append(entries(*data), log.last())


def doubtful(log: LanedLog, *data: str) -> None:
    with pytest.raises(LogUnavailable):
        append(log, *data)


def test_what_is_appended_is_read_by_all(cluster: Cluster) -> None:
    owner, reader = cluster.owner(), cluster.log()
    assert append(owner, "a", "b") == 2
    assert append(owner, "c") == 3
    assert (reader.last(), read_all(reader), read_all(cluster.log(), 1)) == (3, ["a", "b", "c"], ["b", "c"])
    assert sorted(cluster.filled()) == [0, 0, 3]


def test_who_is_not_the_owner_appends_nothing(cluster: Cluster) -> None:
    with pytest.raises(Deposed):
        cluster.log().append(entries("a"), 0)
    owner = cluster.owner()
    with pytest.raises(OutOfTurn):
        owner.append(entries("a"), 1)
    assert cluster.filled() == [0, 0, 0]


def test_the_lane_is_taken_that_the_nearest_server_leads(cluster: Cluster) -> None:
    owner, reader = cluster.owner(), cluster.log()
    for number, near in enumerate(("n0", "n2", "elsewhere", "n1")):
        cluster.near = near
        assert owner.look_after()
        append(owner, str(number))
    assert cluster.filled() == [1, 1, 2]
    assert read_all(reader) == ["0", "1", "2", "3"]


def test_when_the_active_lane_stalls_others_go_on(cluster: Cluster) -> None:
    owner, reader = cluster.owner(), cluster.log()
    append(owner, "a")
    assert read_all(reader) == ["a"]
    cluster.stall(cluster.active())
    append(owner, "b")
    cluster.stall(*(number for number, count in enumerate(cluster.filled()) if count))
    append(owner, "c")
    cluster.stall()
    assert append(owner, "d") == 4
    assert read_all(reader, 1) == ["b", "c", "d"]
    assert read_all(cluster.log()) == ["a", "b", "c", "d"]


def test_with_no_lane_an_append_is_in_doubt_and_comes_before_what_is_appended_next(cluster: Cluster) -> None:
    owner = cluster.owner()
    append(owner, "a")
    cluster.stall(*range(LANES))
    doubtful(owner, "b")
    cluster.stall()
    with pytest.raises(OutOfTurn):
        owner.append(entries("c"), 1)
    assert owner.read(1, 0.0) == [(2, Entry("file", b"b"))]
    assert owner.append(entries("c"), 2) == 3
    assert read_all(cluster.log()) == ["a", "b", "c"]


def test_what_arrived_in_several_lanes_is_read_once(cluster: Cluster) -> None:
    owner = cluster.owner()
    for lane in cluster.lanes:
        lane.weather.unanswered = 1.0
    doubtful(owner, "a", "b")
    for lane in cluster.lanes:
        lane.weather.unanswered = 0.0
    append(owner, "c")
    assert sum(cluster.filled()) > 3
    assert read_all(cluster.log()) == ["a", "b", "c"]


def test_who_was_succeeded_appends_to_no_lane(cluster: Cluster) -> None:
    old = cluster.owner()
    append(old, "a")
    new = cluster.owner()
    assert new.last() == 1
    append(new, "b")
    for _ in range(2):
        with pytest.raises(Deposed):
            old.append(entries("x"), 1)
    with pytest.raises(Deposed):
        old.look_after()
    assert read_all(cluster.log()) == ["a", "b"]


def test_what_was_in_doubt_when_another_claimed_is_there_or_never_comes(cluster: Cluster) -> None:
    old = cluster.owner()
    append(old, "a")
    for lane in cluster.lanes:
        lane.weather.late = 1.0
    doubtful(old, "b")
    for lane in cluster.lanes:
        lane.weather.late = 0.0
        lane.some_arrives = lambda: None  # type: ignore[method-assign]
    new = cluster.owner()
    end = new.last()
    for lane in cluster.lanes:
        del lane.some_arrives
        while lane.under_way:
            lane.some_arrives()
    append(new, "c")
    assert end == 1
    assert read_all(cluster.log()) == ["a", "c"]


def test_while_a_lane_is_lost_nobody_claims_and_the_owner_goes_on(cluster: Cluster) -> None:
    owner = cluster.owner()
    append(owner, "a")
    cluster.stall(cluster.active())
    with pytest.raises(LogUnavailable):
        cluster.owner()
    assert append(owner, "b") == 2


def test_a_lost_lane_need_not_be_fenced_once_the_others_say_that_it_is_closed(cluster: Cluster) -> None:
    old = cluster.owner()
    append(old, "a")
    lost = cluster.active()
    new = cluster.log()
    assert read_all(new) == ["a"]
    cluster.stall(lost)
    append(old, "b")
    assert not old.look_after()
    new.claim(1)
    assert new.last() == 2
    assert read_all(new, 1) == ["b"]
    append(new, "c")
    with pytest.raises(Deposed):
        append(old, "x")
    cluster.stall()
    new.look_after()
    assert new.look_after()
    assert read_all(cluster.log()) == ["a", "b", "c"]
    assert cluster.log().last() == 3


def test_a_connection_that_breaks_closes_no_lane(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = cluster.owner()
    append(owner, "a")
    used = cluster.active()

    def broken(_entries: object, _expected: int) -> int:
        raise NotConnected

    with monkeypatch.context() as during:
        during.setattr(owner._lanes[used], "append", broken)
        append(owner, "b")
    cluster.stall(*({*range(LANES)} - {used}))
    append(owner, "c")
    assert cluster.filled()[used] == 2
    cluster.stall()
    assert read_all(cluster.log()) == ["a", "b", "c"]


def test_all_that_are_open_must_be_fenced(cluster: Cluster) -> None:
    old = cluster.owner()
    append(old, "a")
    lost = cluster.active()
    cluster.stall(lost)
    append(old, "b")
    old.look_after()
    cluster.stall()
    assert not old.look_after()
    assert old.look_after()  # it is open again
    cluster.stall(lost)
    with pytest.raises(LogUnavailable):
        cluster.owner()


def test_a_lane_is_not_opened_while_it_may_yet_be_said_that_it_is_closed() -> None:
    cluster = Cluster(2)
    first, second = cluster.lanes
    owner = cluster.owner()
    append(owner, "a")
    cluster.stall(1)
    first.weather.late = 1.0
    with pytest.raises(LogUnavailable):
        owner.look_after()
    first.weather.late = 0.0
    assert first.under_way
    some_arrives, first.some_arrives = first.some_arrives, lambda: None  # type: ignore[method-assign]
    cluster.stall()
    while not owner.look_after():
        continue
    while first.under_way:
        some_arrives()
    second.is_stalled = True
    with pytest.raises(LogUnavailable):
        cluster.owner()


def test_a_lane_is_said_to_be_closed_when_all_that_was_sent_there_is_elsewhere(cluster: Cluster) -> None:
    owner = cluster.owner()
    append(owner, "a")
    lost = cluster.active()
    cluster.stall(lost)
    append(owner, "b", "c")
    went_on = next(number for number in range(LANES) if number != lost and cluster.filled()[number])
    said = [head_of(entry).closed for entry in cluster.lanes[went_on].entries.values()]
    assert said == [0, 0, 0]
    append(owner, "d")
    assert head_of(cluster.lanes[went_on].entries[4]).closed == 1 << lost


def test_a_reader_waits_for_what_another_lane_owes(cluster: Cluster) -> None:
    owner, reader = cluster.owner(), cluster.log()
    append(owner, "a")
    lost = cluster.active()
    cluster.stall(lost)
    append(owner, "b")
    with pytest.raises(LogUnavailable):
        reader.read(0, 0.0)
    cluster.stall()
    assert read_all(reader) == ["a", "b"]


def test_purging_goes_for_all_lanes_and_spares_the_end_of_each(cluster: Cluster) -> None:
    owner = cluster.owner()
    append(owner, "a", "b")
    first = cluster.active()
    cluster.stall(first)
    append(owner, "c")
    cluster.stall()
    while not owner.look_after():
        continue
    append(owner, "d", "e")
    owner.purge("file", 5)
    assert sum(cluster.filled()) == 1
    assert read_all(cluster.log()) == ["e"]
    assert owner.subjects() == {"file": 1}
    new = cluster.owner()
    assert new.last() == 5
    new.append([Entry("other", b"f")], 5)
    new.purge("file", 6)
    assert new.subjects() == {"other": 1}
    assert cluster.log().last() == 6


def test_marks_do_not_add_up(cluster: Cluster) -> None:
    for number in range(20):
        owner = cluster.owner()
        append(owner, str(number))
        owner.purge("file", number + 1)
    assert all(len(lane.entries) <= 3 for lane in cluster.lanes)
    assert read_all(cluster.log(), 19) == ["19"]


def test_what_replaces_others_is_spared_by_a_purge_behind_a_change_of_lanes(cluster: Cluster) -> None:
    owner = cluster.owner()
    append(owner, "a", "b")
    cluster.stall(cluster.active())
    append(owner, "c", "d")
    cluster.stall()
    while not owner.look_after():
        continue
    owner.purge("file", 3)
    assert read_all(cluster.log()) == ["c", "d"]
    owner.purge("file", 4)
    assert read_all(cluster.log()) == ["d"]


def test_a_reader_finds_its_place(cluster: Cluster) -> None:
    owner = cluster.owner()
    for number in range(60):
        if number % 20 == 10:
            cluster.stall(cluster.active())
        append(owner, str(number))
        cluster.stall()
        owner.look_after()
    for after in range(61):
        assert read_all(cluster.log(), after) == [str(number) for number in range(after, 60)]


def test_lanes_that_somebody_has_purged_can_be_claimed(cluster: Cluster) -> None:
    append(cluster.owner(), "a", "b")
    for lane in cluster.lanes:
        lane.entries.clear()
    new = cluster.log()
    new.claim(2)
    assert new.last() == 2
    append(new, "c")
    assert read_all(cluster.log(), 2) == ["c"]


def test_no_server_leads_two_lanes(cluster: Cluster) -> None:
    owner = cluster.owner()
    cluster.leaders[:] = ["n1", "n1", "n1"]
    assert not owner.look_after()
    assert any(owner.look_after() for _ in range(LANES))
    assert sorted(cluster.leaders) == ["n0", "n1", "n2"]
