"""Every code block of every page is run, or says why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, pages
from tests.docs.stage import Stage

PAGES = {str(page.relative_to(ROOT)): [block for block in blocks_of(page) if block.verb != "not"] for page in pages()}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_is_to_be_done_with_it(page: Path) -> None:
    blocks = list(blocks_of(page))
    assert len(blocks) * 2 == len(re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE))
    assert [f"{page}:{block.line}" for block in blocks if not block.verb] == []


@pytest.mark.parametrize("page", [page for page, blocks in PAGES.items() if blocks])
def test_the_blocks_do_what_the_page_says(page: str, stage: Stage) -> None:
    for needed in sorted(_needed(PAGES[page])):
        pytest.importorskip(needed, reason=f"{needed} is not installed: pip install '.[docs]'")
    for block in PAGES[page]:
        try:
            stage.play(block)
        except AssertionError as error:
            raise AssertionError(f"{page}:{block.line}: {error}") from None


def _needed(blocks: list[Block]) -> set[str]:
    """The libraries that the blocks import and the tests of this project do without."""
    code = "\n".join(block.code for block in blocks if block.language == "python")
    return {"celery", "faststream", "kombu"} & set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
