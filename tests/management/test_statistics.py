"""Rates from samples, on a clock that the test turns."""

from __future__ import annotations

import pytest

from amqp_broker.management.errors import ApiError
from amqp_broker.management.figures import Figures, figures_of
from amqp_broker.management.statistics import KEPT, PERIOD_S, Statistics


class Thing:
    """Something that counts."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_what_came_in_the_last_period() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    statistics.take(thing, {"publish": 100})
    clock.now += 5
    statistics.take(thing, {"publish": 100})
    clock.now += 5
    assert statistics.rates(thing, {"publish": 150}) == {"publish": 10.0}


def test_nothing_is_known_of_what_has_no_sample() -> None:
    statistics = Statistics(Clock())
    assert statistics.rates(Thing(), {"publish": 150}) == {"publish": 0.0}


def test_a_young_sample_is_better_than_none() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    statistics.take(thing, {"publish": 0})
    clock.now += 1
    assert statistics.rates(thing, {"publish": 7}) == {"publish": 7.0}


def test_a_counter_that_was_not_sampled_has_no_rate() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    statistics.take(thing, {"publish": 0})
    clock.now += PERIOD_S
    assert statistics.rates(thing, {"ack": 1_000_000}) == {"ack": 0.0}


def test_samples_are_limited_and_go_with_their_object() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    for number in range(2 * KEPT):
        statistics.take(thing, {"publish": number})
        clock.now += PERIOD_S
    assert len(statistics.samples(thing)) == KEPT
    assert len(statistics) == 1
    del thing
    assert len(statistics) == 0


def test_of_what_is_idle_little_is_kept_and_its_rates_are_right_when_it_wakes() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    for _ in range(100):
        statistics.take(thing, {"publish": 7})
        clock.now += PERIOD_S
    assert len(statistics.samples(thing)) == 2
    assert statistics.rates(thing, {"publish": 17}) == {"publish": 2.0}
    clock.now -= PERIOD_S - 1  # a second after the last look: what came before was nothing
    assert statistics.rates(thing, {"publish": 17}) == {"publish": 2.0}


def test_counters_and_rates_stand_side_by_side() -> None:
    statistics = Statistics(Clock())
    assert Figures(statistics).with_rates(Thing(), {"ack": 3}) == {"ack": 3, "ack_details": {"rate": 0.0}}


def test_a_share_is_the_average_of_what_it_was_and_is() -> None:
    statistics, thing = Statistics(Clock()), Thing()
    assert statistics.share(thing, 1.0) == 1.0
    statistics.take_share(thing, 1.0)
    statistics.take_share(thing, 0.0)
    assert statistics.share(thing, 0.0) == 0.562
    assert statistics.share(thing, 1.0) == 0.812
    statistics.clear()
    assert statistics.share(thing, 0.0) == 0.0


def test_idle_is_what_has_not_changed_since_a_sample() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    assert statistics.idle_since(thing, {"publish": 1}) is None
    statistics.take(thing, {"publish": 1})
    clock.now += PERIOD_S
    statistics.take(thing, {"publish": 1})
    assert statistics.idle_since(thing, {"publish": 1}) == 1000.0
    assert statistics.idle_since(thing, {"publish": 2}) is None


def test_a_series_ends_where_no_sample_is_as_old() -> None:
    clock, thing = Clock(), Thing()
    statistics = Statistics(clock)
    for count in (0, 10, 20):
        statistics.take(thing, {"publish": count})
        clock.now += PERIOD_S
    figures = figures_of(statistics, {"msg_rates_age": "60", "msg_rates_incr": "5"})
    assert figures.with_rates(thing, {"publish": 30})["publish_details"] == {
        "rate": 2.0,
        "samples": [
            {"sample": 30, "timestamp": 1_015_000},
            {"sample": 20, "timestamp": 1_010_000},
            {"sample": 10, "timestamp": 1_005_000},
            {"sample": 0, "timestamp": 1_000_000},
        ],
        "avg": 15.0,
        "avg_rate": 2.0,
    }


@pytest.mark.parametrize(("age", "step"), [("x", "5"), ("0", "5"), ("5", "-1"), ("100000", "1")])
def test_a_stretch_of_time_that_cannot_be(age: str, step: str) -> None:
    with pytest.raises(ApiError, match="lengths_age"):
        figures_of(Statistics(Clock()), {"lengths_age": age, "lengths_incr": step})
