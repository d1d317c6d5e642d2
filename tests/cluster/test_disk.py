import errno
from collections.abc import Sequence
from random import Random

import pytest

from amqp_broker.cluster.copy import Copy
from amqp_broker.cluster.disk import TIDY_EVERY, Replica, ReplicatedDisk
from amqp_broker.cluster.follower import Follower
from amqp_broker.cluster.log import ENTRY_OCTETS, Deposed, Entry, LogUnavailable
from amqp_broker.cluster.operations import subject_of
from tests.cluster.simulated_log import Line, SimulatedLog
from tests.storage.simulated_disk import SimulatedDisk


class Node:
    """A machine of a cluster, as far as one vhost's files go."""

    def __init__(self, log: SimulatedLog, disk: SimulatedDisk | None = None, boot: str = "boot") -> None:
        self.line = Line(log)
        self.files = disk or SimulatedDisk(Random(0))
        self.copy = Copy(self.files, "v", log.identity, boot)
        self.copy.begin(log.end)
        self.follower = Follower(self.line, self.copy)

    def take_over(self) -> ReplicatedDisk:
        self.replica = Replica(self.line, self.copy, "node")
        self.replica.take_over()
        return ReplicatedDisk(self.replica)

    def follow(self) -> None:
        while self.follower.step(0.0):
            pass

    def has(self) -> dict[str, bytes]:
        return {path: self.files.get(self.copy.full_path(path)) for path in self.copy.paths()}


@pytest.fixture
def log() -> SimulatedLog:
    return SimulatedLog(Random(1))


def write(disk: ReplicatedDisk, path: str, data: bytes, *, is_synced: bool = True) -> None:
    file = disk.create(f"v/{path}")
    file.pwrite(data, 0)
    if is_synced:
        file.fsync()


def test_a_barrier_puts_what_was_written_into_the_log_then_into_the_files(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    file = disk.create("v/segments/1.seg")
    file.pwrite(b"abc", 0)
    file.pwrite(b"d", 3)
    assert (log.end, node.has()) == (1, {})
    file.fsync()
    assert (log.end, node.has()) == (2, {"segments/1.seg": b"abcd"})


def test_a_standby_has_the_same_files(log: SimulatedLog) -> None:
    owner, standby = Node(log), Node(log)
    disk = owner.take_over()
    write(disk, "segments/1.seg", b"abcd")
    disk.open("v/segments/1.seg").truncate(2)
    write(disk, "streams/1.idx", b"x")
    disk.unlink("v/streams/1.idx")
    temporary = disk.create("v/checkpoint.tmp")
    temporary.pwrite(b"state", 0)
    temporary.fsync()
    disk.rename("v/checkpoint.tmp", "v/checkpoint")
    disk.fsync_directory("v")
    disk.rename("v/segments/1.seg", "v/damaged/1.seg")
    standby.follow()
    assert standby.has() == owner.has() == {"checkpoint": b"state", "damaged/1.seg": b"ab"}


def test_what_no_entry_can_hold_is_cut(log: SimulatedLog) -> None:
    owner, standby = Node(log), Node(log)
    disk = owner.take_over()
    data = Random(2).randbytes(3 * ENTRY_OCTETS)
    write(disk, "segments/1.seg", data)
    temporary = disk.create("v/checkpoint.tmp")
    temporary.pwrite(data, 0)
    disk.rename("v/checkpoint.tmp", "v/checkpoint")
    disk.fsync_directory("v")
    standby.follow()
    assert all(len(entry.data) <= ENTRY_OCTETS for entry in log.entries.values())
    assert standby.has() == owner.has() == {"checkpoint": data, "segments/1.seg": data}


def test_without_a_quorum_writing_fails_and_nothing_is_in_the_files(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    node.line.is_cut = True
    with pytest.raises(LogUnavailable):
        write(disk, "segments/1.seg", b"a")
    node.line.is_cut = False
    write(disk, "segments/1.1.seg", b"b")
    assert node.has() == {"segments/1.1.seg": b"b"}


def test_what_arrived_without_an_answer_is_in_the_files_after_the_next_barrier(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    node.line.answers_are_cut = True
    with pytest.raises(LogUnavailable):
        write(disk, "segments/1.seg", b"a")
    node.line.answers_are_cut = False
    write(disk, "segments/1.1.seg", b"b")
    assert node.has() == {"segments/1.seg": b"a", "segments/1.1.seg": b"b"}


def test_what_was_repeated_counts_once(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    log.weather.repeated = 1.0
    for number in range(5):
        write(disk, f"segments/{number}.seg", b"a")
        log.some_arrives()
    assert log.end == 6


def test_an_owner_that_was_deposed_writes_nothing(log: SimulatedLog) -> None:
    old, new = Node(log), Node(log)
    disk = old.take_over()
    write(disk, "segments/1.seg", b"a")
    new.follow()
    new.take_over()
    with pytest.raises(Deposed):
        write(disk, "segments/2.seg", b"b")
    with pytest.raises(Deposed):
        write(disk, "segments/3.seg", b"c")
    assert log.end == 3
    assert new.has() == {"segments/1.seg": b"a"}


def test_an_owner_that_was_deposed_in_doubt_learns_of_it(log: SimulatedLog) -> None:
    old, new = Node(log), Node(log)
    disk = old.take_over()
    old.line.answers_are_cut = True
    with pytest.raises(LogUnavailable):
        write(disk, "segments/1.seg", b"a")
    new.take_over()
    old.line.answers_are_cut = False
    with pytest.raises(Deposed):
        write(disk, "segments/2.seg", b"b")
    assert new.has() == {"segments/1.seg": b"a"}


def test_taking_over_without_an_answer_can_be_tried_again(log: SimulatedLog) -> None:
    node = Node(log)
    replica = Replica(node.line, node.copy, "node")
    log.weather.unanswered = 1.0
    with pytest.raises(LogUnavailable):
        replica.take_over()
    log.weather.unanswered = 0.0
    replica.take_over()
    assert log.end <= 1
    write(ReplicatedDisk(replica), "segments/1.seg", b"a")


def test_who_took_over_in_doubt_and_was_followed_by_another_is_deposed(log: SimulatedLog) -> None:
    first, second = Node(log), Node(log)

    class Unanswered(Line):
        def append(self, *arguments: object) -> int:
            super().append(*arguments)  # type: ignore[arg-type]
            raise LogUnavailable

    doubtful = Replica(Unanswered(log), first.copy, "first")
    with pytest.raises(LogUnavailable):
        doubtful.take_over()
    second.take_over()
    with pytest.raises(Deposed):
        doubtful.take_over()


def test_a_stale_entry_after_a_new_epoch_changes_nothing(log: SimulatedLog) -> None:
    old, new = Node(log), Node(log)
    write(old.take_over(), "segments/1.seg", b"a")
    stale = log.entries[log.end]
    disk = new.take_over()
    log.end += 1
    log.entries[log.end] = stale._replace(subject=subject_of("segments/2.seg"))
    write(disk, "segments/3.seg", b"c")
    late = Node(log)
    late.follow()
    assert new.has() == late.has() == {"segments/1.seg": b"a", "segments/3.seg": b"c"}


def test_a_local_disk_that_refuses_is_made_up_for(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    node.files.fault = lambda call, _path: OSError(errno.ENOSPC, "full") if call == "pwrite" else None
    with pytest.raises(OSError, match="full"):
        write(disk, "segments/1.seg", b"a")
    node.files.fault = lambda _call, _path: None
    write(disk, "segments/1.1.seg", b"b")
    assert node.has() == {"segments/1.seg": b"a", "segments/1.1.seg": b"b"}


def many_files(disk: ReplicatedDisk, log: SimulatedLog) -> None:
    for number in range(10 * TIDY_EVERY):
        write(disk, f"segments/{number}.seg", b"a" * 100)
        if number:
            disk.unlink(f"v/segments/{number - 1}.seg")
        temporary = disk.create("v/checkpoint.tmp")
        temporary.pwrite(b"state %d" % number, 0)
        disk.rename("v/checkpoint.tmp", "v/checkpoint")
        disk.fsync_directory("v")


def test_the_log_forgets_what_is_dead_even_behind_what_lives(log: SimulatedLog) -> None:
    owner, ahead, behind = Node(log), Node(log), Node(log)
    disk = owner.take_over()
    write(disk, "segments/old.seg", b"alive")
    write(disk, "segments/other.seg", b"b")
    behind.follow()
    disk.unlink("v/segments/other.seg")
    ahead.follow()
    many_files(disk, log)
    ahead.follow()
    behind.follow()
    late = Node(log)
    late.follow()
    assert len(log.entries) < 4 * TIDY_EVERY
    assert late.has() == behind.has() == ahead.has() == owner.has()
    assert owner.has()["segments/old.seg"] == b"alive"


def test_tidying_that_fails_is_done_later(log: SimulatedLog) -> None:
    owner = Node(log)
    disk = owner.take_over()
    purge = owner.line.purge

    def refuse(subject: str, before: int) -> None:
        raise LogUnavailable

    owner.line.purge = refuse  # type: ignore[method-assign]
    many_files(disk, log)
    owner.line.purge = purge  # type: ignore[method-assign]
    assert len(log.entries) > 10 * TIDY_EVERY
    many_files(disk, log)
    assert len(log.entries) < 4 * TIDY_EVERY


def test_a_new_owner_tidies_what_another_has_left(log: SimulatedLog) -> None:
    old, new = Node(log), Node(log)
    disk = old.take_over()
    for number in range(TIDY_EVERY - 1):
        write(disk, f"segments/{number}.seg", b"a")
        disk.unlink(f"v/segments/{number}.seg")
    new.take_over()
    new.replica.tidy()
    assert set(new.line.subjects()) == {"epoch", "manifest"}


def test_what_somebody_else_purged_is_appended_again(log: SimulatedLog, caplog: pytest.LogCaptureFixture) -> None:
    old, new = Node(log), Node(log)
    write(old.take_over(), "segments/1.seg", b"a")
    new.follow()
    log.entries.clear()
    new.take_over()
    new.replica.tidy()
    late = Node(log)
    late.follow()
    assert late.has() == {"segments/1.seg": b"a"}
    assert "purged" in caplog.text


def restarted(node: Node, log: SimulatedLog, *, boot: str = "boot") -> Node:
    return Node(log, node.files.crash() if boot != "boot" else node.files.copy(), boot)


def test_a_process_that_was_killed_goes_on_where_it_was(log: SimulatedLog) -> None:
    node = Node(log)
    write(node.take_over(), "segments/1.seg", b"a")
    log.entries.clear()
    assert restarted(node, log).has() == {"segments/1.seg": b"a"}


def test_after_a_power_cut_a_copy_is_made_anew(log: SimulatedLog) -> None:
    node = Node(log)
    write(node.take_over(), "segments/1.seg", b"a" * 5000)
    node = restarted(node, log, boot="other")
    assert node.copy.applied == 0
    node.follow()
    assert node.has() == {"segments/1.seg": b"a" * 5000}


def test_after_a_clean_stop_and_a_power_cut_a_copy_is_as_it_was(log: SimulatedLog) -> None:
    node = Node(log)
    write(node.take_over(), "segments/1.seg", b"a" * 5000)
    node.copy.sync()
    node = restarted(node, log, boot="other")
    assert node.copy.applied == log.end
    assert node.has() == {"segments/1.seg": b"a" * 5000}


@pytest.mark.parametrize("change", ["identity", "end"])
def test_files_of_a_log_that_is_lost_are_kept(log: SimulatedLog, change: str, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(log)
    write(node.take_over(), "segments/1.seg", b"a")
    other = SimulatedLog(Random(1), "two" if change == "identity" else "one")
    other.end = 5 if change == "identity" else 1
    node = restarted(node, other)
    assert node.has() == {}
    assert node.files.get("v.lost-1/segments/1.seg") == b"a"
    assert "v.lost-1" in caplog.text


def test_entries_carried_out_again_change_nothing(log: SimulatedLog) -> None:
    """Whatever number the marker has: it may lag behind, to any entry that is not amid what replaces a file."""
    owner = Node(log)
    disk = owner.take_over()
    seen: list[int] = []
    data = Random(3).randbytes(ENTRY_OCTETS + 5)
    for number in range(12):
        write(disk, f"segments/{number % 5}.seg", data[: 100 * number], is_synced=number % 2 == 0)
        if number % 3 == 2:
            disk.unlink(f"v/segments/{number % 5}.seg")
        temporary = disk.create("v/checkpoint.tmp")
        temporary.pwrite(data[number:], 0)
        disk.rename("v/checkpoint.tmp", "v/checkpoint")
        disk.flush()
        seen.append(log.end)
    for number in seen:
        node = Node(log, owner.files.copy())
        node.copy.applied = number
        node.follow()
        assert node.has() == owner.has()


def test_a_number_of_another_boot_does_not_count(log: SimulatedLog) -> None:
    """Whatever became of the files: none of them was fsynced."""
    node = Node(log)
    write(node.take_over(), "segments/1.seg", b"a")
    other = Node(log, node.files.copy(), "other")
    assert (other.copy.applied, other.has()) == (0, {})


def test_what_the_log_has_forgotten_is_not_left_over_from_another_boot(log: SimulatedLog) -> None:
    node = Node(log)
    disk = node.take_over()
    write(disk, "segments/1.seg", b"a")
    files = node.files.copy()
    disk.unlink("v/segments/1.seg")
    log.entries = {number: entry for number, entry in log.entries.items() if entry.subject == "epoch"}
    other = Node(log, files, "other")
    other.follow()
    assert other.has() == {}


def test_a_process_that_was_killed_amid_what_replaces_a_file_begins_that_again(log: SimulatedLog) -> None:
    owner, standby = Node(log), Node(log)
    disk = owner.take_over()
    data = Random(4).randbytes(2 * ENTRY_OCTETS)
    temporary = disk.create("v/checkpoint.tmp")
    temporary.pwrite(data, 0)
    disk.rename("v/checkpoint.tmp", "v/checkpoint")
    disk.flush()
    for number in (1, 2, 3):
        standby.copy.apply(number, log.entries[number])
    standby.copy.save()
    again = Node(log, standby.files.copy())
    assert again.copy.applied == 1
    again.follow()
    assert again.has() == {"checkpoint": data}


def test_a_manifest_does_not_list_what_went_while_it_was_made(log: SimulatedLog) -> None:
    owner, standby = Node(log), Node(log)
    disk = owner.take_over()
    write(disk, "segments/1.seg", b"a")
    write(disk, "segments/2.seg", b"b")
    standby.follow()
    log.weather.late = 1.0
    with pytest.raises(LogUnavailable):
        disk.unlink("v/segments/1.seg")
    log.weather.late = 0.0
    append, log.some_arrives = owner.line.append, lambda: None  # type: ignore[method-assign]

    def append_late(entries: Sequence[Entry], expected: int) -> int:
        while log.under_way:
            SimulatedLog.some_arrives(log)
        return append(entries, expected)

    owner.line.append = append_late  # type: ignore[method-assign]
    owner.replica.tidy()
    standby.follow()
    assert standby.has() == owner.has() == {"segments/2.seg": b"b"}
    assert owner.copy.manifest() == ["segments/2.seg"]
