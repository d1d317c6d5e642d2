"""What `interop.perf` prints and keeps of what it has measured."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from interop.perf_brokers import OWN_CLUSTER, RABBITMQ, RABBITMQ_CLUSTER
from interop.perf_scenarios import Round, Scenario


@dataclasses.dataclass
class Outcome:
    """The rounds of a scenario on one broker, and why there are not more.

    Attributes:
        disturbed: rounds that do not count, because something else kept the machine busy.
    """

    choice: str
    label: str = ""
    rounds: list[Round] = dataclasses.field(default_factory=list)
    failure: str = ""
    disturbed: int = 0

    @property
    def median(self) -> float | None:
        return statistics.median(r.value for r in self.rounds) if self.rounds and not self.failure else None


def figure(value: float | None) -> str:
    """Three places or more, as many as say something."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def shown(choice: str) -> str:
    return choice.rpartition("@")[2]


def reference(outcomes: list[Outcome]) -> float | None:
    """What ratios are to: our RabbitMQ where it took part, else the first."""
    return (_one_of(outcomes, RABBITMQ, RABBITMQ_CLUSTER) or outcomes[0]).median


def _one_of(outcomes: list[Outcome], *choices: str) -> Outcome | None:
    return next((outcome for outcome in outcomes if outcome.choice in choices), None)


def table(scenario: Scenario, outcomes: list[Outcome]) -> str:
    """Markdown. The last three columns are shares of one processor: the load's, and strangers' in the worst round.

    Below it stands how many rounds were left out for what strangers took.
    """
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
    if left_out := ", ".join(f"{shown(each.choice)} {each.disturbed}" for each in outcomes if each.disturbed):
        lines += ["", f"disturbed, and left out: {left_out}"]
    return "\n".join(lines)


def summary(results: list[tuple[Scenario, list[Outcome]]], choices: list[str]) -> str:
    """Markdown, one line a scenario; the ratio is that of ours to RabbitMQ, `others` the worst round's."""
    names = [shown(choice) for choice in choices]
    lines = [
        "| scenario | unit | " + " | ".join(names) + " | ratio | floor | reached | others |",
        "|---|---|" + "---:|" * len(names) + "---:|---:|---|---:|",
    ]
    for scenario, outcomes in results:
        ratio = verdict = None
        own = _one_of(outcomes, scenario.own, OWN_CLUSTER)
        if own is not None and own.median is not None:
            rabbitmq = _one_of(outcomes, RABBITMQ, RABBITMQ_CLUSTER)
            ratio = own.median / rabbitmq.median if rabbitmq is not None and rabbitmq.median else None
            verdict = scenario.floor.is_reached(own.median, ratio)
        cells = [scenario.name, scenario.unit]
        cells += ["failed" if outcome.failure else figure(outcome.median) for outcome in outcomes]
        cells += [
            f"{ratio:.2f}×" if ratio is not None else "–",
            str(scenario.floor),
            "–" if verdict is None else "yes" if verdict else "**no**",
            f"{max((r.others_load for o in outcomes for r in o.rounds), default=0.0):.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def record(scenario: Scenario, outcomes: list[Outcome]) -> dict[str, Any]:
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
                "disturbed": outcome.disturbed,
                "rounds": [dataclasses.asdict(round_) for round_ in outcome.rounds],
            }
            for outcome in outcomes
        ],
    }
