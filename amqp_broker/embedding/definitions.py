"""Definitions for an embedded broker, in whatever form a test has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from amqp_broker.administration.reading import read_document
from amqp_broker.registry import Json

Definitions = Mapping[str, Any] | str | bytes | Path
"""A document in RabbitMQ's form, its JSON, or the path of a file with that; text that begins with `{` is JSON."""

_OF_A_VHOST: Final = ("exchanges", "queues", "bindings", "policies", "parameters")


def read(definitions: Definitions) -> Json:
    """Take a document. Raises OSError and InvalidDefinitionsError."""
    if isinstance(definitions, Mapping):
        return read_document(json.dumps(definitions).encode())
    if isinstance(definitions, str) and not definitions.lstrip().startswith("{"):
        definitions = Path(definitions)
    if isinstance(definitions, Path):
        return read_document(definitions.read_bytes())
    return read_document(definitions.encode() if isinstance(definitions, str) else definitions)


def for_vhost(document: Any) -> Json:
    """What of a document belongs to its one vhost, or to `/` where there are several; names of vhosts are left out.

    Raises:
        ValueError: there are several, and none is `/`.
    """
    sections: dict[str, list[dict[str, Any]]] = {name: document.get(name) or [] for name in _OF_A_VHOST}
    named: set[str] = {item["vhost"] for items in sections.values() for item in items if "vhost" in item}
    chosen = "/" if "/" in named or not named else next(iter(named))
    if len(named) > 1 and chosen != "/":
        raise ValueError(f"definitions of several vhosts: {', '.join(sorted(named))}")
    return {
        name: [
            {key: value for key, value in item.items() if key != "vhost"}
            for item in items
            if item.get("vhost", chosen) == chosen
        ]
        for name, items in sections.items()
    }
