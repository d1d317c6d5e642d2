"""Celery's larger parts: a chord, a chain, remote control, and a monitor of events.

Results are in files, as a chord has to be counted by a backend that all workers share; all else goes over the broker.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import celery
from kombu import Queue

QUEUE = "interop.chords"
WORKER = "chords@interop"
DEADLINE_S = 30

app = celery.Celery(
    "interop.applications.celery_chords", broker=os.environ["AMQP_URL"], backend=f"file://{os.environ['RESULTS']}"
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, durable=True)],
    task_create_missing_queues=True,
    task_track_started=True,
    worker_send_task_events=True,
    result_chord_retry_interval=0.1,
)


@app.task
def square(number: int) -> int:
    return number * number


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def fail() -> None:
    raise ValueError


class Monitor(threading.Thread):
    """Sees the events of tasks."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.ready = threading.Event()
        self.complete = threading.Event()

    def run(self) -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": self.take})
            self.ready.set()
            receiver.capture(limit=None, timeout=DEADLINE_S, wakeup=True)

    def take(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("task-") and event["type"] != "task-sent":
            self.seen.add(event["type"])
        if {"task-failed", "task-received", "task-started", "task-succeeded"} <= self.seen:
            self.complete.set()


def consumed_with(added: str) -> list[str]:
    """The queues that the worker consumes, this one among them: it answers before it has done what it was asked."""
    names: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    while added not in names and time.monotonic() < deadline:
        queues = app.control.inspect([WORKER], limit=1, timeout=DEADLINE_S).active_queues()[WORKER]
        names = sorted(queue["name"] for queue in queues)
    return names


def play() -> None:
    """Ask for all of it, and write what came."""
    monitor = Monitor()
    monitor.start()
    monitor.ready.wait(DEADLINE_S)
    chord = celery.chord([square.s(0), *(square.s(number) for number in (1, 2, 2, 6))])(total.s())
    print("chord", chord.get(timeout=DEADLINE_S), flush=True)
    print("chain", celery.chain(square.s(2), square.s()).delay().get(timeout=DEADLINE_S), flush=True)
    later = square.apply_async((3,), countdown=3600)
    control = app.control.broadcast("revoke", {"task_id": later.id}, reply=True, timeout=DEADLINE_S, limit=1)
    print("revoked" if "ok" in control[0][WORKER] else control, flush=True)
    app.control.add_consumer("interop.more", reply=True, limit=1, timeout=DEADLINE_S)
    print("consumers", consumed_with("interop.more"), flush=True)
    (limited,) = app.control.rate_limit(square.name, "100/s", reply=True, limit=1, timeout=DEADLINE_S)
    print("rate limit set" if "ok" in limited[WORKER] else limited, flush=True)
    fail.delay()
    monitor.complete.wait(DEADLINE_S)
    print("seen", *sorted(monitor.seen), flush=True)
