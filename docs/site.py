"""Hooks of mkdocs: what the site has from the code as it is, rather than from files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def on_config(config: Any) -> None:
    """The decisions are in the navigation as they come."""
    pages = sorted(Path(config.docs_dir, "decisions").glob("*.md"))
    config.nav.append({"Decisions": [f"decisions/{page.name}" for page in pages]})


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`<!-- help: WORDS -->` becomes what the command says of itself."""
    return re.sub(r"^<!-- help:(.*?)-->$", lambda found: _help(found[1].split()), markdown, flags=re.MULTILINE)


def _help(words: list[str]) -> str:
    environment = os.environ | {
        "COLUMNS": "100",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'codec'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-m", "amqp_broker", *words, "--help"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return f"```text\n{text.replace(str(Path.home()), '~')}```"
