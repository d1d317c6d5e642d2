"""The `.pxd` files beside compiled modules have to follow the sources; here that is checked without a compiler."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DESCRIPTIONS = sorted([*(ROOT / "amqp_broker").rglob("*.pxd"), *(ROOT / "codec" / "amqp_codec").rglob("*.pxd")])
PLAIN = [path for path in DESCRIPTIONS if path.with_suffix(".py").exists()]


def c_classes(text: str) -> Iterator[tuple[str, str | None, set[str]]]:
    """Name, base and attributes of each extension type; those with a dict take any attribute and are left out."""
    for match in re.finditer(r"^cdef class (\w+)(?:\((\w+)\))?:\n((?:\n|    .*\n)*)", text, re.MULTILINE):
        name, base, body = match.groups()
        declared = re.findall(r"^    cdef (?!.*\()(?:public )?[\w ]*?(\w+)$", body, re.MULTILINE)
        if "cdef dict __dict__" not in body:
            yield name, base, set(declared)


def assigned(class_: ast.ClassDef) -> set[str]:
    """The attributes that a class sets on `self`."""
    names = set()
    for node in ast.walk(class_):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
                    names.add(each.attr)
    return names


def inherited(base: str | None) -> set[str]:
    """What the base of an extension type declares, and its own base."""
    for path in DESCRIPTIONS:
        for name, above, declared in c_classes(path.read_text("utf-8")):
            if name == base:
                return declared | inherited(above)
    return set()


@pytest.mark.parametrize("description", PLAIN, ids=lambda path: path.stem)
def test_extension_types_declare_every_attribute(description: Path) -> None:
    tree = ast.parse(description.with_suffix(".py").read_text("utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, base, declared in c_classes(description.read_text("utf-8")):
        missing = assigned(classes[name]) - declared - inherited(base)
        assert not missing, f"{description.name}: {name} sets {sorted(missing)}, which the .pxd does not declare"


def test_something_was_checked() -> None:
    checked = [name for path in PLAIN for name, *_ in c_classes(path.read_text("utf-8"))]
    assert {"Queue", "QueueEntry", "ContentHeader", "PublishCommand"} <= set(checked)
