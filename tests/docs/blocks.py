"""The code blocks of the documentation, and what the comment before each says is to be done with it.

    <!-- run -->             a program in Python, or lines for a shell; has to end with 0
    <!-- start -->           lines for a shell that go on to the end of the page; awaited is their first line of output
    <!-- pytest -->          tests, which have to pass
    <!-- file NAME -->       is written to that file, for later blocks
    <!-- output -->          what the block before has printed, line by line; `…` is anything
    <!-- not run: REASON --> nothing

The blocks of a page are one story: they run in order, in one directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]

_FENCE: Final = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<task>[^\n]*?) -->\n+ *)?```(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)\n(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)

_TASK: Final = re.compile(r"(?P<verb>run|start|pytest|output|file (?P<name>[\w./-]+)|not run: (?P<reason>.+))")


@attrs.frozen
class Block:
    """One code block.

    Attributes:
        verb: the first word of what is to be done; empty when nothing is said, or nothing that can be understood.
        line: of its first fence, from 1.
    """

    language: str
    verb: str
    name: str
    code: str
    line: int


def pages() -> list[Path]:
    """All pages in Markdown, for readers of the repository and of the site."""
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("codec/*.md"), *ROOT.glob("interop/*.md"), *ROOT.glob("docs/**/*.md")]
    )


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        task = _TASK.fullmatch(found["task"] or "")
        verb, name = ("", "") if task is None else (task["verb"].split(maxsplit=1)[0], task["name"] or "")
        indent = len(found["indent"])
        code = "\n".join(line[indent:] for line in found["code"].splitlines()) + "\n"
        yield Block(found["language"], verb, name, code, text.count("\n", 0, found.start()) + 1)
