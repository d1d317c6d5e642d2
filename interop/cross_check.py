"""Whether `amqp-broker perf` is honest: the same loads by tools that others have made, on ours and on RabbitMQ.

`python -m interop.cross_check`. No public load generator comes with Debian, PyPI or npm; PerfTest does not. So it takes
what comes nearest: `amqp-publish` of Debian's amqp-tools, which makes a message of each line it reads, and a plain loop
of librabbitmq's, a process that publishes and one that consumes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address, Client, WireError
from amqp_broker.perf.workload import Workload
from interop.drivers import CLIENTS, built
from interop.machine import current_load, describe_machine
from interop.perf_brokers import OWN, RABBITMQ, Brokers
from interop.processes import ProcessError
from interop.rabbitmq import RabbitMQUnavailableError

QUEUE = "interop-cross-check"
OCTETS = 16
DEADLINE_S = 120.0

Rate = Callable[[str, int], float]
"""Messages per second of a broker at a URL, for so many messages."""


def published_by_amqp_publish(url: str, messages: int) -> float:
    """Until the tool has ended, which closes its connection and waits for the answer: the broker has taken all."""
    with Client(url) as client, tempfile.TemporaryFile() as lines:
        client.queue_declare(QUEUE, durable=True)
        lines.write((b"x" * (OCTETS - 1) + b"\n") * messages)
        lines.seek(0)
        begins_at = time.perf_counter()
        command = ["amqp-publish", "--url", url, "--routing-key", QUEUE, "--line-buffered"]
        subprocess.run(command, stdin=lines, check=True, timeout=DEADLINE_S)
        seconds = time.perf_counter() - begins_at
        taken = client.queue_purge(QUEUE)
        client.queue_delete(QUEUE)
    if taken != messages:
        raise PerfError(f"{taken} messages have arrived of {messages}")
    return messages / seconds


def published_by_perf(url: str, messages: int) -> float:
    with Run(Address.from_uri(url), Workload(consumers=0, count=messages, body_octets=OCTETS)) as run:
        run.begin()
        run.wait(DEADLINE_S)
        return messages / ((run.board.done_at - run.board.begins_at) / 1e9)


def consumed_by_librabbitmq(program: str) -> Rate:
    def consumed(url: str, messages: int) -> float:
        address = Address.from_uri(url)
        with Client(url) as client:
            client.queue_declare(QUEUE, durable=True)
            command = [program, address.host, str(address.port), QUEUE, str(messages), str(OCTETS)]
            output = subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True, text=True).stdout
            client.queue_delete(QUEUE)
        return float(output)

    return consumed


def consumed_by_perf(url: str, messages: int) -> float:
    with Run(Address.from_uri(url), Workload(count=messages, body_octets=OCTETS)) as run:
        begins_at = time.perf_counter()
        run.begin()
        run.wait(DEADLINE_S)
        run.drain()
        return messages / (time.perf_counter() - begins_at)


def tools(workshop: Path) -> dict[str, Rate]:
    """What there is here to measure with, by what the table calls it."""
    rates: dict[str, Rate] = {"publish only: amqp-broker perf": published_by_perf}
    if shutil.which("amqp-publish"):
        rates["publish only: amqp-publish"] = published_by_amqp_publish
    else:
        print("without amqp-publish: apt install amqp-tools", file=sys.stderr)
    rates["automatic ack: amqp-broker perf"] = consumed_by_perf
    program = workshop / "flow_librabbitmq"
    try:
        built(program, "cc", "-O2", "-o", str(program), str(CLIENTS / "flow_librabbitmq.c"), "-lrabbitmq")
    except (OSError, subprocess.CalledProcessError):
        print("without librabbitmq: apt install gcc librabbitmq-dev", file=sys.stderr)
    else:
        rates["automatic ack: librabbitmq"] = consumed_by_librabbitmq(str(program))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.cross_check", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="in each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    print(describe_machine())
    load = current_load()
    rates: dict[tuple[str, str], list[float]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="amqp-broker-cross-check-") as directory, Brokers() as brokers:
            each = tools(Path(directory))
            for number in range(arguments.rounds):
                for choice in (OWN, RABBITMQ) if number % 2 == 0 else (RABBITMQ, OWN):
                    for name, rate in each.items():
                        measured = rate(brokers.get(choice).url, arguments.messages)
                        rates.setdefault((name, choice), []).append(measured)
    except (PerfError, ProcessError, RabbitMQUnavailableError, WireError, OSError, subprocess.SubprocessError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.rounds} rounds of {arguments.messages:,} messages of {OCTETS} octets; ", end="")
    print(f"others {current_load().others_since(load):.0%}\n")
    print("| load, by | own | rabbitmq | ratio |\n|---|---:|---:|---:|")
    for name in each:
        own, theirs = (statistics.median(rates[name, choice]) for choice in (OWN, RABBITMQ))
        print(f"| {name} | {own:,.0f} | {theirs:,.0f} | {own / theirs:.2f}× |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
