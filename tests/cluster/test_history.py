"""That the checker of `python -m interop.cluster` finds what is wrong."""

from __future__ import annotations

from interop.cluster.history import QUORUM_GONE, Gap, History, check, unavailability
from interop.cluster.report import lines, timeline


def history(*delivered: int, published: int = 3, confirmed: int = 3) -> History:
    """One publisher, whose numbers begin at 0, and what came of it."""
    found = History()
    found.queue_of["p"] = "q"
    found.attempts = [("p", number) for number in range(published)]
    found.confirms = [(float(number), "p", number) for number in range(confirmed)]
    for number in delivered:
        found.delivered("q", f"p:{number}".encode(), False)
    return found


def test_what_is_right_is_right() -> None:
    verdict = check(history(0, 1, 2))
    assert verdict.is_right
    assert (verdict.published, verdict.confirmed, verdict.delivered, verdict.duplicates) == (3, 3, 3, 0)


def test_what_was_confirmed_and_never_came_is_lost() -> None:
    verdict = check(history(0, 2))
    assert verdict.lost == [("p", 1)]
    assert not verdict.is_right


def test_what_nobody_published_is_invented() -> None:
    assert check(history(0, 1, 2, 7)).invented == [("p", 7)]
    assert not check(history(0, 1, 2, 7)).is_right


def test_what_came_after_a_later_one_is_out_of_order() -> None:
    assert check(history(0, 2, 1)).disordered == [("p", 1)]


def test_what_comes_again_is_a_duplicate_and_no_more() -> None:
    verdict = check(history(0, 1, 0, 1, 2))
    assert verdict.duplicates == 2
    assert verdict.is_right


def test_what_was_not_confirmed_may_come_or_not() -> None:
    verdict = check(history(0, 2, published=4, confirmed=1))
    assert verdict.is_right
    assert (verdict.doubtful, verdict.doubtful_delivered) == (3, 1)


def test_a_run_without_any_confirm_proves_nothing() -> None:
    assert not check(history(published=3, confirmed=0)).is_right


def test_the_longest_time_without_a_confirm_is_found() -> None:
    found = history(0, 1, 2)
    found.confirms = [(1.0, "p", 0), (2.0, "p", 1), (9.0, "p", 2)]
    found.events = [(1.5, 3.0, "SIGKILL of broker b1"), (8.0, 8.5, "SIGKILL of broker b2")]
    assert [gap.seconds for gap in unavailability(found, 10.0)] == [7.0, 1.0]
    assert unavailability(found, 10.0)[0] == Gap("SIGKILL of broker b1", 2.0, "q", 7.0)
    drawn = timeline(found, 10.0, "title")
    assert drawn.count("<rect") == 3


def test_what_leaves_no_quorum_counts_from_its_end() -> None:
    found = history(0, 1, 2)
    found.confirms = [(1.0, "p", 0), (2.0, "p", 1), (9.0, "p", 2)]
    found.events = [(2.0, 6.0, QUORUM_GONE), (9.5, 9.5, "transfer of / to broker b1")]
    gaps = unavailability(found, 10.0)
    assert gaps == [Gap(QUORUM_GONE, 6.0, "q", 3.0), Gap("transfer of / to broker b1", 9.5, "", 0.5)]
    table = lines(found, check(found), gaps)
    assert "| all while NATS is whole | 1 | 0.5 | 0.5 | 0.5 |" in table
    assert "| all | 2 | 3.0 | 3.0 | 3.0 |" in table
