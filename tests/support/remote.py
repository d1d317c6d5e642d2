"""The far end of remote backends, without a network."""

from __future__ import annotations

from collections import deque

from amqp_broker.auth.fetching import Fetched, Request, Response


class Remote:
    """Takes requests, and answers when the test says what.

    Attributes:
        requests: all that came, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._waiting: deque[Fetched] = deque()

    def fetch(self, request: Request, done: Fetched) -> None:
        self.requests.append(request)
        self._waiting.append(done)

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    def answer(self, body: bytes | None, status: int = 200) -> None:
        """Answer the oldest request; None as if nothing came back."""
        self._waiting.popleft()(None if body is None else Response(status, body))
