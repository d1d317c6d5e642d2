"""A small shop's background work in Celery: results by rpc, late acks, a retry with an ETA, priorities."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

import celery
from kombu import Exchange, Queue

IS_QUORUM = "QUORUM" in os.environ
ARGUMENTS: dict[str, object] = {"x-queue-type": "quorum"} if IS_QUORUM else {"x-max-priority": 5}

app = celery.Celery("interop", broker=os.environ["AMQP_URL"], backend="rpc://")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue="interop.celery",
    task_queues=[Queue("interop.celery", Exchange("interop.celery"), "interop.celery", queue_arguments=ARGUMENTS)],
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    worker_detect_quorum_queues=True,
    worker_redirect_stdouts=False,
)


@app.task
def add(one: int, other: int) -> int:
    return one + other


@app.task(bind=True, max_retries=3)
def flaky(self: Any) -> int:
    """Fails twice; gives how often it was retried."""
    retries: int = self.request.retries
    if retries < 2:
        raise self.retry(eta=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.2))
    return retries


@app.task
def mark(name: str) -> None:
    """Write a line to the worker's output."""
    print(f"marked {name}", flush=True)


@app.task(bind=True)
def kill_first(self: Any) -> bool:
    """The first worker that gets it dies of it; says whether it was delivered again."""
    redelivered = bool(self.request.delivery_info["redelivered"])
    if not redelivered:
        os.kill(os.getpid(), 9)
    return redelivered
