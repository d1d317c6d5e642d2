"""The output formats: what the broker answers, as the lines that rabbitmqctl prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

Row = dict[str, Any]
"""One thing in a list, by column. An x-argument table is `{"$table": [[key, type, value], ...]}`."""

FORMATS: Final = ("table", "pretty_table", "json", "csv", "erlang", "report")


def lines_of(form: str, columns: Sequence[str], rows: Iterable[Row], *, headers: bool) -> Iterator[str]:
    """Rows as lines of output, without line ends; what does not need all rows has lines before the last has come."""
    if form == "json":
        return _json(columns, rows)
    if form == "csv":
        return _csv(columns, rows, headers)
    if form == "pretty_table":
        return _pretty(columns, rows, headers)
    return _tabs(columns, rows, headers)


def cell(value: Any) -> str:
    """A value as rabbitmqctl shows it in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        if "$table" in value:
            pairs = ",".join(f'{{"{key}",{_erlang(type_, item)}}}' for key, type_, item in value["$table"])
            return f"[{pairs}]"
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(cell(item) for item in value)}]"
    return _escaped(str(value))


def plain(value: Any) -> Any:
    """A value as rabbitmqctl has it in JSON."""
    if isinstance(value, dict) and "$table" in value:
        return [[key, type_, _plain_item(type_, item)] for key, type_, item in value["$table"]]
    return value


def _plain_item(type_: str, item: Any) -> Any:
    if type_ == "table":
        return plain({"$table": item})
    return item


def _erlang(type_: str, item: Any) -> str:
    """An x-argument's value as an Erlang term."""
    if type_ == "table":
        return cell({"$table": item})
    if type_ == "array":
        return f"[{','.join(_erlang(inner, value) for inner, value in item)}]"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False)
    return "undefined" if item is None else str(item)


def _escaped(text: str) -> str:
    """Names may hold tabs and line ends; a row is a line."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )


def _tabs(columns: Sequence[str], rows: Iterable[Row], headers: bool) -> Iterator[str]:
    is_first = True
    for row in rows:
        if is_first and headers:
            yield "\t".join(columns)
        is_first = False
        yield "\t".join(cell(row.get(column)) for column in columns)


def _json(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    yield "["
    separator = ""
    for row in rows:
        item = {column: plain(row.get(column, "")) for column in columns}
        yield separator + json.dumps(item, separators=(",", ":"), ensure_ascii=False)
        separator = ","
    yield "]"


def _csv(columns: Sequence[str], rows: Iterable[Row], headers: bool) -> Iterator[str]:
    if headers:
        yield ",".join(columns)
    for row in rows:
        yield ",".join(_quoted(cell(row.get(column))) for column in columns)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') else text


def _pretty(columns: Sequence[str], rows: Iterable[Row], headers: bool) -> Iterator[str]:
    table = [[cell(row.get(column)) for column in columns] for row in rows]
    if headers:
        table.insert(0, list(columns))
    if not table:
        return
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    bars = ["─" * (width + 2) for width in widths]
    yield f"┌{'┬'.join(bars)}┐"
    for number, cells in enumerate(table):
        if number:
            yield f"├{'┼'.join(bars)}┤"
        yield f"│{'│'.join(f' {text:<{width}} ' for text, width in zip(cells, widths, strict=True))}│"
    yield f"└{'┴'.join(bars)}┘"


def one(item: Row) -> str:
    """Something that is no list, as JSON in a line."""
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False)
