from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.outbox import Outbox
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.consumers import Consumers
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.unacked import Unacked

NOBODYS_QUEUE = cast("Queue", None)


def nothing(_consumer: Consumer | None = None) -> None:
    """Nobody is told."""


def consumer(tag: str, priority: int = 0, *, exclusive: bool = False) -> Consumer:
    """A consumer on a channel of its own, that can take one message: `busy` says that it has it."""
    return Consumer(
        tag,
        NOBODYS_QUEUE,
        Unacked(1, Outbox(1 << 20, nothing)),
        no_ack=False,
        exclusive=exclusive,
        priority=priority,
        prefetch_count=1,
        arguments={},
        on_cancelled=nothing,
    )


def made(*members: Consumer, single_active: bool = False) -> Consumers:
    consumers = Consumers(single_active)
    for member in members:
        consumers.add(member)
    return consumers


def turns(consumers: Consumers, count: int) -> str:
    """The tags of those whose turn it is, one after the other; a dot where it is nobody's."""
    return "".join("." if (one := consumers.next()) is None else one.tag for _ in range(count))


def busy(member: Consumer, is_busy: bool = True) -> None:
    member.unacked_count = int(is_busy)


def free(consumers: Consumers, member: Consumer) -> None:
    """What a channel does for a consumer that was found unable."""
    busy(member, False)
    del member.unacked.blocked[member]
    consumers.unblock(member)


def test_nobody_is_there() -> None:
    consumers = made()
    assert (len(consumers), list(consumers), consumers.next()) == (0, [], None)


@pytest.mark.rule("5.25")
def test_equals_take_turns() -> None:
    assert turns(made(consumer("a"), consumer("b"), consumer("c")), 7) == "abcabca"


@pytest.mark.rule("5.24")
def test_higher_priority_comes_first_whenever_it_came() -> None:
    a, b, c, d = consumer("a"), consumer("b", 5), consumer("c", -1), consumer("d", 5)
    consumers = made(a, b, c, d)
    assert turns(consumers, 4) == "bdbd"
    busy(b)
    busy(d)
    assert turns(consumers, 2) == "aa"
    assert list(b.unacked.blocked) == [b]
    busy(a)
    assert turns(consumers, 2) == "cc"
    busy(c)
    assert turns(consumers, 2) == ".."
    free(consumers, c)
    assert turns(consumers, 1) == "c"
    free(consumers, d)
    assert turns(consumers, 2) == "dd"


@pytest.mark.rule("5.25")
def test_who_was_unable_comes_back_behind_the_others() -> None:
    a, b, c = consumer("a"), consumer("b"), consumer("c")
    consumers = made(a, b, c)
    busy(a)
    assert turns(consumers, 2) == "bc"
    free(consumers, a)
    assert turns(consumers, 3) == "bca"


def test_who_leaves_has_no_more_turns() -> None:
    a, b, c = consumer("a"), consumer("b"), consumer("c")
    consumers = made(a, b, c)
    busy(c)
    assert turns(consumers, 3) == "aba"
    consumers.remove(b)
    consumers.remove(c)
    assert not c.unacked.blocked
    assert (turns(consumers, 2), len(consumers)) == ("aa", 1)
    consumers.remove(a)
    assert (turns(consumers, 1), len(consumers)) == (".", 0)


@pytest.mark.rule("5.31")
def test_exclusive_consumer_is_known_until_it_leaves() -> None:
    a = consumer("a", exclusive=True)
    consumers = made(a)
    assert consumers.exclusive is a
    consumers.remove(a)
    assert consumers.exclusive is None


@pytest.mark.rule("5.24", "5.25")
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(-1, 1)),
            st.tuples(st.sampled_from(["remove", "busy", "free"]), st.integers(0, 7)),
            st.tuples(st.just("next"), st.just(0)),
        ),
        max_size=80,
    )
)
def test_rotation_agrees_with_a_search_through_all(steps: list[tuple[str, int]]) -> None:
    """Whoever has waited longest among the able ones of the highest priority has the turn."""
    consumers = Consumers(False)
    order: list[Consumer] = []
    """Who has waited longest comes first."""
    for step, number in steps:
        if step == "add":
            order.append(consumer(str(len(order)), number))
            consumers.add(order[-1])
        elif step == "next":
            able = [each for each in order if not each.unacked_count]
            highest = max((each.priority for each in able), default=0)
            expected = next((each for each in able if each.priority == highest), None)
            for each in order.copy():
                is_tried = each.unacked_count and (expected is None or each.priority >= highest)
                if is_tried and each not in each.unacked.blocked and _stands_before(order, each, expected):
                    order.remove(each)
                    order.append(each)
            assert consumers.next() is expected
            if expected is not None:
                order.remove(expected)
                order.append(expected)
        elif number < len(order):
            chosen = order[number]
            if step == "remove":
                order.remove(chosen)
                consumers.remove(chosen)
            elif step == "busy":
                busy(chosen)
            elif chosen in chosen.unacked.blocked:
                free(consumers, chosen)
                order.remove(chosen)
                order.append(chosen)
            else:
                busy(chosen, False)
    assert set(consumers) == set(order)


def _stands_before(order: list[Consumer], each: Consumer, expected: Consumer | None) -> bool:
    if expected is None or each.priority != expected.priority:
        return True
    return order.index(each) < order.index(expected)


# Single active


@pytest.mark.rule("4.57")
def test_only_the_first_has_turns_even_when_it_is_unable() -> None:
    a, b = consumer("a"), consumer("b", 5)
    consumers = made(a, b, single_active=True)
    assert (turns(consumers, 3), consumers.active) == ("aaa", a)
    busy(a)
    assert turns(consumers, 2) == ".."
    free(consumers, a)
    assert turns(consumers, 1) == "a"


@pytest.mark.rule("4.57")
def test_successor_is_of_the_highest_priority_and_the_first_of_these() -> None:
    members = {tag: consumer(tag, priority) for tag, priority in (("a", 9), ("b", 0), ("c", 1), ("d", 1))}
    consumers = made(*members.values(), single_active=True)
    for expected in "acdb":
        assert turns(consumers, 2) == expected * 2
        consumers.remove(members[expected])
    assert (consumers.active, turns(consumers, 1)) == (None, ".")


@pytest.mark.rule("4.57")
def test_waiting_consumer_leaves_unnoticed() -> None:
    a, b = consumer("a"), consumer("b")
    consumers = made(a, b, single_active=True)
    consumers.remove(b)
    assert turns(consumers, 2) == "aa"


@pytest.mark.rule("4.58")
def test_preferring_priority_changes_at_once_or_when_all_is_settled() -> None:
    a, b, c = consumer("a"), consumer("b", 1), consumer("c", 2)
    consumers = made(a, single_active=True)
    assert not consumers.prefer_priority()
    consumers.add(b)
    assert consumers.prefer_priority()
    assert (turns(consumers, 2), consumers.is_changing) == ("bb", False)
    busy(b)
    assert turns(consumers, 1) == "."
    consumers.add(c)
    assert not consumers.prefer_priority()
    assert (turns(consumers, 1), consumers.is_changing, b.unacked.blocked) == (".", True, {})
    busy(b, False)
    assert consumers.prefer_priority()
    assert (turns(consumers, 2), consumers.is_changing) == ("cc", False)
    consumers.remove(c)
    assert turns(consumers, 1) == "b"


@pytest.mark.rule("4.58")
@pytest.mark.parametrize("leaves", ["a", "b"])
def test_change_is_over_when_either_of_the_two_leaves(leaves: str) -> None:
    members = {"a": consumer("a"), "b": consumer("b", 1)}
    consumers = made(members["a"], single_active=True)
    busy(members["a"])
    consumers.add(members["b"])
    consumers.prefer_priority()
    consumers.remove(members[leaves])
    busy(members["a"], False)
    assert not consumers.prefer_priority()
    assert turns(consumers, 2) == ("bb" if leaves == "a" else "aa")
