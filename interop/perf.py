"""This broker and RabbitMQ under the same load in the same run: `python -m interop.perf`.

Prints one table a scenario and one of all in the end, with the floor that is to be reached beside each ratio.
`amqp_broker/perf/` puts the load on, `probes.py` measures what is not a load. Adding a scenario is adding an entry to
`SCENARIOS`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from amqp_broker.perf.histogram import percentiles_ns
from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address, Client, WireError
from amqp_broker.perf.workload import Workload
from interop import probes
from interop.machine import current_load, describe_machine
from interop.own_broker import started_broker
from interop.processes import ProcessError
from interop.rabbitmq import RabbitMQUnavailableError, running_rabbitmq

WINDOW = 50_000
"""Messages publishers may be ahead of their consumers, unless `--window` says otherwise."""

PUBLISH_ONLY = 2_000_000
"""Messages at most that are left in a queue."""

OWN, OWN_PLAIN, RABBITMQ = "own", "own-plain", "rabbitmq"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broker:
    """One that is running, and what it says it is: ours takes RabbitMQ's name where clients look at it.

    Attributes:
        pid: of the process whose memory is its memory; None for a broker that we have not started.
        started_s: until it had accepted a connection.
    """

    name: str
    url: str
    product: str
    version: str
    pid: int | None
    started_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    warmup_s: float
    seconds: float
    window: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """What one round measured.

    Attributes:
        value: in the scenario's unit.
        publisher_load, consumer_load: processor time over elapsed time of the busiest publisher and consumer;
            near 1 the client is what was measured.
        others_load: processors kept busy by what is neither a load process nor a broker started by us; where
            this is not near 0, the round says little.
        more: whatever else is known.
    """

    value: float
    publisher_load: float = 0.0
    consumer_load: float = 0.0
    others_load: float = 0.0
    more: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Floor:
    """What is to be reached: a ratio to RabbitMQ's figure, or a figure."""

    ratio_at_least: float = 0.0
    ratio_at_most: float = 0.0
    at_most: float = 0.0

    def __str__(self) -> str:
        if self.ratio_at_least:
            return f"≥ {self.ratio_at_least:g}×"
        return f"≤ {self.ratio_at_most:g}×" if self.ratio_at_most else f"≤ {self.at_most:g}" if self.at_most else "–"

    def is_reached(self, own: float, ratio: float | None) -> bool | None:
        """None where that can't be told."""
        if self.at_most:
            return own <= self.at_most
        if ratio is None or not (self.ratio_at_least or self.ratio_at_most):
            return None
        return ratio >= self.ratio_at_least and (not self.ratio_at_most or ratio <= self.ratio_at_most)


Measure = Callable[[Broker, Settings], Round]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """Something that is measured of every broker.

    Attributes:
        unit: of the figure.
        floor: for ours.
        measure: gives a round.
        own: which form of our broker takes part.
        is_fresh: each round has a broker that was started for it alone.
    """

    name: str
    unit: str = "msg/s"
    floor: Floor = Floor()
    measure: Measure
    own: str = OWN
    is_fresh: bool = False


def load(publishers: int = 1, consumers: int = 1, **workload: Any) -> Measure:
    """Messages consumed per second in a window after the warm-up; then the queues must run empty."""
    return functools.partial(_measure_load, {"publishers": publishers, "consumers": consumers, **workload})


def latency(**workload: Any) -> Measure:
    """99th percentile from when a message was due to its delivery, ms."""
    return functools.partial(_measure_load, workload, is_latency=True)


def publish_only(**workload: Any) -> Measure:
    """Messages published per second, until the broker has taken the last one, into a queue nobody consumes from."""
    return functools.partial(_measure_publishing, {"consumers": 0, "count": PUBLISH_ONLY, **workload})


def _measure_load(fields: dict[str, Any], broker: Broker, settings: Settings, *, is_latency: bool = False) -> Round:
    workload = Workload(**{"max_lead": settings.window, **fields})
    idle = current_load()
    with Run(Address.from_uri(broker.url), workload) as run:
        run.begin()
        run.wait(settings.warmup_s)
        first = run.sample()
        run.wait(settings.seconds)
        last = run.sample()
        run.stop_publishing()
        run.drain()
        others_load = current_load().others_since(idle)
    seconds = last.at - first.at
    latencies = [after - before for after, before in zip(last.latencies, first.latencies, strict=True)]
    p50, p99 = (value / 1e6 for value in percentiles_ns(latencies, (0.5, 0.99)))
    rate = (last.consumed - first.consumed) / seconds
    return Round(
        value=p99 if is_latency else rate,
        publisher_load=_busiest(first.publisher_busy_s, last.publisher_busy_s) / seconds,
        consumer_load=_busiest(first.consumer_busy_s, last.consumer_busy_s) / seconds,
        others_load=others_load,
        more={"consumed_per_s": rate, "latency_p50_ms": p50, "latency_p99_ms": p99},
    )


def _measure_publishing(fields: dict[str, Any], broker: Broker, settings: Settings) -> Round:
    workload = Workload(**fields)
    idle = current_load()
    with Run(Address.from_uri(broker.url), workload) as run:
        first = run.sample()
        run.begin()
        run.wait(settings.seconds)
        last = run.sample()
        run.stop_publishing()
        published, seconds = run.board.published, (run.board.done_at - run.board.begins_at) / 1e9
        others_load = current_load().others_since(idle)
    return Round(
        value=published / seconds,
        publisher_load=_busiest(first.publisher_busy_s, last.publisher_busy_s) / last.at,
        others_load=others_load,
        more={"published": published},
    )


def _busiest(before: list[float], after: list[float]) -> float:
    return max((late - early for late, early in zip(after, before, strict=True)), default=0.0)


def _pid(broker: Broker) -> int:
    if broker.pid is None:
        raise PerfError("only of a broker that is started here")
    return broker.pid


SCENARIOS = [
    Scenario(name="16 B, automatic ack", floor=Floor(10), measure=load()),
    Scenario(name="16 B, ack each, prefetch 200", floor=Floor(5), measure=load(ack_every=1, prefetch_count=200)),
    Scenario(
        name="16 B, ack every 100, prefetch 1000",
        floor=Floor(8),
        measure=load(ack_every=100, prefetch_count=1000),
    ),
    Scenario(name="publish only, 16 B, transient", floor=Floor(5), measure=publish_only()),
    Scenario(
        name="4 publishers, 4 consumers, 4 queues, 1 KiB",
        floor=Floor(8),
        measure=load(publishers=4, consumers=4, queues=4, body_octets=1024),
    ),
    Scenario(
        name="1 KiB persistent, confirm window 100, ack every 100",
        floor=Floor(5),
        measure=load(body_octets=1024, persistent=True, confirm_window=100, ack_every=100, prefetch_count=1000),
    ),
    Scenario(
        name="1 KiB persistent, confirm window 1, ack each",
        floor=Floor(1),
        measure=load(body_octets=1024, persistent=True, confirm_window=1, ack_every=1, prefetch_count=100),
    ),
    Scenario(name="64 KiB, automatic ack", floor=Floor(1.2), measure=load(body_octets=1 << 16)),
    Scenario(
        name="fanout to 50 queues, 1 KiB",
        unit="deliveries/s",
        floor=Floor(8),
        measure=load(body_octets=1024, exchange_type="fanout", queues=50),
    ),
    Scenario(
        name="topic exchange, 10,000 bindings, 100 keys, 16 B",
        floor=Floor(8),
        measure=load(exchange_type="topic", bindings=10_000, routing_keys=100, queues=10),
    ),
    Scenario(
        name="RPC over direct reply-to, one at a time, p50",
        unit="µs",
        floor=Floor(ratio_at_most=0.6),
        measure=lambda broker, settings: Round(
            value=probes.round_trip_us(broker.url, settings.warmup_s / 4, settings.seconds)
        ),
    ),
    Scenario(
        name="p99 latency at 5,000 msg/s, 1 KiB persistent, confirms",
        unit="ms",
        floor=Floor(ratio_at_most=1),
        measure=latency(
            rate=5000.0,
            body_octets=1024,
            persistent=True,
            confirm_window=1000,
            ack_every=1,
            prefetch_count=1000,
        ),
    ),
    Scenario(name="plain Python: 16 B, automatic ack", floor=Floor(1.5), measure=load(), own=OWN_PLAIN),
    Scenario(
        name="start to first accepted connection",
        unit="s",
        floor=Floor(at_most=0.5),
        measure=lambda broker, _: Round(value=broker.started_s),
        is_fresh=True,
    ),
    Scenario(
        name="plain Python: start to first accepted connection",
        unit="s",
        floor=Floor(at_most=0.5),
        measure=lambda broker, _: Round(value=broker.started_s),
        own=OWN_PLAIN,
        is_fresh=True,
    ),
    Scenario(
        name="memory, idle",
        unit="MiB",
        floor=Floor(at_most=50),
        measure=lambda broker, _: Round(value=probes.idle_mib(_pid(broker))),
        is_fresh=True,
    ),
    Scenario(
        name="memory per idle connection with a channel",
        unit="KiB",
        floor=Floor(at_most=40),
        measure=lambda broker, _: Round(value=probes.connection_kib(_pid(broker), broker.url)),
        is_fresh=True,
    ),
    Scenario(
        name="memory per empty queue",
        unit="KiB",
        floor=Floor(at_most=4),
        measure=lambda broker, _: Round(value=probes.queue_kib(_pid(broker), broker.url)),
        is_fresh=True,
    ),
    Scenario(
        name="1,000 connections, 100 msg/s in total, p99",
        unit="ms",
        floor=Floor(at_most=50),
        measure=lambda broker, settings: Round(value=probes.many_connections_ms(broker.url, settings.seconds)),
    ),
    Scenario(
        name="declare and bind, durable",
        unit="pairs/s",
        floor=Floor(2),
        measure=lambda broker, settings: Round(value=probes.declared_and_bound_per_s(broker.url, settings.seconds)),
    ),
    Scenario(name="16 B, message-id, automatic ack", measure=load(message_ids=True)),
]


@contextlib.contextmanager
def running_broker(choice: str) -> Iterator[Broker]:
    """The broker at a URL, or a fresh one: `own`, `own-plain` or `rabbitmq`."""
    with contextlib.ExitStack() as stack:
        begins_at = time.monotonic()
        pid: int | None = None
        if choice in (OWN, OWN_PLAIN):
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="amqp-broker-perf-"))
            begins_at = time.monotonic()
            with _environment(AMQP_PURE_PYTHON="1" if choice == OWN_PLAIN else ""):
                own = stack.enter_context(started_broker("--data-dir", directory))
            stack.callback(own.stop)
            url, pid = own.url, own.pid
        elif choice == RABBITMQ:
            earlier = _erlang_pids()
            url = stack.enter_context(running_rabbitmq())
            (pid,) = _erlang_pids() - earlier
        else:
            url = choice
            choice = url.rpartition("@")[2]  # no password in a table
        with Client(url) as client:
            started_s = time.monotonic() - begins_at
            server = client.server
        yield Broker(
            name=choice,
            url=url,
            product=server.get("product", "?"),
            version=server.get("version", "?"),
            pid=pid,
            started_s=started_s,
        )


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _erlang_pids() -> set[int]:
    """Of the Erlang machines among our descendants."""
    return {child.pid for child in psutil.Process().children(recursive=True) if child.name().startswith("beam")}


class Brokers:
    """Those under measurement. They run all the time, one at a time under load: the machine's moods hit all alike."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Broker, contextlib.ExitStack]] = {}

    def get(self, choice: str) -> Broker:
        if choice not in self._running:
            stack = contextlib.ExitStack()
            self._running[choice] = (stack.enter_context(running_broker(choice)), stack)
        return self._running[choice][0]

    def drop(self, choice: str) -> None:
        """After a failure the next scenario gets a fresh one."""
        if choice in self._running:
            with contextlib.suppress(ProcessError, AssertionError):
                self._running.pop(choice)[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            for _, running in self._running.values():
                stack.enter_context(running)


@dataclasses.dataclass
class Outcome:
    """The rounds of a scenario on one broker, and why there are not more."""

    choice: str
    label: str = ""
    rounds: list[Round] = dataclasses.field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(r.value for r in self.rounds) if self.rounds and not self.failure else None


def measure(brokers: Brokers, scenario: Scenario, choices: list[str], rounds: int, settings: Settings) -> list[Outcome]:
    """All rounds of one scenario, the brokers by turns and every other time in reverse."""
    outcomes = [Outcome(scenario.own if choice == OWN else choice) for choice in choices]
    for number in range(rounds):
        for outcome in outcomes if number % 2 == 0 else outcomes[::-1]:
            if outcome.failure:
                continue
            try:
                if scenario.is_fresh:
                    with running_broker(outcome.choice) as broker:
                        outcome.rounds.append(scenario.measure(broker, settings))
                else:
                    broker = brokers.get(outcome.choice)
                    outcome.rounds.append(scenario.measure(broker, settings))
                outcome.choice, outcome.label = outcome.choice, f"{broker.product} {broker.version}"
            except (PerfError, ProcessError, WireError, OSError, AssertionError) as error:
                outcome.failure = (str(error) or type(error).__name__).splitlines()[0]
                brokers.drop(outcome.choice)
    return outcomes


def figure(value: float | None) -> str:
    """Three places or more, as many as say something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def shown(choice: str) -> str:
    return choice.rpartition("@")[2]


def reference(outcomes: list[Outcome]) -> float | None:
    """What ratios are to: our RabbitMQ where it took part, else the first."""
    return next((o for o in outcomes if o.choice == RABBITMQ), outcomes[0]).median


def table(scenario: Scenario, outcomes: list[Outcome]) -> str:
    """Markdown. The last three columns are shares of one processor: the load's, and strangers' in the worst round."""
    lines = [
        f"| broker | says it is | median {scenario.unit} | min | max | ratio | publisher | consumer | others |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    to = reference(outcomes)
    for outcome in outcomes:
        if outcome.median is None:
            lines.append(f"| {shown(outcome.choice)} | failed: {outcome.failure} | | | | | | | |")
            continue
        values = [r.value for r in outcome.rounds]
        cells = [
            shown(outcome.choice),
            outcome.label,
            figure(outcome.median),
            figure(min(values)),
            figure(max(values)),
            f"{outcome.median / to:.2f}" if to else "–",
            f"{statistics.median(r.publisher_load for r in outcome.rounds):.0%}",
            f"{statistics.median(r.consumer_load for r in outcome.rounds):.0%}",
            f"{max(r.others_load for r in outcome.rounds):.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: list[tuple[Scenario, list[Outcome]]], choices: list[str]) -> str:
    """Markdown, one line a scenario; the ratio is that of ours to RabbitMQ."""
    names = [shown(choice) for choice in choices]
    lines = [
        "| scenario | unit | " + " | ".join(names) + " | ratio | floor | reached |",
        "|---|---|" + "---:|" * len(names) + "---:|---:|---|",
    ]
    for scenario, outcomes in results:
        ratio = verdict = None
        own = next((o.median for o in outcomes if o.choice == scenario.own), None)
        if own is not None:
            rabbitmq = next((o.median for o in outcomes if o.choice == RABBITMQ), None)
            ratio = own / rabbitmq if rabbitmq else None
            verdict = scenario.floor.is_reached(own, ratio)
        cells = [scenario.name, scenario.unit]
        cells += ["failed" if outcome.failure else figure(outcome.median) for outcome in outcomes]
        cells += [
            f"{ratio:.2f}×" if ratio is not None else "–",
            str(scenario.floor),
            "–" if verdict is None else "yes" if verdict else "**no**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m interop.perf", description="The same scenarios on several brokers, side by side."
    )
    parser.add_argument(
        "--broker",
        action="append",
        metavar="URL",
        help="amqp:// URL, 'own', 'own-plain' or 'rabbitmq'; may be repeated (default: own and rabbitmq)",
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
    choices = arguments.broker or [OWN, RABBITMQ]
    results: list[tuple[Scenario, list[Outcome]]] = []
    try:
        with Brokers() as brokers:
            print(where, how, sep="\n", flush=True)
            for scenario in arguments.scenarios:
                outcomes = measure(brokers, scenario, choices, arguments.rounds, settings)
                results.append((scenario, outcomes))
                print(f"\n{scenario.name}\n\n{table(scenario, outcomes)}", flush=True)
    except RabbitMQUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncut short", file=sys.stderr)
    if results:
        print(f"\n{where}\n{how}\n\n{summary(results, choices)}")
    if arguments.json:
        record = {"machine": where, "settings": how, "results": [_record(*result) for result in results]}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(outcome.failure for _, outcomes in results for outcome in outcomes))


def _record(scenario: Scenario, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "unit": scenario.unit,
        "floor": str(scenario.floor),
        "brokers": [
            {
                "broker": shown(outcome.choice),
                "says it is": outcome.label,
                "failure": outcome.failure,
                "median": outcome.median,
                "rounds": [dataclasses.asdict(round_) for round_ in outcome.rounds],
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
