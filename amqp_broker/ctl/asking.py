"""The connection to a broker: a request is a line of JSON, the answer one or more.

`{"row": {...}}` is one thing in a list, `{"line": "..."}` a line of text, and the last is `{"exit": 0}` or
`{"exit": status, "error": "what standard error says"}`.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from amqp_broker.ctl import places


class NotReachableError(Exception):
    """No broker answers; the text says where it was looked for."""


class FailedError(Exception):
    """The broker says no.

    Attributes:
        status: the exit status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def connect(path: Path | None, timeout_s: float) -> socket.socket:
    """Connect to a broker's socket; None looks for one. Raises NotReachableError."""
    tried: list[str] = []
    left_behind = 0
    for candidate in [path] if path is not None else places.candidates():
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(candidate))
        except OSError as error:
            connection.close()
            if isinstance(error, ConnectionRefusedError) and tried:
                left_behind += 1  # one for each broker that was ever killed: to name them all helps nobody
                continue
            tried.append(f"{candidate}: {error.strerror or error}")
            continue
        return connection
    if left_behind:
        tried.append(f"{left_behind} more that killed brokers have left")
    raise NotReachableError("; ".join(tried))


def ask(connection: socket.socket, request: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    """Ask; gives rows and lines as they come. A `content` of the request goes after its line, as octets.

    Raises:
        FailedError: the broker says no.
        TimeoutError: it took too long.
        NotReachableError: it went away.
    """
    content: bytes = request.pop("content", b"")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may say no before it has read all of it
        connection.sendall(json.dumps(request | {"content_octets": len(content)}).encode() + b"\n" + content)
    with connection.makefile("r", encoding="utf-8") as answers:
        for line in _lines(answers):
            answer = json.loads(line)
            if "row" in answer:
                yield answer["row"]
            elif "line" in answer:
                yield answer["line"]
            elif answer["exit"] == 0:
                return
            else:
                raise FailedError(answer["exit"], answer["error"])
    raise NotReachableError("the broker went away in the middle of its answer")


def _lines(answers: Iterable[str]) -> Iterator[str]:
    """What comes until the broker has said all, or is gone."""
    with contextlib.suppress(ConnectionResetError):
        yield from answers
