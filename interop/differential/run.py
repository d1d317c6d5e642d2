"""Runs sequences against two brokers and gathers what was different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from interop.differential.expected import Difference, expected_as, same
from interop.differential.generator import Generator, needs_pause
from interop.differential.operations import Operation, as_script
from interop.differential.player import HangError, Player
from interop.differential.shrink import shrink

PAUSE_S: Final = 0.06
"""For a few short TTLs one after the other."""

PATIENCE_S: Final = 2.0
SHRINK_PATIENCE_S: Final = 0.4
LENGTH: Final = (8, 45)


@dataclass
class Finding:
    """A difference; made short, if nobody expected it.

    Attributes:
        number: of the sequence.
        difference: what differs.
        script: shows it.
        rule: that it was expected by.
    """

    number: int
    difference: Difference
    script: str
    rule: str | None = None

    def __str__(self) -> str:
        by = "" if self.rule is None else f", expected by rule {self.rule}"
        heading = f"sequence {self.number}: {len(self.difference.operations)} operations{by}, in the last:"
        return "\n".join([heading, *self.difference.lines(), "", self.script])


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        sequences: that were played.
        operations: that were played and compared.
        expected: sequences that ended at an expected difference, by its rule.
        findings: the others that were different.
    """

    sequences: int = 0
    operations: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def summary(self) -> str:
        rules = ", ".join(f"rule {rule}: {count}" for rule, count in sorted(self.expected.items()))
        return (
            f"{self.sequences} sequences, {self.operations} operations compared, {len(self.findings)} findings, "
            f"expected differences: {rules or 'none'}"
        )


class Run:
    """Our broker and RabbitMQ, and what they make of the same sequences."""

    def __init__(self, our_url: str, their_url: str) -> None:
        self.outcome = Outcome()
        self._urls = our_url, their_url
        self._connect()

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()

    def play(self, number: int, seed: int) -> Finding | None:
        """Make up sequence `number` of a seed and play it; gives what was different."""
        random = Random(f"{seed}/{number}")
        operations = Generator(random, number).sequence(random.randrange(*LENGTH))
        outcome = self.outcome
        outcome.sequences += 1
        difference = self._compare(operations, PATIENCE_S)
        if difference is None:
            outcome.operations += len(operations)
            return None
        outcome.operations += len(difference.operations)
        expected = expected_as(difference)
        if expected is not None:
            outcome.expected[expected.rule] += 1
            return Finding(number, difference, self._script(difference), expected.rule)
        short = shrink(difference, self._unexpected)
        finding = Finding(number, short, self._script(short))
        outcome.findings.append(finding)
        return finding

    def _script(self, difference: Difference) -> str:
        operations = difference.operations
        return as_script(operations, [step.tag for step in self._ours.play(operations, pause_s=_pause(operations))])

    def _connect(self) -> None:
        self._ours = Player(self._urls[0], same, PATIENCE_S)
        self._theirs = Player(self._urls[1], same, PATIENCE_S)

    def _unexpected(self, operations: Sequence[Operation]) -> Difference | None:
        difference = self._compare(operations, SHRINK_PATIENCE_S)
        return None if difference is None or expected_as(difference) is not None else difference

    def _compare(self, operations: Sequence[Operation], patience_s: float) -> Difference | None:
        self._theirs.patience_s = patience_s
        try:
            ours = self._ours.play(operations, pause_s=_pause(operations))
            theirs = self._theirs.play(operations, expected=ours, pause_s=_pause(operations))
        except HangError:
            self.close()
            self._connect()
            raise
        last = len(theirs) - 1
        if same(ours[last].observation, theirs[last].observation):
            return None
        return Difference(tuple(operations[: last + 1]), ours[last].observation, theirs[last].observation)


def _pause(operations: Sequence[Operation]) -> float:
    return PAUSE_S if needs_pause(operations) else 0.0


def run(
    our_url: str, their_url: str, numbers: range, seed: int, report: Callable[[Run, Finding | None], None]
) -> Outcome:
    """Play these sequences of a seed; `report` is called after each."""
    runner = Run(our_url, their_url)
    try:
        for number in numbers:
            report(runner, runner.play(number, seed))
    finally:
        runner.close()
    return runner.outcome
