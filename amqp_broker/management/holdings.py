"""What all requests together hold in memory: bodies as they arrive, and long answers as long as they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amqp_broker.management.errors import ApiError


class Holdings:
    """A limit for all, and what is held.

    Attributes:
        octets: held at the moment.
    """

    def __init__(self, limit: int) -> None:
        self.octets = 0
        self._limit = limit

    @contextmanager
    def share(self) -> Iterator[Share]:
        """What one request will hold; nothing any more when it is over."""
        share = Share(self)
        try:
            yield share
        finally:
            self.octets -= share.octets

    def fits(self, octets: int) -> bool:
        return self.octets + octets <= self._limit


class Share:
    """What one request holds, in octets."""

    def __init__(self, holdings: Holdings) -> None:
        self.octets = 0
        self._holdings = holdings

    def add(self, octets: int) -> None:
        """Hold so much more. Raises ApiError 503."""
        if not self._holdings.fits(octets):
            raise ApiError(503, "service_unavailable", "too much is being sent and received, try again later")
        self.octets += octets
        self._holdings.octets += octets
