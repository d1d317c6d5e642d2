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

from amqp_broker.perf.publisher import ConfirmCount
from amqp_broker.perf.wire import Client, publish_frames
from interop.durability.clients import Consumer, Loop, Publisher
from interop.durability.kills import drain, run_kills
from interop.durability.ledger import Ledger
from interop.own_broker import OwnBroker, started_broker
from interop.processes import running_python

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


UNTIL_FULL = ("--set", "disk_free_limit.absolute=0")
"""Publish until the disk refuses, not only until little of it is free."""


class FullDisk:
    """A broker on a small disk, with a publisher and a consumer."""

    def __init__(self, loop: Loop, broker: OwnBroker) -> None:
        self.broker = broker
        self.loop, self.ledger = loop, Ledger()
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
    with Loop() as loop, started_broker(*UNTIL_FULL, "--data-dir", str(directory)) as broker:
        disk = FullDisk(loop, broker)
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
    with Loop() as loop, started_broker(*UNTIL_FULL, "--data-dir", str(directory)) as broker:
        disk = FullDisk(loop, broker)
        disk.fill()
        assert disk.publisher.confirmed * 4000 > TMPFS_OCTETS / 2
        disk.consumer.connect(broker.url)
        disk.goes_on()
        disk.nothing_is_lost(directory)


# Flipped bits

FLIPPED_QUEUES = ("durability-flipped-1", "durability-flipped-2")
FLIPPED_EXCHANGE = "durability-flipped"
MESSAGES = 300
ACKED = 50
FLIPS = 8
LOST = re.compile(r"(\d+) message references? lost")
ADOPTED = re.compile(r"in (?:queue )?'(amq\.recovered-\d+)'")


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
            with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
                channel = connection.channel()
                channel.exchange_declare(FLIPPED_EXCHANGE, "fanout", durable=True)
                for queue in FLIPPED_QUEUES:
                    channel.queue_bind(queue, FLIPPED_EXCHANGE)
            client.confirm_select()
            confirms = ConfirmCount()
            for number in range(MESSAGES + 1):
                client.sock.sendall(publish_frames(FLIPPED_EXCHANGE, "", numbered_body(number), persistent=True))
                # After the last batch nothing says that it is on disk, so damage there passes for a torn tail:
                # a message that is not looked for goes alone, behind all the others.
                while number >= MESSAGES - 1 and confirms.count <= number:
                    confirms.receive(client.sock.recv(65536))
                if number == MESSAGES - 1:
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
    shutil.copytree(filled, directory, ignore=shutil.ignore_patterns("*.sock"))
    random = Random(seed)
    path = random.choice([*sorted((directory / "segments").iterdir()), directory / "checkpoint"])
    size = path.stat().st_size
    where = flip_bits(path, [random.randrange(size) for _ in range(random.choice((1, 1, 3)))], random)
    costs_only_what_is_named(directory, where)


@pytest.mark.parametrize("filled", ["killed"], indirect=True)
@pytest.mark.parametrize("record", range(5))
def test_a_damaged_declaration_costs_no_message(filled: Path, record: int, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    shutil.copytree(filled, directory, ignore=shutil.ignore_patterns("*.sock"))
    with running_python("-m", "amqp_broker", "journal", "dump", str(directory)) as dump:
        dump.wait_exit()
    places = [line.split(":")[:2] for line in dump.lines if re.search(" TOPOLOGY kind [1-6],", line)]
    assert len(places) == 5, "two queues, an exchange, two bindings"
    name, offset = places[record]
    where = flip_bits(directory / "segments" / name, [int(offset) + 40], Random(record))
    costs_only_what_is_named(directory, where)


def flip_bits(path: Path, places: list[int], random: Random) -> str:
    """Flip a bit at each of some offsets of a file; says where."""
    data = bytearray(path.read_bytes())
    for at in places:
        data[at] ^= 1 << random.randrange(8)
    path.write_bytes(data)
    return f"{path.name} flipped at {places}"


def costs_only_what_is_named(directory: Path, where: str) -> None:
    """The broker starts; messages are in their queues, or in one whose name the report gives, or counted as lost."""
    with running_python("-m", "amqp_broker", "journal", "check", str(directory)) as check:
        status = check.wait_exit()
    report = "\n".join([where, *check.lines, *check.errors])
    assert status in (0, 1), report
    assert "Traceback" not in report
    with started_broker("--data-dir", str(directory)) as broker:
        recovered = [consume(broker.url, queue) for queue in FLIPPED_QUEUES]
        others = ADOPTED.findall("\n".join(broker.log))
        adopted = [consume(broker.url, queue) for queue in others]
        broker.stop()
    log = "\n".join([where, *broker.log])
    assert ADOPTED.findall(report) == others, f"{report}\n{log}"
    there = [numbers for numbers in (*recovered, *adopted) if numbers]
    assert len(there) <= len(FLIPPED_QUEUES)
    missing = len(FLIPPED_QUEUES) * (MESSAGES - ACKED)
    for numbers in there:
        assert numbers == sorted(set(numbers)), f"out of order: {log}"
        missing -= len(set(range(ACKED, MESSAGES)) & set(numbers))
    for text in (report, log):
        # What of the lost ones had been acked can't be told once that is lost as well.
        named = sum(map(int, LOST.findall(text)))
        assert missing <= named <= missing + (ACKED + 1) * len(FLIPPED_QUEUES), f"{missing} are missing: {text}"


def consume(url: str, queue: str, count: int | None = None) -> list[int]:
    """Take messages out of a queue, by default all there are, and give their numbers; none if it is not there."""
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
