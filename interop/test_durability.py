"""What was confirmed survives: a few rounds of kill -9, a disk that is full, and bits that were flipped."""

from __future__ import annotations

import logging
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pika
import pika.exceptions
import pytest

from interop.durability.clients import Consumer, Loop, Publisher
from interop.durability.kills import drain, run_kills
from interop.durability.ledger import Ledger
from interop.load import ConfirmCount
from interop.own_broker import OwnBroker, started_broker
from interop.processes import ProcessError, running_python
from interop.wire import Client, publish_frames

MIB = 1 << 20
TMPFS_OCTETS = 80 * MIB
"""Two full segments and a half: room for the broker to take turns in."""

QUEUE = "durability-full"
TARGETS: dict[tuple[str, str], tuple[str, ...]] = {("", QUEUE): (QUEUE,)}


@pytest.fixture(autouse=True)
def quiet_pika() -> Iterator[None]:
    """That connections break is what this is about."""
    logger = logging.getLogger("pika")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.rule("7.4")
def test_kill_9_under_load_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    rounds = 3
    ledger = run_kills(tmp_path, rounds, 1, print).ledger
    assert not ledger.faults, ledger.examples
    assert ledger.counts["confirmed"] >= rounds


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small tmpfs, on Linux")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_OCTETS}", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False, timeout=10)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=10)


class FullDisk:
    """A broker on a small disk, with a publisher and a consumer."""

    def __init__(self, broker: OwnBroker) -> None:
        self.broker = broker
        self.loop, self.ledger = Loop(), Ledger()
        random = Random(1)
        # Only who publishes is told to stop: the window is so large that the disk is full before it is.
        self.publisher = Publisher(
            self.loop, self.ledger, "p", TARGETS, random, window=2000, max_padding=8000, limit=100_000
        )
        self.consumer = Consumer(self.loop, self.ledger, QUEUE, random)
        with Client(broker.url) as client:
            client.queue_declare(QUEUE, durable=True)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self.loop.run_until(condition, what)

    def fill(self) -> None:
        """Publish until the broker says stop."""
        self.publisher.connect(self.broker.url)
        self.wait(lambda: self.publisher.is_blocked, "connection.blocked")

    def goes_on(self) -> None:
        """The broker lets the publisher go on by itself, and confirms again."""
        self.wait(lambda: not self.publisher.is_blocked, "connection.unblocked")
        confirmed = self.publisher.confirmed
        self.wait(lambda: self.publisher.confirmed > confirmed + 200, "confirms after the disk had room again")

    def nothing_is_lost(self, directory: Path) -> None:
        """Kill the broker; in the next one all is there that was confirmed and not acked."""
        clients = [client for client in (self.publisher, self.consumer) if client.is_connected]
        self.broker.kill()
        self.wait(lambda: not any(client.is_connected for client in clients), "the end of all connections")
        self.ledger.broker_died()
        with started_broker("--data-dir", str(directory)) as broker:
            drain(self.loop, broker.url, [self.consumer])
            broker.stop()
        self.ledger.close()
        assert not self.ledger.faults, self.ledger.examples


@pytest.mark.rule("1.34", "7.4")
def test_publishers_wait_while_a_disk_is_full_and_go_on_when_a_file_has_made_room(small_disk: Path) -> None:
    directory, filler = small_disk / "data", small_disk / "filler"
    with started_broker("--data-dir", str(directory)) as broker:
        disk = FullDisk(broker)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, TMPFS_OCTETS - 20 * MIB)
        disk.fill()
        # Consumers go on, which alone frees nothing yet: the only segment is the one being written.
        disk.consumer.connect(broker.url)
        disk.wait(lambda: disk.ledger.counts["acked"] > 500, "deliveries while the disk is full")
        filler.unlink()
        disk.goes_on()
        disk.nothing_is_lost(directory)


@pytest.mark.rule("1.34", "7.4")
def test_publishers_go_on_when_consumers_have_made_room_on_a_full_disk(small_disk: Path) -> None:
    directory = small_disk / "data"
    with started_broker("--data-dir", str(directory)) as broker:
        disk = FullDisk(broker)
        disk.fill()
        assert disk.publisher.confirmed * 4000 > TMPFS_OCTETS / 2
        disk.consumer.connect(broker.url)
        disk.goes_on()
        disk.nothing_is_lost(directory)


# Flipped bits

FLIPPED_QUEUES = ("durability-flipped-1", "durability-flipped-2")
MESSAGES = 300
ACKED = 50
FLIPS = 14
LOST = re.compile(r"(\d+) message references? lost")


def numbered_body(number: int) -> bytes:
    """A body that only this number can have."""
    return struct.pack(">I", number) + Random(number).randbytes(200)


@pytest.fixture(scope="module", params=["stopped", "killed"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a broker that has ended, with two queues, of each the first messages acked."""
    directory = tmp_path_factory.mktemp("flips") / "data"
    with started_broker("--data-dir", str(directory)) as broker:
        with Client(broker.url) as client:
            for queue in FLIPPED_QUEUES:
                client.queue_declare(queue, durable=True)
            client.confirm_select()
            confirms = ConfirmCount()
            for number in range(MESSAGES):
                for queue in FLIPPED_QUEUES:
                    client.sock.sendall(publish_frames("", queue, numbered_body(number), persistent=True))
            while confirms.count < MESSAGES * len(FLIPPED_QUEUES):
                confirms.receive(client.sock.recv(65536))
        for queue in FLIPPED_QUEUES:
            consume(broker.url, queue, ACKED)
        if request.param == "stopped":
            broker.stop()
        else:
            broker.kill()
    return directory


@pytest.mark.parametrize("seed", range(FLIPS))
def test_flipped_bits_cost_only_what_the_report_names(filled: Path, seed: int, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    shutil.copytree(filled, directory)
    where = flip_bits(directory, Random(seed))
    with running_python("-m", "amqp_broker", "journal", "check", str(directory)) as check:
        status = check.wait_exit()
    report = "\n".join([where, *check.lines, *check.errors])
    assert status in (0, 1), report
    assert "Traceback" not in report
    try:
        with started_broker("--data-dir", str(directory)) as broker:
            recovered = {queue: consume(broker.url, queue) for queue in FLIPPED_QUEUES}
            broker.stop()
    except ProcessError as error:
        said = [line for line in str(error).splitlines() if line.startswith("  ! ")]
        assert len(said) == 1, f"{where}: it does not start, and does not say why in one line: {error}"
        return
    log = "\n".join([where, *broker.log])
    missing = 0
    for numbers in recovered.values():
        assert numbers == sorted(set(numbers)), f"out of order: {log}"
        missing += len(set(range(ACKED, MESSAGES)) - set(numbers))
    for text in (report, log):
        # What of the lost ones had been acked can't be told once that is lost as well.
        named = sum(map(int, LOST.findall(text)))
        assert missing <= named <= missing + ACKED * len(FLIPPED_QUEUES), f"{missing} messages are missing: {text}"


def flip_bits(directory: Path, random: Random) -> str:
    """Flip one bit or some in one of the files; says where."""
    path = random.choice([*sorted((directory / "segments").iterdir()), directory / "checkpoint"])
    data = bytearray(path.read_bytes())
    places = [random.randrange(len(data)) for _ in range(random.choice((1, 1, 3)))]
    for at in places:
        data[at] ^= 1 << random.randrange(8)
    path.write_bytes(data)
    return f"{path.name} flipped at {places}"


def consume(url: str, queue: str, count: int | None = None) -> list[int]:
    """Take messages out of a queue, all there are by default; none of a queue that is not there. Gives their numbers."""
    numbers: list[int] = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        try:
            there = channel.queue_declare(queue, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            return []
        channel.basic_qos(prefetch_count=count or 0)
        deliveries = channel.consume(queue)
        while len(numbers) < (count or there):
            method, _, body = next(deliveries)
            (number,) = struct.unpack_from(">I", body)
            assert body == numbered_body(number)
            numbers.append(number)
        channel.basic_ack(method.delivery_tag, multiple=True)
        channel.close()
    return numbers
