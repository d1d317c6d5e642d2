"""Celery with a worker in a process of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pika
import pytest

from interop.processes import LineProcess, running_python

pytest.importorskip("celery", reason="celery is not installed: pip install '.[interop]'")

CLIENT = """
import json, sys
from interop.applications import celery_app as shop

def tell(*what):
    print(json.dumps(what), flush=True)

tell("add", shop.add.delay(1, 2).get(timeout=15))
tell("many", [result.get(timeout=15) for result in [shop.add.apply_async((n, n), priority=n % 5) for n in range(20)]])
tell("retried", shop.flaky.delay().get(timeout=15))
tell("later", shop.add.apply_async((3, 4), countdown=0.5).get(timeout=15))
control = shop.app.control.inspect(timeout=3)
((_, queues),) = control.active_queues().items()
tell("inspected", len(control.ping()), queues[0]["name"])
"""


@pytest.fixture(params=["classic", "quorum"])
def environment(request: pytest.FixtureRequest, broker_url: str) -> Iterator[dict[str, str]]:
    forget(broker_url)
    yield {"AMQP_URL": broker_url} | ({"QUORUM": "1"} if request.param == "quorum" else {})
    forget(broker_url)


def forget(url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_delete("interop.celery")


@contextlib.contextmanager
def worker(environment: dict[str, str]) -> Iterator[LineProcess]:
    command = ["-m", "celery", "-A", "interop.applications.celery_app", "worker"]
    options = ["--pool", "solo", "--without-mingle", "--hostname", f"{os.urandom(4).hex()}@interop"]
    with running_python(*command, *options, env=environment) as process:
        yield process


def test_tasks_with_results_retries_and_remote_control(environment: dict[str, str]) -> None:
    with worker(environment), running_python("-c", CLIENT, env=environment) as client:
        assert client.wait_exit(deadline_s=60) == 0, client.errors
        assert client.lines == [
            '["add", 3]',
            f'["many", {[2 * n for n in range(20)]}]',
            '["retried", 2]',
            '["later", 7]',
            '["inspected", 1, "interop.celery"]',
        ]


def test_urgent_tasks_are_done_first(broker_url: str) -> None:
    """They waited together, in a queue with `x-max-priority`."""
    forget(broker_url)
    environment = {"AMQP_URL": broker_url}
    ask = (
        "from interop.applications import celery_app as shop\n"
        "options = {'transport_options': {'confirm_publish': True}}\n"
        "with shop.app.connection_for_write(**options) as connection:\n"
        "    for n in range(10): shop.mark.apply_async((f'{n % 5}.{n}',), priority=n % 5, connection=connection)\n"
    )
    with running_python("-c", ask, env=environment) as client:
        assert client.wait_exit(deadline_s=40) == 0, client.errors
    with worker(environment) as process:
        marked = [process.wait_line("marked", deadline_s=40).removeprefix("marked ") for _ in range(10)]
    assert marked == [f"{n % 5}.{n}" for n in (4, 9, 3, 8, 2, 7, 1, 6, 0, 5)]
    forget(broker_url)


def test_a_task_whose_worker_was_killed_is_done_by_another(environment: dict[str, str]) -> None:
    ask = "from interop.applications import celery_app as shop; print(shop.kill_first.delay().get(timeout=40))"
    with running_python("-c", ask, env=environment) as client:
        with worker(environment) as first:
            assert first.wait_exit(deadline_s=40) == -9
        with worker(environment):
            assert client.wait_exit(deadline_s=40) == 0, client.errors
    assert client.lines == ["True"]
