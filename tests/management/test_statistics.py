"""Rates from samples, on a clock that the test turns."""

from __future__ import annotations

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
    for _ in range(2 * KEPT):
        statistics.take(thing, {"publish": 0})
        clock.now += PERIOD_S
    assert len(statistics.samples(thing)) == KEPT
    assert len(statistics) == 1
    del thing
    assert len(statistics) == 0


def test_counters_and_rates_stand_side_by_side() -> None:
    statistics = Statistics(Clock())
    assert statistics.with_rates(Thing(), {"ack": 3}) == {"ack": 3, "ack_details": {"rate": 0.0}}
