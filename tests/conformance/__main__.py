"""`python -m tests.conformance`: which rules of docs/conformance.md have a passing test, and which have none.

Runs the suite (or the paths given as arguments) and counts a rule as proven when at least one test that names
it passed and none that names it failed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
RULE = re.compile(r"^(\d+)\.(\d+) \[(core|ext|edge)\]", re.MULTILINE)
CHAPTER = re.compile(r"^## (\d+)\. (.*)$", re.MULTILINE)
MARKS = ("core", "ext", "edge")


class Record:
    """A pytest plugin that notes which rules were proven and which were broken."""

    def __init__(self) -> None:
        self.proven: set[str] = set()
        self.broken: set[str] = set()
        self._rules: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self._rules[item.nodeid] = {str(rule) for mark in item.iter_markers("rule") for rule in mark.args}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rules = self._rules.get(report.nodeid, set())
        if report.failed:
            self.broken |= rules
        elif report.when == "call" and report.passed:
            self.proven |= rules


def main(arguments: list[str]) -> int:
    """Run the tests and print the table; the status is pytest's, or 1 when a test names a rule that is not there."""
    text = DOCUMENT.read_text(encoding="utf-8")
    marks = {f"{chapter}.{number}": mark for chapter, number, mark in RULE.findall(text)}
    record = Record()
    status = pytest.main(["-q", "--no-header", *(arguments or ["tests"])], plugins=[record])
    proven = record.proven - record.broken
    print(f"\n{'chapter':52}" + "".join(f"{mark:>12}" for mark in MARKS))
    total: Counter[tuple[str, bool]] = Counter()
    for chapter, title in CHAPTER.findall(text):
        count: Counter[tuple[str, bool]] = Counter(
            (mark, rule in proven) for rule, mark in marks.items() if rule.split(".")[0] == chapter
        )
        total += count
        if count:
            print(f"{chapter + '. ' + title:52.52}{_cells(count)}")
    print(f"{'all':52}{_cells(total)}")
    for mark in MARKS:
        missing = [rule for rule, its_mark in marks.items() if its_mark == mark and rule not in proven]
        if missing:
            print(f"\n[{mark}] rules without a passing test: {' '.join(missing)}")
    unknown = sorted((record.proven | record.broken) - marks.keys())
    if unknown:
        print(f"\nTests name rules that the document does not have: {' '.join(unknown)}")
        return 1
    return int(status)


def _cells(count: Counter[tuple[str, bool]]) -> str:
    cells = []
    for mark in MARKS:
        of = count[mark, True] + count[mark, False]
        cells.append(f"{count[mark, True]}/{of}" if of else "-")
    return "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
