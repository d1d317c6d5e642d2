"""Rounds of load that end with SIGKILL, each on what the one before has left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pika
import pika.exceptions

from interop.durability.clients import Consumer, Loop, Publisher
from interop.durability.ledger import Ledger
from interop.own_broker import OwnBroker, started_broker

CLASSIC = ("durability-1", "durability-2")
QUORUM = "durability-quorum"
FANNED = ("durability-fanned-1", "durability-fanned-2")
QUEUES = (*CLASSIC, QUORUM, *FANNED)
FANOUT = "durability-fanout"
TARGETS: dict[tuple[str, str], tuple[str, ...]] = {("", queue): (queue,) for queue in (*CLASSIC, QUORUM)}
TARGETS[FANOUT, ""] = FANNED
PUBLISHERS = 3
MAX_LIFE_S = 1.2
"""From the first confirms to the SIGKILL; a broker starts in less, so that most of the time there is load."""

COLUMNS = ("published", "confirmed", "delivered", "redelivered", "again after ack", "acked")


class Kills(NamedTuple):
    """What came out."""

    ledger: Ledger
    rounds: int
    torn: int


def run_kills(directory: Path, rounds: int, seed: int, tell: Callable[[str], None]) -> Kills:
    """Load and kill, round by round; then drain everything, and see that nothing is left after a clean stop.

    Args:
        directory: the data directory, empty.
        rounds: how many times to kill.
        seed: of what can be repeated: sizes, targets, windows and how long each broker lives. What a broker was
            doing when it died can't be.
        tell: takes a table, line by line.

    Raises:
        LoadError, ProcessError, AssertionError: a broker did not start or stop as it should, or a client was
            refused something.
    """
    with Loop() as loop:
        return _run_kills(loop, directory, rounds, Random(seed), tell)


def _run_kills(loop: Loop, directory: Path, rounds: int, random: Random, tell: Callable[[str], None]) -> Kills:
    ledger = Ledger()
    publishers = [
        Publisher(loop, ledger, f"p{n}", TARGETS, random, window=random.choice((1, 20, 200))) for n in range(PUBLISHERS)
    ]
    consumers = [Consumer(loop, ledger, queue, random) for queue in QUEUES]
    clients = [*publishers, *consumers]
    torn = 0
    tell("| round | ready, s | alive, s | torn | " + " | ".join(COLUMNS) + " |")
    tell("|" + "---:|" * (4 + len(COLUMNS)))
    for number in range(rounds):
        before = Counter(ledger.counts)
        with started_broker("--data-dir", str(directory)) as broker:
            torn_now = _read_log(broker, ledger)
            torn += torn_now
            _check_topology(broker.url, number, ledger)
            for client in clients:
                client.connect(broker.url)
            loop.run_until(lambda: all(publisher.confirmed for publisher in publishers), "a confirm for everybody")
            alive_s = random.uniform(0, MAX_LIFE_S)
            loop.io.call_later(alive_s, broker.kill)
            loop.run_until(lambda: not any(client.is_connected for client in clients), "the end of all connections")
        ledger.broker_died()
        changes = [str(ledger.counts[column] - before[column]) for column in COLUMNS]
        tell(f"| {number + 1} | {broker.ready_s:.2f} | {alive_s:.2f} | {torn_now} | " + " | ".join(changes) + " |")
    with started_broker("--data-dir", str(directory)) as broker:
        torn += _read_log(broker, ledger)
        _check_topology(broker.url, rounds, ledger)
        drain(loop, broker.url, consumers)
        broker.stop()
    ledger.close()
    with started_broker("--data-dir", str(directory)) as broker:
        _read_log(broker, ledger)
        for queue, count in message_counts(broker.url, QUEUES).items():
            if count:
                ledger.faults["back after a clean stop"] += count
                ledger.examples.append(f"{count} acked messages in {queue}")
        broker.stop()
    sums = [str(ledger.counts[column]) for column in COLUMNS]
    tell(f"| sum | | | {torn} | " + " | ".join(sums) + " |")
    return Kills(ledger, rounds, torn)


def drain(loop: Loop, url: str, consumers: list[Consumer]) -> None:
    """Consume and ack all there is."""
    for consumer in consumers:
        consumer.connect(url)
        consumer.drain()
    loop.run_until(lambda: all(consumer.is_drained for consumer in consumers), "empty queues")
    for consumer in consumers:
        consumer.close()
    loop.run_until(lambda: not any(consumer.is_connected for consumer in consumers), "the end of all connections")


def message_counts(url: str, queues: tuple[str, ...]) -> dict[str, int]:
    """Ready messages."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        return {queue: channel.queue_declare(queue, passive=True).method.message_count for queue in queues}


def _read_log(broker: OwnBroker, ledger: Ledger) -> int:
    """Count torn tails, which are normal; damage is a fault, for nobody has touched the files."""
    for line in broker.log:
        if "damaged" in line:
            ledger.faults["damage after a kill"] += 1
            ledger.examples.append(line)
    return sum("cut off" in line for line in broker.log)


def _check_topology(url: str, number: int, ledger: Ledger) -> None:
    """All that was declared must be there, all that was deleted gone; then declare and delete something more."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    if number == 0:
        for queue in QUEUES:
            kind = "quorum" if queue == QUORUM else "classic"
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
        channel.exchange_declare(FANOUT, "fanout", durable=True)
        for queue in FANNED:
            channel.queue_bind(queue, FANOUT)
    there = [*QUEUES, *(f"durability-round-{n}" for n in range(max(0, number - 2), number))]
    gone = [f"durability-round-{n}" for n in range(max(0, number - 2))]
    for queue in [*there, *gone]:
        try:
            channel.queue_declare(queue, passive=True)
            if queue in gone:
                ledger.faults["topology"] += 1
                ledger.examples.append(f"{queue} is there, though it was deleted")
        except pika.exceptions.ChannelClosedByBroker:
            channel = connection.channel()
            if queue in there:
                ledger.faults["topology"] += 1
                ledger.examples.append(f"{queue} is not there, though it was declared")
    channel.queue_declare(f"durability-round-{number}", durable=True)
    if number >= 2:
        channel.queue_delete(f"durability-round-{number - 2}")
    connection.close()
