"""Small applications in frameworks, each with its worker in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from interop.processes import LineProcess, python_environment, running_python

pytestmark = pytest.mark.long

DEADLINE_S = 60
NAMEKO = "INTEROP_NAMEKO_PYTHON"
"""A Python that has nameko: its pytest plugin and eventlet would change everybody else's."""


@pytest.fixture
def environment(broker_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where the broker is; queues of these applications are gone before and after."""
    forget(broker_url)
    yield {"AMQP_URL": broker_url, "RESULTS": str(tmp_path)}
    forget(broker_url)


def forget(url: str) -> None:
    names = ["dramatiq", "dramatiq.DQ", "dramatiq.XQ", "taskiq", "taskiq.delay", "taskiq.dead_letter", "web", "simple"]
    names += ["chords", "more"]
    names += [f"faststream.{name}" for name in ("orders", "packed", "dead", "price")]
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for name in names:
            channel.queue_delete(f"interop.{name}")
        channel.exchange_delete("interop.faststream.events")
        channel.exchange_delete("interop.taskiq")


def needs(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install '.[interop]'")


def ask(program: str, environment: dict[str, str]) -> list[str]:
    """Run a client and give what it writes."""
    with running_python("-c", program, env=environment) as client:
        assert client.wait_exit(deadline_s=DEADLINE_S) == 0, client.errors
        return client.lines


@contextlib.contextmanager
def working(*command: str, environment: dict[str, str]) -> Iterator[LineProcess]:
    """A worker; some hand on what an application prints to standard error, so that both come as one."""
    shell = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", sys.executable, "-m", *command]
    process = LineProcess(shell, env=python_environment() | environment)
    try:
        yield process
    finally:
        process.kill()


def lines_of(process: LineProcess, *expected: str) -> None:
    """Wait until a worker has written all of these, in whatever order."""
    missing = set(expected) - set(process.lines)
    while missing:
        missing.discard(process.wait_line(deadline_s=DEADLINE_S))


def test_dramatiq(environment: dict[str, str]) -> None:
    """Messages, retries through its delay queue, and one that is given up into its dead-letter queue."""
    needs("dramatiq")
    ask(
        "from interop.applications import dramatiq_app as app\n"
        "for number in range(20): app.count.send(number)\n"
        "for name in ('ann', 'busy', 'nobody'): app.send.send(name)\n"
        "app.count.send_with_options(args=(99,), delay=300)\n",
        environment,
    )
    worker = ["dramatiq", "interop.applications.dramatiq_app", "--processes", "1", "--threads", "2"]
    with working(*worker, environment=environment) as process:
        counted = [f"counted {number}" for number in [*range(20), 99]]
        lines_of(process, *counted, "sent ann 0", "sent busy 2")
        await_count(environment["AMQP_URL"], "interop.dramatiq.XQ", 1)
        process.stop(deadline_s=DEADLINE_S)


def await_count(url: str, name: str, count: int) -> None:
    """Take messages until so many have come: with a consumer, which waits as long as it takes."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for _ in range(count):
            method, _, _ = next(channel.consume(name, inactivity_timeout=DEADLINE_S))
            assert method is not None, f"nothing came to {name}"


def test_taskiq(environment: dict[str, str]) -> None:
    """Tasks, a delayed one, one that is tried again."""
    needs("taskiq", "taskiq_aio_pika")
    worker = ["taskiq", "worker", "interop.applications.taskiq_app:broker", "--workers", "1"]
    ask(
        "import asyncio\n"
        "from interop.applications import taskiq_app as app\n"
        "async def main():\n"
        "    await app.broker.startup()\n"
        "    for size in range(5): await app.shrink.kiq('cat', size)\n"
        "    await app.shrink.kicker().with_labels(delay=1).kiq('later', 1)\n"
        "    await app.flaky.kiq()\n"
        "    await app.broker.shutdown()\n"
        "asyncio.run(main())\n",
        environment,
    )
    with working(*worker, environment=environment) as process:
        lines_of(process, *(f"shrunk cat {size}" for size in range(5)), "shrunk later 1", "flaky 2")
        process.stop(deadline_s=DEADLINE_S)


def test_faststream(environment: dict[str, str]) -> None:
    """Subscribers that publish, a topic exchange, dead letters, a request with its reply."""
    needs("faststream")
    with working("interop.applications.faststream_app", environment=environment) as process:
        process.wait_line("ready", deadline_s=DEADLINE_S)
        (answer,) = ask(
            "import asyncio, json, os\n"
            "from faststream.rabbit import RabbitBroker\n"
            "async def main():\n"
            "    async with RabbitBroker(os.environ['AMQP_URL']) as broker:\n"
            "        for number, pieces in ((1, 2), (2, 0), (3, 1)):\n"
            "            await broker.publish({'number': number, 'pieces': pieces}, 'interop.faststream.orders')\n"
            "        reply = await broker.request({'number': 4, 'pieces': 5}, 'interop.faststream.price', timeout=20)\n"
            "        print(reply.body.decode())\n"
            "asyncio.run(main())\n",
            environment,
        )
        assert answer == "15"
        lines_of(process, "packed 1", "packed 3", "sent 1", "sent 3", "buried 2")
        process.stop(deadline_s=DEADLINE_S)


def test_a_web_service_with_background_consumers(environment: dict[str, str]) -> None:
    needs("fastapi", "uvicorn", "aio_pika")
    with working("interop.applications.web_app", environment=environment) as process:
        port = process.wait_line("port", deadline_s=DEADLINE_S).split()[1]
        for name in ("a", "b", "c"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/jobs/{name}", method="POST")
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                assert json.load(answer) == {"accepted": name}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/done/3", timeout=DEADLINE_S) as answer:
            assert json.load(answer) == ["a", "b", "c"]
        process.stop(deadline_s=DEADLINE_S)


def await_queue(url: str, name: str, process: LineProcess) -> None:
    """Ask until a queue has a consumer, as long as the process that is to make it lives."""
    while process.is_running:
        closed = contextlib.suppress(pika.exceptions.ChannelClosedByBroker)
        with pika.BlockingConnection(pika.URLParameters(url)) as connection, closed:
            if connection.channel().queue_declare(name, passive=True).method.consumer_count:
                return


def test_nameko(broker_url: str) -> None:
    """RPC and events."""
    python = os.environ.get(NAMEKO)
    if python is None:
        pytest.skip(f"no nameko: pip install it into an environment of its own, and name its Python in {NAMEKO}")
    environment = python_environment() | {"AMQP_URL": broker_url, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    options = ["run", "--broker", broker_url, "interop.applications.nameko_app"]
    command = [str(Path(python).with_name("nameko")), *options]
    process = LineProcess(["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *command], env=environment)
    try:
        await_queue(broker_url, "rpc-interop_greeter", process)
        program = (
            "from nameko.standalone.rpc import ClusterRpcProxy\n"
            f"with ClusterRpcProxy({{'AMQP_URI': {broker_url!r}}}, timeout=30) as services:\n"
            "    print(services.interop_greeter.greet('Ann'))\n"
        )
        asked = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, env=environment
        )
        assert asked.stdout == "Hello, Ann!\n", asked.stderr
        process.wait_line("heard Ann", deadline_s=DEADLINE_S)
    finally:
        process.kill()


def test_a_simple_queue_of_kombu(environment: dict[str, str]) -> None:
    """A queue as Python's own queues are, with its serializer, compression and an acknowledgement later."""
    needs("kombu")
    lines = ask(
        "import os, queue\n"
        "import kombu\n"
        "options = {'confirm_publish': True}\n"
        "with kombu.Connection(os.environ['AMQP_URL'], transport_options=options) as connection:\n"
        "    with connection.SimpleQueue('interop.simple') as simple:\n"
        "        simple.put({'a': 1}, serializer='json', compression='zlib')\n"
        "        simple.put([2], priority=3)\n"
        "        print(simple.qsize())\n"
        "        first = simple.get(timeout=10); print(first.payload); first.reject(requeue=True)\n"
        "        got = [simple.get(timeout=10) for _ in range(2)]\n"
        "        print(sorted(str(each.payload) for each in got)); [each.ack() for each in got]\n"
        "        try: simple.get(block=False)\n"
        "        except simple.Empty: print('empty')\n",
        environment,
    )
    assert lines == ["2", "{'a': 1}", "['[2]', \"{'a': 1}\"]", "empty"]


def test_celery_chords_events_and_remote_control(environment: dict[str, str]) -> None:
    """A chord, a chain, a revoked task, a queue added while it runs, and the events that a monitor sees."""
    needs("celery")
    options = ["--pool", "threads", "--concurrency", "2", "--hostname", "chords@interop", "-E"]
    app = "interop.applications.celery_chords"
    with working("celery", "-A", app, "worker", *options, environment=environment) as process:
        lines = ask(f"from {app} import play; play()", environment)
        assert lines == [
            "chord 45",
            "chain 16",
            "revoked",
            "consumers ['interop.chords', 'interop.more']",
            "rate limit set",
            "seen task-failed task-received task-started task-succeeded",
        ]
        process.stop(deadline_s=DEADLINE_S)
