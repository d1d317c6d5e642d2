"""A file of definitions, read item by item, so that others have their turn while a large one is read.

Python's own reader takes a second for 50 MB and lets nobody in between. Here it is given one item of a list at a time;
what is accepted, and the error for what is not, are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from json.decoder import JSONDecoder
from typing import Final

from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.turns import run_through
from amqp_broker.registry import Json

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = JSONDecoder()


def read_document(data: bytes) -> Json:
    """Read a file of definitions, whatever it says.

    Raises:
        InvalidDefinitionsError: it is no JSON.
    """
    return run_through(reading_document(data))


def reading_document(data: bytes) -> Generator[None, None, Json]:
    """Do the same in steps: one for each item of a list."""
    try:
        text = data.decode("utf-8-sig")
        return (yield from _document(text))
    except UnicodeDecodeError as error:
        raise InvalidDefinitionsError("$", f"octet {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidDefinitionsError("$", f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise InvalidDefinitionsError("$", "nested too deeply") from None


def _document(text: str) -> Generator[None, None, Json]:
    at = _after_space(text, 0)
    document: Json
    if text.startswith("{", at):
        document, at = yield from _object(text, at + 1)
    else:
        document, at = _value(text, at)
    at = _after_space(text, at)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)
    return document


def _object(text: str, at: int) -> Generator[None, None, tuple[dict[str, Json], int]]:
    """Read an object from behind its brace; gives where it ends as well."""
    fields: dict[str, Json] = {}
    at = _after_space(text, at)
    if text.startswith("}", at):
        return fields, at + 1
    while True:
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        name, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if not text.startswith(":", at):
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        at = _after_space(text, at + 1)
        if text.startswith("[", at):
            fields[name], at = yield from _list(text, at + 1)
        else:
            fields[name], at = _value(text, at)
        at = _after_space(text, at)
        if text.startswith("}", at):
            return fields, at + 1
        at = _after_space(text, _after_comma(text, at))


def _list(text: str, at: int) -> Generator[None, None, tuple[list[Json], int]]:
    """Read a list from behind its bracket; gives where it ends as well."""
    items: list[Json] = []
    at = _after_space(text, at)
    if text.startswith("]", at):
        return items, at + 1
    while True:
        item, at = _value(text, at)
        items.append(item)
        yield
        at = _after_space(text, at)
        if text.startswith("]", at):
            return items, at + 1
        at = _after_space(text, _after_comma(text, at))


def _value(text: str, at: int) -> tuple[Json, int]:
    value: tuple[Json, int] = _DECODER.raw_decode(text, at)
    return value


def _after_comma(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    return at + 1


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
