"""The schedule: order, cancelling, and what a fault in one callback does to the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqp_broker.timers import SLICE, Branch, Timers


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.timers = Timers(lambda: self.now)

    def run_at(self, now: float) -> None:
        self.now = now
        self.timers.run()


def test_what_is_due_runs_in_the_order_of_its_time() -> None:
    clock = Clock()
    calls: list[str] = []
    for when, name in ((103.0, "c"), (101.0, "a"), (102.0, "b"), (101.0, "a2"), (110.0, "later")):
        clock.timers.at(when, lambda name=name: calls.append(name))  # type: ignore[misc]
    clock.run_at(105.0)
    assert calls == ["a", "a2", "b", "c"]
    assert clock.timers.next_deadline() == 110.0


def test_what_is_planned_while_running_waits_for_the_next_run() -> None:
    clock = Clock()
    calls: list[int] = []

    def again() -> None:
        calls.append(1)
        clock.timers.at(clock.now, again)

    clock.timers.after(0.0, again)
    clock.run_at(100.0)
    assert calls == [1]
    clock.run_at(100.0)
    assert calls == [1, 1]


def test_a_cancelled_timer_does_not_run_even_when_it_is_due_already() -> None:
    clock = Clock()
    calls: list[str] = []
    second = clock.timers.at(102.0, lambda: calls.append("second"))
    clock.timers.at(101.0, second.cancel)
    clock.run_at(103.0)
    second.cancel()
    assert calls == []
    assert clock.timers.next_deadline() is None


def test_cancelled_timers_give_their_place_back() -> None:
    clock = Clock()
    timers = [clock.timers.after(1000.0, lambda: None) for _ in range(10_000)]
    for timer in timers[1:]:
        timer.cancel()
    assert len(clock.timers._heap) < 200
    assert clock.timers.next_deadline() == 1100.0


def test_a_nearer_deadline_is_told_at_once() -> None:
    clock = Clock()
    told: list[float | None] = []
    clock.timers.on_earlier = lambda: told.append(clock.timers.next_deadline())
    for delay in (5.0, 7.0, 3.0):
        clock.timers.after(delay, lambda: None)
    assert told == [105.0, 103.0]


@pytest.mark.parametrize("handled", [True, False])
def test_a_fault_in_a_callback_concerns_nobody_else(handled: bool) -> None:
    clock = Clock()
    calls: list[str] = []
    faults: list[Exception] = []

    def fail() -> None:
        raise ValueError("ours")

    clock.timers.at(101.0, fail)
    clock.timers.at(102.0, lambda: calls.append("second"))
    if handled:
        clock.timers.on_error = faults.append
        clock.run_at(103.0)
        assert calls == ["second"]
        assert [str(fault) for fault in faults] == ["ours"]
    else:
        with pytest.raises(ValueError, match="ours"):
            clock.run_at(103.0)


# Long work


@pytest.fixture
def timers() -> Timers:
    return Clock().timers


def steps(done: list[str], name: str, count: int) -> Iterator[None]:
    for _ in range(count):
        done.append(name)
        yield


def test_long_work_is_done_a_slice_at_a_time(timers: Timers) -> None:
    done: list[str] = []
    timers.spread(steps(done, "a", 2 * SLICE + 5))
    assert len(done) == SLICE
    timers.run()
    assert len(done) == 2 * SLICE
    timers.run()
    assert len(done) == 2 * SLICE + 5
    assert timers.next_deadline() is None


def test_short_work_is_done_at_once(timers: Timers) -> None:
    done: list[str] = []
    timers.spread(steps(done, "a", SLICE - 1))
    assert len(done) == SLICE - 1
    assert timers.next_deadline() is None


def test_later_work_begins_when_the_earlier_is_done(timers: Timers) -> None:
    done: list[str] = []
    timers.spread(steps(done, "a", SLICE + 1))
    timers.spread(steps(done, "b", 1))
    timers.run()
    assert done[SLICE:] == ["a"]
    timers.run()
    assert done[SLICE:] == ["a", "b"]
    assert timers.next_deadline() is None


def test_what_is_due_has_its_turn_between_slices(timers: Timers) -> None:
    done: list[str] = []
    timers.spread(steps(done, "a", 3 * SLICE))
    timers.after(0, lambda: done.append("timer"))
    timers.run()
    assert done.index("timer") <= 2 * SLICE


def test_at_the_end_all_work_is_finished(timers: Timers) -> None:
    done: list[str] = []
    timers.spread(steps(done, "a", 5 * SLICE))
    timers.spread(steps(done, "b", 2))
    timers.finish_work()
    assert (done.count("a"), done.count("b")) == (5 * SLICE, 2)
    timers.run()
    assert timers.next_deadline() is None


def test_a_branch_has_its_turns_in_the_schedule_it_is_part_of() -> None:
    clock = Clock()
    calls: list[str] = []
    branch = Branch(clock.timers)
    branch.at(103.0, lambda: calls.append("late"))

    def go_on() -> None:
        branch.after(1.0, lambda: calls.append("then"))

    branch.at(101.0, go_on)
    cancelled = branch.at(100.5, lambda: calls.append("never"))
    cancelled.cancel()
    clock.run_at(101.0)
    assert clock.timers.next_deadline() == 102.0
    clock.run_at(102.0)
    assert calls == ["then"]
    clock.run_at(103.0)
    assert calls == ["then", "late"]
    assert clock.timers.next_deadline() is None


def test_a_branch_ends_as_a_whole() -> None:
    clock = Clock()
    branch = Branch(clock.timers)
    branch.at(101.0, lambda: pytest.fail("it has ended"))
    branch.end()
    branch.at(100.0, lambda: pytest.fail("it has ended"))
    clock.run_at(102.0)
    assert clock.timers.next_deadline() is None


def test_a_fault_in_a_branch_is_told_where_those_of_the_trunk_are() -> None:
    clock = Clock()
    errors: list[Exception] = []
    clock.timers.on_error = errors.append
    branch = Branch(clock.timers)

    def fail() -> None:
        raise IndexError

    branch.at(101.0, fail)
    branch.at(101.5, lambda: errors.append(ValueError()))
    clock.run_at(102.0)
    assert [type(error) for error in errors] == [IndexError, ValueError]
