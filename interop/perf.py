"""This broker and RabbitMQ under the same load in the same run: `python -m interop.perf`.

Prints one table a scenario and one of all in the end, with the floor that is to be reached beside each ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Final

import psutil

from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import WireError
from interop.machine import current_load, describe_machine
from interop.perf_brokers import OWN, RABBITMQ, Brokers, running_broker
from interop.perf_scenarios import SCENARIOS, Scenario, Settings
from interop.perf_tables import Outcome, record, summary, table
from interop.processes import ProcessError
from interop.rabbitmq import RabbitMQUnavailableError

WINDOW = 50_000
"""Messages publishers may be ahead of their consumers, unless `--window` says otherwise."""
PATIENCE: Final = 5
"""At most so many times the rounds are made, where disturbed ones do not count."""


def measure(
    brokers: Brokers, scenario: Scenario, choices: list[str], rounds: int, settings: Settings, most_others: float
) -> list[Outcome]:
    """All rounds of one scenario, the brokers by turns and every other time in reverse.

    One during which strangers took more than `most_others` of a processor does not count, and is made again.
    """
    outcomes = [Outcome(scenario.own if choice == OWN else choice) for choice in choices]
    for number in range(PATIENCE * rounds):
        lacking = [outcome for outcome in outcomes if len(outcome.rounds) < rounds and not outcome.failure]
        for outcome in lacking if number % 2 == 0 else lacking[::-1]:
            try:
                with contextlib.ExitStack() as stack:
                    idle = current_load()
                    if scenario.is_fresh:
                        broker = stack.enter_context(running_broker(outcome.choice))
                    else:
                        broker = brokers.get(outcome.choice)
                    round_ = scenario.measure(broker, settings)
                    round_ = dataclasses.replace(round_, others_load=current_load().others_since(idle))
                outcome.label = f"{broker.product} {broker.version}"
                if round_.others_load > most_others:
                    outcome.disturbed += 1
                else:
                    outcome.rounds.append(round_)
            except (PerfError, ProcessError, WireError, OSError, AssertionError, psutil.Error) as error:
                outcome.failure = (str(error) or type(error).__name__).splitlines()[0]
                brokers.drop(outcome.choice)
    for outcome in outcomes:
        if not outcome.rounds and not outcome.failure:
            outcome.failure = f"all of {outcome.disturbed} rounds were disturbed"
    return outcomes


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m interop.perf", description="The same scenarios on several brokers, side by side."
    )
    parser.add_argument(
        "--broker",
        action="append",
        metavar="URL",
        help="amqp:// URL, 'own', 'own-plain', 'own-cluster', 'rabbitmq' or 'rabbitmq-cluster'; may be repeated "
        "(default: own and rabbitmq)",
    )
    parser.add_argument("--scenario", action="append", help="those whose name contains this; may be repeated")
    parser.add_argument("--list", action="store_true", help="the names of the scenarios, nothing else")
    parser.add_argument("--rounds", type=int, default=5, help="of each broker and scenario (default: 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each round (default: 5)")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds before that (default: 2)")
    parser.add_argument(
        "--window",
        type=int,
        default=WINDOW,
        help=f"messages published and not yet consumed (default: {WINDOW})",
    )
    parser.add_argument(
        "--most-others",
        type=float,
        default=math.inf,
        metavar="SHARE",
        help="rounds in which everything else took more of a processor do not count, and are made again (0.1: a tenth; "
        "default: all count)",
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
    if arguments.list:
        print("\n".join(scenario.name for scenario in arguments.scenarios))
        return 0
    where = describe_machine()
    settings = Settings(warmup_s=arguments.warmup, seconds=arguments.seconds, window=arguments.window)
    how = (
        f"{arguments.rounds} rounds of {settings.seconds:g} s after {settings.warmup_s:g} s of warm-up, "
        f"window {settings.window:,} messages"
    )
    if arguments.most_others < math.inf:
        how += f", those in which others took more than {arguments.most_others:.0%} of a processor left out"
    choices = arguments.broker or [OWN, RABBITMQ]
    results: list[tuple[Scenario, list[Outcome]]] = []
    try:
        with Brokers() as brokers:
            print(where, how, sep="\n", flush=True)
            for scenario in arguments.scenarios:
                outcomes = measure(brokers, scenario, choices, arguments.rounds, settings, arguments.most_others)
                results.append((scenario, outcomes))
                print(f"\n{scenario.name}\n\n{table(scenario, outcomes)}", flush=True)
                if arguments.json:  # each time: a long measurement may be cut short
                    done = {"machine": where, "settings": how, "results": [record(*result) for result in results]}
                    arguments.json.write_text(json.dumps(done, indent=1) + "\n")
    except RabbitMQUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncut short", file=sys.stderr)
    if results:
        print(f"\n{where}\n{how}\n\n{summary(results, choices)}")
    return int(any(outcome.failure for _, outcomes in results for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
