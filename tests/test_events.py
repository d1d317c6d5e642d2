from __future__ import annotations

import logging

import pytest

from amqp_broker.events import Event, EventKind, Events


def test_an_observer_hears_of_everything_from_now_on_until_it_leaves() -> None:
    events = Events()
    heard: list[Event] = []
    events.emit(EventKind.QUEUE_CREATED, name="before")
    events.watch(heard.append)
    events.emit(EventKind.QUEUE_CREATED, name="q", durable=True)
    events.unwatch(heard.append)
    events.emit(EventKind.QUEUE_CREATED, name="after")
    assert heard == [Event(EventKind.QUEUE_CREATED, {"name": "q", "durable": True})]


def test_an_observer_that_fails_concerns_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: Event) -> None:
        raise ValueError

    events = Events()
    heard: list[Event] = []
    events.watch(fail)
    events.watch(heard.append)
    with caplog.at_level(logging.ERROR):
        events.emit(EventKind.ALARM_SET, source="memory")
    assert len(heard) == 1
    assert "alarm.set" in caplog.text


def test_events_know_whether_they_are_watched() -> None:
    events = Events()
    told = [events.is_watched]
    events.watch(print)
    told.append(events.is_watched)
    events.unwatch(print)
    told.append(events.is_watched)
    assert told == [False, True, False]
