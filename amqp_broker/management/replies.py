"""Answers other than a list or a record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from amqp_broker.inspection.values import Record


@attrs.frozen
class Reply:
    """An answer with a status of its own.

    Attributes:
        body: what becomes JSON; None for no body at all.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Whole:
    """A record that has been made as it was asked for, columns and all."""

    body: Record


@attrs.frozen
class Text:
    """An answer that is no JSON but plain text."""

    content: str


@attrs.frozen
class File:
    """A file of text, which can be long."""

    path: Path


CREATED: Final = Reply(201)
NO_CONTENT: Final = Reply(204)


def created_or_changed(is_new: bool) -> Reply:
    """What a PUT answers."""
    return CREATED if is_new else NO_CONTENT
