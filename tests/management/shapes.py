"""What two JSON values have in common beside their contents: names of fields, and types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Shape = dict[str, set[str]]
"""Types by path: `[].messages` is the field of that name of every element of a list."""


def shape_of(value: object) -> Shape:
    shape: Shape = {}
    for path, type_ in _walk(value, ""):
        shape.setdefault(path, set()).add(type_)
    return shape


def differences(ours: Shape, theirs: Shape) -> Iterator[str]:
    """What there is only here (`+ path`), only there (`- path`), or of another type (`path: ours, theirs`).

    Nothing is said of what is in a list that is empty on one side, or in an object that isn't there.
    """
    for path in sorted(theirs.keys() - ours.keys()):
        if _can_hold(ours, path):
            yield f"- {path}"
    for path in sorted(ours.keys() - theirs.keys()):
        if _can_hold(theirs, path):
            yield f"+ {path}"
    for path in sorted(ours.keys() & theirs.keys()):
        if ours[path] - theirs[path]:
            yield f"{path}: {_words(ours[path])}, {_words(theirs[path])}"


def _walk(value: object, path: str) -> Iterator[tuple[str, str]]:
    yield path, _type_of(value)
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _walk(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each, f"{path}[]")


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def _can_hold(shape: Shape, path: str) -> bool:
    """Whether there is anything a path could lead through on the other side: the object it is a field of."""
    parent = path[:-2] if path.endswith("[]") else path.rpartition(".")[0]
    return not path.endswith("[]") and bool(shape.get(parent, set()) & {"object"})


def _words(types: set[str]) -> str:
    return " or ".join(sorted(types))
