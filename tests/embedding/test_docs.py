"""The code of docs/how-to/testing.md, run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.embedding.plugin import PLUGIN

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

BLOCKS = re.findall(r"```python\n# (\w+)\n(.*?)```", (ROOT / "docs/how-to/testing.md").read_text("utf-8"), re.DOTALL)


def test_every_block_says_how_it_is_run() -> None:
    text = (ROOT / "docs/how-to/testing.md").read_text("utf-8")
    assert len(BLOCKS) == text.count("```python")
    assert {kind for kind, _ in BLOCKS} == {"pytest", "unittest", "run"}


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "run"])
def test_programs(code: str) -> None:
    exec(compile(code, "docs/how-to/testing.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind != "run"])
def test_tests(pytester: pytest.Pytester, code: str) -> None:
    if "import kombu" in code:
        pytest.importorskip("kombu")
    pytester.makepyfile(code)
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=1)
