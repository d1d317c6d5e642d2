"""Whatever chapters 3 and 4 of the reference name is in a table, with a yes or a no."""

from __future__ import annotations

import re
from pathlib import Path

from amqp_broker.configuration.keys import KEYS, KNOWN_NAMES_FILE, find_key, is_rabbitmqs
from amqp_broker.configuration.variables import VARIABLES
from amqp_broker.ctl.commands import COMMANDS
from tests.reference.pages import OTHERS

REFERENCE = Path(__file__).parents[2] / "docs" / "management-reference.md"


PROSE = ("default_queue_types via vhost metadata",)


def section(number: str) -> str:
    """One numbered paragraph of the reference, with its table."""
    text = REFERENCE.read_text("utf-8")
    match = re.search(rf"^{re.escape(number)} .*?(?=^\d\.\d |^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[0]


def test_every_variable() -> None:
    named = {
        f"RABBITMQ_{word.removeprefix('RABBITMQ').lstrip('_')}" for word in re.findall(r"`([A-Z_]{3,})", section("4.2"))
    }
    known = {variable.name for variable in VARIABLES}
    assert len(named) > 20
    missing = {name.rstrip("_") for name in named} - known
    assert not {name for name in missing if not any(each.startswith(name) for each in known)}


def keys_of(cell: str) -> set[str]:
    """The keys in a cell of the table, `{a,b}` written out."""
    keys: set[str] = set()
    for part in re.split(r"[;,/]\s*(?![^{]*\})", re.sub(r"\([^)]*\)|`", "", cell)):
        name = re.match(r"[\w.*]+(?:\{[^}]*\})?(?:[\w.*(]+)?", part.strip())
        if name is not None and re.search(r"\w[._]", name[0]) and part.strip() not in PROSE:
            head, brace, rest = name[0].partition("{")
            words, _, tail = rest.partition("}")
            keys |= {f"{head}{word.strip()}{tail}" for word in words.split(",")} if brace else {head}
    return keys


def is_known(key: str, names: set[str]) -> bool:
    """A key may also be the beginning of others."""
    concrete = re.sub(r"\b(?:NAME|N|X)\b", "x", key.removesuffix(".*"))
    return find_key(concrete) is not None or is_rabbitmqs(concrete) or any(n.startswith(f"{concrete}.") for n in names)


def test_every_key() -> None:
    cells = re.findall(r"^\| (?!key)(.*?) \|", section("4.3"), re.MULTILINE)
    keys = {key for cell in cells for key in keys_of(cell)}
    assert len(keys) > 100
    names = {row.name for row in KEYS} | set(KNOWN_NAMES_FILE.read_text("ascii").split())
    assert not {key for key in keys if not is_known(key, names)}


def test_every_command() -> None:
    words = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", section("3.6")))
    names = [*COMMANDS, *(name.rpartition(" ")[2] for name in OTHERS)]
    assert len(words) > 50
    assert not {
        word for word in words if not any(name == word or name.rstrip("s").endswith(word.rstrip("s")) for name in names)
    }
