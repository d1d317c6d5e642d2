"""`amqp-broker shovel` between the broker under test and one of our own: there and back, and with sides that die."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from interop.own_broker import running_own_broker
from interop.processes import LineProcess, python_environment
from interop.proxy import Proxy, Weather, proxied
from interop.restartable import Restartable, running

pytestmark = pytest.mark.long

DEADLINE_S = 60
QUEUE = "interop.shovel"
COUNT = 3000

EVERY_PROPERTY = pika.BasicProperties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers={
        "text": "äöü",
        "octets": b"\x00\xff",
        "number": 1 << 40,
        "list": [1, "b", {"deep": True}],
        "none": None,
        "when": dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
    },
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="86400000",
    message_id="m",
    timestamp=1_700_000_000,
    type="t",
    user_id="guest",
    app_id="a",
    cluster_id="k",
)


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    """A broker of our own beside the one under test."""
    with running_own_broker() as url:
        yield url


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """The same with messages on disk, to be killed."""
    with running("ours", tmp_path_factory.mktemp("other")) as broker:
        yield broker


@pytest.fixture
def ends(broker_url: str, other_url: str) -> Iterator[tuple[str, str]]:
    """Both brokers, with the queue empty on both."""
    for url in (broker_url, other_url):
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.queue_declare(QUEUE, durable=True)
            channel.queue_purge(QUEUE)
    yield broker_url, other_url
    for url in (broker_url, other_url):
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_delete(QUEUE)


def shovel(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "amqp_broker", "shovel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=python_environment())


def fill(url: str, count: int, body: bytes = b"") -> None:
    """Put numbered messages into the queue; each is safe when this returns."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for number in range(count):
            channel.basic_publish("", QUEUE, b"%d " % number + body, pika.BasicProperties(delivery_mode=2))
        channel.queue_declare(QUEUE, passive=True)


def numbers(url: str) -> list[int]:
    """The numbers of the messages that wait, in order; they stay."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        count = channel.queue_declare(QUEUE, passive=True).method.message_count
        found = []
        for _ in range(count):
            method, _, body = channel.basic_get(QUEUE)
            assert method is not None
            found.append(int(body.split()[0]))
        return found


def test_messages_go_there_and_back_as_they_were(ends: tuple[str, str]) -> None:
    source, destination = ends
    with pika.BlockingConnection(pika.URLParameters(source)) as connection:
        channel = connection.channel()
        for body in (b"", b"x" * 300_000, b"small"):
            channel.basic_publish("", QUEUE, body, EVERY_PROPERTY)
        channel.queue_declare(QUEUE, passive=True)
    assert shovel(source, destination, "--queue", QUEUE).stdout == f"{QUEUE}: 3 moved\n"
    assert numbers_of_messages(source) == 0
    assert shovel(destination, source, "--queue", QUEUE).stdout == f"{QUEUE}: 3 moved\n"
    with pika.BlockingConnection(pika.URLParameters(source)) as connection:
        channel = connection.channel()
        for body in (b"", b"x" * 300_000, b"small"):
            _, properties, seen = channel.basic_get(QUEUE, auto_ack=True)
            assert (seen, properties) == (body, EVERY_PROPERTY)


def numbers_of_messages(url: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        count: int = connection.channel().queue_declare(QUEUE, passive=True).method.message_count
        return count


def test_order_stays_and_a_count_is_kept(ends: tuple[str, str]) -> None:
    source, destination = ends
    fill(source, COUNT)
    done = shovel(source, destination, "--queue", QUEUE, "--count", "1000", "--prefetch", "70")
    assert done.stdout == f"{QUEUE}: 1,000 moved\n", done.stderr
    assert numbers(destination) == list(range(1000))
    assert shovel(source, destination, "--queue", QUEUE).returncode == 0
    assert numbers(destination) == list(range(COUNT))


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize(
    "weather",
    [Weather(cut_after=20_000, cut_answers_after=20_000), Weather(piece_octets=1000, gather_s=0.002)],
    ids=["cut", "slow"],
)
def test_a_bad_network_loses_nothing(ends: tuple[str, str], side: str, weather: Weather) -> None:
    """Connections that break every 20,000 octets: each attempt gets on a bit, and the next goes on from there."""
    source, destination = ends
    fill(source, 600)
    with proxied(source if side == "source" else destination, weather) as proxy:
        uris = (proxy.url, destination) if side == "source" else (source, proxy.url)
        done = shovel(*uris, "--queue", QUEUE, "--prefetch", "50")
    assert done.returncode == 0, done.stderr
    assert set(numbers(destination)) == set(range(600))
    assert numbers_of_messages(source) == 0
    if weather.cut_after is not None:
        assert proxy.accepted > 1, "nothing was cut"


def test_a_signal_ends_in_order_and_the_next_run_goes_on(ends: tuple[str, str]) -> None:
    source, destination = ends
    fill(source, COUNT)
    with proxied(destination, Weather(delay_s=0.005, piece_octets=2000)) as proxy:
        command = [sys.executable, "-m", "amqp_broker", "shovel", source, proxy.url, "--queue", QUEUE]
        process = LineProcess([*command, "--prefetch", "100"], env=python_environment())
        try:
            while proxy.accepted == 0 or numbers_of_messages(destination) == 0:
                assert process.is_running
            assert process.stop(with_signal=signal.SIGINT, deadline_s=DEADLINE_S) == 130
        finally:
            process.kill()
    there = numbers(destination)
    assert 0 < len(there) < COUNT
    assert shovel(source, destination, "--queue", QUEUE).returncode == 0
    assert numbers(destination) == list(range(COUNT)), "in order, and each once"


@contextlib.contextmanager
def slowly_shovelling(source: Restartable, destination: Restartable) -> Iterator[tuple[LineProcess, dict[str, Proxy]]]:
    """The command in the middle of its work, and the proxies before its source and its destination."""
    for broker in (source, destination):
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            connection.channel().queue_delete(QUEUE)
            connection.channel().queue_declare(QUEUE, durable=True)
    fill(source.url, COUNT, bytes(2000))
    with proxied(source.url, Weather(delay_s=0.002)) as there, proxied(destination.url, Weather(delay_s=0.002)) as here:
        command = [sys.executable, "-m", "amqp_broker", "shovel", there.url, here.url]
        process = LineProcess([*command, "--queue", QUEUE, "--prefetch", "100"], env=python_environment())
        try:
            while not 0 < numbers_of_messages(destination.url) < COUNT:
                assert process.is_running, process.errors
            yield process, {"source": there, "destination": here}
        finally:
            process.kill()


@pytest.mark.parametrize("killed", ["source", "destination"])
@pytest.mark.parametrize("under_test", ["source", "destination"])
def test_a_broker_that_is_killed_loses_nothing(
    restartable: Restartable, other: Restartable, under_test: str, killed: str
) -> None:
    """SIGKILL in the middle, to the broker under test or to ours on the other side; both keep messages on disk."""
    source, destination = (restartable, other) if under_test == "source" else (other, restartable)
    with slowly_shovelling(source, destination) as (process, proxies):
        victim = source if killed == "source" else destination
        victim.restart()
        proxies[killed].lead_to(victim.url)
        assert process.wait_exit(deadline_s=DEADLINE_S) == 0, process.errors
    assert set(numbers(destination.url)) == set(range(COUNT))
    assert numbers_of_messages(source.url) == 0


@pytest.mark.parametrize("under_test", ["source", "destination"])
def test_the_command_that_is_killed_loses_nothing(
    restartable: Restartable, other: Restartable, under_test: str
) -> None:
    """The next one goes on where it was; what was under way may come twice."""
    source, destination = (restartable, other) if under_test == "source" else (other, restartable)
    with slowly_shovelling(source, destination) as (process, _):
        process.kill()
    assert shovel(source.url, destination.url, "--queue", QUEUE).returncode == 0
    moved = numbers(destination.url)
    assert set(moved) == set(range(COUNT))
    assert len(moved) <= COUNT + 100, "no more than the prefetch came twice"
    assert numbers_of_messages(source.url) == 0


def test_what_can_not_be_moved_stays_and_is_told(ends: tuple[str, str], tmp_path: Path) -> None:
    source, destination = ends
    fill(source, 5)
    refused = shovel(source, destination, "--queue", f"{QUEUE}=nowhere")
    assert refused.returncode == 1
    assert "NOT_FOUND - no queue 'nowhere' in vhost '/'" in refused.stderr
    refused = shovel(source, destination, "--queue", QUEUE, "--to-exchange", "amq.fanout")
    assert refused.returncode == 1
    assert f"exchange 'amq.fanout' routes nothing with key '{QUEUE}'" in refused.stderr
    refused = shovel(source, "amqp://127.0.0.1:1", "--queue", QUEUE, "--retry", "0")
    assert refused.returncode == 1
    assert "Connection refused" in refused.stderr
    assert numbers(source) == list(range(5))


def test_the_queues_of_a_file_of_definitions(ends: tuple[str, str], tmp_path: Path) -> None:
    source, destination = ends
    fill(source, 5)
    queues: list[dict[str, Any]] = [
        {"name": QUEUE, "vhost": "/", "arguments": {}},
        {"name": "log", "vhost": "/", "arguments": {"x-queue-type": "stream"}},
        {"name": "other", "vhost": "elsewhere", "arguments": {}},
    ]
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"queues": queues}))
    assert shovel(source, destination, "--queues-of", str(file)).stdout == f"{QUEUE}: 5 moved\n"
    file.write_text("[]")
    assert shovel(source, destination, "--queues-of", str(file)).returncode == 2
