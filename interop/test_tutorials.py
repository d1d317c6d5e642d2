"""The tutorials every user of RabbitMQ knows, as separate processes, once per client library."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from interop.processes import LineProcess, running_python

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
QUEUES = ["hello", "task_queue", "rpc_queue"]
EXCHANGES = ["logs", "direct_logs", "topic_logs"]


class Tutorial:
    """Runs the scripts of one client library against one broker."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._env = {"AMQP_URL": url}

    @contextlib.contextmanager
    def started(self, script: str, *arguments: str) -> Iterator[LineProcess]:
        with running_python(str(self._folder / script), *arguments, env=self._env) as process:
            yield process

    @contextlib.contextmanager
    def receiver(self, script: str, *arguments: str) -> Iterator[LineProcess]:
        """A script that runs until interrupted: subscribed when handed out, and it has to end cleanly."""
        with self.started(script, *arguments) as process:
            process.wait_line("ready")
            yield process
            interrupt(process)

    def run(self, script: str, *arguments: str) -> list[str]:
        """The output of a script that ends by itself."""
        with self.started(script, *arguments) as process:
            assert process.wait_exit() == 0, process.errors
            return process.lines


def interrupt(process: LineProcess) -> None:
    status = process.stop(signal.SIGINT)
    assert (status, process.errors) == (0, [])


@pytest.fixture(params=["with_pika", "with_aio_pika"])
def tutorial(request: pytest.FixtureRequest, broker_url: str) -> Iterator[Tutorial]:
    """The scripts of one library on a broker that has none of their queues and exchanges yet."""
    forget_names(broker_url)
    yield Tutorial(TUTORIALS / request.param, broker_url)
    forget_names(broker_url)


def forget_names(url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_delete(queue)
        for exchange in EXCHANGES:
            channel.exchange_delete(exchange)


def test_hello_world_reaches_a_receiver_that_is_already_there(tutorial: Tutorial) -> None:
    with tutorial.receiver("receive.py") as receiver:
        assert tutorial.run("send.py") == ["sent Hello World!"]
        assert receiver.wait_line() == "received Hello World!"


def test_hello_world_waits_for_a_receiver_that_comes_later(tutorial: Tutorial) -> None:
    tutorial.run("send.py", "one")
    tutorial.run("send.py", "zwei äöü")
    with tutorial.receiver("receive.py") as receiver:
        assert receiver.wait_line() == "received one"
        assert receiver.wait_line() == "received zwei äöü"


def test_work_goes_to_the_worker_that_is_free(tutorial: Tutorial) -> None:
    with tutorial.receiver("worker.py") as busy, tutorial.receiver("worker.py") as free:
        tutorial.run("new_task.py", "a", "b", "c", "d")
        first = {busy: busy.wait_line("working"), free: free.wait_line("working")}
        assert sorted(first.values()) == ["working a first", "working b first"]
        for task in "cd":
            free.write_line()
            free.wait_line("done")
            assert free.wait_line() == f"working {task} first"
        assert len(busy.lines) == 2  # ready, and the one task it still holds
        for worker in (free, busy):
            worker.write_line()
            worker.wait_line("done")


def test_work_of_a_killed_worker_is_done_by_another(tutorial: Tutorial) -> None:
    with tutorial.started("worker.py") as doomed:
        doomed.wait_line("ready")
        tutorial.run("new_task.py", "precious", "next")
        assert doomed.wait_line() == "working precious first"
        doomed.kill()
    with tutorial.receiver("worker.py") as worker:
        worked = set()  # in either order: the broker may notice the new worker before it notices the death
        for _ in range(2):
            worked.add(worker.wait_line("working"))
            worker.write_line()
            worker.wait_line("done")
    assert worked == {"working precious again", "working next first"}


def test_every_subscriber_hears_every_log_from_now_on(tutorial: Tutorial) -> None:
    tutorial.run("emit_log.py", "nobody hears this")
    with tutorial.receiver("receive_logs.py") as one, tutorial.receiver("receive_logs.py") as other:
        tutorial.run("emit_log.py", "first", "second")
        for receiver in (one, other):
            assert receiver.wait_line() == "received first"
            assert receiver.wait_line() == "received second"
        queues = {receiver.lines[0].split()[1] for receiver in (one, other)}
        assert len(queues) == 2
        assert all(queue.startswith("amq.gen") for queue in queues)


def test_direct_logs_go_by_severity(tutorial: Tutorial) -> None:
    with (
        tutorial.receiver("receive_logs_direct.py", "error") as errors,
        tutorial.receiver("receive_logs_direct.py", "info", "error") as everything,
    ):
        for severity in ("info", "debug", "error"):
            tutorial.run("emit_log_direct.py", severity, f"an {severity}")
        assert errors.wait_line() == "received error an error"
        assert everything.wait_line() == "received info an info"
        assert everything.wait_line() == "received error an error"


def test_topic_logs_go_by_pattern(tutorial: Tutorial) -> None:
    with (
        tutorial.receiver("receive_logs_topic.py", "#") as everything,
        tutorial.receiver("receive_logs_topic.py", "kern.*") as kernel,
        tutorial.receiver("receive_logs_topic.py", "*.critical", "kern.#") as both,
    ):
        keys = ["kern.critical", "kern", "cron.critical", "kern.info.boot", "cron.info", "kern.last"]
        for key in keys:
            tutorial.run("emit_log_topic.py", key, "text")
        heard = {
            everything: keys,
            kernel: ["kern.critical", "kern.last"],
            both: ["kern.critical", "kern", "cron.critical", "kern.info.boot", "kern.last"],
        }
        for receiver, expected in heard.items():
            assert [receiver.wait_line() for _ in expected] == [f"received {key} text" for key in expected]


def test_rpc_answers_find_their_questions(tutorial: Tutorial) -> None:
    expected = {"10": "55", "30": "832040", "1": "1", "90": "2880067194370816120"}
    with tutorial.receiver("rpc_server.py") as server:
        answers = tutorial.run("rpc_client.py", *expected)
        assert sorted(answers) == sorted(f"fibonacci {n} is {value}" for n, value in expected.items())
        for _ in expected:
            server.wait_line("answered")


def test_confirms_come_one_by_one_and_unroutable_messages_come_back(tutorial: Tutorial) -> None:
    lines = tutorial.run("publisher_confirms.py", "50")
    assert lines == ["confirmed 50", "returned 312 NO_ROUTE lost", "queued 50"]


def test_confirms_of_many_messages_at_once_are_complete(tutorial: Tutorial) -> None:
    assert tutorial.run("publisher_confirms_async.py", "2000") == ["confirmed 2000"]
