"""What a backend wants from the network, in values: it knows no socket, whoever fetches knows no users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import attrs


@attrs.frozen
class Request:
    """An HTTP request.

    Attributes:
        form: the body of a POST, form-encoded; empty for a GET.
        timeout_s: for all of it.
        ca: who signs the server's certificate; None for whom the system trusts.
    """

    method: Literal["GET", "POST"]
    url: str
    form: bytes = attrs.field(default=b"", repr=False)
    timeout_s: float = 15.0
    ca: Path | None = None


@attrs.frozen
class Response:
    """What came back: a status and the body."""

    status: int
    body: bytes


Fetched: TypeAlias = Callable[["Response | None"], None]
"""Takes what came back; None when nothing did in time."""

Fetch: TypeAlias = Callable[[Request, Fetched], None]
"""Begins to fetch; the answer comes later, or at once when it can't be fetched."""


def fetch_nothing(_request: Request, done: Fetched) -> None:
    """Where there is no network, nothing comes back."""
    done(None)
