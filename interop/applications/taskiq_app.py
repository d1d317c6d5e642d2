"""A thumbnailer in taskiq: results, a task that is delayed, one that is tried again.

Run it with `python -m taskiq worker interop.applications.taskiq_app:broker`.
"""

from __future__ import annotations

import os

from taskiq import Context, SimpleRetryMiddleware, TaskiqDepends
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

QUEUE = "interop.taskiq"

broker = AioPikaBroker(
    os.environ["AMQP_URL"],
    exchange=Exchange(name=QUEUE),
    task_queues=[Queue(name=QUEUE)],
    delay_queue=Queue(name=f"{QUEUE}.delay"),
    dead_letter_queue=Queue(name=f"{QUEUE}.dead_letter"),
).with_middlewares(SimpleRetryMiddleware(default_retry_count=3))


@broker.task
async def shrink(name: str, size: int) -> None:
    print(f"shrunk {name} {size}", flush=True)


@broker.task(retry_on_error=True)
async def flaky(context: Context = TaskiqDepends()) -> None:  # noqa: B008 - how taskiq gives it
    retries = int(context.message.labels.get("_retries", 0))
    if retries < 2:
        raise RuntimeError("again")
    print(f"flaky {retries}", flush=True)
