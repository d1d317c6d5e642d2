"""This broker and RabbitMQ under the same load in the same run: `python -m interop.perf`.

Prints one table a scenario; `interop/load.py` says what is measured and why it can be believed. Adding a
scenario is adding an entry to `SCENARIOS`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interop.load import PerfError, Plan, Round, Scenario, run_round
from interop.machine import describe_machine
from interop.own_broker import running_own_broker
from interop.processes import ProcessError
from interop.rabbitmq import RabbitMQUnavailableError, running_rabbitmq
from interop.wire import Client, WireError

WINDOW = 50_000
"""Messages a publisher may be ahead of its slowest consumer, unless `--window` says otherwise."""

SCENARIOS = [
    Scenario(name="16 B, automatic ack"),
    Scenario(name="16 B, message-id, automatic ack", message_ids=True),
    Scenario(name="16 B, ack every 100, prefetch 1000", ack_every=100, prefetch_count=1000),
    Scenario(
        name="1 KiB persistent, confirm window 100, ack every 100",
        body_octets=1024,
        persistent=True,
        ack_every=100,
        prefetch_count=1000,
        confirm_window=100,
    ),
    Scenario(
        name="1 KiB persistent, confirm window 1, ack each",
        body_octets=1024,
        persistent=True,
        ack_every=1,
        prefetch_count=100,
        confirm_window=1,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broker:
    """One that is running, and what it says it is: ours takes RabbitMQ's name where clients look at it."""

    name: str
    url: str
    product: str
    version: str


@contextlib.contextmanager
def running_broker(choice: str) -> Iterator[Broker]:
    """The broker at a URL, or a fresh one: `own` or `rabbitmq`."""
    with contextlib.ExitStack() as stack:
        if choice == "own":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="amqp-broker-perf-"))
            url = stack.enter_context(running_own_broker("--data-dir", directory))
        elif choice == "rabbitmq":
            url = stack.enter_context(running_rabbitmq())
        else:
            url = choice
            choice = url.rpartition("@")[2]  # no password in a table
        with Client(url) as client:
            server = client.server
        yield Broker(name=choice, url=url, product=server.get("product", "?"), version=server.get("version", "?"))


def table(results: dict[Broker, list[Round]]) -> str:
    """Markdown; the ratio is to our RabbitMQ where it took part, else to the first.

    The last three columns are shares of one processor: the load processes', and strangers' in the worst round.
    """
    medians = {broker: statistics.median(r.rate for r in rounds) for broker, rounds in results.items()}
    reference = next((broker for broker in results if broker.name == "rabbitmq"), next(iter(results)))
    lines = [
        "| broker | says it is | median msg/s | min | max | ratio | publisher | consumer | others |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for broker, rounds in results.items():
        rates = [r.rate for r in rounds]
        cells = [
            broker.name,
            f"{broker.product} {broker.version}",
            f"{medians[broker]:,.0f}",
            f"{min(rates):,.0f}",
            f"{max(rates):,.0f}",
            f"{medians[broker] / medians[reference]:.2f}",
            f"{statistics.median(r.publisher_load for r in rounds):.0%}",
            f"{statistics.median(r.consumer_load for r in rounds):.0%}",
            f"{max(r.others_load for r in rounds):.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(brokers: list[Broker], scenario: Scenario, arguments: argparse.Namespace) -> dict[Broker, list[Round]]:
    """All rounds of one scenario, the brokers by turns and every other time in reverse."""
    results: dict[Broker, list[Round]] = {broker: [] for broker in brokers}
    for number in range(arguments.rounds):
        for broker in brokers if number % 2 == 0 else brokers[::-1]:
            plan = Plan(
                url=broker.url,
                scenario=scenario,
                window=arguments.window,
                warmup_s=arguments.warmup,
                seconds=arguments.seconds,
            )
            results[broker].append(run_round(plan))
    return results


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m interop.perf", description="Messages consumed per second, brokers side by side."
    )
    parser.add_argument(
        "--broker",
        action="append",
        metavar="URL",
        help="amqp:// URL, 'own' or 'rabbitmq'; may be repeated (default: own and rabbitmq)",
    )
    parser.add_argument("--scenario", action="append", help="those whose name contains this; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="of each broker and scenario (default: 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each round (default: 5)")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds before that (default: 2)")
    parser.add_argument(
        "--window",
        type=int,
        default=WINDOW,
        help=f"messages published and not yet consumed (default: {WINDOW})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single round, for later comparison")
    arguments = parser.parse_args()
    wanted = arguments.scenario or [""]
    arguments.scenarios = [scenario for scenario in SCENARIOS if any(part in scenario.name for part in wanted)]
    if not arguments.scenarios:
        parser.error("no such scenario; there are: " + "; ".join(scenario.name for scenario in SCENARIOS))
    return arguments


def main() -> int:
    arguments = parse_arguments()
    where = describe_machine()
    settings = (
        f"{arguments.rounds} rounds of {arguments.seconds:g} s after {arguments.warmup:g} s of warm-up, "
        f"window {arguments.window:,} messages"
    )
    records = []
    try:
        with contextlib.ExitStack() as stack:
            # All of them run the whole time, one at a time under load: the machine's moods hit all alike.
            choices = arguments.broker or ["own", "rabbitmq"]
            brokers = [stack.enter_context(running_broker(choice)) for choice in choices]
            print(where, settings, sep="\n", flush=True)
            for scenario in arguments.scenarios:
                results = measure(brokers, scenario, arguments)
                print(f"\n{scenario.name}\n\n{table(results)}", flush=True)
                for broker, rounds in results.items():
                    records.append(
                        {
                            "scenario": dataclasses.asdict(scenario),
                            "broker": f"{broker.name}: {broker.product} {broker.version}",
                            "rounds": [dataclasses.asdict(round_) for round_ in rounds],
                        }
                    )
    except (RabbitMQUnavailableError, PerfError, ProcessError, WireError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        record = {"machine": where, "settings": settings, "results": records}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
