from __future__ import annotations

from random import Random

import attrs
import pytest
import trio

from amqp_broker.storage.committer import Committer
from amqp_broker.storage.gathering import CHEAP_S, LONGEST_S, MANY, MAX_SKIPPED, SHARE, Gathering
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.test_committer import append, open_journal

TOOK_S = 0.004


@attrs.define
class Messages:
    stored: int = 0

    def count(self) -> int:
        return self.stored


class Rounds:
    """Groups that take 4 ms each, on a clock of their own."""

    def __init__(self) -> None:
        self.messages = Messages()
        self.gathering = Gathering(self.messages.count)
        self.now = 0.0

    def group(self, meanwhile: int = 0, took_s: float = TOOK_S) -> None:
        """One goes; so many are stored before it is safe."""
        self.gathering.began(self.now)
        self.messages.stored += meanwhile
        self.now += took_s
        self.gathering.ended(self.now)

    def left_s(self) -> float:
        return self.gathering.left_s(self.now)


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


def test_two_halves_of_a_window_become_one_group(rounds: Rounds) -> None:
    rounds.messages.stored = 50
    rounds.group(meanwhile=50)
    assert rounds.left_s() == pytest.approx(SHARE * TOOK_S)
    rounds.messages.stored += 49
    assert rounds.left_s() > 0
    rounds.messages.stored += 1
    assert rounds.left_s() == 0


def test_who_waits_for_each_confirm_is_never_kept_waiting(rounds: Rounds) -> None:
    for _ in range(3):
        rounds.messages.stored += 1
        assert rounds.left_s() == 0
        rounds.group()


def test_the_wait_ends_in_any_case(rounds: Rounds) -> None:
    rounds.messages.stored = 50
    rounds.group(meanwhile=1)
    rounds.now += SHARE * TOOK_S
    assert rounds.left_s() == 0
    rounds.gathering.began(rounds.now)
    rounds.messages.stored += 1
    rounds.now += 60
    rounds.gathering.ended(rounds.now)
    rounds.gathering.began(rounds.now)
    assert rounds.left_s() <= LONGEST_S


def next_wait(rounds: Rounds) -> int:
    """How many groups go at once before one waits; a message comes with each, none while it waits."""
    count = 0
    while True:
        rounds.group(meanwhile=1)
        if rounds.left_s():
            rounds.now += TOOK_S
            return count
        count += 1


def test_after_waiting_in_vain_groups_go_at_once_ever_longer(rounds: Rounds) -> None:
    rounds.messages.stored = 1
    assert [next_wait(rounds) for _ in range(9)] == [0, 1, 3, 7, 15, 31, 63, 127, MAX_SKIPPED]


def test_a_wait_that_was_worth_it_makes_up_for_those_that_were_not(rounds: Rounds) -> None:
    rounds.messages.stored = 1
    assert [next_wait(rounds) for _ in range(4)] == [0, 1, 3, 7]
    assert next_wait(rounds) == 15
    rounds.messages.stored += 1  # what was waited for comes this time
    assert [next_wait(rounds) for _ in range(3)] == [0, 1, 3]


def test_many_messages_do_not_wait_for_more(rounds: Rounds) -> None:
    rounds.messages.stored = MANY
    rounds.group(meanwhile=1)
    assert rounds.left_s() == 0


def test_a_fast_disk_is_not_waited_for(rounds: Rounds) -> None:
    rounds.messages.stored = 50
    rounds.group(meanwhile=50, took_s=CHEAP_S * 0.9)
    assert rounds.left_s() == 0
    rounds.messages.stored += 50
    rounds.group(meanwhile=50, took_s=CHEAP_S * 1.1)
    assert rounds.left_s() > 0


class Hesitant(Gathering):
    """Wants to wait each time when it is asked for the first time."""

    def __init__(self) -> None:
        super().__init__(lambda: 0)
        self.asked = 0

    def left_s(self, now: float) -> float:
        self.asked += 1
        return self.asked % 2 * 0.001


async def test_a_group_that_waits_goes_when_its_time_has_come() -> None:
    journal, gathering = open_journal(SimulatedDisk(Random(1))), Hesitant()
    committer = Committer(journal, gathering=gathering)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        with trio.fail_after(10):
            for position in range(3):
                await append(journal, position)
        nursery.cancel_scope.cancel()
    assert gathering.asked >= 6
